//! Counters and positions of one subtask.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::lock;
use crate::ids::{NextOffset, Split};
use crate::store::Root;

/// Where one split is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub split: Split,
    pub consumed: NextOffset,
    /// Where it ends in Kafka, as far as the consumer was told.
    pub end: Option<NextOffset>,
}

#[derive(Debug, Default)]
pub struct SubtaskProgress {
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    rows_out: AtomicU64,
    rows_dropped: AtomicU64,
    bytes_out: AtomicU64,
    open_files: AtomicU64,
    queued: AtomicU64,
    /// Microseconds.
    busy: AtomicU64,
    idle: AtomicU64,
    backpressured: AtomicU64,
    positions: Mutex<Vec<Position>>,
}

/// What the time between two steps was spent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    Working,
    /// Waiting for records.
    Idle,
    /// Waiting because the memory budget is used up.
    Backpressured,
}

impl SubtaskProgress {
    /// Records that came from the source.
    pub fn read(&self, records: usize, bytes: usize) {
        add(&self.records_in, records);
        add(&self.bytes_in, bytes);
    }

    /// Rows that were handed to a sink.
    pub fn rows(&self, root: Root, count: usize) {
        let counter = match root {
            Root::Output => &self.rows_out,
            Root::Dropped => &self.rows_dropped,
        };
        add(counter, count);
    }

    /// Bytes that the store has taken.
    pub fn uploaded(&self, bytes: usize) {
        add(&self.bytes_out, bytes);
    }

    pub fn set_open_files(&self, count: usize) {
        self.open_files.store(count as u64, Ordering::Relaxed);
    }

    /// Records that the source has fetched and not handed over yet.
    pub fn set_queued(&self, count: usize) {
        self.queued.store(count as u64, Ordering::Relaxed);
    }

    pub fn spent(&self, time: Duration, with: Spent) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.time(with).fetch_add(micros, Ordering::Relaxed);
    }

    pub fn set_positions(&self, positions: Vec<Position>) {
        *lock(&self.positions) = positions;
    }

    pub fn positions(&self) -> Vec<Position> {
        lock(&self.positions).clone()
    }

    pub fn records_in(&self) -> u64 {
        get(&self.records_in)
    }

    pub fn bytes_in(&self) -> u64 {
        get(&self.bytes_in)
    }

    pub fn rows_out(&self) -> u64 {
        get(&self.rows_out)
    }

    pub fn rows_dropped(&self) -> u64 {
        get(&self.rows_dropped)
    }

    pub fn bytes_out(&self) -> u64 {
        get(&self.bytes_out)
    }

    pub fn open_files(&self) -> u64 {
        get(&self.open_files)
    }

    pub fn queued(&self) -> u64 {
        get(&self.queued)
    }

    /// Milliseconds that were spent so.
    pub fn spent_ms(&self, with: Spent) -> u64 {
        get(self.time(with)) / 1_000
    }

    fn time(&self, with: Spent) -> &AtomicU64 {
        match with {
            Spent::Working => &self.busy,
            Spent::Idle => &self.idle,
            Spent::Backpressured => &self.backpressured,
        }
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
