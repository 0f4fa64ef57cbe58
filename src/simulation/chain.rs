//! Source, operator and sink of a simulated subtask. A file's body is one line for each row:
//! `partition offset checkpoint`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use bytes::Bytes;
use fastrand::Rng;
use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::slot::OffsetRange;
use crate::clock::EpochMillis;
use crate::ids::{CheckpointId, Generation, JobId, NextOffset, Offset, Split, SubtaskIndex};
use crate::runtime::budget::Budget;
use crate::runtime::progress::subtask::Position;
use crate::sink::naming::PartName;
use crate::sink::upload::{Command, Piece};
use crate::sink::{ClosedFile, SinkError, SinkWriter};
use crate::source::reread::Reread;
use crate::source::{
    Origin, RawBatch, Record, SourceError, SourceReader, SplitIndex, SplitStart, Wake,
};
use crate::store::{Committable, Key, Root};
use crate::transform::{Applied, Operator, Rows, TransformError};

/// What the simulated Kafka delivers: every fifth offset is a transaction marker, so a gap.
pub fn is_marker(offset: i64) -> bool {
    offset % 5 == 4
}

/// Some records cannot be decoded.
pub fn is_bad(offset: i64) -> bool {
    offset % 7 == 3
}

/// End offsets of the topic, by partition; shared by all processes.
pub type Topic = Arc<Mutex<BTreeMap<i32, i64>>>;

pub struct SimSource {
    pub topic: Topic,
    splits: Vec<Split>,
    positions: Vec<NextOffset>,
    /// Saved next offsets, and what is to be handed over again from below.
    rereads: Vec<(NextOffset, Option<Reread>)>,
    turn: usize,
}

impl SimSource {
    pub fn new(topic: Topic) -> Self {
        Self {
            topic,
            splits: Vec::new(),
            positions: Vec::new(),
            rereads: Vec::new(),
            turn: 0,
        }
    }

    fn end(&self, place: usize) -> i64 {
        let ends = self.topic.lock().expect("no check has failed before");
        ends[&self.splits[place].partition]
    }
}

pub struct SimBatch(Vec<Origin>);

impl RawBatch for SimBatch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        Record {
            origin: self.0[index],
            timestamp: None,
            key: None,
            value: None,
        }
    }
}

struct NeverWaits;

impl Wake for NeverWaits {
    fn wake(&self) {}
}

impl SourceReader for SimSource {
    type Batch = SimBatch;

    fn fetch(&mut self, _timeout: Duration) -> Result<SimBatch, SourceError> {
        let mut records = Vec::new();
        if self.splits.is_empty() {
            return Ok(SimBatch(records));
        }
        self.turn = (self.turn + 1) % self.splits.len();
        let end = self.end(self.turn);
        let position = &mut self.positions[self.turn];
        let (saved, reread) = &mut self.rereads[self.turn];
        while position.0 < end && records.len() < 4 {
            let new = *position >= *saved;
            let lost = |r: &mut Reread| r.wants(Offset(position.0));
            if !is_marker(position.0) && (new || reread.as_mut().is_some_and(lost)) {
                records.push(Origin {
                    split: SplitIndex(self.turn as u32),
                    offset: Offset(position.0),
                });
            }
            position.0 += 1;
        }
        if *position >= *saved
            && let Some(reread) = reread.take()
        {
            reread.finish(&self.splits[self.turn])?;
        }
        Ok(SimBatch(records))
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(NeverWaits)
    }

    fn add_splits(&mut self, splits: Vec<SplitStart>) -> Result<(), SourceError> {
        for start in splits {
            self.splits.push(start.split);
            let begin = start.reread.as_ref().map(|r| r.begin(start.from));
            self.positions.push(begin.unwrap_or(start.from));
            self.rereads.push((start.from, start.reread));
        }
        Ok(())
    }

    fn splits(&self) -> &[Split] {
        &self.splits
    }

    fn positions(&self) -> Vec<(Split, NextOffset)> {
        let positions = self.positions.iter().copied();
        self.splits.iter().cloned().zip(positions).collect()
    }

    fn places(&self) -> Vec<Position> {
        let places = self.splits.iter().zip(&self.positions).enumerate();
        places
            .map(|(place, (split, consumed))| Position {
                split: split.clone(),
                consumed: *consumed,
                end: Some(NextOffset(self.end(place))),
            })
            .collect()
    }

    fn queued(&self) -> usize {
        0
    }

    fn waited(&self) -> Duration {
        Duration::ZERO
    }

    fn rereading(&self) -> bool {
        let saved = self.rereads.iter().map(|(saved, _)| saved);
        self.positions
            .iter()
            .zip(saved)
            .any(|(at, saved)| at < saved)
    }

    fn at_end(&self) -> bool {
        (0..self.splits.len()).all(|place| self.positions[place].0 >= self.end(place))
    }
}

/// Takes a batch, or does not yet: what it waits for may be away for a while.
pub struct SimOperator {
    rng: Rng,
    /// How often it will still say so.
    away: u32,
}

impl SimOperator {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            away: 0,
        }
    }

    fn is_away(&mut self) -> bool {
        if self.away == 0 && self.rng.u32(..4) == 0 {
            // Over by the next step, or after some checkpoints.
            self.away = [1, 20][self.rng.usize(..2)];
        }
        let away = self.away > 0;
        self.away = self.away.saturating_sub(1);
        away
    }
}

impl Operator<SimBatch> for SimOperator {
    fn apply(
        &mut self,
        batch: &SimBatch,
        _splits: &[Split],
        _checkpoint: CheckpointId,
        _now: EpochMillis,
    ) -> Result<Applied, TransformError> {
        if self.is_away() {
            return Ok(Applied::NotYet);
        }
        let (bad, good) = batch
            .0
            .iter()
            .partition::<Vec<_>, _>(|o| is_bad(o.offset.0));
        let mut out = Vec::new();
        for (root, origins) in [(Root::Output, good), (Root::Dropped, bad)] {
            if origins.is_empty() {
                continue;
            }
            let options = RecordBatchOptions::new().with_row_count(Some(origins.len()));
            let schema = Arc::new(Schema::empty());
            out.push(Rows {
                root,
                batch: RecordBatch::try_new_with_options(schema, Vec::new(), &options)?,
                origins,
                times: None,
            });
        }
        Ok(Applied::Rows(out))
    }
}

/// Rows of a simulated file; three at the most, so that files roll before the barrier too.
const ROLL_ROWS: usize = 3;

pub struct SimWriter {
    pub root: Root,
    pub job: JobId,
    pub generation: Generation,
    pub subtask: SubtaskIndex,
    pub uploader: mpsc::UnboundedSender<Command>,
    pub budget: Arc<Budget>,
    pub sequence: u64,
    pub open: Option<OpenFile>,
    pub rolled: Vec<ClosedFile>,
}

pub struct OpenFile {
    key: Key,
    rows: Vec<(Split, Offset)>,
    pieces: mpsc::UnboundedSender<Piece>,
    durable: oneshot::Receiver<Committable>,
}

impl SimWriter {
    fn open(&mut self) -> Result<OpenFile, SinkError> {
        let name = PartName {
            job: self.job.clone(),
            generation: self.generation,
            subtask: self.subtask,
            sequence: self.sequence,
        };
        self.sequence += 1;
        let (pieces, receive_pieces) = mpsc::unbounded_channel();
        let (send_durable, durable) = oneshot::channel();
        let key = Key::new(name.to_string());
        let open = Command::Open {
            root: self.root,
            key: key.clone(),
            pieces: receive_pieces,
            durable: send_durable,
        };
        self.uploader
            .send(open)
            .map_err(|_| SinkError::UploaderGone)?;
        Ok(OpenFile {
            key,
            rows: Vec::new(),
            pieces,
            durable,
        })
    }

    fn close_file(&self, file: OpenFile) -> Result<ClosedFile, SinkError> {
        let _ = file.pieces.send(Piece::End);
        let mut by_split: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (split, offset) in &file.rows {
            by_split.entry(split).or_default().push(*offset);
        }
        let ranges = by_split.into_iter();
        let ranges = ranges.filter_map(|(split, offsets)| {
            OffsetRange::of(split.clone(), &offsets.into_iter().collect())
        });
        Ok(ClosedFile {
            root: self.root,
            key: file.key,
            rows: file.rows.len() as u64,
            offsets: ranges.collect(),
            bucket_end: None,
            durable: file.durable,
        })
    }
}

impl SinkWriter for SimWriter {
    fn write(
        &mut self,
        rows: &Rows,
        splits: &[Split],
        _now: EpochMillis,
        checkpoint: CheckpointId,
    ) -> Result<(), SinkError> {
        for origin in &rows.origins {
            let mut file = match self.open.take() {
                Some(file) => file,
                None => self.open()?,
            };
            let split = splits[origin.split.0 as usize].clone();
            let line = format!("{} {} {checkpoint}\n", split.partition, origin.offset);
            let share = self.budget.take(line.len());
            let _ = file.pieces.send(Piece::Bytes(Bytes::from(line), share));
            file.rows.push((split, origin.offset));
            if file.rows.len() >= ROLL_ROWS {
                let closed = self.close_file(file)?;
                self.rolled.push(closed);
            } else {
                self.open = Some(file);
            }
        }
        Ok(())
    }

    fn close(&mut self, _checkpoint: CheckpointId) -> Result<Vec<ClosedFile>, SinkError> {
        let mut closed = std::mem::take(&mut self.rolled);
        if let Some(file) = self.open.take() {
            closed.push(self.close_file(file)?);
        }
        Ok(closed)
    }

    fn open_files(&self) -> usize {
        self.open.iter().len()
    }
}
