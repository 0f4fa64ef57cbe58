//! The budget for bytes that are encoded and on their way to the store.
//!
//! A subtask looks at it before it fetches: over the budget it waits, so a store that is away costs
//! time and no memory. Bytes are taken without asking, because a file that is being closed cannot
//! stop half-way; the excess is at most one row group for each subtask.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub struct Budget {
    capacity: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            used: AtomicUsize::new(0),
        })
    }

    pub fn exhausted(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.capacity
    }

    /// Takes so many bytes until the share is dropped.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Share {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Share {
            budget: self.clone(),
            bytes,
        }
    }
}

/// Bytes taken from a budget; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
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
}
