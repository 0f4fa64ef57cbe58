//! Is the service well, and if not, since when and why.
//!
//! Trouble that may pass (a store that does not answer, a broker that is away, a late checkpoint)
//! never ends the process; it makes it `degraded`, and shows here until it has passed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One thing that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Monotonic time at which it began.
    pub since: Duration,
    /// What failed, on what, and why; the newest message.
    pub message: String,
}

/// All that is wrong now, by what it concerns.
#[derive(Debug, Default)]
pub struct Health {
    troubles: Mutex<BTreeMap<String, Trouble>>,
    retries: AtomicU64,
}

impl Health {
    /// Notes a failure; says it once in the log, not at every retry.
    pub fn failing(&self, concern: &str, now: Duration, message: String) {
        let mut troubles = self.lock();
        match troubles.get_mut(concern) {
            Some(trouble) => trouble.message = message,
            None => {
                tracing::warn!(concern, error = message, "degraded");
                let trouble = Trouble {
                    since: now,
                    message,
                };
                troubles.insert(concern.to_owned(), trouble);
            }
        }
    }

    /// Notes that it works again.
    pub fn well(&self, concern: &str, now: Duration) {
        if let Some(trouble) = self.lock().remove(concern) {
            let after = now.saturating_sub(trouble.since);
            let after_s = after.as_secs_f64();
            tracing::info!(concern, after_s, "recovered");
        }
    }

    pub fn troubles(&self) -> BTreeMap<String, Trouble> {
        self.lock().clone()
    }

    /// Notes that a request is made once more.
    pub fn retrying(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub fn degraded(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Trouble>> {
        // The map is whole after every statement above, also if a thread died in between.
        self.troubles.lock().unwrap_or_else(|e| e.into_inner())
    }
}
