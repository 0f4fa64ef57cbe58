//! Requests that take their time, and how far each is.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::control::{Operation, TriggerId};

/// Older ones are forgotten.
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
    pub fn begin(&self) -> TriggerId {
        let id = TriggerId::random();
        let mut entries = self.lock();
        entries.order.push_back(id.clone());
        entries.all.insert(id.clone(), Operation::InProgress);
        if entries.order.len() > REMEMBERED
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.all.remove(&oldest);
        }
        id
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
    fn the_newest_are_remembered() {
        let operations = Operations::default();
        let ids: Vec<_> = (0..REMEMBERED + 1).map(|_| operations.begin()).collect();
        assert_eq!(operations.get(&ids[0]), None);
        assert_eq!(operations.get(&ids[1]), Some(Operation::InProgress));
        assert_eq!(operations.get(&TriggerId::random()), None);
        let done = Operation::Checkpoint {
            id: CheckpointId(1),
        };
        for id in &ids[..2] {
            operations.end(id, done.clone());
        }
        assert_eq!(operations.get(&ids[0]), None);
        assert_eq!(operations.get(&ids[1]), Some(done));
    }
}
