//! What others can see of a run while it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

type Note = dyn Fn(&str) + Send + Sync;

/// Counts and notes of one run. A clone shows the same run.
#[derive(Clone, Default)]
pub struct Progress {
    delivered: Arc<AtomicU64>,
    note: Option<Arc<Note>>,
}

impl Progress {
    /// `note` gets what a person may want to know: that the broker is being waited for, that the
    /// topic was created. It is called from threads of the run and must not block.
    pub fn with_notes(note: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            note: Some(Arc::new(note)),
            ..Self::default()
        }
    }

    /// Records that the broker has acknowledged so far, the malformed ones among them.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(crate) fn add_delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, text: &str) {
        if let Some(note) = &self.note {
            note(text);
        }
    }
}
