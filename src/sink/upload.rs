//! Makes files durable and says so: one uploader for each subtask, a tokio task.
//!
//! ```text
//! subtask ── Open(file), then its pieces ──► uploader ──► store (begin, parts, seal)
//!         ── Seal(checkpoint, files) ──────►          ──► commit log ──► ack to the coordinator
//! ```
//!
//! Neither channel has a bound of its own: the subtask looks at the memory budget before it
//! fetches, and every piece holds its share until it is durable. Closing the subtask's end ends the
//! uploader when all it was given is done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::rest::Rest;
use super::{ClosedFile, SinkError};
use crate::checkpoint::coordinator::{Ack, AckTimes};
use crate::checkpoint::driver::Event;
use crate::checkpoint::slot::PendingFile;
use crate::commit_log::{CommitLog, CommitLogError};
use crate::ids::{CheckpointId, NextOffset, Split, SubtaskIndex};
use crate::mutants::{self, Mutant};
use crate::runtime::budget::Share;
use crate::runtime::failure;
use crate::runtime::progress::Progress;
use crate::runtime::retry::Patience;
use crate::runtime::watermark::Watermark;
use crate::store::{Committable, Key, PartFiles, Root, StoreError, Stores};

/// From a subtask to its uploader.
#[derive(Debug)]
pub enum Command {
    /// A file begins; its pieces come through `pieces`.
    Open {
        root: Root,
        key: Key,
        pieces: mpsc::UnboundedReceiver<Piece>,
        durable: oneshot::Sender<Committable>,
    },
    Seal(Seal),
}

/// The subtask's part of a checkpoint is closed.
#[derive(Debug)]
pub struct Seal {
    pub checkpoint: CheckpointId,
    pub next_offsets: Vec<(Split, NextOffset)>,
    pub files: Vec<ClosedFile>,
    pub watermark: Watermark,
    /// Monotonic: the barrier came, the files were closed to further rows.
    pub begun: Duration,
    pub closed: Duration,
}

/// Of one file, in order.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes, Share),
    /// What its encoder still holds; no bytes follow it.
    Rest(Box<Rest>),
    /// All bytes are here. A channel that ends without it was given up.
    End,
}

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    CommitLog(#[from] CommitLogError),
    #[error(transparent)]
    Encode(#[from] SinkError),
}

pub struct Uploader {
    pub subtask: SubtaskIndex,
    pub stores: Stores,
    pub commit_log: CommitLog,
    pub patience: Patience,
    pub progress: Arc<Progress>,
    pub commands: mpsc::UnboundedReceiver<Command>,
    pub events: mpsc::UnboundedSender<Event>,
}

impl Uploader {
    /// Runs until the subtask has closed its end and everything is done, or something failed in a
    /// way that waiting does not help; the failure goes to the coordinator.
    pub async fn run(self) {
        let events = self.events.clone();
        let subtask = self.subtask;
        if let Err(error) = self.work().await {
            // Nobody listens any more only when the process is ending already.
            let _ = events.send(Event::Failed {
                subtask,
                error: error.into(),
            });
        }
    }

    async fn work(mut self) -> Result<(), UploadError> {
        let mut tasks: FuturesUnordered<BoxFuture<'static, Result<(), UploadError>>> =
            FuturesUnordered::new();
        // As its subtask would: one file after the other.
        let encoding = Arc::new(Semaphore::new(1));
        let mut open = true;
        while open || !tasks.is_empty() {
            tokio::select! {
                biased;
                Some(result) = tasks.next(), if !tasks.is_empty() => result?,
                command = self.commands.recv(), if open => match command {
                    None => open = false,
                    Some(Command::Open { root, key, pieces, durable }) => {
                        let store = self.stores.part_files(root).clone();
                        let patience = self.patience.clone();
                        let (subtask, progress) = (self.subtask, self.progress.clone());
                        let encoding = encoding.clone();
                        tasks.push(Box::pin(async move {
                            let uploaded = |bytes| progress.subtask(subtask).uploaded(bytes);
                            let durable_file = upload(store, patience, key, pieces, encoding, uploaded);
                            if let Some(file) = durable_file.await? {
                                // Unheard when the subtask has died; its file stays an orphan.
                                let _ = durable.send(file);
                            }
                            Ok(())
                        }));
                    }
                    Some(Command::Seal(seal)) => {
                        tasks.push(Box::pin(self.seal(seal)));
                    }
                },
            }
        }
        Ok(())
    }

    /// Waits until the files are durable, writes them into the commit log, acknowledges.
    fn seal(
        &self,
        Seal {
            checkpoint,
            next_offsets,
            files,
            watermark,
            begun,
            closed,
        }: Seal,
    ) -> impl Future<Output = Result<(), UploadError>> + use<> {
        let (subtask, stores) = (self.subtask, self.stores.clone());
        let (commit_log, patience) = (self.commit_log.clone(), self.patience.clone());
        let events = self.events.clone();
        async move {
            let mut pending = Vec::with_capacity(files.len());
            for file in files {
                let Ok(committable) = file.durable.await else {
                    // Its upload failed, which is reported where it happened.
                    return Ok(());
                };
                pending.push(PendingFile {
                    checkpoint_id: checkpoint,
                    subtask,
                    root: file.root,
                    url: stores.part_files(file.root).url(&file.key),
                    rows: file.rows,
                    offsets: file.offsets,
                    bucket_end: file.bucket_end.map(|end| end.0),
                    committable,
                });
            }
            let times = AckTimes {
                begun,
                closed,
                durable: patience.clock.monotonic(),
            };
            if mutants::is(Mutant::AckBeforeCommitLog) {
                let _ = events.send(Event::Ack(Ack {
                    subtask,
                    checkpoint,
                    next_offsets: next_offsets.clone(),
                    files: pending.clone(),
                    watermark,
                    times,
                }));
            }
            failure::point(failure::CSV_PUT_BEFORE);
            let now = patience.clock.wall();
            for root in [Root::Output, Root::Dropped] {
                let files = pending.iter().filter(|file| file.root == root);
                let urls: Vec<_> = files.map(|file| file.url.as_str()).collect();
                commit_log
                    .write(checkpoint, subtask, root, &urls, now)
                    .await?;
            }
            failure::point(failure::CSV_PUT_AFTER);
            if mutants::is(Mutant::AckBeforeCommitLog) {
                return Ok(());
            }
            // Unheard only when the process is ending already.
            let _ = events.send(Event::Ack(Ack {
                subtask,
                checkpoint,
                next_offsets,
                files: pending,
                watermark,
                times,
            }));
            failure::point(failure::ACK_AFTER);
            Ok(())
        }
    }
}

/// Uploads one file; `None` when it was given up.
async fn upload(
    store: Arc<dyn PartFiles>,
    patience: Patience,
    key: Key,
    mut pieces: mpsc::UnboundedReceiver<Piece>,
    encoding: Arc<Semaphore>,
    uploaded: impl Fn(usize),
) -> Result<Option<Committable>, UploadError> {
    let concern = format!("uploading {}", key.name());
    let upload = patience.insist(&concern, || store.begin(&key)).await?;
    failure::point(failure::UPLOAD_BEGIN_AFTER);
    let mut parts = Vec::new();
    let mut size = 0;
    while let Some(piece) = pieces.recv().await {
        let (data, mut share) = match piece {
            Piece::Bytes(data, share) => (vec![data], share),
            Piece::Rest(rest) => {
                rest.encode(&encoding)
                    .await
                    .map_err(|source| SinkError::Encode {
                        key: key.clone(),
                        source,
                    })?
            }
            Piece::End => {
                let sealed = patience
                    .insist(&concern, || store.seal(&upload, parts.clone(), size))
                    .await?;
                failure::point(failure::SEAL_AFTER);
                return Ok(Some(sealed));
            }
        };
        for data in data {
            let (index, offset) = (parts.len(), size);
            failure::point(failure::UPLOAD_PART_BEFORE);
            let part = patience
                .insist(&concern, || {
                    store.put_part(&upload, index, offset, data.clone())
                })
                .await?;
            failure::point(failure::UPLOAD_PART_AFTER);
            parts.push(part);
            size += data.len() as u64;
            uploaded(data.len());
            share.set(share.bytes() - data.len());
        }
    }
    Ok(None)
}
