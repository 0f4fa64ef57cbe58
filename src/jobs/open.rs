//! Opens what a job needs from outside, and waits for what may still come up: a broker, a topic, a
//! store. What waiting cannot cure is an error, before anything is written.

mod source;
mod stores;
mod topics;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use source::Source;
pub use stores::{existing, objects, stores};
pub use topics::Lookup;

use crate::runtime::retry::Patience;

/// How often waiting is said.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Says what is waited for, at once and then every few seconds.
struct Waiting<'a> {
    patience: &'a Patience,
    whom: &'static str,
    said_at: Mutex<Option<Duration>>,
}

impl<'a> Waiting<'a> {
    fn new(patience: &'a Patience, whom: &'static str) -> Self {
        Self {
            patience,
            whom,
            said_at: Mutex::default(),
        }
    }

    async fn say(&self, why: &str) {
        let now = self.patience.clock.monotonic();
        {
            let mut said_at = self.said_at.lock().unwrap_or_else(PoisonError::into_inner);
            if said_at.is_none_or(|at| now >= at + SAY_EVERY) {
                tracing::warn!(why, "waiting for {}", self.whom);
                *said_at = Some(now);
            }
        }
        self.patience.clock.sleep(Duration::from_millis(500)).await;
    }
}
