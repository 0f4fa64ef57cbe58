//! One entry of the checkpoint log: `chk-N/_metadata`, readable JSON with a checksum.
//!
//! The newest slot suffices to go on: it carries the next offsets of all splits and every file that
//! is not confirmed finalized. A slot that is torn, edited or of another format is an error that
//! names it, never 'nothing to do'.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::markers::Markers;
use crate::digest::sha256_hex;
use crate::ids::{CheckpointId, Generation, JobId, NextOffset, Nonce, Offset, Split, SubtaskIndex};
use crate::offset_set::ExactOffsets;
use crate::store::{Committable, Key, Root};

/// Rises when a reader of the previous version could misunderstand a slot.
pub const FORMAT_VERSION: u32 = 1;

/// What the job is. A checkpoint log belongs to one such identity for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdentity {
    /// Kafka's cluster id.
    pub cluster: String,
    /// One name, several, or a pattern, as in the setting.
    pub topic: String,
    pub output: String,
    pub dropped: String,
    pub commit_log: String,
    /// SHA-256 of the Avro schema without its white space.
    pub schema_sha256: String,
}

/// By the names of the topics.
pub type TopicIds = BTreeMap<Arc<str>, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// The claim of a start; it has no commit log.
    Start,
    /// A complete checkpoint.
    Checkpoint,
}

/// The savepoint that a job was begun from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// As it was given at the first start.
    pub location: String,
    /// The savepoint's own job, and its number there.
    pub job: JobId,
    pub checkpoint: CheckpointId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitOffset {
    #[serde(flatten)]
    pub split: Split,
    /// Where the archive of this split begins: everything from here to the next offset is in it.
    pub begin: NextOffset,
    pub next_offset: NextOffset,
}

/// The offsets of one split that a file spans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRange {
    #[serde(flatten)]
    pub split: Split,
    pub first: Offset,
    pub last: Offset,
    /// Rows of this split in the file; fewer than the span where Kafka has gaps, or where rows in
    /// between went to other files.
    pub rows: u64,
    /// Which ones, where they are not all of the span: what has to be read again if the store loses
    /// the file before it is visible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<ExactOffsets>,
}

impl OffsetRange {
    /// `None` for the empty set.
    pub fn of(split: Split, offsets: &ExactOffsets) -> Option<Self> {
        let (first, last) = (offsets.first()?, offsets.last()?);
        let rows = offsets.len();
        let whole = rows == last.0.abs_diff(first.0) + 1;
        Some(Self {
            split,
            first,
            last,
            rows,
            exact: (!whole).then(|| offsets.clone()),
        })
    }

    /// Whether rows, span and exact offsets agree.
    fn is_consistent(&self) -> bool {
        match &self.exact {
            Some(exact) => Self::of(self.split.clone(), exact).as_ref() == Some(self),
            // Without making the set: it would be as large as the span.
            None => {
                let span = self.last.0.checked_sub(self.first.0);
                let rows = span.and_then(|span| u64::try_from(span).ok()?.checked_add(1));
                self.first.0 >= 0 && rows == Some(self.rows)
            }
        }
    }

    pub fn offsets(&self) -> ExactOffsets {
        self.exact.clone().unwrap_or_else(|| {
            let mut offsets = ExactOffsets::default();
            offsets.add_range(self.first, self.last);
            offsets
        })
    }
}

/// A file that is closed and durable, and awaits its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFile {
    /// The checkpoint that closed it, also when a later slot carries it on.
    pub checkpoint_id: CheckpointId,
    pub subtask: SubtaskIndex,
    pub root: Root,
    /// As in the commit log.
    pub url: String,
    pub rows: u64,
    pub offsets: Vec<OffsetRange>,
    /// When its bucket ends, in milliseconds since 1970; only where buckets have markers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_end: Option<i64>,
    pub committable: Committable,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub format_version: u32,
    pub id: CheckpointId,
    pub kind: SlotKind,
    pub job: JobId,
    pub generation: Generation,
    pub nonce: Nonce,
    pub identity: JobIdentity,
    /// Kafka's ids of the topics, where it has any: that of another incarnation differs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topic_ids: TopicIds,
    /// Wall time at which it was written, milliseconds since 1970.
    pub written_at: i64,
    pub next_offsets: Vec<SplitOffset>,
    /// Every file not confirmed finalized, of earlier slots too.
    pub pending: Vec<PendingFile>,
    /// Files that the store has lost before they were visible, given up by a start record: the next
    /// checkpoint holds their records once more. Only a start record has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reread: Vec<PendingFile>,
    /// All savepoints of the log, this one too if it is one. Pruning leaves them; which they are is
    /// known from here alone, so that a slot which a fenced process puts late is never one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub savepoints: BTreeSet<CheckpointId>,
    /// Which buckets are still to be marked as complete.
    #[serde(default, skip_serializing_if = "Markers::is_empty")]
    pub markers: Markers,
    /// Set in every slot of a job that was begun from a savepoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SlotError {
    #[error("its folder is there and it is not")]
    Missing,
    #[error("it is empty")]
    Empty,
    #[error("it is not a slot: {0}")]
    Malformed(String),
    #[error("its checksum is {stated}, its content has {actual}: it was torn or edited")]
    Checksum { stated: String, actual: String },
    #[error("its format is version {0}, this program reads version {FORMAT_VERSION}")]
    Version(u32),
    #[error("it says that it is slot {0}")]
    WrongId(CheckpointId),
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    /// SHA-256 of the bytes of `slot` as they stand in the file.
    checksum: String,
    slot: Box<RawValue>,
}

/// Read before all else: a later version may have other fields.
#[derive(Deserialize)]
struct VersionOnly {
    format_version: u32,
}

impl Slot {
    /// Where slot `id` is, below the root of the checkpoint log.
    pub fn key(id: CheckpointId) -> Key {
        Key::new(format!("{}/_metadata", id.folder()))
    }

    /// Whether an offset of the topic means the same in both slots.
    pub fn same_topic(&self, other: &Self, topic: &str) -> bool {
        self.topic_ids.get(topic) == other.topic_ids.get(topic)
    }

    pub fn is_savepoint(&self) -> bool {
        self.savepoints.contains(&self.id)
    }

    pub fn to_bytes(&self) -> Result<Bytes, serde_json::Error> {
        let slot = RawValue::from_string(serde_json::to_string_pretty(self)?)?;
        let envelope = Envelope {
            checksum: checksum(slot.get()),
            slot,
        };
        let mut bytes = serde_json::to_vec_pretty(&envelope)?;
        bytes.push(b'\n');
        Ok(bytes.into())
    }

    /// Reads the slot that was found as number `id`.
    pub fn from_bytes(id: CheckpointId, bytes: &[u8]) -> Result<Self, SlotError> {
        let slot = Self::read(bytes)?;
        if slot.id != id {
            return Err(SlotError::WrongId(slot.id));
        }
        Ok(slot)
    }

    /// Reads a slot of any number, such as a savepoint's copy.
    pub fn read(bytes: &[u8]) -> Result<Self, SlotError> {
        if bytes.is_empty() {
            return Err(SlotError::Empty);
        }
        let malformed = |e: serde_json::Error| SlotError::Malformed(e.to_string());
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(malformed)?;
        let actual = checksum(envelope.slot.get());
        if actual != envelope.checksum {
            return Err(SlotError::Checksum {
                stated: envelope.checksum,
                actual,
            });
        }
        let text = envelope.slot.get();
        let version: VersionOnly = serde_json::from_str(text).map_err(malformed)?;
        if version.format_version != FORMAT_VERSION {
            return Err(SlotError::Version(version.format_version));
        }
        let slot: Self = serde_json::from_str(text).map_err(malformed)?;
        let files = slot.pending.iter().chain(&slot.reread);
        if let Some(range) = files.flat_map(|f| &f.offsets).find(|r| !r.is_consistent()) {
            let what = format!("the offsets of {} do not add up", range.split);
            return Err(SlotError::Malformed(what));
        }
        Ok(slot)
    }
}

fn checksum(text: &str) -> String {
    format!("sha256:{}", sha256_hex(text))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::store::{Proof, Upload};

    pub fn sample(id: u64) -> Slot {
        let upload = Upload {
            key: Key::new("year=2026/part-0.parquet"),
            id: "u1".into(),
            token: "t1".into(),
        };
        let split = Split::new("lineage-input", 3);
        Slot {
            format_version: FORMAT_VERSION,
            id: CheckpointId(id),
            kind: SlotKind::Checkpoint,
            job: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            generation: Generation(2),
            nonce: Nonce("n".into()),
            identity: JobIdentity {
                cluster: "c".into(),
                topic: "lineage-input".into(),
                output: "s3://b/output".into(),
                dropped: "s3://b/dropped".into(),
                commit_log: "s3://b/wal".into(),
                schema_sha256: "00".into(),
            },
            topic_ids: TopicIds::from([("lineage-input".into(), "t".into())]),
            written_at: 1,
            next_offsets: vec![SplitOffset {
                split: split.clone(),
                begin: NextOffset(0),
                next_offset: NextOffset(43),
            }],
            pending: vec![PendingFile {
                checkpoint_id: CheckpointId(id),
                subtask: SubtaskIndex(1),
                root: Root::Output,
                url: "s3://b/output/year=2026/part-0.parquet".into(),
                rows: 2,
                offsets: vec![OffsetRange {
                    split,
                    first: Offset(41),
                    last: Offset(42),
                    rows: 2,
                    exact: None,
                }],
                bucket_end: None,
                committable: Committable {
                    upload,
                    size: 10,
                    proof: Proof::S3 {
                        parts: vec!["e1".into()],
                    },
                },
            }],
            reread: Vec::new(),
            savepoints: BTreeSet::new(),
            markers: Markers::default(),
            origin: None,
        }
    }

    #[test]
    fn a_range_says_which_offsets_it_has_only_where_they_are_not_all() {
        let offsets = |all: &[i64]| all.iter().copied().map(Offset).collect::<ExactOffsets>();
        let range = |all| OffsetRange::of(Split::new("t", 0), &offsets(all)).unwrap();
        assert_eq!(range(&[5, 6, 7]).exact, None);
        assert_eq!(range(&[5, 7]).exact, Some(offsets(&[5, 7])));
        for all in [&[5, 6, 7][..], &[5, 7], &[9]] {
            assert_eq!(range(all).offsets(), offsets(all));
        }
        assert_eq!(OffsetRange::of(Split::new("t", 0), &offsets(&[])), None);
    }

    #[test]
    fn a_slot_reads_back_as_it_was_written() {
        let slot = sample(7);
        let bytes = slot.to_bytes().unwrap();
        assert_eq!(Slot::from_bytes(CheckpointId(7), &bytes), Ok(slot));
    }

    #[test]
    fn a_slot_whose_offsets_do_not_add_up_is_refused() {
        let mut slot = sample(7);
        slot.pending[0].offsets[0].rows = 1;
        let result = Slot::from_bytes(CheckpointId(7), &slot.to_bytes().unwrap());
        assert!(matches!(result, Err(SlotError::Malformed(_))), "{result:?}");
    }

    #[test]
    fn every_torn_slot_is_refused() {
        let bytes = sample(7).to_bytes().unwrap();
        // The last byte is a newline, which nothing depends on.
        for length in 0..bytes.len() - 1 {
            let torn = Slot::from_bytes(CheckpointId(7), &bytes[..length]);
            assert!(torn.is_err(), "{length} of {} bytes", bytes.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let read = Slot::from_bytes(CheckpointId(7), &bytes);
            proptest::prop_assert!(read.is_err());
        }

        #[test]
        fn a_slot_with_one_byte_changed_is_refused_or_says_the_same(
            place in proptest::num::usize::ANY, byte in proptest::num::u8::ANY
        ) {
            let slot = sample(7);
            let mut bytes = slot.to_bytes().unwrap().to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            if let Ok(read) = Slot::from_bytes(CheckpointId(7), &bytes) {
                proptest::prop_assert_eq!(read, slot);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_slot_says_under_a_right_checksum_the_reader_does_not_panic_or_grow(
            place in proptest::num::usize::ANY, byte in b' '..=b'~', number: i64
        ) {
            let text = serde_json::to_string(&sample(7)).unwrap();
            let mut changed = text.clone().into_bytes();
            let place = place % changed.len();
            changed[place] = byte;
            let far = text.replace("\"last\":42", &format!("\"last\":{number}"));
            for text in [String::from_utf8(changed).unwrap(), far] {
                let sum = checksum(&text);
                let file = format!("{{\"checksum\":\"{sum}\",\"slot\":{text}}}");
                let _ = Slot::from_bytes(CheckpointId(7), file.as_bytes());
            }
        }
    }

    #[test]
    fn a_slot_edited_by_hand_is_refused() {
        let text = String::from_utf8(sample(7).to_bytes().unwrap().to_vec()).unwrap();
        let edited = text.replace("\"next_offset\": 43", "\"next_offset\": 44");
        assert_ne!(text, edited);
        let result = Slot::from_bytes(CheckpointId(7), edited.as_bytes());
        assert!(
            matches!(result, Err(SlotError::Checksum { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn a_slot_under_another_number_is_refused() {
        let bytes = sample(7).to_bytes().unwrap();
        let result = Slot::from_bytes(CheckpointId(8), &bytes);
        assert_eq!(result, Err(SlotError::WrongId(CheckpointId(7))));
    }

    #[test]
    fn a_slot_of_a_later_format_is_refused_with_both_versions() {
        let mut slot = sample(7);
        slot.format_version = 2;
        let result = Slot::from_bytes(CheckpointId(7), &slot.to_bytes().unwrap());
        assert_eq!(result, Err(SlotError::Version(2)));
    }
}
