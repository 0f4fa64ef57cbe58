//! When the next record is due.

use std::time::Duration;

/// Spreads records evenly over time: record `n` (from 0) is due `n / rate` seconds after the start.
///
/// A run that was held up catches up on at most one second's worth: a broker that comes back
/// after minutes is not met by a flood that no one asked for.
pub struct Pace {
    rate: u64,
    /// Time that was given up because the run was held up too long.
    lost: Duration,
}

impl Pace {
    /// `rate` in records a second; 0 is without limit.
    pub fn new(rate: u64) -> Self {
        Self {
            rate,
            lost: Duration::ZERO,
        }
    }

    /// How many more records are due `elapsed` after the start, when `sent` are sent.
    pub fn due(&mut self, sent: u64, elapsed: Duration) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        let due = self.due_by(elapsed).saturating_sub(sent);
        if due > self.rate + 1 {
            self.lost += Duration::from_nanos(nanos(due - self.rate, self.rate));
            return self.due_by(elapsed).saturating_sub(sent);
        }
        due
    }

    /// How long after `elapsed` the record after `sent` others is due.
    pub fn wait(&self, sent: u64, elapsed: Duration) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        (Duration::from_nanos(nanos(sent, self.rate)) + self.lost).saturating_sub(elapsed)
    }

    fn due_by(&self, elapsed: Duration) -> u64 {
        let nanos = elapsed.saturating_sub(self.lost).as_nanos();
        let whole = nanos * u128::from(self.rate) / u128::from(NANOS_PER_SEC);
        u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1)
    }
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// The time that `records` take at `rate`, rounded up: a record is never early.
fn nanos(records: u64, rate: u64) -> u64 {
    let nanos = (u128::from(records) * u128::from(NANOS_PER_SEC)).div_ceil(u128::from(rate));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn ten_a_second_makes_the_first_one_due_at_once_and_another_every_tenth() {
        let mut pace = Pace::new(10);
        assert_eq!(pace.due(0, Duration::ZERO), 1);
        assert_eq!(pace.due(1, 99 * MILLI), 0);
        assert_eq!(pace.due(1, 100 * MILLI), 1);
        assert_eq!(pace.wait(1, 30 * MILLI), 70 * MILLI);
    }

    #[test]
    fn after_the_wait_a_record_is_due_whatever_the_rate() {
        for rate in [1, 3, 7, 10, 999, 123_457, 1_000_000_007] {
            let mut pace = Pace::new(rate);
            for sent in [1, 2, 3, 10, 1_000, 123_456] {
                let due_at = pace.wait(sent, Duration::ZERO);
                let before = due_at.saturating_sub(Duration::from_nanos(2));
                assert!(pace.due(sent, before) <= 3, "{rate} a second, after {sent}");
                assert!(pace.due(sent, due_at) >= 1, "{rate} a second, after {sent}");
            }
        }
    }

    #[test]
    fn a_run_that_keeps_up_sends_exactly_its_rate() {
        let mut pace = Pace::new(1_000);
        let mut sent = 0;
        for milli in 0..60_000 {
            sent += pace.due(sent, milli * MILLI);
        }
        assert_eq!(sent, 60_000);
    }

    #[test]
    fn a_short_hold_is_caught_up_and_a_long_one_for_one_second_only() {
        let mut pace = Pace::new(100);
        assert_eq!(pace.due(1, 500 * MILLI), 50);
        let hour = Duration::from_secs(3_600);
        assert_eq!(pace.due(51, hour), 100);
        assert_eq!(pace.due(151, hour), 0);
        assert_eq!(pace.due(151, hour + 100 * MILLI), 10);
    }

    #[test]
    fn zero_is_without_limit() {
        let mut pace = Pace::new(0);
        assert_eq!(pace.due(1 << 40, Duration::ZERO), u64::MAX);
        assert_eq!(pace.wait(1 << 40, Duration::ZERO), Duration::ZERO);
    }
}
