//! Records that could not be decoded, by the kind of their reason, with the newest of each.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::lock;
use crate::ids::{Offset, Split};

/// Bytes of a value that are kept to look at.
const SAMPLE_BYTES: usize = 64;
/// Kinds that are told apart; there are fewer.
const MOST_KINDS: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub split: Split,
    pub offset: Offset,
    pub reason: String,
    /// The first bytes of the value.
    pub value: Vec<u8>,
}

/// One kind of reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    pub count: u64,
    pub newest: Sample,
}

#[derive(Debug, Default)]
pub struct Dropped(Mutex<BTreeMap<String, Kind>>);

/// What a reason has in common with others: its part before the first colon. What follows names
/// values of the record.
pub fn kind(reason: &str) -> &str {
    reason.split_once(':').map_or(reason, |(kind, _)| kind)
}

impl Sample {
    pub fn new(split: Split, offset: Offset, reason: &str, value: Option<&[u8]>) -> Self {
        let value = value.unwrap_or_default();
        Self {
            split,
            offset,
            reason: reason.to_owned(),
            value: value[..value.len().min(SAMPLE_BYTES)].to_vec(),
        }
    }
}

impl Dropped {
    /// Adds those of one batch.
    pub fn add(&self, batch: BTreeMap<&str, (u64, Sample)>) {
        let mut kinds = lock(&self.0);
        for (kind, (count, newest)) in batch {
            if let Some(known) = kinds.get_mut(kind) {
                known.count += count;
                known.newest = newest;
            } else if kinds.len() < MOST_KINDS {
                tracing::warn!(
                    split = %newest.split,
                    offset = newest.offset.0,
                    reason = newest.reason,
                    "records are dropped; said once for each kind of reason"
                );
                kinds.insert(kind.to_owned(), Kind { count, newest });
            }
        }
    }

    pub fn kinds(&self) -> BTreeMap<String, Kind> {
        lock(&self.0).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(offset: i64, reason: &str) -> Sample {
        Sample::new(Split::new("t", 0), Offset(offset), reason, Some(&[7; 100]))
    }

    #[test]
    fn reasons_with_values_in_them_are_one_kind_with_its_newest_sample() {
        let dropped = Dropped::default();
        let reasons = ["trailing bytes: 1 of 2", "trailing bytes: 3 of 4"];
        for (offset, reason) in reasons.into_iter().enumerate() {
            let sample = sample(offset as i64, reason);
            dropped.add(BTreeMap::from([(kind(reason), (2, sample))]));
        }
        let kinds = dropped.kinds();
        assert_eq!(kinds.len(), 1);
        let found = &kinds["trailing bytes"];
        assert_eq!((found.count, found.newest.offset), (4, Offset(1)));
        assert_eq!(found.newest.value.len(), SAMPLE_BYTES);
    }

    #[test]
    fn the_number_of_kinds_is_bounded() {
        let dropped = Dropped::default();
        for n in 0..100 {
            let kind = n.to_string();
            dropped.add(BTreeMap::from([(kind.as_str(), (1, sample(n, "r")))]));
        }
        assert_eq!(dropped.kinds().len(), MOST_KINDS);
    }
}
