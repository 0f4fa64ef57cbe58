//! What a person or a client can ask of a running job. The REST server knows a job by this trait
//! alone.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::view::JobView;
use crate::config::location::Location;
use crate::ids::CheckpointId;

/// Number of one request that takes its time; 32 hexadecimal digits, as clients expect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct TriggerId(pub String);

impl TriggerId {
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }
}

/// How far such a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    InProgress,
    /// A savepoint, also that of a stop.
    Savepoint {
        location: String,
    },
    Checkpoint {
        id: CheckpointId,
    },
    Failed {
        cause: String,
    },
}

/// Where a savepoint goes, and what becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavepointRequest {
    /// `None`: the default of the settings.
    pub target: Option<Location>,
    /// Stops the job once the savepoint is complete.
    pub then_stop: bool,
}

/// Why a request is not even begun.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the job is {0}: there is nothing to do this with")]
    NotRunning(&'static str),
    #[error("the job is {0} already")]
    Already(&'static str),
    #[error("too many checkpoints and savepoints are being taken already: wait for one")]
    TooMany,
    #[error("the process is about to end")]
    Ending,
    #[error("{0}")]
    BadRequest(String),
}

#[async_trait]
pub trait Control: Send + Sync {
    /// As it is now. Cheap enough for several calls a second with 1,000 splits.
    fn view(&self) -> JobView;

    /// Takes a checkpoint now, keeps its slot from pruning and copies it to the target.
    fn savepoint(&self, request: SavepointRequest) -> Result<TriggerId, Refused>;

    /// Takes a checkpoint now.
    fn checkpoint(&self) -> Result<TriggerId, Refused>;

    /// Takes a last checkpoint and ends the job, not the process.
    fn stop(&self) -> Result<(), Refused>;

    /// Ends the job as it is, not the process: the next start reads again what no checkpoint holds.
    fn cancel(&self) -> Result<(), Refused>;

    /// Starts a job again that was stopped or cancelled.
    fn resume(&self) -> Result<(), Refused>;

    /// `None` for an id that this process has not given out, or has forgotten.
    fn operation(&self, id: &TriggerId) -> Option<Operation>;

    /// The lines of one checkpoint in the commit log, for the page: subtask, key, time.
    async fn commit_log(&self, id: CheckpointId) -> Result<Vec<CommitLogLine>, String>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitLogLine {
    pub subtask: u32,
    pub dropped: bool,
    pub s3_key: String,
    /// As it stands in the file.
    pub commit_timestamp: String,
    /// From the slot, where it is one of the newest.
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
}
