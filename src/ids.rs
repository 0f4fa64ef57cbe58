//! Names and numbers of the protocol, each its own type, so that a checkpoint id is never taken
//! for an offset and a split never for a bare partition.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Number of a slot of the checkpoint log: a start record's or a complete checkpoint's.
///
/// Ids are dense and are never used twice. Slot 0 is the start record of the first start, so the
/// first checkpoint of a job is `chk-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckpointId(pub u64);

impl CheckpointId {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The folder of this id, in the checkpoint log and in the commit log alike.
    pub fn folder(self) -> String {
        format!("chk-{}", self.0)
    }

    /// Reads back [`folder`](Self::folder); `None` for every other name, also for `chk-007`.
    pub fn from_folder(name: &str) -> Option<Self> {
        let id = Self(name.strip_prefix("chk-")?.parse().ok()?);
        (id.folder() == name).then_some(id)
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of one start of the job; the fencing token. The first start is generation 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    pub const FIRST: Self = Self(1);

    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of the parallel chains, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubtaskIndex(pub u32);

impl fmt::Display for SubtaskIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of one record in its split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl Offset {
    /// What is to be read after this record.
    pub fn next(self) -> NextOffset {
        NextOffset(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first offset of a split that is not yet consumed; the only form that is stored or committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NextOffset(pub i64);

impl fmt::Display for NextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One topic-partition, the unit of source assignment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Split {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl Split {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }

    /// The subtask that reads this split. Flink's rule: the partitions of a topic go round, and topics
    /// begin at different places, so that many small ones are spread too.
    pub fn subtask(&self, parallelism: u32) -> SubtaskIndex {
        let parallelism = u64::from(parallelism);
        let hash = self.topic.encode_utf16().fold(0_u32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(u32::from(unit))
        });
        let begin = u64::from(hash.wrapping_mul(31) & 0x7fff_ffff) % parallelism;
        let subtask = (begin + u64::from(self.partition.unsigned_abs())) % parallelism;
        // Below the parallelism, which has 32 bits.
        SubtaskIndex(u32::try_from(subtask).unwrap_or(0))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The job's identity, made once at its first start: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }
}

impl FromStr for JobId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("'{text}' is not a job id of 32 hexadecimal digits"))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Marks every slot of one process: a put that was refused by one's own nonce had succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub String);

impl Nonce {
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_folder_name_is_a_checkpoint_id() {
        assert_eq!(CheckpointId::from_folder("chk-12"), Some(CheckpointId(12)));
        for other in [
            "chk-",
            "chk-012",
            "chk-+1",
            "chk--1",
            "chk-1 ",
            "12",
            "chk-99999999999999999999",
        ] {
            assert_eq!(CheckpointId::from_folder(other), None, "{other}");
        }
    }

    #[test]
    fn splits_go_round_the_subtasks_and_topics_begin_at_different_ones() {
        let of = |topic, partition| Split::new(topic, partition).subtask(3).0;
        // As Flink's KafkaSource has it: "t".hashCode() is 116, and 116 * 31 % 3 is 2.
        assert_eq!(
            [of("t", 0), of("t", 1), of("t", 2), of("t", 10)],
            [2, 0, 1, 0]
        );
        assert_eq!([of("u", 0), of("v", 0)], [0, 1]);
    }
}
