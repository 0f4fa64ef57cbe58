//! One subtask as a step machine: it never blocks longer than its source is allowed to, so a thread
//! or a simulation can drive it alike.
//!
//! Guarantees: a barrier is taken between two batches and never overtakes rows; the next offsets of
//! a checkpoint are exactly behind the rows of its files; after the last barrier nothing is read. A
//! barrier waits until lost records have been read again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::budget::Budget;
use super::failure;
use super::progress::Progress;
use super::progress::subtask::Spent;
use crate::checkpoint::coordinator::Barrier;
use crate::clock::Clock;
use crate::ids::{CheckpointId, SubtaskIndex};
use crate::mutants::{self, Mutant};
use crate::sink::upload::Command as UploadCommand;
use crate::sink::{SinkError, SinkWriter};
use crate::source::{RawBatch, SourceError, SourceReader, SplitStart};
use crate::store::Root;
use crate::transform::{Operator, TransformError};

/// From the coordinator's side to a subtask.
#[derive(Debug)]
pub enum Command {
    Barrier(Barrier),
    AddSplits(Vec<SplitStart>),
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Read so many records.
    Read(usize),
    /// Nothing came.
    Idle,
    /// Over the memory budget: nothing is fetched until uploads have caught up.
    Blocked,
    /// All of a bounded run is read; waits for the last barrier. Reported once.
    ReachedEnd,
    /// The last barrier is taken.
    Finished,
}

#[derive(Debug, thiserror::Error)]
pub enum SubtaskError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Transform(#[from] TransformError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("its thread panicked, which is a mistake in this program; what it said is above")]
    Panicked,
}

pub struct Subtask<S, O, W> {
    pub index: SubtaskIndex,
    pub source: S,
    pub operator: O,
    pub output: W,
    pub dropped: W,
    pub uploader: mpsc::UnboundedSender<UploadCommand>,
    pub clock: Arc<dyn Clock>,
    pub budget: Arc<Budget>,
    pub progress: Arc<Progress>,
    /// The checkpoint whose barrier will close the open files.
    pub open: CheckpointId,
    /// Stops reading at the ends of its splits.
    pub bounded: bool,
    pub end_reported: bool,
    /// A barrier that waits for lost records.
    pub held: Option<Barrier>,
    pub finished: bool,
    pub watch: Watch,
}

/// What the subtask remembers so that it can be watched.
#[derive(Debug, Default)]
pub struct Watch {
    /// When it last found the memory budget used up.
    blocked_at: Option<Duration>,
    /// When its positions were published.
    published_at: Option<Duration>,
}

/// Often enough for who looks at positions, and nothing beside the batches.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);

impl<S, O, W> Subtask<S, O, W>
where
    S: SourceReader,
    O: Operator<S::Batch>,
    W: SinkWriter,
{
    /// Takes a command in, between two batches.
    pub fn command(&mut self, command: Command) -> Result<(), SubtaskError> {
        match command {
            Command::AddSplits(splits) => self.source.add_splits(splits)?,
            Command::Barrier(barrier)
                if self.source.rereading() && !mutants::is(Mutant::BarrierWhileRereading) =>
            {
                self.held = Some(barrier);
            }
            Command::Barrier(barrier) => self.barrier(barrier)?,
        }
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<(), SubtaskError> {
        failure::point(failure::BARRIER_BEFORE);
        let begun = self.clock.monotonic();
        if mutants::is(Mutant::OffsetsTooHigh) {
            self.source.fetch(Duration::ZERO)?;
        }
        let next_offsets = self.source.positions();
        let mut files = self.output.close(barrier.id)?;
        files.extend(self.dropped.close(barrier.id)?);
        failure::point(failure::BARRIER_AFTER);
        self.progress.subtask(self.index).set_open_files(0);
        let seal = UploadCommand::Seal {
            checkpoint: barrier.id,
            next_offsets,
            files,
            begun,
            closed: self.clock.monotonic(),
        };
        self.uploader
            .send(seal)
            .map_err(|_| SinkError::UploaderGone)?;
        self.open = barrier.id.next();
        self.finished = barrier.last;
        Ok(())
    }

    /// Reads and writes one batch, waiting up to `timeout` for it.
    pub fn step(&mut self, timeout: Duration) -> Result<Step, SubtaskError> {
        if !self.source.rereading()
            && let Some(barrier) = self.held.take()
        {
            self.barrier(barrier)?;
        }
        if self.finished {
            return Ok(Step::Finished);
        }
        let begin = self.clock.monotonic();
        let progress = self.progress.clone();
        let progress = progress.subtask(self.index);
        if let Some(at) = self.watch.blocked_at.take() {
            progress.spent(begin.saturating_sub(at), Spent::Backpressured);
        }
        self.publish(begin);
        if self.budget.exhausted() {
            self.watch.blocked_at = Some(begin);
            return Ok(Step::Blocked);
        }
        let waited = self.source.waited();
        let step = self.read(timeout);
        let waited = self.source.waited().saturating_sub(waited);
        let all = self.clock.monotonic().saturating_sub(begin);
        progress.spent(waited, Spent::Idle);
        progress.spent(all.saturating_sub(waited), Spent::Working);
        step
    }

    fn publish(&mut self, now: Duration) {
        let published = self.watch.published_at;
        if published.is_none_or(|at| now >= at + PUBLISH_EVERY) {
            self.watch.published_at = Some(now);
            let progress = self.progress.subtask(self.index);
            progress.set_positions(self.source.places());
            progress.set_queued(self.source.queued());
        }
    }

    fn read(&mut self, timeout: Duration) -> Result<Step, SubtaskError> {
        failure::point(failure::FETCH_BEFORE);
        let batch = self.source.fetch(timeout)?;
        if !batch.is_empty() {
            let progress = self.progress.subtask(self.index);
            progress.read(batch.len(), batch.bytes());
            failure::point(failure::FETCH_AFTER);
            let now = self.clock.wall();
            let splits = self.source.splits();
            for rows in self.operator.apply(&batch, splits, self.open, now)? {
                let writer = match rows.root {
                    Root::Output => &mut self.output,
                    Root::Dropped => &mut self.dropped,
                };
                progress.rows(rows.root, rows.batch.num_rows());
                writer.write(&rows, splits, now, self.open)?;
            }
            progress.set_open_files(self.output.open_files() + self.dropped.open_files());
            return Ok(Step::Read(batch.len()));
        }
        if self.bounded && !self.end_reported && self.source.at_end() {
            self.end_reported = true;
            return Ok(Step::ReachedEnd);
        }
        Ok(Step::Idle)
    }
}
