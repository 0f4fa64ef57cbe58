//! Does what the coordinator decides: sends barriers, puts slots, finalizes, commits offsets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::coordinator::{Ack, Barrier, Coordinator, ProtocolError, Request};
use super::log::{Appended, CheckpointLog, LogError};
use super::slot::{Slot, TopicIds};
use crate::clock::Clock;
use crate::ids::{CheckpointId, Generation, NextOffset, Split, SubtaskIndex};
use crate::mutants::{self, Mutant};
use crate::runtime::failure;
use crate::runtime::progress::Progress;
use crate::runtime::retry::{Patience, with_causes};
use crate::runtime::subtask::{Command, SubtaskError};
use crate::sink::committer::{self, LostFile};
use crate::sink::upload::UploadError;
use crate::source::SplitStart;
use crate::store::{Objects, StoreError, Stores};

/// What reaches the coordinator from the rest of the process.
#[derive(Debug)]
pub enum Event {
    Ack(Ack),
    /// A subtask has read all that a bounded run shall read.
    ReachedEnd(SubtaskIndex),
    Failed {
        subtask: SubtaskIndex,
        error: ChainError,
    },
    /// The topic that is being read is not there any more; one of the same name is.
    TopicMadeAgain {
        topic: String,
    },
    /// Splits that appeared while the job runs, and the ids of their topics.
    NewSplits {
        starts: Vec<SplitStart>,
        topic_ids: TopicIds,
    },
    /// Take a last checkpoint and end.
    Stop,
    /// Take a checkpoint now.
    Requested {
        request: Request,
        then_stop: bool,
        /// Told when it is complete; dropped when the process ends before.
        complete: oneshot::Sender<Slot>,
    },
}

/// Why a subtask or its uploader ended.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error(transparent)]
    Subtask(#[from] SubtaskError),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("subtask {subtask} failed: {source}")]
    Chain {
        subtask: SubtaskIndex,
        source: ChainError,
    },
    #[error("checkpoint {checkpoint} cannot be finalized: {source}")]
    Finalize {
        checkpoint: CheckpointId,
        source: StoreError,
    },
    #[error(
        "the store has lost files of checkpoint {checkpoint} before they were visible: {}. Nothing \
         else is lost: start again, and the start says what becomes of them",
        .lost.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    FilesLost {
        checkpoint: CheckpointId,
        lost: Vec<LostFile>,
    },
    #[error(
        "topic {0} was deleted and made again while it was read; start again, and the start says \
         how to go on"
    )]
    TopicMadeAgain(String),
    #[error("the checkpoint protocol was broken: {0}")]
    Protocol(#[from] ProtocolError),
    #[error("all subtasks have ended without a last checkpoint")]
    Abandoned,
}

/// The way to the subtasks.
pub trait Subtasks: Send + Sync {
    /// A subtask that has ended has said why, or will.
    fn send(&self, subtask: SubtaskIndex, command: Command);
    fn parallelism(&self) -> u32;
}

/// Where next offsets are committed for lag monitors. Nothing depends on it.
#[async_trait]
pub trait OffsetCommitter: Send + Sync {
    /// False when that has failed.
    async fn commit(&self, next_offsets: &BTreeMap<Split, NextOffset>) -> bool;
}

pub struct Driver {
    pub coordinator: Coordinator,
    /// The newest slot of this process; the start record at first.
    pub own: Slot,
    pub log: CheckpointLog,
    pub stores: Stores,
    /// Where buckets are marked as complete; the root of the output.
    pub markers: Option<Arc<dyn Objects>>,
    pub patience: Patience,
    pub subtasks: Arc<dyn Subtasks>,
    pub offsets: Arc<dyn OffsetCommitter>,
    pub progress: Arc<Progress>,
    pub events: mpsc::UnboundedReceiver<Event>,
    pub waiting: Waiting,
}

/// Concern of the markers in the health.
const MARKERS: &str = "markers of complete buckets";

/// Who waits for a checkpoint that was asked for.
#[derive(Debug, Default)]
pub struct Waiting {
    /// For the next barrier.
    next: Vec<oneshot::Sender<Slot>>,
    /// For the checkpoint that is being taken.
    now: Vec<oneshot::Sender<Slot>>,
}

impl Driver {
    /// Runs until the last checkpoint is complete, or until the process must end.
    pub async fn run(mut self) -> Result<(), DriverError> {
        loop {
            let now = self.patience.clock.monotonic();
            if let Some(barrier) = self.coordinator.tick(now) {
                self.waiting.now.append(&mut self.waiting.next);
                let wall = self.patience.clock.wall();
                self.progress.checkpoints().begin(barrier.id, wall, now);
                self.send_barrier(barrier);
            }
            self.note_lateness(now);
            let due = until_due(&*self.patience.clock, self.coordinator.wake_at(), now);
            let event = tokio::select! {
                biased;
                event = self.events.recv() => event.ok_or(DriverError::Abandoned)?,
                () = due => continue,
            };
            match event {
                Event::Stop => self.coordinator.stop(),
                Event::Requested {
                    request,
                    then_stop,
                    complete,
                } => {
                    self.waiting.next.push(complete);
                    self.coordinator.request(request);
                    if then_stop {
                        self.coordinator.stop();
                    }
                }
                Event::ReachedEnd(subtask) => self.coordinator.reached_end(subtask),
                Event::NewSplits { starts, topic_ids } => self.add_splits(starts, topic_ids),
                Event::TopicMadeAgain { topic } => return Err(DriverError::TopicMadeAgain(topic)),
                Event::Failed { subtask, error } => {
                    return Err(self.why_failed(subtask, error).await);
                }
                Event::Ack(ack) => {
                    let (wall, now) = (self.patience.clock.wall(), self.patience.clock.monotonic());
                    self.progress.checkpoints().ack(&ack, wall, now);
                    let Some(slot) = self.coordinator.ack(ack, wall)? else {
                        continue;
                    };
                    if self.complete(slot).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn send_barrier(&self, barrier: Barrier) {
        for subtask in 0..self.subtasks.parallelism() {
            self.subtasks
                .send(SubtaskIndex(subtask), Command::Barrier(barrier));
        }
    }

    fn note_lateness(&self, now: Duration) {
        if let Some((id, missing)) = self.coordinator.late(now) {
            let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
            let message = format!(
                "checkpoint {id} is late: no ack yet from subtask {}",
                missing.join(", ")
            );
            self.progress.checkpoints().is_late();
            self.patience.health.failing(LATE, now, message);
        }
    }

    fn add_splits(&mut self, starts: Vec<SplitStart>, topic_ids: TopicIds) {
        let known: Vec<_> = starts.iter().map(|s| (s.split.clone(), s.from)).collect();
        self.coordinator.add_splits(&known, topic_ids);
        let offsets = self.coordinator.next_offsets();
        self.progress.set_durable_offsets(offsets);
        let parallelism = self.subtasks.parallelism();
        let mut by_subtask: BTreeMap<SubtaskIndex, Vec<SplitStart>> = BTreeMap::new();
        for start in starts {
            let subtask = start.split.subtask(parallelism);
            by_subtask.entry(subtask).or_default().push(start);
        }
        for (subtask, starts) in by_subtask {
            self.subtasks.send(subtask, Command::AddSplits(starts));
        }
    }

    /// All acks are in: slot, finalization, offsets, pruning. True when it was the last one.
    async fn complete(&mut self, slot: Slot) -> Result<bool, DriverError> {
        let clock = self.patience.clock.clone();
        self.patience.health.well(LATE, clock.monotonic());
        if mutants::is(Mutant::FinalizedBeforeSlot) {
            let _ = committer::finalize(&self.stores, &self.patience, &slot.pending).await;
        }
        if mutants::is(Mutant::OffsetsCommittedFirst) {
            self.offsets.commit(self.coordinator.next_offsets()).await;
        }
        if mutants::is(Mutant::BarrierBeforeSlot) {
            self.send_barrier(Barrier {
                id: slot.id.next(),
                last: false,
            });
        }
        let appended = self.log.append(&slot).await;
        if mutants::is(Mutant::OwnUploadsAborted) && !matches!(appended, Ok(Appended::Confirmed)) {
            for file in &slot.pending {
                let store = self.stores.part_files(file.root);
                let _ = store.abort(&file.committable.upload).await;
            }
        }
        match appended? {
            Appended::Confirmed => {}
            Appended::Taken(by) => {
                return Err(fenced(by.id, by.generation, slot.generation).into());
            }
        }
        failure::point(failure::SLOT_CONFIRMED_AFTER);
        let files = self.coordinator.slot_confirmed()?;
        self.progress
            .checkpoints()
            .confirmed(slot.is_savepoint(), clock.monotonic());
        let checkpoint = slot.id;
        let lost = committer::finalize(&self.stores, &self.patience, &files)
            .await
            .map_err(|source| DriverError::Finalize { checkpoint, source })?;
        if !lost.is_empty() {
            // A newer instance may have given them up.
            self.log.look_again(&slot).await?;
            return Err(DriverError::FilesLost { checkpoint, lost });
        }
        failure::point(failure::MARK_BEFORE);
        self.mark(&slot).await?;
        let now = clock.monotonic();
        let completed = self.coordinator.finalized(now)?;
        failure::point(failure::FINALIZED_ALL_AFTER);
        self.report(now);
        for complete in self.waiting.now.drain(..) {
            // Unheard when nobody waits for it any more.
            let _ = complete.send(slot.clone());
        }
        failure::point(failure::OFFSETS_COMMIT_BEFORE);
        if self.offsets.commit(self.coordinator.next_offsets()).await {
            self.progress.committed();
        }
        failure::point(failure::OFFSETS_COMMIT_AFTER);
        self.own = slot;
        let savepoints = self.coordinator.savepoints();
        if let Err(error) = self.log.prune(completed.prune_below, savepoints).await {
            // The next checkpoint tries again; nothing depends on it.
            tracing::debug!(%error, "checkpoint log not pruned");
        }
        failure::point(failure::PRUNE_AFTER);
        Ok(completed.last)
    }

    /// Marks the buckets that this checkpoint completes. What fails stays to be marked, and is tried again
    /// with the next checkpoint.
    ///
    /// # Errors
    /// Fenced by a newer instance, whose markers must not be put back to older ones.
    async fn mark(&mut self, slot: &Slot) -> Result<(), DriverError> {
        let Some(objects) = &self.markers else {
            return Ok(());
        };
        let clock = self.patience.clock.clone();
        if slot.markers.due().next().is_some() {
            // To make the files visible may have taken long.
            self.log.look_again(slot).await?;
        }
        for folder in slot.markers.due() {
            let (key, text) = match slot.markers.marker(folder, slot.id.0, clock.wall()) {
                Ok(marker) => marker,
                Err(error) => {
                    tracing::error!(%error, folder, "a marker could not be written");
                    continue;
                }
            };
            if let Err(error) = objects.put(&key, text.into()).await {
                let error = with_causes(&error);
                self.patience
                    .health
                    .failing(MARKERS, clock.monotonic(), error);
                return Ok(());
            }
            tracing::info!(folder, "marked as complete");
            failure::point(failure::MARKED_AFTER);
            self.coordinator.marked(folder);
        }
        self.patience.health.well(MARKERS, clock.monotonic());
        Ok(())
    }

    fn report(&self, now: Duration) {
        let offsets = self.coordinator.next_offsets();
        self.progress.set_durable_offsets(offsets);
        let wall = self.patience.clock.wall();
        let Some(done) = self.progress.checkpoints().complete(wall, now) else {
            return;
        };
        let (contents, phases) = (done.contents, done.phases);
        tracing::info!(
            checkpoint = done.id.0,
            files = contents.files,
            rows = contents.rows,
            dropped = contents.dropped,
            bytes = contents.bytes,
            barrier_ms = phases.barrier.as_millis(),
            upload_ms = phases.upload.as_millis(),
            commit_log_ms = phases.commit_log.as_millis(),
            slot_ms = phases.slot.as_millis(),
            finalize_ms = phases.finalize.as_millis(),
            total_ms = phases.total().as_millis(),
            savepoint = done.is_savepoint,
            "checkpoint complete"
        );
    }

    /// A chain that fails after a newer instance has aborted its uploads has been fenced; say that.
    async fn why_failed(&self, subtask: SubtaskIndex, error: ChainError) -> DriverError {
        tracing::error!(%subtask, error = with_causes(&error), "a subtask failed");
        match self.log.look_again(&self.own).await {
            Err(fenced @ LogError::Fenced { .. }) => fenced.into(),
            _ => DriverError::Chain {
                subtask,
                source: error,
            },
        }
    }
}

async fn until_due(clock: &dyn Clock, due: Option<Duration>, now: Duration) {
    match due {
        Some(at) if at > now => clock.sleep(at - now).await,
        // Late already: looked at again from time to time, to say that it still is.
        Some(_) => clock.sleep(Duration::from_secs(10)).await,
        None => std::future::pending().await,
    }
}

/// Concern of a late checkpoint in the health.
const LATE: &str = "checkpoint";

fn fenced(slot: CheckpointId, newer: Generation, own: Generation) -> LogError {
    LogError::Fenced { slot, newer, own }
}
