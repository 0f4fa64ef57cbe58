//! A set of offsets of one split, as footers and slots state it: exact, and small where offsets
//! follow each other.
//!
//! In JSON it is base64 of a 64-bit Roaring bitmap in the portable format
//! (<https://github.com/RoaringBitmap/RoaringFormatSpec>), which readers in every language know.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roaring::RoaringTreemap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::Offset;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExactOffsets(RoaringTreemap);

// A bitmap's equality is that of sets.
impl Eq for ExactOffsets {}

/// Kafka's offsets are not negative.
fn number(offset: Offset) -> u64 {
    offset.0.unsigned_abs()
}

fn offset(number: u64) -> Offset {
    Offset(i64::try_from(number).unwrap_or(i64::MAX))
}

impl ExactOffsets {
    /// Adds all offsets from `first` to `last`, both included.
    pub fn add_range(&mut self, first: Offset, last: Offset) {
        self.0.insert_range(number(first)..=number(last));
    }

    pub fn add_all(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    pub fn remove_all(&mut self, other: &Self) {
        self.0 -= &other.0;
    }

    pub fn common(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// Runs of offsets that follow each other, by their first and last.
    pub fn ranges(&self) -> Vec<(Offset, Offset)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        let as_offsets = |(first, last)| (offset(first), offset(last));
        ranges.into_iter().map(as_offsets).collect()
    }

    /// Whether it was in the set.
    pub fn remove(&mut self, offset: Offset) -> bool {
        self.0.remove(number(offset))
    }

    /// Takes all offsets below `bound` out and returns them.
    pub fn split_off_below(&mut self, bound: Offset) -> Self {
        let mut below = self.clone();
        below.0.remove_range(number(bound)..);
        self.0.remove_range(..number(bound));
        below
    }

    pub fn first(&self) -> Option<Offset> {
        self.0.min().map(offset)
    }

    pub fn last(&self) -> Option<Offset> {
        self.0.max().map(offset)
    }

    pub fn contains(&self, offset: Offset) -> bool {
        self.0.contains(number(offset))
    }

    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Offset> for ExactOffsets {
    fn from_iter<I: IntoIterator<Item = Offset>>(offsets: I) -> Self {
        Self(offsets.into_iter().map(number).collect())
    }
}

/// `5 to 9 (3 records)`, for messages.
impl std::fmt::Display for ExactOffsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.first(), self.last()) {
            (Some(first), Some(last)) => write!(f, "{first} to {last} ({} records)", self.len()),
            _ => f.write_str("none"),
        }
    }
}

impl Serialize for ExactOffsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.serialized_size());
        self.0
            .serialize_into(&mut bytes)
            .map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for ExactOffsets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        RoaringTreemap::deserialize_from(bytes.as_slice())
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_reads_back_from_json_as_it_was_written(
            offsets in prop::collection::btree_set(0i64..300, 0..100)
        ) {
            let set: ExactOffsets = offsets.into_iter().map(Offset).collect();
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<ExactOffsets>(&json).unwrap(), set);
        }

        #[test]
        fn the_ranges_of_a_set_are_the_set(
            offsets in prop::collection::btree_set(0i64..300, 0..100)
        ) {
            let set: ExactOffsets = offsets.into_iter().map(Offset).collect();
            let ranges = set.ranges();
            prop_assert!(ranges.windows(2).all(|w| w[0].1.0 + 1 < w[1].0.0));
            let mut again = ExactOffsets::default();
            ranges.iter().for_each(|&(first, last)| again.add_range(first, last));
            prop_assert_eq!(again, set);
        }

        #[test]
        fn splitting_a_set_below_a_bound_loses_and_doubles_nothing(
            offsets in prop::collection::btree_set(0i64..300, 0..100), bound in 0i64..300
        ) {
            let whole: ExactOffsets = offsets.into_iter().map(Offset).collect();
            let mut rest = whole.clone();
            let below = rest.split_off_below(Offset(bound));
            prop_assert!(below.last().is_none_or(|last| last.0 < bound));
            prop_assert!(rest.first().is_none_or(|first| first.0 >= bound));
            prop_assert_eq!(below.len() + rest.len(), whole.len());
            rest.add_all(&below);
            prop_assert_eq!(rest, whole);
        }
    }
}
