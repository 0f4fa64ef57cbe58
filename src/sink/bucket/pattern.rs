//! How folders are named by a time.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::clock::EpochMillis;

/// Names of folders by time, in the terms of strftime. What it makes can be a key of S3, is no name that
/// query engines pass over, and is the same for all of a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Partitions of a table, as query engines expect them.
    pub const HIVE_HOURS: &str = "year=%Y/month=%m/day=%d/hour=%H";

    pub fn hive_hours() -> Self {
        Self(Self::HIVE_HOURS.to_owned())
    }

    /// Whether later times have the folder of an earlier one, once others were in between: that of an hour
    /// of every day, or the one folder of all times.
    pub fn repeats(&self) -> bool {
        let at = |year, month, day| {
            let time = Utc.with_ymd_and_hms(year, month, day, 7, 30, 0).single();
            let millis = time.map_or(0, |time| time.timestamp_millis());
            self.folder(EpochMillis(millis), Tz::UTC)
        };
        // The same day of another month is another one of the week.
        let (own, next_year) = (at(2026, 10, 21), at(2027, 10, 21));
        let repeats = |later: String, between: String| own == later && own != between;
        own == next_year
            || repeats(at(2026, 11, 21), at(2026, 10, 22))
            || repeats(at(2026, 10, 28), at(2026, 10, 22))
            || self.repeats_within_two_days()
    }

    /// Such as by hours of twelve, by minutes alone, and by hours of every day.
    fn repeats_within_two_days(&self) -> bool {
        let minutes = (0..2 * 24 * 60).map(|n| self.folder(EpochMillis(n * 60_000), Tz::UTC));
        let mut seen = HashSet::new();
        let mut last = String::new();
        for folder in minutes {
            if folder != last && !seen.insert(folder.clone()) {
                return true;
            }
            last = folder;
        }
        false
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::bucket::tests::millis;

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

    #[test]
    fn it_is_known_which_patterns_give_a_folder_to_several_times() {
        for pattern in [
            "h=%H", "d=%d", "m=%m", "all", "%m/%d", "%Y/%H", "%a", "%Y/%a", "%Y/%d", "%F/%I",
            "%F/%M",
        ] {
            assert!(pattern.parse::<Pattern>().unwrap().repeats(), "{pattern}");
        }
        for pattern in [
            Pattern::HIVE_HOURS,
            "%Y",
            "%Y-%m",
            "dt=%F",
            "%Y%j/%H%M",
            "%G-W%V",
            "%F/%p",
            "%F/%I%p/%M",
        ] {
            assert!(!pattern.parse::<Pattern>().unwrap().repeats(), "{pattern}");
        }
    }
}
