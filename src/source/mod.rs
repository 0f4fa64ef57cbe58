//! Where records come from.
//!
//! A source hands over batches of borrowed records: split, offset, time, key and value as slices of
//! its own buffers. Nothing behind this module knows what is in front of it.

pub mod kafka;
pub mod reread;
pub mod start_from;

use std::sync::Arc;
use std::time::Duration;

use crate::ids::{NextOffset, Offset, Split};
use crate::runtime::progress::subtask::Position;
use reread::Reread;

/// A split's place in the table of its reader; valid for that reader only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SplitIndex(pub u32);

/// Where a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub split: SplitIndex,
    pub offset: Offset,
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub origin: Origin,
    /// The source's time of the record, milliseconds since 1970, where it has one.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// What a producer has said of a record; names may repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Option<Vec<u8>>,
}

/// Records in the order of each split's offsets. Index access instead of an iterator: a batch is
/// gone through twice where it holds bad records.
pub trait RawBatch {
    fn len(&self) -> usize;

    /// The record at `index < len()`.
    fn record(&self, index: usize) -> Record<'_>;

    /// Headers of the record at `index < len()`; none unless the source was told to keep them. They are no part
    /// of the record, because to look for them costs as much as the rest of it.
    fn headers(&self, _index: usize) -> &[Header] {
        &[]
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all keys and values.
    fn bytes(&self) -> usize {
        let records = (0..self.len()).map(|index| self.record(index));
        let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        records
            .map(|record| of(record.key) + of(record.value))
            .sum()
    }
}

/// One subtask's reader of its splits.
///
/// Positions never go back, no record is handed over twice, and a record that was handed over is
/// below the position.
pub trait SourceReader {
    type Batch: RawBatch;

    /// Waits up to `timeout` for records, or until it is woken. An empty batch is no error and no end.
    fn fetch(&mut self, timeout: Duration) -> Result<Self::Batch, SourceError>;

    /// Ends the waiting from another thread.
    fn waker(&self) -> Arc<dyn Wake>;

    /// Takes further splits in, from the given offsets.
    fn add_splits(&mut self, splits: Vec<SplitStart>) -> Result<(), SourceError>;

    /// The table that [`SplitIndex`] points into; it only grows.
    fn splits(&self) -> &[Split];

    /// The next offset of every split, in the order of [`splits`](Self::splits).
    fn positions(&self) -> Vec<(Split, NextOffset)>;

    /// Where every split is and where it ends, as far as that is known without asking.
    fn places(&self) -> Vec<Position>;

    /// Records that it has fetched and not handed over yet.
    fn queued(&self) -> usize;

    /// How long it has waited for records, in all.
    fn waited(&self) -> Duration;

    /// Whether a split is still below its saved next offset, to hand over lost records once more.
    /// Until it is not, no barrier may be taken: the checkpoint would leave the others out.
    fn rereading(&self) -> bool;

    /// Whether all splits have an end and are there.
    fn at_end(&self) -> bool;
}

/// For a thread that has something to tell a reader which waits for records.
pub trait Wake: Send + Sync {
    /// The fetch that waits now, or else the next one, returns at once with what it has.
    fn wake(&self);
}

/// A split, and from where to where it is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitStart {
    pub split: Split,
    pub from: NextOffset,
    /// What is to be handed over once more from below `from`.
    pub reread: Option<Reread>,
    /// The first offset that is not read any more; `None` goes on for ever.
    pub until: Option<NextOffset>,
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(
        "{split}: offset {wanted} is not in Kafka any more: retention, or a topic that was deleted \
         and made again, has removed records before they were archived. To go on with what is \
         left, start with --allow-lost-offsets"
    )]
    OffsetLost { split: Split, wanted: NextOffset },

    #[error(
        "{split}: its log is another one than was read: records up to offset {position} were taken from a leader of \
         epoch {epoch}, and today's leader has those of that epoch up to {end} only. An election of a broker that was \
         behind has cut off records that are archived, and others may stand at their offsets. A new start goes on at \
         {position}; what stands before it now is not archived"
    )]
    CutOff {
        split: Split,
        position: NextOffset,
        epoch: i32,
        end: i64,
    },

    #[error(
        "{split}: the store has lost records before their file was visible, and Kafka does not \
         deliver them any more: offsets {lost}. Compaction may have removed them. To go on without \
         them, start with --allow-lost-offsets"
    )]
    NotDeliveredAgain { split: Split, lost: String },

    #[error(
        "{split}: what Kafka holds at or behind offset {position} cannot be read: {why}. It is left \
         where it is, and nothing behind it is archived; look at that partition's log"
    )]
    Unreadable {
        split: Split,
        position: NextOffset,
        why: String,
    },

    #[error("the Kafka client failed for good: {0}")]
    Fatal(String),
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Values of one split from offset 0, without keys.
    pub struct VecBatch(Vec<Option<Vec<u8>>>);

    impl VecBatch {
        pub fn new(values: impl IntoIterator<Item = Option<Vec<u8>>>) -> Self {
            Self(values.into_iter().collect())
        }
    }

    impl RawBatch for VecBatch {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn record(&self, index: usize) -> Record<'_> {
            Record {
                origin: Origin {
                    split: SplitIndex(0),
                    offset: Offset(index as i64),
                },
                timestamp: Some(1_700_000_000_000),
                key: None,
                value: self.0[index].as_deref(),
            }
        }
    }
}
