//! One subtask's reader: takes answers from the inbox, and records out of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::inbox::Inbox;
use super::record::Cursor;
use super::record_batch::{self, BatchHeader, Body};
use super::state::Wanted;
use super::transactions::Transactions;
use super::{Answer, Client, Fetched, Trouble, concern, leaders};
use crate::clock::Clock;
use crate::ids::{NextOffset, Offset, Split};
use crate::runtime::health::Health;
use crate::runtime::progress::subtask::Position;
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::batch::{Found, KafkaBatch};
use crate::source::kafka::context::BROKERS;
use crate::source::kafka::splits::Splits;
use crate::source::{Origin, RawBatch, SourceError, SourceReader, SplitIndex, SplitStart, Wake};

/// Records in a batch at the most: enough to spread what each batch costs behind this.
const BATCH: usize = 8_192;
/// A batch ends earlier when its keys and values have so many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// And when so many have been looked at for it, whatever came of them: who reads has other things to look after.
const LOOKED_AT: usize = 8 << 20;

#[cfg(test)]
mod tests;

pub struct DirectReader {
    client: Arc<Client>,
    inbox: Arc<Inbox<Answer>>,
    splits: Splits,
    /// What is left of the answer that was taken last.
    answer: VecDeque<Fetched>,
    open: Option<Open>,
    /// Records of the last batch: the next one is much the same.
    last: usize,
    headers: bool,
    waited: Duration,
    tasks: AbortHandle,
}

/// What is being read.
struct Open {
    fetched: Fetched,
    transactions: Transactions,
    /// Where the next record batch begins.
    at: usize,
    batch: Option<OpenBatch>,
}

struct OpenBatch {
    header: BatchHeader,
    body: Body,
    /// Where the next record begins, and how many there are from there on.
    at: usize,
    left: i32,
}

impl Drop for DirectReader {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

impl DirectReader {
    /// Whether it can read by these settings: one of the brokers to begin with is asked.
    ///
    /// # Errors
    /// With the reason for which reading is left to librdkafka.
    pub async fn try_out(
        settings: &KafkaSettings,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
    ) -> Result<(), String> {
        match Client::new(settings, health, clock)?.refused().await {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    /// Its tasks run on the runtime that this is called in.
    ///
    /// # Errors
    /// With the reason for which it cannot read.
    pub fn new(
        settings: &KafkaSettings,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let client = Arc::new(Client::new(settings, health, clock)?);
        let tasks = Handle::current().spawn(leaders::keep(client.clone()));
        Ok(Self {
            inbox: client.inbox.clone(),
            client,
            splits: Splits::default(),
            answer: VecDeque::new(),
            open: None,
            last: 0,
            headers: false,
            waited: Duration::ZERO,
            tasks: tasks.abort_handle(),
        })
    }

    /// From now on records have their headers.
    pub fn keep_headers(&mut self) {
        self.headers = true;
    }

    /// The next answer, if there is one; an empty batch is worth waiting for it.
    fn take_answer(&mut self, timeout: Duration) -> bool {
        let begin = Instant::now();
        let answer = self.inbox.take(timeout);
        if !timeout.is_zero() {
            self.waited += begin.elapsed();
        }
        let came = answer.is_some();
        self.answer.extend(answer.unwrap_or_default());
        came
    }

    /// Begins with what came of one split.
    fn begin(&mut self, mut fetched: Fetched) -> Result<(), SourceError> {
        let index = fetched.split;
        if let Some(trouble) = fetched.trouble {
            return self.failed(index, trouble);
        }
        if self.client.health.degraded() {
            self.client.well(&concern(self.splits.name(index)));
            // A broker is up: what librdkafka's clients have said of all of them is over.
            self.client.well(BROKERS);
        }
        let position = self.splits.position(index);
        if fetched.from > position {
            // Not to be believed; but what would be left out is never left out in silence.
            let split = self.splits.name(index);
            let from = fetched.from;
            let why =
                format!("{split}: records from {from} on came before those from {position} on");
            return Err(SourceError::Fatal(why));
        }
        let transactions = Transactions::new(std::mem::take(&mut fetched.aborted));
        self.open = Some(Open {
            fetched,
            transactions,
            at: 0,
            batch: None,
        });
        Ok(())
    }

    fn failed(&self, index: SplitIndex, trouble: Trouble) -> Result<(), SourceError> {
        let split = self.splits.name(index);
        let position = self.splits.position(index);
        match trouble {
            Trouble::CutOff { epoch, end } => Err(SourceError::CutOff {
                split: split.clone(),
                position,
                epoch,
                end,
            }),
            Trouble::Error(ResponseError::OffsetOutOfRange) => Err(SourceError::OffsetLost {
                split: split.clone(),
                wanted: position,
            }),
            Trouble::Error(error) => {
                self.client.failing(&concern(split), error.to_string());
                Ok(())
            }
        }
    }

    /// Reads what is open, until it is at its end or the batch is full.
    fn read(&mut self, batch: &mut Filling) -> Result<(), SourceError> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let index = open.fetched.split;
        let read = open.read(&mut self.splits, batch, self.headers);
        match read {
            Ok(true) => {}
            Ok(false) => self.open = Some(open),
            Err(why) => {
                return Err(SourceError::Unreadable {
                    split: self.splits.name(index).clone(),
                    position: self.splits.position(index),
                    why: why.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// A batch that is being filled.
struct Filling {
    batch: KafkaBatch,
    looked_at: usize,
}

impl Filling {
    fn is_full(&self) -> bool {
        let batch = &self.batch;
        batch.len() >= BATCH || batch.bytes() >= BATCH_BYTES || self.looked_at >= LOOKED_AT
    }
}

impl Open {
    /// Whether it is at its end.
    fn read(
        &mut self,
        splits: &mut Splits,
        into: &mut Filling,
        headers: bool,
    ) -> Result<bool, record_batch::BatchError> {
        let index = self.fetched.split;
        // Whether what was fetched is the buffer that was added last.
        let mut in_place = false;
        loop {
            if into.is_full() {
                return Ok(false);
            }
            let batch = match &mut self.batch {
                Some(batch) => batch,
                none => {
                    let next = record_batch::next(&self.fetched.records, self.at)?;
                    let Some((next, end)) = next else {
                        return Ok(true);
                    };
                    into.looked_at += match &next.body {
                        Body::InPlace(_) => end - self.at,
                        Body::Decompressed(buffer) => buffer.len(),
                    };
                    self.at = end;
                    let last = NextOffset(next.header.last_offset.saturating_add(1));
                    // Also what is read again begins with the batch that its first record is in.
                    let wanted = last > splits.position(index);
                    if !self.transactions.take(&next, &self.fetched.records) || !wanted {
                        splits.reach(index, last);
                        continue;
                    }
                    none.insert(OpenBatch {
                        at: next.body.of(&self.fetched.records).1,
                        left: next.header.records,
                        header: next.header,
                        body: next.body,
                    })
                }
            };
            let mut added = in_place && matches!(batch.body, Body::InPlace(_));
            batch.read(&self.fetched, splits, &mut into.batch, headers, &mut added)?;
            if added {
                in_place = matches!(batch.body, Body::InPlace(_));
            }
            if batch.left <= 0 {
                let last = NextOffset(batch.header.last_offset.saturating_add(1));
                splits.reach(index, last);
                self.batch = None;
            }
        }
    }
}

impl OpenBatch {
    /// Reads records until there is none left, or `into` has enough of them. Its buffer is added with the first one
    /// that is handed over, unless that is so already.
    fn read(
        &mut self,
        fetched: &Fetched,
        splits: &mut Splits,
        into: &mut KafkaBatch,
        headers: bool,
        added: &mut bool,
    ) -> Result<(), record_batch::BatchError> {
        let malformed = |_| record_batch::BatchError::Records;
        let (buffer, _) = self.body.of(&fetched.records);
        let mut cursor = Cursor::new(buffer, self.at);
        while self.left > 0 && into.len() < BATCH && into.bytes() < BATCH_BYTES {
            let record = cursor.record().map_err(malformed)?;
            self.left -= 1;
            let offset = Offset(self.header.base_offset.saturating_add(record.offset_delta));
            if !splits.take(fetched.split, offset) {
                continue;
            }
            if !*added {
                *added = true;
                into.add_buffer(match &self.body {
                    Body::InPlace(_) => fetched.records.clone(),
                    Body::Decompressed(buffer) => buffer.clone(),
                });
            }
            into.push(Found {
                origin: Origin {
                    split: fetched.split,
                    offset,
                },
                timestamp: self.header.timestamp(record.timestamp_delta),
                key: record.key,
                value: record.value,
            });
            if headers {
                into.push_headers(record.headers(buffer).map_err(malformed)?);
            }
        }
        self.at = cursor.at();
        // Bytes behind the last record are none of Kafka's.
        match self.left <= 0 && self.at != buffer.len() {
            true => Err(record_batch::BatchError::Records),
            false => Ok(()),
        }
    }
}

impl SourceReader for DirectReader {
    type Batch = KafkaBatch;

    fn fetch(&mut self, timeout: Duration) -> Result<KafkaBatch, SourceError> {
        if self.tasks.is_finished() {
            let why = "what fetches from the brokers has ended, which it never should";
            return Err(SourceError::Fatal(why.to_owned()));
        }
        let mut batch = Filling {
            batch: KafkaBatch::with_capacity(self.last),
            looked_at: 0,
        };
        while !batch.is_full() {
            if self.open.is_some() {
                self.read(&mut batch)?;
            } else if let Some(fetched) = self.answer.pop_front() {
                self.begin(fetched)?;
            } else {
                let wait = match batch.looked_at {
                    0 => timeout,
                    _ => Duration::ZERO,
                };
                if !self.take_answer(wait) {
                    break;
                }
                // What it brings may be no record; who waits looks after other things meanwhile.
                if self.answer.iter().all(|fetched| fetched.records.is_empty()) {
                    while let Some(fetched) = self.answer.pop_front() {
                        self.begin(fetched)?;
                        self.open = None;
                    }
                    break;
                }
            }
        }
        self.last = batch.batch.len();
        self.splits.finish_rereading()?;
        Ok(batch.batch)
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.inbox.clone()
    }

    fn add_splits(&mut self, starts: Vec<SplitStart>) -> Result<(), SourceError> {
        {
            let mut state = self.client.shared.lock();
            for start in starts {
                let (split, until) = (start.split.clone(), start.until);
                let (index, next) = self.splits.add(start);
                state.add(Wanted::new(split, index, next, until));
            }
        }
        self.client.shared.leaders_wanted.notify_one();
        Ok(())
    }

    fn splits(&self) -> &[Split] {
        self.splits.names()
    }

    fn positions(&self) -> Vec<(Split, NextOffset)> {
        self.splits.positions()
    }

    fn places(&self) -> Vec<Position> {
        let state = self.client.shared.lock();
        self.splits.places(|index, _| state.end(index))
    }

    fn queued(&self) -> usize {
        let of = |fetched: &Fetched| record_batch::count(&fetched.records);
        let waiting = self.inbox.sum(|answer| answer.iter().map(of).sum());
        waiting + self.answer.iter().map(of).sum::<usize>()
    }

    fn waited(&self) -> Duration {
        self.waited
    }

    fn rereading(&self) -> bool {
        self.splits.rereading()
    }

    fn at_end(&self) -> bool {
        self.splits.at_end()
    }
}
