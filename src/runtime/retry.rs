//! Retrying for as long as it takes, visibly.

use std::pin::pin;
use std::time::Duration;

use backon::BackoffBuilder;
use futures::future::{Either, select};

use super::health::Health;
use crate::clock::Clock;
use crate::store::StoreError;

/// First wait after a failure; doubles up to [`MAX_DELAY`].
const MIN_DELAY: Duration = Duration::from_millis(100);
/// A request without an answer for so long is trouble, also before it times out.
const SLOW: Duration = Duration::from_secs(8);
/// Before what somebody else has just been at is tried again.
const PAUSE: Duration = Duration::from_millis(100);
/// A store that is back is noticed within this time.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// What a retrying part of the process needs around it.
#[derive(Clone)]
pub struct Patience {
    pub clock: std::sync::Arc<dyn Clock>,
    pub health: std::sync::Arc<Health>,
}

impl Patience {
    /// A moment, for something that is at work just now to be done.
    pub async fn pause(&self) {
        self.clock.sleep(PAUSE).await;
    }

    /// Repeats `request` until it succeeds or fails in a way that waiting does not help. While it
    /// fails the process is degraded, with `concern` naming the request in the log.
    pub async fn insist<T, F>(
        &self,
        concern: &str,
        mut request: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut delays = backon::ExponentialBuilder::default()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .without_max_times()
            .build();
        let mut failed = false;
        loop {
            let result = {
                let attempt = pin!(request());
                match select(attempt, self.clock.sleep(SLOW)).await {
                    Either::Left((result, _)) => result,
                    Either::Right(((), attempt)) => {
                        failed = true;
                        let message = format!("no answer for {} s", SLOW.as_secs());
                        self.health
                            .failing(concern, self.clock.monotonic(), message);
                        attempt.await
                    }
                }
            };
            match result {
                Err(e) if e.waiting_helps() => {
                    failed = true;
                    let now = self.clock.monotonic();
                    self.health.failing(concern, now, with_causes(&e));
                    self.clock.sleep(delays.next().unwrap_or(MAX_DELAY)).await;
                    self.health.retrying();
                }
                result => {
                    if failed {
                        self.health.well(concern, self.clock.monotonic());
                    }
                    return result;
                }
            }
        }
    }
}

/// The error and what caused it, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let e_text = e.to_string();
        if !text.contains(&e_text) {
            text = format!("{text}: {e_text}");
        }
        cause = e.source();
    }
    text
}
