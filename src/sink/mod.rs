//! From rows to files: buckets, part files, uploads, finalization.
//!
//! A [`SinkWriter`] runs on the subtask's thread and never waits: it routes rows to buckets,
//! encodes them and hands bytes to the [`upload`]er, which ends files and makes them durable on its own
//! time. The [`committer`] makes durable files visible once their checkpoint is complete.

pub mod bucket;
pub mod committer;
pub mod compression;
pub mod footer;
pub mod naming;
pub mod parquet;
mod pieces;
mod tail;
pub mod upload;
pub mod writer;

use tokio::sync::oneshot;

use crate::clock::EpochMillis;
use crate::ids::{CheckpointId, Split};
use crate::store::{Committable, Key, Root};
use crate::transform::Rows;

/// Rows that cannot be a Parquet file.
#[derive(Debug, thiserror::Error)]
#[error("{key} could not be encoded as Parquet: {source}")]
pub struct EncodeError {
    pub key: Key,
    pub source: ::parquet::errors::ParquetError,
}

#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("the uploader of this subtask has ended")]
    UploaderGone,
}

/// The writing end of a sink, one for each subtask and kind of file.
pub trait SinkWriter {
    /// Takes rows that were processed at `now` and belong to `checkpoint`.
    fn write(
        &mut self,
        rows: &Rows,
        splits: &[Split],
        now: EpochMillis,
        checkpoint: CheckpointId,
    ) -> Result<(), SinkError>;

    /// Closes every open file and returns all files of `checkpoint`, those closed earlier too.
    fn close(&mut self, checkpoint: CheckpointId) -> Result<Vec<ClosedFile>, SinkError>;

    fn open_files(&self) -> usize;
}

/// A file that takes no more rows: what is left of it is the uploader's.
#[derive(Debug)]
pub struct ClosedFile {
    pub root: Root,
    pub key: Key,
    pub rows: u64,
    pub offsets: Vec<crate::checkpoint::slot::OffsetRange>,
    /// When its bucket ends, where buckets have markers.
    pub bucket_end: Option<EpochMillis>,
    /// Comes when the file is durable; dropped when that has failed.
    pub durable: oneshot::Receiver<Committable>,
}
