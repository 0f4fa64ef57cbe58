//! Which folder of the output a row belongs to.

use std::fmt;

use chrono::DateTime;

use crate::clock::EpochMillis;

const HOUR_MS: i64 = 3_600_000;

/// One hour in UTC, counted from 1970-01-01T00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub i64);

impl Bucket {
    /// The hour in which a row is processed.
    pub fn of_processing_time(now: EpochMillis) -> Self {
        Self(now.0.div_euclid(HOUR_MS))
    }
}

/// `year=YYYY/month=MM/day=DD/hour=HH`, as query engines expect partitions of a table.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.saturating_mul(HOUR_MS);
        // Out of chrono's range is some 260,000 years away.
        let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
        write!(f, "{}", time.format("year=%Y/month=%m/day=%d/hour=%H"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(rfc3339: &str) -> String {
        let time = DateTime::parse_from_rfc3339(rfc3339).unwrap();
        Bucket::of_processing_time(EpochMillis(time.timestamp_millis())).to_string()
    }

    #[test]
    fn an_hour_ends_with_its_last_millisecond() {
        assert_eq!(
            folder("2026-01-31T23:59:59.999Z"),
            "year=2026/month=01/day=31/hour=23"
        );
        assert_eq!(
            folder("2026-02-01T00:00:00.000Z"),
            "year=2026/month=02/day=01/hour=00"
        );
    }

    #[test]
    fn hours_are_in_utc_also_where_the_clocks_change() {
        assert_eq!(
            folder("2026-10-25T02:30:00+02:00"),
            "year=2026/month=10/day=25/hour=00"
        );
        assert_eq!(
            folder("2026-10-25T02:30:00+01:00"),
            "year=2026/month=10/day=25/hour=01"
        );
    }

    #[test]
    fn time_before_1970_falls_into_its_own_hour() {
        assert_eq!(
            folder("1969-12-31T23:59:59.999Z"),
            "year=1969/month=12/day=31/hour=23"
        );
    }
}
