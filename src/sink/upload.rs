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

use super::ClosedFile;
use super::tail::{Tail, TailError};
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
    Tail(Box<Tail>),
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
    Tail(#[from] TailError),
}

type Task = BoxFuture<'static, Result<(), UploadError>>;

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
    pub async fn run(mut self) {
        // They outlive the failure: a subtask that found its uploader gone would be heard before the reason.
        let mut tasks = FuturesUnordered::new();
        if let Err(error) = self.work(&mut tasks).await {
            // Nobody listens any more only when the process is ending already.
            let _ = self.events.send(Event::Failed {
                subtask: self.subtask,
                error: error.into(),
            });
        }
    }

    async fn work(&mut self, tasks: &mut FuturesUnordered<Task>) -> Result<(), UploadError> {
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
            Piece::Tail(tail) => tail.encode(&encoding).await?,
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

#[cfg(test)]
mod tests {
    use parquet::errors::ParquetError;

    use super::*;
    use crate::checkpoint::driver::ChainError;
    use crate::clock::SystemClock;
    use crate::runtime::budget::Budget;
    use crate::runtime::health::Health;
    use crate::store::local::LocalStore;

    /// One file, whose end is encoded so, and a barrier behind it. Returns what the coordinator hears,
    /// whether there is a commit log, and how much of the memory budget is taken at the end.
    async fn one_file(
        encode: impl FnOnce() -> Result<Vec<Bytes>, ParquetError> + Send + 'static,
    ) -> (Vec<Event>, bool, usize) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalStore::open(folder.path()).unwrap());
        let patience = Patience {
            clock: Arc::new(SystemClock::default()),
            health: Arc::new(Health::default()),
        };
        let stores = Stores {
            output: store.clone(),
            dropped: store.clone(),
            commit_log: store.clone(),
            checkpoints: store,
        };
        let (commands, receive_commands) = mpsc::unbounded_channel();
        let (events, mut receive_events) = mpsc::unbounded_channel();
        let uploader = Uploader {
            subtask: SubtaskIndex(0),
            stores: stores.clone(),
            commit_log: CommitLog::new(stores.commit_log.clone(), patience.clone()),
            patience,
            progress: Arc::new(Progress::new(1)),
            commands: receive_commands,
            events,
        };
        let key = Key::new("hour=07/part-a.parquet");
        let (pieces, receive_pieces) = mpsc::unbounded_channel();
        let (send_durable, durable) = oneshot::channel();
        let open = Command::Open {
            root: Root::Output,
            key: key.clone(),
            pieces: receive_pieces,
            durable: send_durable,
        };
        let budget = Budget::new(1_000);
        let tail = Tail::new(key.clone(), budget.take(100), encode);
        pieces.send(Piece::Tail(Box::new(tail))).unwrap();
        pieces.send(Piece::End).unwrap();
        let file = ClosedFile {
            root: Root::Output,
            key,
            rows: 1,
            offsets: Vec::new(),
            bucket_end: None,
            durable,
        };
        let seal = Seal {
            checkpoint: CheckpointId(1),
            next_offsets: Vec::new(),
            files: vec![file],
            watermark: Watermark::Unknown,
            begun: Duration::ZERO,
            closed: Duration::ZERO,
        };
        for command in [open, Command::Seal(seal)] {
            commands.send(command).unwrap();
        }
        drop(commands);
        uploader.run().await;
        let mut heard = Vec::new();
        while let Some(event) = receive_events.recv().await {
            heard.push(event);
        }
        let logged = folder.path().join("chk-1").exists();
        (heard, logged, budget.usage().in_flight)
    }

    #[tokio::test]
    async fn a_file_whose_end_is_encoded_is_logged_and_acknowledged() {
        let (heard, logged, taken) = one_file(|| Ok(vec![Bytes::from_static(b"PAR1")])).await;
        let [Event::Ack(ack)] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!((ack.files.len(), logged, taken), (1, true, 0));
    }

    #[tokio::test]
    async fn a_file_whose_end_cannot_be_encoded_is_told_by_its_name_and_never_acknowledged() {
        let fails = || Err(ParquetError::General("too wide".to_owned()));
        let (heard, logged, taken) = one_file(fails).await;
        let [Event::Failed { error, .. }] = &heard[..] else {
            panic!("{heard:?}");
        };
        let said = error.to_string();
        assert!(
            said.contains("part-a.parquet") && said.contains("too wide"),
            "{said}"
        );
        assert_eq!((logged, taken), (false, 0));
    }

    #[tokio::test]
    async fn a_panic_amid_the_end_of_a_file_is_no_fault_of_its_rows_and_never_acknowledged() {
        let (heard, logged, taken) = one_file(|| panic!("as this test wants it")).await;
        let [Event::Failed { error, .. }] = &heard[..] else {
            panic!("{heard:?}");
        };
        let panicked = UploadError::Tail(TailError::Panicked(Key::new("hour=07/part-a.parquet")));
        assert_eq!(error.to_string(), ChainError::from(panicked).to_string());
        assert_eq!((logged, taken), (false, 0));
    }
}
