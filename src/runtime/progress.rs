//! What people look at while the job runs: counters, positions, checkpoints. One of these belongs to
//! one start of the job.
//!
//! Written once a batch or less often, and each subtask writes to a place of its own, so that it
//! costs nothing to be watched.

pub mod checkpoints;
pub mod dropped;
pub mod subtask;
pub mod timings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::{NextOffset, Split, SubtaskIndex};
use checkpoints::Checkpoints;
use dropped::Dropped;
use subtask::SubtaskProgress;

/// Next offsets of all splits, shared with whoever looks at them.
pub type Offsets = Arc<BTreeMap<Split, NextOffset>>;

#[derive(Debug)]
pub struct Progress {
    subtasks: Vec<SubtaskProgress>,
    checkpoints: Mutex<Checkpoints>,
    /// In the newest complete checkpoint.
    durable_offsets: Mutex<Offsets>,
    /// As they were committed to the consumer group last.
    committed_offsets: Mutex<Option<Offsets>>,
    pub dropped: Arc<Dropped>,
}

impl Progress {
    pub fn new(parallelism: u32) -> Self {
        Self {
            subtasks: (0..parallelism)
                .map(|_| SubtaskProgress::default())
                .collect(),
            checkpoints: Mutex::default(),
            durable_offsets: Mutex::default(),
            committed_offsets: Mutex::default(),
            dropped: Arc::default(),
        }
    }

    pub fn subtasks(&self) -> &[SubtaskProgress] {
        &self.subtasks
    }

    pub fn subtask(&self, index: SubtaskIndex) -> &SubtaskProgress {
        &self.subtasks[index.0 as usize]
    }

    /// Rows handed to the sinks so far, of both kinds.
    pub fn consumed(&self) -> u64 {
        let rows = self
            .subtasks
            .iter()
            .map(|s| s.rows_out() + s.rows_dropped());
        rows.sum()
    }

    pub fn checkpoints(&self) -> MutexGuard<'_, Checkpoints> {
        lock(&self.checkpoints)
    }

    pub fn set_durable_offsets(&self, offsets: &BTreeMap<Split, NextOffset>) {
        *lock(&self.durable_offsets) = Arc::new(offsets.clone());
    }

    pub fn durable_offsets(&self) -> Offsets {
        lock(&self.durable_offsets).clone()
    }

    /// What is durable is committed now.
    pub fn committed(&self) {
        let durable = self.durable_offsets();
        *lock(&self.committed_offsets) = Some(durable);
    }

    pub fn committed_offsets(&self) -> Option<Offsets> {
        lock(&self.committed_offsets).clone()
    }
}

/// What these guard is whole after every statement, also if a thread died in between.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
