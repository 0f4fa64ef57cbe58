//! One subtask as a step machine: it never blocks longer than its source is allowed to, so a thread
//! or a simulation can drive it alike.
//!
//! Guarantees: a barrier is taken between two batches and never overtakes rows; the next offsets of
//! a checkpoint are exactly behind the rows of its files; after the last barrier nothing is read. A
//! barrier waits until lost records have been read again. It does not wait for a batch that the operator
//! cannot take yet: that one is parked, and is behind the barrier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::budget::Budget;
use super::failure;
use super::progress::Progress;
use super::progress::subtask::Spent;
use super::watermark::{Tracker, Watermark};
use crate::checkpoint::coordinator::Barrier;
use crate::clock::Clock;
use crate::ids::{CheckpointId, NextOffset, Split, SubtaskIndex};
use crate::mutants::{self, Mutant};
use crate::sink::upload::{Command as UploadCommand, Seal};
use crate::sink::{SinkError, SinkWriter};
use crate::source::{RawBatch, SourceError, SourceReader, SplitIndex, SplitStart};
use crate::store::Root;
use crate::transform::{Applied, Operator, TransformError};

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
    /// Over the memory budget, or with a batch that cannot be taken yet: nothing is fetched until uploads
    /// have caught up, or what the batch waits for is there.
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

pub struct Subtask<S: SourceReader, O, W> {
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
    /// What was fetched and is not in any file, because the operator could not take it yet.
    pub parked: Option<Parked<S::Batch>>,
    pub finished: bool,
    /// Only where buckets have markers.
    pub tracker: Option<Tracker>,
    pub watch: Watch,
}

/// A batch that the operator could not take yet. The source is behind it, the files are not.
pub struct Parked<B> {
    batch: B,
    /// Lost records are among it, that are read again: no barrier is taken before it.
    rereading: bool,
}

impl<B: RawBatch> Parked<B> {
    /// Of each split that has records in it, the first one.
    fn begins(&self) -> BTreeMap<SplitIndex, NextOffset> {
        let mut begins = BTreeMap::new();
        for place in 0..self.batch.len() {
            let origin = self.batch.record(place).origin;
            let first = NextOffset(origin.offset.0);
            begins.entry(origin.split).or_insert(first);
        }
        begins
    }
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
                if self.rereading() && !mutants::is(Mutant::BarrierWhileRereading) =>
            {
                self.held = Some(barrier);
            }
            Command::Barrier(barrier) => self.barrier(barrier)?,
        }
        Ok(())
    }

    /// Whether lost records are still to be read again, or to be taken by the operator.
    fn rereading(&self) -> bool {
        self.source.rereading() || self.parked.as_ref().is_some_and(|parked| parked.rereading)
    }

    /// The next offset of every split: behind the rows that are in files.
    fn next_offsets(&self) -> Vec<(Split, NextOffset)> {
        let mut positions = self.source.positions();
        let parked = self.parked.as_ref();
        if !mutants::is(Mutant::OffsetsBehindParked) {
            for (split, first) in parked.map(Parked::begins).unwrap_or_default() {
                // In the order of the source's table.
                positions[split.0 as usize].1 = first;
            }
        }
        positions
    }

    fn watermark(&mut self, now: Duration) -> Watermark {
        match &mut self.tracker {
            // The source is behind it, and nobody knows what times it has.
            Some(_) if self.parked.is_some() => Watermark::Unknown,
            Some(tracker) => tracker.at(self.clock.wall(), now, &self.source.places()),
            None => Watermark::Unknown,
        }
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<(), SubtaskError> {
        failure::point(failure::BARRIER_BEFORE);
        let begun = self.clock.monotonic();
        if mutants::is(Mutant::OffsetsTooHigh) {
            self.source.fetch(Duration::ZERO)?;
        }
        let next_offsets = self.next_offsets();
        let mut files = self.output.close(barrier.id)?;
        files.extend(self.dropped.close(barrier.id)?);
        failure::point(failure::BARRIER_AFTER);
        self.progress.subtask(self.index).set_open_files(0);
        let watermark = self.watermark(begun);
        let seal = Seal {
            checkpoint: barrier.id,
            next_offsets,
            files,
            watermark,
            begun,
            closed: self.clock.monotonic(),
        };
        self.uploader
            .send(UploadCommand::Seal(seal))
            .map_err(|_| SinkError::UploaderGone)?;
        self.open = barrier.id.next();
        self.finished = barrier.last;
        Ok(())
    }

    /// Reads and writes one batch, waiting up to `timeout` for it.
    pub fn step(&mut self, timeout: Duration) -> Result<Step, SubtaskError> {
        if !self.rereading()
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
        let parked = match self.parked.take() {
            Some(parked) => parked,
            None => {
                if self.bounded && !self.end_reported && self.source.at_end() {
                    self.end_reported = true;
                    return Ok(Step::ReachedEnd);
                }
                failure::point(failure::FETCH_BEFORE);
                // Before the fetch: the last of the lost records come with the source behind them.
                let rereading = self.source.rereading();
                let batch = self.source.fetch(timeout)?;
                if batch.is_empty() {
                    return Ok(Step::Idle);
                }
                let progress = self.progress.subtask(self.index);
                progress.read(batch.len(), batch.bytes());
                failure::point(failure::FETCH_AFTER);
                Parked { batch, rereading }
            }
        };
        let splits = self.source.splits();
        let now = self.clock.wall();
        let all = match self.operator.apply(&parked.batch, splits, self.open, now)? {
            Applied::Rows(all) => all,
            Applied::NotYet => {
                self.watch.blocked_at = Some(self.clock.monotonic());
                self.parked = Some(parked);
                return Ok(Step::Blocked);
            }
        };
        let progress = self.progress.subtask(self.index);
        for rows in all {
            let writer = match rows.root {
                Root::Output => &mut self.output,
                Root::Dropped => &mut self.dropped,
            };
            progress.rows(rows.root, rows.batch.num_rows());
            writer.write(&rows, splits, now, self.open)?;
            if let Some(tracker) = &mut self.tracker {
                tracker.saw(&rows, now, self.clock.monotonic());
            }
        }
        progress.set_open_files(self.output.open_files() + self.dropped.open_files());
        Ok(Step::Read(parked.batch.len()))
    }
}
