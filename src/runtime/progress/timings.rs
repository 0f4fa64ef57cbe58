//! How long things took, counted by fixed bounds: how many took how long, and all of it together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds, ascending: from an answer on the same machine to a request that has hung.
pub const BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// How many took as long as their bound at most and longer than the one before; the last ones
    /// took longer than every bound.
    counts: [u64; BOUNDS.len() + 1],
    seconds: f64,
}

impl Timings {
    pub fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = BOUNDS.partition_point(|bound| *bound < seconds);
        self.counts[place] += 1;
        self.seconds += seconds;
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of it together.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Upper bound in seconds and how many are below it and above the one before.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_below_the_first_bound_that_it_does_not_pass() {
        let mut timings = Timings::default();
        for ms in [0, 5, 6, 2_500, 60_000, 60_001] {
            timings.add(Duration::from_millis(ms));
        }
        let buckets: Vec<_> = timings.buckets().filter(|(_, count)| *count > 0).collect();
        let expected = [
            (0.005, 2),
            (0.01, 1),
            (2.5, 1),
            (60.0, 1),
            (f64::INFINITY, 1),
        ];
        assert_eq!(buckets, expected);
        assert_eq!(timings.count(), 6);
        assert!((timings.seconds() - 122.512).abs() < 1e-9);
    }
}
