//! Which folder of the output a row belongs to.

mod pattern;
mod router;

use std::fmt;
use std::sync::Arc;

use chrono_tz::Tz;

use crate::clock::EpochMillis;
pub use pattern::Pattern;
pub use router::{Group, Router};

/// No pattern tells moments of the same minute apart, so a folder is made once for each.
const MINUTE_MS: i64 = 60_000;
const YEAR_MS: i64 = 366 * 24 * 60 * MINUTE_MS;

/// A folder below the root of the output, without slashes at its ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(Arc<str>);

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rule by which rows are spread over folders.
#[derive(Debug, Clone)]
pub struct Bucketing {
    pub pattern: Pattern,
    /// In whose terms a time is a date and an hour.
    pub zone: Tz,
    /// Whether the folders of a topic are in a folder of its name.
    pub by_topic: bool,
}

impl Bucketing {
    /// Hours in UTC, for all topics alike.
    pub fn by_hour() -> Self {
        Self {
            pattern: Pattern::hive_hours(),
            zone: Tz::UTC,
            by_topic: false,
        }
    }

    /// The folder of a time, within that of its topic if topics have any.
    pub fn bucket(&self, time: EpochMillis, topic: &str) -> Bucket {
        let folder = self.pattern.folder(time, self.zone);
        Bucket(match self.by_topic {
            // Query engines pass over names that begin so. No topic has a = in its name.
            true if topic.starts_with(['_', '.']) => format!("topic={topic}/{folder}").into(),
            true => format!("{topic}/{folder}").into(),
            false => folder.into(),
        })
    }
}

impl Bucketing {
    /// When the bucket of a time ends: the first minute after it that has another folder. Far away for a
    /// pattern that makes no other within a year.
    pub fn end(&self, time: EpochMillis) -> EpochMillis {
        let folder = |at: i64| self.pattern.folder(EpochMillis(at), self.zone);
        let own = folder(time.0);
        let mut last = time.0.div_euclid(MINUTE_MS) * MINUTE_MS;
        let limit = last.saturating_add(YEAR_MS);
        for step in [60 * MINUTE_MS, MINUTE_MS] {
            while last < limit && folder(last + step) == own {
                last += step;
            }
        }
        match last < limit {
            true => EpochMillis(last + MINUTE_MS),
            false => EpochMillis(i64::MAX),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use chrono::DateTime;

    use super::*;

    pub fn hours(zone: Tz) -> Bucketing {
        Bucketing {
            zone,
            ..Bucketing::by_hour()
        }
    }

    pub fn millis(rfc3339: &str) -> EpochMillis {
        let time = DateTime::parse_from_rfc3339(rfc3339).unwrap();
        EpochMillis(time.timestamp_millis())
    }

    fn folder(rfc3339: &str, zone: Tz) -> String {
        hours(zone).bucket(millis(rfc3339), "t").to_string()
    }

    /// The hours of a day, by minutes from its first to that of the next day.
    fn hours_of(day: &str, next: &str, zone: Tz) -> Vec<String> {
        let (begin, end) = (millis(day).0, millis(next).0);
        let minutes = (begin..end).step_by(60_000);
        let mut folders: Vec<_> = minutes
            .map(|time| hours(zone).bucket(EpochMillis(time), "t").to_string())
            .collect();
        folders.dedup();
        folders
    }

    #[test]
    fn an_hour_ends_with_its_last_millisecond() {
        assert_eq!(
            folder("2026-01-31T23:59:59.999Z", Tz::UTC),
            "year=2026/month=01/day=31/hour=23"
        );
        assert_eq!(
            folder("2026-02-01T00:00:00.000Z", Tz::UTC),
            "year=2026/month=02/day=01/hour=00"
        );
    }

    #[test]
    fn hours_are_in_utc_also_where_the_clocks_change() {
        assert_eq!(
            folder("2026-10-25T02:30:00+02:00", Tz::UTC),
            "year=2026/month=10/day=25/hour=00"
        );
        assert_eq!(
            folder("2026-10-25T02:30:00+01:00", Tz::UTC),
            "year=2026/month=10/day=25/hour=01"
        );
    }

    #[test]
    fn time_before_1970_falls_into_its_own_hour() {
        assert_eq!(
            folder("1969-12-31T23:59:59.999Z", Tz::UTC),
            "year=1969/month=12/day=31/hour=23"
        );
    }

    #[test]
    fn a_day_of_23_hours_has_23_folders_and_a_day_of_25_has_24_the_doubled_hour_in_one() {
        let zone = Tz::Europe__Berlin;
        let spring = hours_of(
            "2026-03-29T00:00:00+01:00",
            "2026-03-30T00:00:00+02:00",
            zone,
        );
        assert_eq!(spring.len(), 23);
        assert!(
            spring
                .iter()
                .all(|f| f.contains("day=29") && !f.contains("hour=02"))
        );
        let autumn = hours_of(
            "2026-10-25T00:00:00+02:00",
            "2026-10-26T00:00:00+01:00",
            zone,
        );
        assert_eq!(autumn.len(), 24);
        assert!(autumn.iter().all(|f| f.contains("day=25")));
        for hour in ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"] {
            assert!(folder(hour, zone).ends_with("day=25/hour=02"), "{hour}");
        }
    }

    #[test]
    fn a_bucket_ends_where_the_next_folder_begins() {
        let end = |pattern: &str, zone, time: &str| {
            let bucketing = Bucketing {
                pattern: pattern.parse().unwrap(),
                zone,
                by_topic: false,
            };
            bucketing.end(millis(time))
        };
        let berlin = Tz::Europe__Berlin;
        for (pattern, zone, time, ends) in [
            (
                Pattern::HIVE_HOURS,
                Tz::UTC,
                "2026-11-21T07:59:59.999Z",
                "2026-11-21T08:00:00Z",
            ),
            (
                "%Y%m%d%H%M",
                Tz::UTC,
                "2026-11-21T07:30:59Z",
                "2026-11-21T07:31:00Z",
            ),
            (
                "%F",
                berlin,
                "2026-10-25T00:00:00+02:00",
                "2026-10-26T00:00:00+01:00",
            ),
            // The doubled hour is one folder, and lasts two.
            (
                "%F/%H",
                berlin,
                "2026-10-25T02:10:00+02:00",
                "2026-10-25T03:00:00+01:00",
            ),
            (
                "%Y",
                Tz::UTC,
                "2026-01-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
        ] {
            assert_eq!(end(pattern, zone, time), millis(ends), "{pattern} {time}");
        }
        assert_eq!(
            end("all", Tz::UTC, "2026-01-01T00:00:00Z"),
            EpochMillis(i64::MAX)
        );
    }

    #[test]
    fn a_topic_whose_name_engines_would_pass_over_has_a_folder_that_they_read() {
        let bucketing = Bucketing {
            by_topic: true,
            ..hours(Tz::UTC)
        };
        for topic in ["_schemas", ".hidden"] {
            let bucket = bucketing.bucket(EpochMillis(0), topic).to_string();
            assert!(
                bucket.starts_with(&format!("topic={topic}/year=1970")),
                "{bucket}"
            );
        }
    }
}
