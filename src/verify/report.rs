//! What `lineage verify` found, as it goes to machines (JSON), and whether it is good.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::ids::{CheckpointId, Generation, JobId, Offset, Split};
use crate::offset_set::ExactOffsets;

#[derive(Debug, Serialize)]
pub struct Report {
    pub job: JobId,
    pub generation: Generation,
    /// Nothing above this slot was judged.
    pub newest_slot: CheckpointId,
    /// What was judged, both included.
    pub first_checkpoint: CheckpointId,
    pub last_checkpoint: CheckpointId,
    /// Slots that would say which offsets these checkpoints begin or end with, and are not in the log
    /// any more.
    pub unknown_ends: Vec<CheckpointId>,
    /// Files of this archive that were read.
    pub files: usize,
    pub partitions: Vec<Partition>,
    pub lines_without_file: Vec<LineWithoutFile>,
    pub files_without_line: Vec<String>,
    /// Files of this archive that cannot be read, or whose rows are not what the footer says.
    pub damaged_files: Vec<Trouble>,
    /// Files that are not this archive's.
    pub foreign_files: Vec<Trouble>,
    /// Commit logs that are not as they were written, by their own content or by what others say.
    pub damaged_csvs: Vec<Trouble>,
    /// Older slots that cannot be read.
    pub damaged_slots: Vec<Trouble>,
    /// Open uploads, or local files in progress, that no checkpoint references.
    pub orphans: Vec<String>,
    /// Why uploads could not be looked at.
    pub uploads_denied: Vec<String>,
}

/// One partition, output and dropped output together.
#[derive(Debug, Serialize)]
pub struct Partition {
    #[serde(flatten)]
    pub split: Split,
    pub first: Option<Offset>,
    pub last: Option<Offset>,
    /// Offsets from this one on were judged. Null where no slot says where the judged checkpoints
    /// begin: then it is from the first one that is there.
    pub judged_from: Option<Offset>,
    /// Offsets below this one were judged; null likewise.
    pub judged_to: Option<Offset>,
    pub rows: u64,
    pub dropped: u64,
    /// Closed by a complete checkpoint and not visible yet.
    pub pending: u64,
    #[serde(serialize_with = "as_ranges")]
    pub missing: ExactOffsets,
    /// Of those, what was gone from Kafka before it could be archived: a start with
    /// --allow-lost-offsets says so.
    #[serde(serialize_with = "as_ranges")]
    pub given_up: ExactOffsets,
    /// Of the missing, what no file ever held, as far as the logs tell: one start has read on past it,
    /// and all its files are there.
    #[serde(serialize_with = "as_ranges")]
    pub passed_over: ExactOffsets,
    /// What Kafka says of the missing ones. Null where it was not asked.
    pub kafka: Option<InKafka>,
    #[serde(serialize_with = "as_ranges")]
    pub duplicates: ExactOffsets,
}

/// What Kafka says of missing offsets; each is in one of these.
#[derive(Debug, Default, Serialize)]
pub struct InKafka {
    /// Delivers it: the archive has lost it.
    #[serde(serialize_with = "as_ranges")]
    pub delivered: ExactOffsets,
    /// Holds what is before and behind it, and delivers nothing: transaction markers, aborted
    /// records, and what compaction has removed.
    #[serde(serialize_with = "as_ranges")]
    pub not_delivered: ExactOffsets,
    /// Does not hold it any more, so that it cannot tell.
    #[serde(serialize_with = "as_ranges")]
    pub not_held: ExactOffsets,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Trouble {
    pub url: String,
    pub why: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct LineWithoutFile {
    pub checkpoint: CheckpointId,
    pub s3_key: String,
    pub state: State,
}

/// What is known of a line without its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its checkpoint is complete: the file was lost or taken away.
    Complete,
    /// A crash came before its checkpoint was complete: its rows are in files of a later one.
    NeverComplete,
    /// Its checkpoint is complete and the file becomes visible next.
    Pending,
    /// The store lost it before it was visible, and a start has given it up: its rows are in files of
    /// a later checkpoint.
    ReadAgain,
    /// Nothing tells any more whether its checkpoint is complete.
    Unknown,
}

impl LineWithoutFile {
    pub fn may_be_lost(&self) -> bool {
        matches!(self.state, State::Complete | State::Unknown)
    }
}

fn as_ranges<S: Serializer>(offsets: &ExactOffsets, serializer: S) -> Result<S::Ok, S::Error> {
    offsets.ranges().serialize(serializer)
}

impl Partition {
    /// Missing, and neither given up nor a gap that Kafka has itself.
    fn unexplained(&self) -> ExactOffsets {
        let mut unexplained = self.missing.clone();
        unexplained.remove_all(&self.given_up);
        if let Some(kafka) = &self.kafka {
            unexplained.remove_all(&kafka.not_delivered);
            unexplained.remove_all(&kafka.not_held.common(&self.passed_over));
        }
        unexplained
    }

    /// Of the unexplained, what Kafka cannot tell of any more: archived and lost since, or never
    /// there to be archived.
    pub fn unknown(&self) -> ExactOffsets {
        let kafka = self.kafka.as_ref();
        kafka.map_or_else(ExactOffsets::default, |kafka| {
            kafka.not_held.common(&self.unexplained())
        })
    }

    /// Of the unexplained, the others.
    pub fn lost(&self) -> ExactOffsets {
        let mut lost = self.unexplained();
        lost.remove_all(&self.unknown());
        lost
    }

    fn is_exact(&self) -> bool {
        self.unexplained().is_empty() && self.duplicates.is_empty()
    }
}

impl Report {
    /// Every offset once, every file readable.
    pub fn is_exact(&self) -> bool {
        self.partitions.iter().all(Partition::is_exact)
            && self.damaged_files.is_empty()
            && self.lines_at_unknown_ends() == 0
    }

    /// The commit log and the checkpoint log are as they were written.
    pub fn logs_are_whole(&self) -> bool {
        self.files_without_line.is_empty()
            && self.damaged_csvs.is_empty()
            && self.damaged_slots.is_empty()
    }

    /// Lines that may be of lost files which no slot gives the offsets of any more.
    pub fn lines_at_unknown_ends(&self) -> usize {
        if self.unknown_ends.is_empty() {
            return 0;
        }
        let lines = self.lines_without_file.iter();
        lines.filter(|line| line.may_be_lost()).count()
    }

    pub fn missing(&self) -> BTreeMap<Split, ExactOffsets> {
        let some = self.partitions.iter().filter(|p| !p.missing.is_empty());
        some.map(|p| (p.split.clone(), p.missing.clone())).collect()
    }

    /// Takes in what Kafka says of the missing offsets.
    pub fn set_kafka(&mut self, mut answers: BTreeMap<Split, InKafka>) {
        for partition in &mut self.partitions {
            partition.kafka = Some(answers.remove(&partition.split).unwrap_or_default());
        }
    }
}
