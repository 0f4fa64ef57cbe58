//! What a part file says of itself in its footer, so that readers can prove completeness from
//! footers alone: a format version, job, generation, checkpoint, and for each split the exact set
//! of offsets in the file.
//!
//! | key | value |
//! |---|---|
//! | `lineage.format_version` | `1` |
//! | `lineage.job` | 32 hexadecimal digits |
//! | `lineage.generation` | a number |
//! | `lineage.checkpoint_id` | a number |
//! | `lineage.offsets` | JSON: `[{"topic", "partition", "offsets"}]`, with `offsets` as in [`crate::offset_set`] |

use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use crate::checkpoint::slot::OffsetRange;
use crate::ids::{CheckpointId, Generation, JobId, Offset, Split};
use crate::offset_set::ExactOffsets;
use crate::source::{Origin, SplitIndex};

const FORMAT_VERSION: &str = "1";

/// The offsets of one file, split by split. Runs of consecutive offsets are kept as such until
/// they break: adding a row costs a comparison.
#[derive(Debug, Default)]
pub struct OffsetSets {
    sets: Vec<(SplitIndex, OffsetSet)>,
    last: usize,
}

#[derive(Debug)]
struct OffsetSet {
    exact: ExactOffsets,
    /// First and last of the run that is not in the set yet.
    run: (Offset, Offset),
}

impl OffsetSet {
    fn starting_at(offset: Offset) -> Self {
        Self {
            exact: ExactOffsets::default(),
            run: (offset, offset),
        }
    }

    fn add(&mut self, offset: Offset) {
        if offset.0 == self.run.1.0 + 1 {
            self.run.1 = offset;
        } else {
            self.exact.add_range(self.run.0, self.run.1);
            self.run = (offset, offset);
        }
    }

    fn finish(mut self) -> ExactOffsets {
        self.exact.add_range(self.run.0, self.run.1);
        self.exact
    }
}

/// The exact offsets of one split in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitOffsets {
    pub split: Split,
    pub offsets: ExactOffsets,
}

impl SplitOffsets {
    /// `None` for the empty set, which no file holds.
    pub fn range(&self) -> Option<OffsetRange> {
        OffsetRange::of(self.split.clone(), &self.offsets)
    }
}

impl OffsetSets {
    #[inline]
    pub fn add(&mut self, origin: Origin) {
        let offset = origin.offset;
        match self.sets.get_mut(self.last) {
            Some((split, set)) if *split == origin.split => set.add(offset),
            _ => match self
                .sets
                .iter()
                .position(|(split, _)| *split == origin.split)
            {
                Some(place) => {
                    self.last = place;
                    self.sets[place].1.add(offset);
                }
                None => {
                    self.last = self.sets.len();
                    self.sets
                        .push((origin.split, OffsetSet::starting_at(offset)));
                }
            },
        }
    }

    /// In the order of topic and partition.
    pub fn finish(self, splits: &[Split]) -> Vec<SplitOffsets> {
        let finished = self.sets.into_iter().map(|(index, set)| SplitOffsets {
            split: splits[index.0 as usize].clone(),
            offsets: set.finish(),
        });
        let mut finished: Vec<_> = finished.collect();
        finished.sort_by(|a, b| a.split.cmp(&b.split));
        finished
    }
}

#[derive(Serialize, Deserialize)]
struct EncodedOffsets {
    topic: String,
    partition: i32,
    offsets: ExactOffsets,
}

/// The footer's key-value metadata of one file.
pub fn key_values(
    job: &JobId,
    generation: Generation,
    checkpoint: CheckpointId,
    offsets: &[SplitOffsets],
) -> Result<Vec<KeyValue>, serde_json::Error> {
    let encoded: Vec<_> = offsets.iter().map(encode).collect();
    let offsets = serde_json::to_string(&encoded)?;
    Ok([
        ("lineage.format_version", FORMAT_VERSION.to_owned()),
        ("lineage.job", job.to_string()),
        ("lineage.generation", generation.to_string()),
        ("lineage.checkpoint_id", checkpoint.to_string()),
        ("lineage.offsets", offsets),
    ]
    .map(|(key, value)| KeyValue::new(key.to_owned(), value))
    .into())
}

/// What a footer states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    pub job: JobId,
    pub generation: Generation,
    pub checkpoint: CheckpointId,
    pub offsets: Vec<SplitOffsets>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FooterError {
    #[error("its footer says nothing of lineage")]
    Foreign,
    #[error("its footer is of version {0}, this program reads version {FORMAT_VERSION}")]
    Version(String),
    #[error("its footer has no {key} that can be read: {why}")]
    Malformed { key: &'static str, why: String },
}

/// Reads [`key_values`] back.
pub fn read(values: &[KeyValue]) -> Result<Stated, FooterError> {
    let find = |key: &str| {
        let entry = values.iter().find(|entry| entry.key == key)?;
        entry.value.as_deref()
    };
    let text = |key: &'static str| {
        find(key).ok_or(FooterError::Malformed {
            key,
            why: "it is not there".into(),
        })
    };
    fn parse<T: std::str::FromStr<Err: ToString>>(
        key: &'static str,
        text: &str,
    ) -> Result<T, FooterError> {
        text.parse().map_err(|e: T::Err| FooterError::Malformed {
            key,
            why: e.to_string(),
        })
    }
    let version = find("lineage.format_version").ok_or(FooterError::Foreign)?;
    if version != FORMAT_VERSION {
        return Err(FooterError::Version(version.to_owned()));
    }
    let (job, generation) = ("lineage.job", "lineage.generation");
    let (checkpoint, offsets) = ("lineage.checkpoint_id", "lineage.offsets");
    let encoded: Vec<EncodedOffsets> =
        serde_json::from_str(text(offsets)?).map_err(|e| FooterError::Malformed {
            key: offsets,
            why: e.to_string(),
        })?;
    let decoded = encoded.into_iter().map(|e| SplitOffsets {
        split: Split::new(e.topic, e.partition),
        offsets: e.offsets,
    });
    Ok(Stated {
        job: parse(job, text(job)?)?,
        generation: Generation(parse(generation, text(generation)?)?),
        checkpoint: CheckpointId(parse(checkpoint, text(checkpoint)?)?),
        offsets: decoded.collect(),
    })
}

fn encode(offsets: &SplitOffsets) -> EncodedOffsets {
    EncodedOffsets {
        topic: offsets.split.topic.to_string(),
        partition: offsets.split.partition,
        offsets: offsets.offsets.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_footer_makes_the_reader_panic(offsets in ".{0,60}", number in ".{0,12}") {
            let offsets = [offsets.clone(), format!(r#"[{{"topic":"t","partition":0,"offsets":"{offsets}"}}]"#)];
            for offsets in offsets {
                let values = [
                    ("lineage.format_version", FORMAT_VERSION.to_owned()),
                    ("lineage.job", JobId::random().to_string()),
                    ("lineage.generation", number.clone()),
                    ("lineage.checkpoint_id", number.clone()),
                    ("lineage.offsets", offsets),
                ];
                let values = values.map(|(k, v)| KeyValue::new(k.to_owned(), v));
                let _ = read(&values);
            }
        }

        #[test]
        fn the_footer_holds_exactly_the_offsets_that_were_added(
            rows in prop::collection::vec((0u32..3, 0i64..200), 1..100)
        ) {
            let splits: Vec<_> = (0..3).map(|p| Split::new("t", p)).collect();
            let mut sets = OffsetSets::default();
            for &(split, offset) in &rows {
                sets.add(Origin { split: SplitIndex(split), offset: Offset(offset) });
            }
            let finished = sets.finish(&splits);
            let job = JobId::random();
            let values = key_values(&job, Generation(1), CheckpointId(2), &finished).unwrap();
            let stated = read(&values).unwrap();
            prop_assert_eq!(
                (&stated.job, stated.generation, stated.checkpoint),
                (&job, Generation(1), CheckpointId(2))
            );
            let found = stated.offsets;
            prop_assert_eq!(&found, &finished);
            for split in 0..3 {
                let wanted: ExactOffsets = rows
                    .iter()
                    .filter(|(s, _)| *s == split)
                    .map(|(_, offset)| Offset(*offset))
                    .collect();
                let got = found.iter().find(|f| f.split.partition == split as i32);
                let got = got.map_or_else(ExactOffsets::default, |f| f.offsets.clone());
                prop_assert_eq!(got, wanted);
            }
        }
    }
}
