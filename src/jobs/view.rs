//! What can be seen of a job at one moment: plain values, made for whoever asks, held by nobody.
//!
//! The control plane renders these and nothing else, as answers of a JobManager and as its own JSON.
//! Times are milliseconds since 1970; durations are milliseconds. What is not known is `None`, never
//! a number that looks known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::slot::JobIdentity;
use crate::ids::{CheckpointId, Generation, JobId, NextOffset, Offset, Split, SubtaskIndex};
use crate::runtime::progress::checkpoints::PhaseTimings;
use crate::store::s3::requests::MethodCounts;

/// The lifecycle of a job, in Flink's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobState {
    /// Settings are read; recovery is at work, nothing is consumed yet.
    Created,
    Running,
    /// A last checkpoint is being taken; a stop with a savepoint shows so too.
    Stopping,
    Cancelling,
    /// Ended by a stop; a resume starts it again.
    Finished,
    /// Ended without a last checkpoint; a resume starts it again.
    Canceled,
    /// Ended by an error; the process exits with it.
    Failed,
}

impl JobState {
    /// Whether nothing of the job runs any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobView {
    /// When this was looked at.
    pub now: i64,
    /// None until recovery has read or made it.
    pub job: Option<JobId>,
    /// For people: topic and output.
    pub name: String,
    pub state: JobState,
    /// When each state was last entered, in this process.
    pub entered: BTreeMap<JobState, i64>,
    /// When this process started the job, the newest time.
    pub started_at: i64,
    /// When it reached a terminal state.
    pub ended_at: Option<i64>,
    /// None until the start record is confirmed.
    pub generation: Option<Generation>,
    pub identity: Option<JobIdentity>,
    pub topic: String,
    pub parallelism: u32,
    /// Name and value as a person set them; nothing secret is among them.
    pub settings: BTreeMap<String, String>,
    pub rhythm: RhythmView,
    pub subtasks: Vec<SubtaskView>,
    /// In the order of the splits.
    pub splits: Vec<SplitView>,
    pub checkpoints: CheckpointsView,
    pub dropped: DroppedView,
    /// All that is wrong now, by what it concerns. Not empty: the service is degraded.
    pub troubles: BTreeMap<String, TroubleView>,
    /// Of this process and, from the store, of earlier ones; the newest first.
    pub exceptions: Vec<ExceptionView>,
    /// Starts of the job, the newest first.
    pub starts: Vec<StartView>,
    pub memory: MemoryView,
    pub store: StoreView,
}

impl JobView {
    /// When this start of the job began to run.
    pub fn running_since(&self) -> i64 {
        let running = self.entered.get(&JobState::Running).copied();
        running.unwrap_or(self.started_at)
    }

    /// The newest complete checkpoint of any start.
    pub fn newest_complete(&self) -> Option<&CheckpointView> {
        let mut history = self.checkpoints.history.iter();
        history.find(|one| one.state == CheckpointState::Completed)
    }

    /// When the newest checkpoint of this start was complete; one of an earlier start says nothing of
    /// this one.
    pub fn last_complete_at(&self) -> Option<i64> {
        let newest = self.newest_complete()?.completed_at?;
        (newest >= self.running_since()).then_some(newest)
    }

    /// Records that are in Kafka and not read yet; none unless it is known of every split.
    pub fn lag(&self) -> Option<u64> {
        self.splits.iter().map(SplitView::lag).sum()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RhythmView {
    pub interval_ms: u64,
    pub min_pause_ms: u64,
    pub timeout_ms: u64,
    pub retained: u64,
}

impl RhythmView {
    /// Between two checkpoints, as far as the settings go.
    pub fn between_ms(&self) -> u64 {
        self.interval_ms.max(self.min_pause_ms)
    }
}

/// Counters are of this start of the job.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SubtaskView {
    pub index: u32,
    /// Records and bytes of keys and values that came from Kafka.
    pub records_in: u64,
    pub bytes_in: u64,
    /// Rows handed to the part files of the output.
    pub rows_out: u64,
    /// Rows handed to the files of dropped records.
    pub rows_dropped: u64,
    /// Bytes of Parquet handed to the store.
    pub bytes_out: u64,
    pub open_files: u64,
    /// Records that were fetched from Kafka and not read yet, as the client counts them.
    pub queued: u64,
    /// Time spent working, waiting for records, and waiting because the memory budget is used up.
    pub busy_ms: u64,
    pub idle_ms: u64,
    pub backpressured_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SplitView {
    pub split: Split,
    pub subtask: SubtaskIndex,
    /// Read so far.
    pub consumed: NextOffset,
    /// In the newest complete checkpoint.
    pub durable: NextOffset,
    /// Committed to the consumer group; none before the first commit of this process.
    pub committed: Option<NextOffset>,
    /// Where the split ends in Kafka, as far as the consumer was told.
    pub end: Option<NextOffset>,
}

impl SplitView {
    /// Records that are in Kafka and not read yet.
    pub fn lag(&self) -> Option<u64> {
        let end = self.end?;
        Some(u64::try_from(end.0 - self.consumed.0).unwrap_or(0))
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CheckpointsView {
    /// Of this start of the job.
    pub completed: u64,
    /// That were past their timeout, complete or not.
    pub late: u64,
    /// Of this start of the job.
    pub durations: PhaseTimings,
    /// The newest first: that which is being taken, then complete ones, also of earlier starts.
    pub history: Vec<CheckpointView>,
    /// Id of the checkpoint or start record that this start went on from, and when; none at the first.
    pub restored: Option<RestoredView>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoredView {
    pub id: CheckpointId,
    pub restored_at: i64,
    pub is_savepoint: bool,
    /// Where it was read from.
    pub location: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CheckpointState {
    InProgress,
    Completed,
}

/// Also as the history keeps it: a field that is added needs a default.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckpointView {
    pub id: CheckpointId,
    pub state: CheckpointState,
    pub generation: Generation,
    pub is_savepoint: bool,
    /// Past its timeout.
    pub late: bool,
    /// When its barrier was sent; not known of one that only its slot tells of.
    pub triggered_at: Option<i64>,
    pub completed_at: Option<i64>,
    pub phases: Option<PhasesView>,
    /// Of files that it closed, of both kinds.
    pub files: u64,
    pub rows: u64,
    pub dropped: u64,
    pub bytes: u64,
    /// Of each subtask that has acknowledged it.
    pub acks: Vec<AckView>,
    /// Its folder `chk-N` as a URL; that of the savepoint's copy, if there is one.
    pub location: Option<String>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct PhasesView {
    /// From the trigger until the last subtask had closed its files to further rows.
    pub barrier: u64,
    /// From then until the last file was encoded to its end and durable.
    pub upload: u64,
    /// From then until the last ack: the commit log.
    pub commit_log: u64,
    pub slot: u64,
    pub finalize: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AckView {
    pub subtask: SubtaskIndex,
    pub acked_at: i64,
    pub files: u64,
    pub bytes: u64,
    pub rows: u64,
    /// Milliseconds without rows: from the barrier until its files were closed.
    pub sync_ms: Option<u64>,
    /// Milliseconds from then until the ack, beside the rows that went on.
    pub async_ms: Option<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DroppedView {
    /// By reason, of this start of the job.
    pub by_reason: BTreeMap<String, u64>,
    /// The newest of each reason.
    pub samples: Vec<DroppedSample>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DroppedSample {
    pub split: Split,
    pub offset: Offset,
    pub reason: String,
    /// The first bytes of the value, in hexadecimal.
    pub value_hex: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TroubleView {
    pub since: i64,
    pub message: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExceptionView {
    pub at: i64,
    pub generation: Option<Generation>,
    /// What it concerns: a subtask, the coordinator, recovery.
    pub concern: String,
    pub message: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartView {
    pub generation: Generation,
    pub started_at: i64,
    pub ended_at: Option<i64>,
    /// How it ended, for a person: stopped, canceled, failed with what, fenced; `None` while it runs or
    /// when the process ended without a word.
    pub ended: Option<String>,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct MemoryView {
    pub budget: u64,
    /// Set apart for the consumers' queues.
    pub queues: u64,
    pub open_files: u64,
    pub in_flight: u64,
}

/// What the store was asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StoreView {
    /// Requests that were made once more because the store did not do what it was asked; of this
    /// start of the job.
    pub retries: u64,
    /// Uploads of earlier starts that nobody would have finished, aborted by this one.
    pub orphans_aborted: u64,
    /// Requests to S3 by their method, of this start of the job; none if all paths are folders.
    pub s3: BTreeMap<String, MethodCounts>,
}
