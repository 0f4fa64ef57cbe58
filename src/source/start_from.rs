//! Where the first start of a job begins to read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::clock::parse_time;
use crate::ids::NextOffset;

/// As in the setting START_FROM. A job that has checkpoints goes on from them instead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// At the oldest record that is held.
    #[default]
    Earliest,
    /// At the end, so that only what comes from then on is archived.
    Latest,
    /// At the first record of this time or later, milliseconds since 1970.
    Time(i64),
    /// At these offsets; each partition has to be named.
    Offsets(BTreeMap<Place, NextOffset>),
}

/// A partition; of the one topic where none is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub topic: Option<String>,
    pub partition: i32,
}

const HELP: &str = "give earliest, latest, a time in UTC such as 2026-11-21T07:00:00, or an offset for \
                    each partition such as 0=17,1=0 (with several topics orders/0=17)";

impl StartFrom {
    /// A partition that is named without its topic.
    pub fn without_topic(&self) -> Option<&Place> {
        let Self::Offsets(offsets) = self else {
            return None;
        };
        offsets.keys().find(|place| place.topic.is_none())
    }

    /// The offset that is given for a partition.
    pub fn offset(&self, topic: &str, partition: i32) -> Option<NextOffset> {
        let Self::Offsets(offsets) = self else {
            return None;
        };
        let place = |topic| Place { topic, partition };
        let of_topic = offsets.get(&place(Some(topic.to_owned())));
        of_topic.or_else(|| offsets.get(&place(None))).copied()
    }
}

impl FromStr for StartFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ if !text.contains('=') => {
                return parse_time(text)
                    .map(Self::Time)
                    .map_err(|_| format!("'{text}' is not understood; {HELP}"));
            }
            _ => {}
        }
        let mut offsets = BTreeMap::new();
        for entry in text.split(',').map(str::trim) {
            let (place, offset) =
                parse_entry(entry).ok_or_else(|| format!("'{entry}' is not understood; {HELP}"))?;
            if offsets.insert(place, offset).is_some() {
                return Err(format!("'{entry}' names a partition for the second time"));
            }
        }
        Ok(Self::Offsets(offsets))
    }
}

fn parse_entry(entry: &str) -> Option<(Place, NextOffset)> {
    let (place, offset) = entry.split_once('=')?;
    let (topic, partition) = match place.rsplit_once('/') {
        Some((topic, partition)) => (Some(topic.to_owned()), partition),
        None => (None, place),
    };
    // Digits alone: a sign would be a mistake, not an offset.
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(partition) || !digits(offset) || topic.as_deref() == Some("") {
        return None;
    }
    let partition = partition.parse().ok()?;
    let offset = NextOffset(offset.parse().ok()?);
    Some((Place { topic, partition }, offset))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.topic {
            Some(topic) => write!(f, "{topic}/{}", self.partition),
            None => self.partition.fmt(f),
        }
    }
}

impl fmt::Display for StartFrom {
    /// As it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Time(millis) => {
                let time = chrono::DateTime::from_timestamp_millis(*millis).unwrap_or_default();
                write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
            }
            Self::Offsets(offsets) => {
                let entries = offsets
                    .iter()
                    .map(|(place, offset)| format!("{place}={offset}"));
                f.write_str(&entries.collect::<Vec<_>>().join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_shown_as_it_is_read() {
        for text in [
            "earliest",
            "latest",
            "2026-11-21T07:00:00.000Z",
            "0=0,1=500",
            "orders/0=17,orders/1=0",
        ] {
            let parsed: StartFrom = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn an_offset_is_of_its_topic_or_of_the_one_topic() {
        let of = |text: &str, topic| text.parse::<StartFrom>().unwrap().offset(topic, 0);
        assert_eq!(of("0=0", "any"), Some(NextOffset(0)));
        assert_eq!(of("a/0=3,b/0=4", "b"), Some(NextOffset(4)));
        assert_eq!(of("a/0=3", "b"), None);
        assert_eq!(of("1=3", "b"), None);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_all_forms() {
        for text in [
            "", "soon", "0=", "=1", "0=-1", "-1=0", "/0=1", "0=1,0=2", "0:1", "a=1",
        ] {
            assert!(text.parse::<StartFrom>().is_err(), "{text}");
        }
    }
}
