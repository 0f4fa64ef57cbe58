//! `lineage find`: where one record is, without reading the archive.
//!
//! Nothing is written, and nothing of the running service or of Kafka is asked. What narrows it down:
//!
//! - every slot of the checkpoint log says the next offset of each partition, and names the files of
//!   its checkpoint with their offsets; it has the newest 100 (`slots.rs`);
//! - of older checkpoints the commit log names the files, a folder each, and their footers say which
//!   offsets they hold. Ids are dense and offsets grow with them, so few folders are looked at, and in
//!   each few footers (`walk.rs`, `search.rs`, `bisection.rs`);
//! - in the one file, the statistics of its row groups leave few of them, and of these the columns
//!   `kafka_partition` and `kafka_offset` say the row (`row.rs`). These are the only rows that are read.
//!
//! A moment (`moment.rs`) is found by the times of the commit log. A uuid (`value.rs`) is in no log: its
//! column is read, in the files of a range of checkpoints.

mod archive;
mod bisection;
mod folder;
mod moment;
mod record;
mod row;
mod search;
mod slots;
mod text;
mod value;
mod walk;

use crate::commit_log::CommitLogError;
use crate::ids::CheckpointId;
use crate::store::StoreError;
use crate::verify::VerifyError;
use crate::verify::unreadable::{PartError, Unreadable};
pub use archive::Archive;
pub use moment::Moment;
pub use record::Record;
pub use value::Values;

/// Requests under way at once.
const CONCURRENCY: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error(transparent)]
    Archive(#[from] VerifyError),
    #[error(transparent)]
    CommitLog(#[from] CommitLogError),
    #[error("{url}: {why}")]
    File { url: String, why: Unreadable },
    #[error(
        "it was not found, but not everything could be looked at: {}. `lineage verify` says what is \
         damaged",
        .0.join("; ")
    )]
    Damaged(Vec<String>),
    #[error(
        "{url} has no column '{column}' of text or uuids, nor has any other file: --uuid looks for the field \
         of this name, which the schema of this archive does not have"
    )]
    NoColumn { url: String, column: &'static str },
    #[error(
        "the archive holds several topics: name that of the record with --topic, one of {}",
        .0.join(", ")
    )]
    WhichTopic(Vec<String>),
    #[error("the archive holds no topic {topic}, but {}", .known.join(", "))]
    NoTopic { topic: String, known: Vec<String> },
    #[error(
        "no file of a checkpoint is within --from and --to, so nothing was looked at; the newest slot of the \
         checkpoint log is {newest}"
    )]
    NothingSelected { newest: CheckpointId },
    #[error("a task of the search ended too early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl From<StoreError> for FindError {
    fn from(error: StoreError) -> Self {
        VerifyError::from(error).into()
    }
}

impl FindError {
    fn of_file(url: &str, error: PartError) -> Self {
        match error {
            PartError::Store(error) => error.into(),
            PartError::Unreadable(why) => Self::File {
                url: url.to_owned(),
                why,
            },
        }
    }
}
