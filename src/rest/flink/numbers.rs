//! Minima, averages and percentiles, and how Flink writes numbers that are not known.

use serde_json::{Map, Value, json};

/// As JSON, which has no `NaN`: Flink writes it as text.
pub fn double(value: f64) -> Value {
    if value.is_finite() {
        value.into()
    } else {
        "NaN".into()
    }
}

/// The sorted values, for what is asked of them.
pub struct Summary(Vec<i64>);

impl Summary {
    pub fn of(values: impl IntoIterator<Item = i64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable();
        Self(values)
    }

    fn min(&self) -> i64 {
        self.0.first().copied().unwrap_or(0)
    }

    fn max(&self) -> i64 {
        self.0.last().copied().unwrap_or(0)
    }

    fn sum(&self) -> i64 {
        self.0.iter().sum()
    }

    fn average(&self) -> i64 {
        let count = i64::try_from(self.0.len()).unwrap_or(i64::MAX);
        self.sum() / count.max(1)
    }

    /// Between two values where it falls between two, as Flink counts; `NaN` of nothing.
    fn percentile(&self, percent: f64) -> f64 {
        let count = self.0.len();
        let at = percent / 100.0 * (count as f64 + 1.0);
        if count == 0 {
            f64::NAN
        } else if at < 1.0 {
            self.min() as f64
        } else if at >= count as f64 {
            self.max() as f64
        } else {
            let below = at.floor();
            let (low, high) = (self.0[below as usize - 1], self.0[below as usize]);
            low as f64 + (at - below) * (high - low) as f64
        }
    }

    /// With percentiles, as of a history of checkpoints.
    pub fn of_checkpoints(&self) -> Value {
        self.with_percentiles(|percent| double(self.percentile(percent)))
    }

    /// As Flink writes it where it counts no percentiles.
    pub fn without_percentiles(&self) -> Value {
        self.with_percentiles(|_| "NaN".into())
    }

    /// Of bytes that no checkpoint holds back, since none waits for barriers: Flink's percentiles of these
    /// are 0 even of nothing.
    pub fn nothing_buffered() -> Value {
        Self::of([]).with_percentiles(|_| double(0.0))
    }

    fn with_percentiles(&self, percentile: impl Fn(f64) -> Value) -> Value {
        json!({
            "min": self.min(),
            "max": self.max(),
            "avg": self.average(),
            "p50": percentile(50.0),
            "p90": percentile(90.0),
            "p95": percentile(95.0),
            "p99": percentile(99.0),
            "p999": percentile(99.9),
        })
    }

    /// Over the subtasks of a vertex, in whole numbers.
    pub fn of_subtasks(&self) -> Value {
        let percentile = |percent| self.percentile(percent) as i64;
        json!({
            "min": self.min(),
            "max": self.max(),
            "avg": self.average(),
            "sum": self.sum(),
            "median": percentile(50.0),
            "p25": percentile(25.0),
            "p75": percentile(75.0),
            "p95": percentile(95.0),
        })
    }
}

/// An object whose fields all have the same value.
pub fn same<const N: usize>(names: [&str; N], value: &Value) -> Map<String, Value> {
    names
        .into_iter()
        .map(|name| (name.to_owned(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_fall_between_values_as_flinks_do() {
        // 24 checkpoints of a real JobManager gave p50 24.5 and p99 137.0.
        let mut values: Vec<i64> = (0..10).collect();
        values.extend([20, 24, 25, 30]);
        values.extend(100..109);
        values.push(137);
        let summary = Summary::of(values);
        assert_eq!(summary.percentile(50.0), 24.5);
        assert_eq!(summary.percentile(99.0), 137.0);
        assert_eq!(summary.percentile(1.0), 0.0);
        assert_eq!(Summary::of([7, 9]).percentile(25.0), 7.0);
        assert_eq!(Summary::of([7, 9]).percentile(50.0), 8.0);
        assert!(Summary::of([]).percentile(50.0).is_nan());
        assert_eq!(Summary::of([]).of_checkpoints()["p50"], "NaN");
    }
}
