//! Time behind a trait: wall time names hours and stamps commit-log lines, monotonic time triggers
//! checkpoints. A wall clock that jumps therefore never delays a barrier.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochMillis(pub i64);

#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall time; may jump in both directions.
    fn wall(&self) -> EpochMillis;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    async fn sleep(&self, time: Duration);
}

/// The clocks of the operating system.
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn wall(&self) -> EpochMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock before 1970 is a machine without a clock; its hours are wrong either way.
        EpochMillis(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Milliseconds since 1970 of a moment as a person types it, in UTC.
///
/// # Errors
/// What it should look like.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let help = "give a time in UTC such as 2026-11-21T07:00:00";
    let time = humantime::parse_rfc3339_weak(text)
        .map_err(|_| format!("'{text}' is not understood; {help}"))?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?;
    i64::try_from(since.as_millis()).map_err(|_| format!("'{text}' is too far away; {help}"))
}
