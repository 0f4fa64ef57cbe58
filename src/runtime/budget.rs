//! The memory budget of the process, in three parts: what the consumers' queues may hold, which is
//! set apart at the start; open files; and what is on its way to the store: closed files that are not
//! encoded to their end yet, and pieces.
//!
//! A subtask looks at it before it fetches: over the budget it waits, so a store that is away costs
//! time and no memory. Where open files are what fills it, the largest is closed early. Bytes are
//! taken without asking, because a file that is being closed cannot stop half-way; the excess is at
//! most one row group for each subtask.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a budget that the consumers' queues may take, all together.
pub fn of_queues(budget: usize) -> usize {
    budget / 8 * 3
}

/// What a subtask needs at least: a fetch, a row group and a piece or two.
pub const LEAST_PER_SUBTASK: usize = 16 << 20;

/// Bytes that are taken at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub open_files: usize,
    pub in_flight: usize,
}

/// What the rest of a budget is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    OpenFiles,
    InFlight,
}

/// The part of a budget that files have.
#[derive(Debug)]
pub struct Budget {
    capacity: usize,
    open_files: AtomicUsize,
    in_flight: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            open_files: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
        })
    }

    pub fn exhausted(&self) -> bool {
        self.used(Part::OpenFiles) + self.used(Part::InFlight) >= self.capacity
    }

    /// Bytes above it when it is exhausted, and by open files rather than by a slow store.
    pub fn excess_of_open_files(&self) -> Option<usize> {
        let Usage {
            open_files,
            in_flight,
        } = self.usage();
        let excess = (open_files + in_flight).checked_sub(self.capacity)?;
        (open_files >= in_flight).then_some(excess)
    }

    pub fn usage(&self) -> Usage {
        Usage {
            open_files: self.used(Part::OpenFiles),
            in_flight: self.used(Part::InFlight),
        }
    }

    /// Takes so many bytes for what is on its way to the store, until the share is dropped.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Share {
        let mut share = self.share(Part::InFlight);
        share.set(bytes);
        share
    }

    /// The share of an open file; it has nothing yet.
    pub fn open_file(self: &Arc<Self>) -> Share {
        self.share(Part::OpenFiles)
    }

    fn share(self: &Arc<Self>, part: Part) -> Share {
        Share {
            budget: self.clone(),
            part,
            bytes: 0,
        }
    }

    fn used(&self, part: Part) -> usize {
        self.counter(part).load(Ordering::Relaxed)
    }

    fn counter(&self, part: Part) -> &AtomicUsize {
        match part {
            Part::OpenFiles => &self.open_files,
            Part::InFlight => &self.in_flight,
        }
    }
}

/// Bytes taken from a budget; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    part: Part,
    bytes: usize,
}

impl Share {
    /// From now on it is so many bytes.
    pub fn set(&mut self, bytes: usize) {
        let counter = self.budget.counter(self.part);
        counter.fetch_add(bytes, Ordering::Relaxed);
        counter.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_share_is_given_back() {
        let budget = Budget::new(10);
        let first = budget.take(6);
        assert!(!budget.exhausted());
        let second = budget.take(6);
        assert!(budget.exhausted());
        drop(first);
        assert!(!budget.exhausted());
        drop(second);
    }

    #[test]
    fn an_open_file_counts_as_much_as_it_has_now() {
        let budget = Budget::new(10);
        let mut file = budget.open_file();
        file.set(12);
        assert!(budget.exhausted());
        file.set(3);
        assert!(!budget.exhausted());
        let _piece = budget.take(7);
        assert!(budget.exhausted());
    }

    #[test]
    fn a_slow_store_is_not_taken_for_open_files() {
        let budget = Budget::new(10);
        let mut file = budget.open_file();
        file.set(4);
        let piece = budget.take(8);
        assert_eq!(budget.excess_of_open_files(), None);
        drop(piece);
        file.set(11);
        assert_eq!(budget.excess_of_open_files(), Some(1));
    }
}
