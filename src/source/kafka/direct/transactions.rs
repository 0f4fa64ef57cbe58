//! Which records were never to be: those of transactions that were aborted.
//!
//! With the records of a partition the broker says which transactions that reach into them were aborted, by
//! producer and first offset. From there to the marker that ends it, all transactional batches of that producer
//! are skipped. (Kafka's own client, `CompletedFetch`, does it so.)

use std::collections::HashSet;

use super::record::Cursor;
use super::record_batch::{BatchHeader, RecordBatch};

/// A producer whose transaction was aborted, and its first offset in this partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    pub producer_id: i64,
    pub first_offset: i64,
}

/// What is aborted at the place that reading has come to.
#[derive(Debug, Default)]
pub struct Transactions {
    /// Those that begin further on, the next one last.
    ahead: Vec<Aborted>,
    producers: HashSet<i64>,
}

/// The type of a marker that ends a transaction in vain; its key has it behind two bytes of a version.
const ABORT: [u8; 2] = [0, 0];

impl Transactions {
    pub fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        Self {
            ahead: aborted,
            producers: HashSet::new(),
        }
    }

    /// Whether the batch's records are to be read; to be asked for one after the other of what was fetched.
    pub fn take(&mut self, batch: &RecordBatch, fetched: &[u8]) -> bool {
        let header = &batch.header;
        while let Some(next) = self.ahead.last()
            && next.first_offset <= header.last_offset
        {
            self.producers.insert(next.producer_id);
            self.ahead.pop();
        }
        if header.is_control() {
            if is_abort(batch, fetched) {
                self.producers.remove(&header.producer_id);
            }
            return false;
        }
        !self.is_aborted(header)
    }

    fn is_aborted(&self, header: &BatchHeader) -> bool {
        header.is_transactional() && self.producers.contains(&header.producer_id)
    }
}

fn is_abort(batch: &RecordBatch, fetched: &[u8]) -> bool {
    let (buffer, begin) = batch.body.of(fetched);
    let marker = Cursor::new(buffer, begin).record();
    let key = marker.ok().and_then(|marker| marker.key.of(buffer));
    key.is_some_and(|key| key.get(2..4) == Some(&ABORT))
}
