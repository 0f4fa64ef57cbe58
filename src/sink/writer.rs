//! Routes rows to the open part files of their buckets, and closes these.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use parquet::errors::ParquetError;
use tokio::sync::{mpsc, oneshot};

use super::bucket::{Bucket, Bucketing, Group, Router};
use super::footer::{self, OffsetSets};
use super::naming::PartName;
use super::parquet::{ParquetFile, ParquetOptions};
use super::tail::Tail;
use super::upload::{Command, Piece};
use super::{ClosedFile, EncodeError, SinkError, SinkWriter};
use crate::clock::EpochMillis;
use crate::ids::{CheckpointId, Generation, JobId, Split, SubtaskIndex};
use crate::runtime::budget::{Budget, Share};
use crate::store::{Committable, Key, Root};
use crate::transform::Rows;

/// To close smaller files would free little, and leave many; unless there are so many of them that they
/// fill the budget.
const WORTH_SHEDDING: usize = 1 << 20;

/// More are open only where event times are spread.
const MANY_FILES: usize = 16;

/// What the files of one writer have in common.
#[derive(Debug, Clone)]
pub struct PartSettings {
    pub root: Root,
    pub job: JobId,
    pub generation: Generation,
    pub subtask: SubtaskIndex,
    /// A file that reaches so many bytes is closed before its barrier.
    pub roll_size: usize,
    pub parquet: ParquetOptions,
    pub bucketing: Bucketing,
    /// Whether it is said when the buckets of files end.
    pub markers: bool,
}

pub struct ParquetSinkWriter {
    settings: PartSettings,
    uploader: mpsc::UnboundedSender<Command>,
    budget: Arc<Budget>,
    router: Router,
    open: BTreeMap<Bucket, OpenFile>,
    /// Of the checkpoint that is open, rolled by size.
    rolled: Vec<ClosedFile>,
    /// Of this generation and subtask, so that no name is used twice.
    sequence: u64,
    splits: Vec<Split>,
}

struct OpenFile {
    key: Key,
    bucket_end: Option<EpochMillis>,
    parquet: ParquetFile,
    offsets: OffsetSets,
    rows: u64,
    memory: Share,
    pieces: mpsc::UnboundedSender<Piece>,
    durable: oneshot::Receiver<Committable>,
}

impl ParquetSinkWriter {
    pub fn new(
        settings: PartSettings,
        uploader: mpsc::UnboundedSender<Command>,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            router: Router::new(settings.bucketing.clone()),
            settings,
            uploader,
            budget,
            open: BTreeMap::new(),
            rolled: Vec::new(),
            sequence: 0,
            splits: Vec::new(),
        }
    }

    fn open_file(
        &mut self,
        bucket: &Bucket,
        time: EpochMillis,
        sample: &RecordBatch,
    ) -> Result<OpenFile, SinkError> {
        let name = PartName {
            job: self.settings.job.clone(),
            generation: self.settings.generation,
            subtask: self.settings.subtask,
            sequence: self.sequence,
        };
        self.sequence += 1;
        let key = Key::new(format!("{bucket}/{name}"));
        let parquet = ParquetFile::create(sample, &self.settings.parquet)
            .map_err(|source| encode_error(&key, source))?;
        let (pieces, receive_pieces) = mpsc::unbounded_channel();
        let (send_durable, durable) = oneshot::channel();
        let open = Command::Open {
            root: self.settings.root,
            key: key.clone(),
            pieces: receive_pieces,
            durable: send_durable,
        };
        self.uploader
            .send(open)
            .map_err(|_| SinkError::UploaderGone)?;
        let ends = self.settings.markers;
        Ok(OpenFile {
            key,
            bucket_end: ends.then(|| self.router.end(time)),
            parquet,
            offsets: OffsetSets::default(),
            rows: 0,
            memory: self.budget.open_file(),
            pieces,
            durable,
        })
    }

    /// Writes the rows of one bucket.
    fn write_group(
        &mut self,
        rows: &Rows,
        Group {
            bucket,
            time,
            rows: places,
        }: Group,
        checkpoint: CheckpointId,
    ) -> Result<(), SinkError> {
        let mut file = match self.open.remove(&bucket) {
            Some(file) => file,
            None => self.open_file(&bucket, time, &rows.batch)?,
        };
        let batch = match places {
            None => {
                rows.origins.iter().for_each(|&o| file.offsets.add(o));
                rows.batch.clone()
            }
            Some(places) => {
                let origins = places.iter().map(|&place| rows.origins[place as usize]);
                origins.for_each(|o| file.offsets.add(o));
                take_record_batch(&rows.batch, &UInt32Array::from(places))
                    .map_err(|e| encode_error(&file.key, ParquetError::ArrowError(e.to_string())))?
            }
        };
        file.parquet
            .write(&batch)
            .map_err(|source| encode_error(&file.key, source))?;
        file.rows += batch.num_rows() as u64;
        while let Some(piece) = file.parquet.next_piece() {
            let share = self.budget.take(piece.len());
            send(&file.pieces, Piece::Bytes(piece, share))?;
        }
        file.memory.set(file.parquet.memory());
        if file.parquet.size() >= self.settings.roll_size {
            let closed = self.close_file(file, checkpoint)?;
            self.rolled.push(closed);
        } else {
            self.open.insert(bucket, file);
        }
        Ok(())
    }

    /// Over the budget by open files: closes the largest ones early, until they were the excess. Their memory
    /// is free when they are encoded and durable; nothing is fetched before.
    fn shed(&mut self, checkpoint: CheckpointId) -> Result<(), SinkError> {
        let Some(excess) = self.budget.excess_of_open_files() else {
            return Ok(());
        };
        let mut closing = 0;
        while closing <= excess {
            let largest = self.open.iter().max_by_key(|(_, file)| file.memory.bytes());
            let Some((bucket, file)) = largest else {
                break;
            };
            if file.memory.bytes() < WORTH_SHEDDING && self.open.len() < MANY_FILES {
                break;
            }
            closing += file.memory.bytes();
            let bucket = bucket.clone();
            if let Some(file) = self.open.remove(&bucket) {
                let closed = self.close_file(file, checkpoint)?;
                self.rolled.push(closed);
            }
        }
        Ok(())
    }

    fn close_file(
        &self,
        file: OpenFile,
        checkpoint: CheckpointId,
    ) -> Result<ClosedFile, SinkError> {
        let settings = &self.settings;
        let offsets = file.offsets.finish(&self.splits);
        let footer = footer::key_values(&settings.job, settings.generation, checkpoint, &offsets)
            .map_err(|e| encode_error(&file.key, ParquetError::External(e.into())))?;
        // It is on its way to the store from now on: no file that could be closed early.
        let share = self.budget.take(file.parquet.memory());
        let encode = move || file.parquet.finish(footer).map(Iterator::collect);
        let tail = Tail::new(file.key.clone(), share, encode);
        send(&file.pieces, Piece::Tail(Box::new(tail)))?;
        send(&file.pieces, Piece::End)?;
        Ok(ClosedFile {
            root: settings.root,
            key: file.key,
            rows: file.rows,
            offsets: offsets.iter().filter_map(|o| o.range()).collect(),
            bucket_end: file.bucket_end,
            durable: file.durable,
        })
    }
}

impl SinkWriter for ParquetSinkWriter {
    fn write(
        &mut self,
        rows: &Rows,
        splits: &[Split],
        now: EpochMillis,
        checkpoint: CheckpointId,
    ) -> Result<(), SinkError> {
        if self.splits.len() != splits.len() {
            self.splits = splits.to_vec();
        }
        let times = rows.times.as_ref().map(|times| &times.of_rows[..]);
        for group in self.router.groups(&rows.origins, splits, times, now) {
            self.write_group(rows, group, checkpoint)?;
        }
        self.shed(checkpoint)
    }

    fn close(&mut self, checkpoint: CheckpointId) -> Result<Vec<ClosedFile>, SinkError> {
        let mut closed = std::mem::take(&mut self.rolled);
        for file in std::mem::take(&mut self.open).into_values() {
            closed.push(self.close_file(file, checkpoint)?);
        }
        Ok(closed)
    }

    fn open_files(&self) -> usize {
        self.open.len()
    }
}

fn send(pieces: &mpsc::UnboundedSender<Piece>, piece: Piece) -> Result<(), SinkError> {
    pieces.send(piece).map_err(|_| SinkError::UploaderGone)
}

fn encode_error(key: &Key, source: ParquetError) -> EncodeError {
    let key = key.clone();
    EncodeError { key, source }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, StringArray};

    use super::*;
    use crate::ids::Offset;
    use crate::sink::compression::Compression;
    use crate::source::{Origin, SplitIndex};

    const ROWS: usize = 5_000;

    /// Text that does not repeat, so that it takes memory.
    fn rows() -> Rows {
        let texts = (0..ROWS).map(|_| format!("{:036x}", fastrand::u128(..)));
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        Rows {
            root: Root::Output,
            batch: RecordBatch::try_from_iter([("uuid", column)]).unwrap(),
            origins: (0..ROWS)
                .map(|n| Origin {
                    split: SplitIndex(0),
                    offset: Offset(n as i64),
                })
                .collect(),
            times: None,
        }
    }

    /// With what it sends, which has to be kept, as an uploader does.
    fn writer(
        budget: usize,
        roll_size: usize,
        row_group_rows: usize,
    ) -> (ParquetSinkWriter, mpsc::UnboundedReceiver<Command>) {
        let settings = PartSettings {
            root: Root::Output,
            job: JobId::random(),
            generation: Generation::FIRST,
            subtask: SubtaskIndex(0),
            roll_size,
            parquet: ParquetOptions {
                compression: Compression::None,
                row_group_rows,
                ..ParquetOptions::default()
            },
            bucketing: Bucketing::by_hour(),
            markers: false,
        };
        let (uploader, commands) = mpsc::unbounded_channel();
        let writer = ParquetSinkWriter::new(settings, uploader, Budget::new(budget));
        (writer, commands)
    }

    #[test]
    fn over_the_budget_the_largest_open_file_is_closed_before_its_barrier() {
        let (mut writer, _commands) = writer(4 << 20, usize::MAX, usize::MAX);
        let splits = [Split::new("lineage-input", 0)];
        let (small, large) = (EpochMillis(0), EpochMillis(3_600_000));
        let (now, mut written) = (CheckpointId(1), 0);
        writer.write(&rows(), &splits, small, now).unwrap();
        while writer.rolled.is_empty() {
            writer.write(&rows(), &splits, large, now).unwrap();
            written += ROWS as u64;
            assert!(written < 1_000_000, "nothing was closed");
        }
        assert!(writer.budget.usage().open_files < 4 << 20);
        let files = writer.close(now).unwrap();
        let counts: Vec<_> = files.iter().map(|file| file.rows).collect();
        assert_eq!(counts, [written, ROWS as u64]);
        assert_eq!(writer.budget.usage().open_files, 0);
    }

    #[test]
    fn of_many_equal_files_over_the_budget_only_as_many_are_closed_as_make_up_the_excess() {
        let (mut writer, _commands) = writer(16 << 20, usize::MAX, usize::MAX);
        let splits = [Split::new("lineage-input", 0)];
        let (now, mut hour) = (CheckpointId(1), 0);
        while writer.rolled.is_empty() {
            let time = EpochMillis(hour % 40 * 3_600_000);
            writer.write(&rows(), &splits, time, now).unwrap();
            hour += 1;
            assert!(hour < 4_000, "nothing was closed");
        }
        assert_eq!((writer.rolled.len(), writer.open_files()), (1, 39));
    }

    #[test]
    fn what_closed_files_hold_until_they_are_encoded_counts_whole() {
        // The row groups of a file are encoded, and make up no piece that could leave.
        let (mut writer, mut commands) = writer(64 << 20, 1 << 20, 1_000);
        let splits = [Split::new("lineage-input", 0)];
        for _ in 0..60 {
            let now = EpochMillis(0);
            writer
                .write(&rows(), &splits, now, CheckpointId(1))
                .unwrap();
        }
        let bytes = 60 * ROWS * 36;
        assert!(writer.rolled.len() >= 8, "{}", writer.rolled.len());
        let usage = writer.budget.usage();
        assert!(usage.open_files + usage.in_flight >= bytes, "{usage:?}");

        // Rows do not wait for the end of a file: it is handed over as it is.
        let Some(Command::Open { mut pieces, .. }) = commands.try_recv().ok() else {
            panic!("no file was opened");
        };
        assert!(matches!(pieces.try_recv(), Ok(Piece::Tail(_))));
        assert!(matches!(pieces.try_recv(), Ok(Piece::End)));
    }
}
