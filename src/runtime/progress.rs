//! Numbers that people look at while the job runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ids::CheckpointId;
use crate::store::Root;

/// A complete checkpoint in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSummary {
    pub id: CheckpointId,
    pub files: usize,
    pub rows: u64,
    pub dropped: u64,
    pub bytes: u64,
    /// From the barrier until all its files were visible.
    pub duration: Duration,
}

#[derive(Debug, Default)]
pub struct Progress {
    output_rows: AtomicU64,
    dropped_rows: AtomicU64,
    durable: Mutex<Durable>,
}

/// What complete checkpoints of this process hold, in all.
#[derive(Debug, Clone, Default)]
pub struct Durable {
    pub rows: u64,
    pub dropped: u64,
    pub files: u64,
    pub last: Option<CheckpointSummary>,
}

impl Progress {
    /// Rows that were handed to a sink.
    pub fn rows(&self, root: Root, count: usize) {
        let counter = match root {
            Root::Output => &self.output_rows,
            Root::Dropped => &self.dropped_rows,
        };
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Rows handed to the sinks so far, of both kinds.
    pub fn consumed(&self) -> u64 {
        self.output_rows.load(Ordering::Relaxed) + self.dropped_rows.load(Ordering::Relaxed)
    }

    pub fn checkpoint(&self, summary: CheckpointSummary) {
        let mut durable = self.lock();
        durable.rows += summary.rows;
        durable.dropped += summary.dropped;
        durable.files += summary.files as u64;
        durable.last = Some(summary);
    }

    pub fn durable(&self) -> Durable {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Durable> {
        // Whole after every statement above, also if a thread died in between.
        self.durable.lock().unwrap_or_else(|e| e.into_inner())
    }
}
