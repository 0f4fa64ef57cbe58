//! Which folder of the output a row belongs to.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::clock::EpochMillis;
use crate::ids::Split;
use crate::source::{Origin, SplitIndex};

/// No pattern tells moments of the same minute apart, so a folder is made once for each.
const MINUTE_MS: i64 = 60_000;
const YEAR_MS: i64 = 366 * 24 * 60 * MINUTE_MS;
/// Folders that are remembered; a row of another one costs some more.
const REMEMBERED: usize = 4_096;

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
            pattern: Pattern(Pattern::HIVE_HOURS.to_owned()),
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

/// Names of folders by time, in the terms of strftime. What it makes can be a key of S3, is no name that
/// query engines pass over, and is the same for all of a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Partitions of a table, as query engines expect them.
    pub const HIVE_HOURS: &str = "year=%Y/month=%m/day=%d/hour=%H";

    /// The folder of a time.
    pub fn folder(&self, time: EpochMillis, zone: Tz) -> String {
        // Times of rows are within chrono's range by far: see `EventTime`.
        let time = DateTime::from_timestamp_millis(time.0).unwrap_or_default();
        time.with_timezone(&zone).format(&self.0).to_string()
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "'{text}' {why}; give a pattern in the terms of strftime such as '{}'",
                Self::HIVE_HOURS
            ))
        };
        if StrftimeItems::new(text).any(|item| item == Item::Error) {
            return refuse("has a % that strftime does not know");
        }
        let pattern = Self(text.to_owned());
        let minute = Utc.with_ymd_and_hms(2026, 11, 21, 7, 30, 0).single();
        let minute = minute.map_or(0, |time| time.timestamp_millis());
        let at = |millis| pattern.folder(EpochMillis(minute + millis), Tz::UTC);
        // Seconds alone, and parts of seconds alone.
        if [59_000, 999].into_iter().any(|millis| at(millis) != at(0)) {
            return refuse("would make a folder for each second: nothing finer than minutes");
        }
        let folder = at(0);
        if folder.split('/').any(str::is_empty) {
            return refuse("has an empty name between or beside its slashes");
        }
        if folder.split('/').any(|name| name.starts_with(['_', '.'])) {
            return refuse("makes names that begin with _ or ., which query engines pass over");
        }
        if folder.contains('%')
            || object_store::path::Path::from(folder.as_str()).as_ref() != folder
        {
            return refuse("makes characters that S3 clients encode");
        }
        Ok(pattern)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rows of a batch that belong to one bucket.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    pub bucket: Bucket,
    /// Of its first row.
    pub time: EpochMillis,
    /// Ascending, and not empty.
    pub rows: Vec<u32>,
}

/// Finds the buckets of rows, and remembers folders.
#[derive(Debug)]
pub struct Router {
    bucketing: Bucketing,
    /// By topic, of which the batch's splits are, and minute.
    known: HashMap<(Arc<str>, i64), Bucket>,
}

impl Router {
    pub fn new(bucketing: Bucketing) -> Self {
        Self {
            bucketing,
            known: HashMap::new(),
        }
    }

    /// Groups of the rows that come from `origins`, in the order of their first rows. A row's time is
    /// in `times`; without any it is `now` for all.
    pub fn groups(
        &mut self,
        origins: &[Origin],
        splits: &[Split],
        times: Option<&[EpochMillis]>,
        now: EpochMillis,
    ) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<Bucket, usize> = HashMap::new();
        // Of the row before: most rows are of the same split and minute.
        let mut last: Option<((SplitIndex, i64), usize)> = None;
        for (row, origin) in (0..).zip(origins) {
            let time = times.map_or(now, |times| times[row as usize]);
            let key = (origin.split, time.0.div_euclid(MINUTE_MS));
            let place = match last {
                Some((of, place)) if of == key => place,
                _ => {
                    let topic = &splits[origin.split.0 as usize].topic;
                    let bucket = self.bucket(topic, time);
                    *places.entry(bucket.clone()).or_insert_with(|| {
                        let rows = Vec::new();
                        groups.push(Group { bucket, time, rows });
                        groups.len() - 1
                    })
                }
            };
            last = Some((key, place));
            groups[place].rows.push(row);
        }
        groups
    }

    /// When the bucket of a time ends.
    pub fn end(&self, time: EpochMillis) -> EpochMillis {
        self.bucketing.end(time)
    }

    fn bucket(&mut self, topic: &Arc<str>, time: EpochMillis) -> Bucket {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let key = (topic.clone(), time.0.div_euclid(MINUTE_MS));
        let make = || self.bucketing.bucket(time, topic);
        self.known.entry(key).or_insert_with(make).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Offset;

    fn hours(zone: Tz) -> Bucketing {
        Bucketing {
            zone,
            ..Bucketing::by_hour()
        }
    }

    fn millis(rfc3339: &str) -> EpochMillis {
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
    fn a_pattern_may_be_any_that_minutes_have_and_its_folders_are_keys() {
        for (pattern, made) in [
            ("dt=%Y-%m-%d", "dt=2026-11-21"),
            ("%Y/%m/%d/%H%M", "2026/11/21/0730"),
            ("dt=%F/h=%H%z", "dt=2026-11-21/h=07+0000"),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(
                pattern.folder(millis("2026-11-21T07:30:00Z"), Tz::UTC),
                made
            );
        }
        for pattern in [
            "", "/", "%Y/", "%Y//%m", "%", "%Q", "%T", "%S", "%s", "%+", "%f", "%H%.3f", "_%Y",
            "%Y/.%m", "%Y%%", "%Y*",
        ] {
            let refusal = pattern.parse::<Pattern>().unwrap_err();
            assert!(
                refusal.contains(Pattern::HIVE_HOURS),
                "{pattern}: {refusal}"
            );
        }
    }

    fn origins(splits: &[u32]) -> Vec<Origin> {
        let origins = (0..).zip(splits).map(|(offset, &split)| Origin {
            split: SplitIndex(split),
            offset: Offset(offset),
        });
        origins.collect()
    }

    #[test]
    fn rows_are_grouped_by_their_times_and_keep_their_order() {
        let splits = [Split::new("a", 0), Split::new("b", 0)];
        let times = ["07:00:00", "09:30:00", "07:59:59", "09:00:00", "07:10:00"];
        let times = times.map(|time| millis(&format!("2026-11-21T{time}Z")));
        let mut router = Router::new(hours(Tz::UTC));
        let groups = router.groups(
            &origins(&[0, 0, 1, 1, 1]),
            &splits,
            Some(&times),
            EpochMillis(0),
        );
        let found: Vec<_> = groups
            .iter()
            .map(|g| (g.bucket.to_string(), g.rows.clone()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "year=2026/month=11/day=21/hour=07".to_owned(),
                    vec![0, 2, 4]
                ),
                ("year=2026/month=11/day=21/hour=09".to_owned(), vec![1, 3]),
            ]
        );
    }

    #[test]
    fn by_topic_each_topic_has_folders_of_its_own() {
        let splits = [Split::new("a", 0), Split::new("b", 0), Split::new("a", 1)];
        let bucketing = Bucketing {
            by_topic: true,
            ..hours(Tz::UTC)
        };
        let mut router = Router::new(bucketing);
        let groups = router.groups(
            &origins(&[0, 1, 2]),
            &splits,
            None,
            millis("2026-11-21T07:00:00Z"),
        );
        let folders: Vec<_> = groups.iter().map(|g| g.bucket.to_string()).collect();
        assert_eq!(
            folders,
            [
                "a/year=2026/month=11/day=21/hour=07",
                "b/year=2026/month=11/day=21/hour=07"
            ]
        );
        assert_eq!(groups[0].rows, [0, 2]);
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

    proptest::proptest! {
        #[test]
        fn every_row_is_in_exactly_one_group_and_in_the_folder_of_its_time(
            times in proptest::collection::vec(-1_000_000_000_000i64..4_000_000_000_000, 0..200)
        ) {
            let splits = [Split::new("t", 0)];
            let origins = origins(&vec![0; times.len()]);
            let times: Vec<_> = times.into_iter().map(EpochMillis).collect();
            let bucketing = hours(Tz::America__St_Johns);
            let mut router = Router::new(bucketing.clone());
            let groups = router.groups(&origins, &splits, Some(&times), EpochMillis(0));
            let mut seen = 0;
            for group in groups {
                proptest::prop_assert!(group.rows.is_sorted());
                for row in group.rows {
                    seen += 1;
                    proptest::prop_assert_eq!(&bucketing.bucket(times[row as usize], "t"), &group.bucket);
                }
            }
            proptest::prop_assert_eq!(seen, times.len());
        }
    }
}
