//! Requests that take their time, and how far each is.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::control::{Operation, TriggerId};

/// Older ones are forgotten once they have ended; no more than these may be in progress.
const REMEMBERED: usize = 100;

#[derive(Debug, Default)]
pub struct Operations(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// The oldest first.
    order: VecDeque<TriggerId>,
    all: HashMap<TriggerId, Operation>,
}

impl Operations {
    /// `None` while too many are in progress.
    pub fn begin(&self) -> Option<TriggerId> {
        let id = TriggerId::random();
        let mut entries = self.lock();
        let Entries { order, all } = &mut *entries;
        if order.len() >= REMEMBERED {
            let mut places = 0..order.len();
            let oldest = places.find(|&n| all.get(&order[n]) != Some(&Operation::InProgress))?;
            if let Some(oldest) = order.remove(oldest) {
                all.remove(&oldest);
            }
        }
        order.push_back(id.clone());
        all.insert(id.clone(), Operation::InProgress);
        Some(id)
    }

    pub fn end(&self, id: &TriggerId, how: Operation) {
        if let Some(operation) = self.lock().all.get_mut(id) {
            *operation = how;
        }
    }

    pub fn get(&self, id: &TriggerId) -> Option<Operation> {
        self.lock().all.get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Whole enough after every statement above, also if a thread died in between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CheckpointId;

    #[test]
    fn ended_ones_make_room_and_those_in_progress_are_never_forgotten() {
        let operations = Operations::default();
        let ids: Vec<_> = (0..REMEMBERED)
            .map(|_| operations.begin().unwrap())
            .collect();
        assert_eq!(operations.begin(), None);
        let done = Operation::Checkpoint {
            id: CheckpointId(1),
        };
        operations.end(&ids[1], done.clone());
        assert_eq!(operations.get(&ids[1]), Some(done));
        let newest = operations.begin().unwrap();
        assert_eq!(operations.get(&ids[0]), Some(Operation::InProgress));
        assert_eq!(operations.get(&ids[1]), None);
        assert_eq!(operations.get(&newest), Some(Operation::InProgress));
        assert_eq!(operations.get(&TriggerId::random()), None);
    }
}
