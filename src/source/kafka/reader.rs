//! One subtask's consumer: fetches in batches, keeps the position of every split.
//!
//! The position is the offset after the last record, or the one that an end-of-partition event
//! names: so a tail of transaction markers is no lag, and ends a bounded run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::KafkaSettings;
use super::batch::KafkaBatch;
use super::client::Client;
use super::context::BROKERS;
use super::liveness::{Liveness, Silence};
use super::native::{self, MessageQueue, Messages, QueueWaker};
use super::permission::is_about_the_group;
use crate::clock::Clock;
use crate::ids::{NextOffset, Offset, Split};
use crate::runtime::health::Health;
use crate::runtime::progress::subtask::Position;
use crate::source::reread::Reread;
use crate::source::{
    Origin, RawBatch, Record, SourceError, SourceReader, SplitIndex, SplitStart, Wake,
};

/// Records in a batch at the most: enough to spread what each batch costs behind this.
const BATCH: usize = 8_192;
/// A batch ends earlier when its keys and values have so many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Messages of one call at the most: with some 300 bytes each they stay in a core's cache until they
/// are copied.
const LARGEST_CALL: usize = 1_024;
const SMALLEST_CALL: usize = 16;

pub struct KafkaReader {
    settings: KafkaSettings,
    client: Client,
    waker: Arc<QueueWaker>,
    liveness: Liveness,
    splits: Vec<Split>,
    places: HashMap<(String, i32), SplitIndex>,
    states: Vec<SplitState>,
    /// Messages that the next call takes.
    call: usize,
    /// Records and bytes of the last batch: the next one is much the same.
    last: (usize, usize),
    /// Whether records have their headers.
    headers: bool,
    /// Time that calls have waited for messages.
    waited: Duration,
}

struct SplitState {
    position: NextOffset,
    /// The saved next offset; the position is below it only while lost records are read again.
    saved: NextOffset,
    reread: Option<Reread>,
    until: Option<NextOffset>,
}

impl SplitState {
    /// Whether a record at or above the position is to be handed over.
    fn wants(&mut self, offset: Offset) -> bool {
        offset.0 >= self.saved.0 || self.reread.as_mut().is_some_and(|r| r.wants(offset))
    }

    /// Moves the position on. What is behind the end of a bounded run is dropped, so it counts as not
    /// read: the position never goes there.
    fn reach(&mut self, to: NextOffset) {
        let to = self.until.map_or(to, |until| until.min(to));
        self.position = self.position.max(to);
    }

    fn rereading(&self) -> bool {
        self.position < self.saved
    }

    fn at_end(&self) -> bool {
        self.until.is_some_and(|until| self.position >= until)
    }
}

impl KafkaReader {
    pub fn new(
        settings: &KafkaSettings,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KafkaError> {
        let now = clock.monotonic();
        let waker = Arc::new(QueueWaker::default());
        Ok(Self {
            settings: settings.clone(),
            client: Client::new(settings, settings.context(health, clock), waker.clone())?,
            waker,
            liveness: Liveness::new(now),
            splits: Vec::new(),
            places: HashMap::new(),
            states: Vec::new(),
            call: SMALLEST_CALL,
            last: (0, 0),
            headers: false,
            waited: Duration::ZERO,
        })
    }

    /// From now on records have their headers, which costs a look at every message.
    pub fn keep_headers(&mut self) {
        self.headers = true;
    }

    /// Where messages come from, for measuring what they cost before anything is done with them.
    pub fn queue(&self) -> &MessageQueue {
        &self.client.queue
    }

    /// Copies what is to be handed over, and keeps the positions.
    fn take(&mut self, messages: &Messages, batch: &mut KafkaBatch) -> Result<(), SourceError> {
        // Messages come in runs of one partition; looking its place up once a run is enough.
        let mut run = None;
        for place in 0..messages.len() {
            let message = messages.get(place);
            let index = match run {
                Some((source, index)) if source == message.source => index,
                _ => {
                    let split = (messages.topic(place), message.source.partition);
                    let Some(&index) = self.places.get(&split) else {
                        let (topic, partition) = split;
                        let Some(error) = message.error else {
                            let what = format!("a record of {topic}-{partition}, not asked for");
                            return Err(SourceError::Fatal(what));
                        };
                        self.trouble(CONSUMER, &format!("{topic}-{partition}: {error}"));
                        continue;
                    };
                    run = Some((message.source, index));
                    index
                }
            };
            if let Some(code) = message.error {
                self.event(index, code, message.offset)?;
                continue;
            }
            let state = &mut self.states[index.0 as usize];
            let offset = Offset(message.offset);
            // Handed over before, and fetched again after a reconnect.
            if offset.0 < state.position.0 {
                continue;
            }
            // A record behind the end proves that there is nothing more before it.
            state.reach(offset.next());
            let behind_end = state.until.is_some_and(|until| offset.0 >= until.0);
            if behind_end || !state.wants(offset) {
                continue;
            }
            let headers = match self.headers {
                true => messages.headers(place),
                false => Vec::new(),
            };
            let origin = Origin {
                split: index,
                offset,
            };
            let record = Record {
                origin,
                timestamp: messages.timestamp(place),
                key: message.key,
                value: message.payload,
            };
            batch.push(record, headers);
        }
        Ok(())
    }

    /// Takes events that are no messages: errors, statistics, token refresh. They are served by
    /// callbacks; what comes out here is an error of the consumer as a whole.
    fn serve_events(&self) -> Result<(), SourceError> {
        let consumer = &self.client.consumer;
        for _ in 0..native::waiting_events(consumer).max(1) {
            // What a callback has served leaves nothing.
            let Some(event) = consumer.poll(Duration::ZERO) else {
                continue;
            };
            match event {
                Err(KafkaError::MessageConsumptionFatal(code)) => {
                    return Err(SourceError::Fatal(code.to_string()));
                }
                // It is said by who commits.
                Err(error) if is_about_the_group(&error) => {}
                Err(error) => {
                    let why = self.client.context().last_error();
                    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
                    self.trouble(CONSUMER, &format!("{error}{why}"));
                }
                // All partitions are forwarded before they are assigned, so no record comes here.
                Ok(_) => return Err(SourceError::Fatal("a record came beside its queue".into())),
            }
        }
        Ok(())
    }

    /// Notes that these splits, and so the brokers, are well.
    fn recovered(&self, splits: impl IntoIterator<Item = SplitIndex>) {
        let context = self.client.context();
        if !context.health.degraded() {
            return;
        }
        context.well(BROKERS);
        context.well(CONSUMER);
        let mut last = None;
        for index in splits {
            if last.replace(index) != Some(index) {
                context.well(&concern(&self.splits[index.0 as usize]));
            }
        }
    }

    /// Looks into the silence of a client that has delivered nothing for long.
    fn listen(&mut self) -> Result<(), SourceError> {
        let now = self.client.context().now();
        if !self.liveness.due(now) {
            return Ok(());
        }
        let places = (0..).map(SplitIndex).zip(&self.states);
        let open: Vec<_> = places
            .filter(|(_, state)| !state.at_end())
            .map(|(index, state)| (index, state.position))
            .collect();
        let (splits, client) = (&self.splits, &self.client);
        let ask = |index: SplitIndex| client.ask_for_end(&splits[index.0 as usize]);
        match self.liveness.look(now, &open, ask) {
            Silence::NotKnownYet => {}
            Silence::Well(split) => self.recovered(split),
            Silence::Lost(split, why) => {
                let message = format!("nothing comes: {why}; trying a new client");
                self.trouble(&concern(&self.splits[split.0 as usize]), &message);
                self.renew(now)?;
            }
        }
        Ok(())
    }

    /// Goes on with a new client, from the positions of the old one.
    fn renew(&mut self, now: Duration) -> Result<(), SourceError> {
        self.liveness.renewed(now);
        let context = self.client.context().again();
        match Client::new(&self.settings, context, self.waker.clone()) {
            Ok(new) => {
                tracing::info!("trying a new kafka client");
                new.assign(&self.positions())?;
                std::mem::replace(&mut self.client, new).end();
            }
            Err(error) => self.trouble(CONSUMER, &error.to_string()),
        }
        Ok(())
    }

    /// Ends what is behind its saved next offset.
    fn finish_rereading(&mut self) -> Result<(), SourceError> {
        for (state, split) in self.states.iter_mut().zip(&self.splits) {
            if !state.rereading()
                && let Some(reread) = state.reread.take()
            {
                reread.finish(split)?;
            }
        }
        Ok(())
    }

    fn trouble(&self, concern: &str, message: &str) {
        let context = self.client.context();
        context.failing(concern, message.to_owned());
    }

    /// An event of a split that stands in place of a message.
    fn event(
        &mut self,
        index: SplitIndex,
        code: RDKafkaErrorCode,
        offset: i64,
    ) -> Result<(), SourceError> {
        let state = &mut self.states[index.0 as usize];
        match code {
            RDKafkaErrorCode::PartitionEOF => {
                state.reach(NextOffset(offset));
                self.recovered([index]);
                Ok(())
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Err(SourceError::OffsetLost {
                    split: self.splits[index.0 as usize].clone(),
                    wanted: state.position,
                })
            }
            // The client goes on behind what it could not read; the archive must not.
            RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::NotImplemented
            | RDKafkaErrorCode::InvalidMessage => Err(SourceError::Unreadable {
                split: self.splits[index.0 as usize].clone(),
                position: state.position,
                why: code.to_string(),
            }),
            code => {
                self.trouble(&concern(&self.splits[index.0 as usize]), &code.to_string());
                Ok(())
            }
        }
    }
}

/// Concern of the consumer as a whole in the health.
const CONSUMER: &str = "kafka consumer";

fn concern(split: &Split) -> String {
    format!("kafka {split}")
}

impl SourceReader for KafkaReader {
    type Batch = KafkaBatch;

    fn fetch(&mut self, timeout: Duration) -> Result<KafkaBatch, SourceError> {
        self.serve_events()?;
        let mut batch = KafkaBatch::with_capacity(self.last.0, self.last.1);
        let (mut timeout, mut delivered) = (timeout, false);
        while batch.len() < BATCH && batch.bytes() < BATCH_BYTES {
            let begin = Instant::now();
            let messages = self.client.queue.consume(timeout, self.call);
            if !timeout.is_zero() {
                self.waited += begin.elapsed();
            }
            delivered |= messages.len() > 0;
            let before = batch.bytes();
            self.take(&messages, &mut batch)?;
            if messages.len() < self.call {
                break;
            }
            // Large messages are taken a few at a time.
            let average = (batch.bytes() - before) / self.call + 1;
            self.call = (BATCH_BYTES / average).clamp(SMALLEST_CALL, LARGEST_CALL);
            timeout = Duration::ZERO;
        }
        self.last = (batch.len(), batch.bytes());
        self.finish_rereading()?;
        if delivered {
            self.liveness.heard(self.client.context().now());
        } else {
            self.listen()?;
        }
        if !batch.is_empty() {
            self.recovered(batch.origins().map(|origin| origin.split));
        }
        Ok(batch)
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }

    fn add_splits(&mut self, starts: Vec<SplitStart>) -> Result<(), SourceError> {
        let mut begins = Vec::new();
        for start in starts {
            let begin = match &start.reread {
                Some(reread) => reread.begin(start.from),
                None => start.from,
            };
            begins.push((start.split.clone(), begin));
            let index = SplitIndex(u32::try_from(self.splits.len()).unwrap_or(u32::MAX));
            let place = (start.split.topic.to_string(), start.split.partition);
            self.places.insert(place, index);
            self.splits.push(start.split);
            self.states.push(SplitState {
                position: begin,
                saved: start.from,
                reread: start.reread,
                until: start.until,
            });
        }
        self.client.assign(&begins)
    }

    fn splits(&self) -> &[Split] {
        &self.splits
    }

    fn positions(&self) -> Vec<(Split, NextOffset)> {
        let positions = self.states.iter().map(|state| state.position);
        self.splits.iter().cloned().zip(positions).collect()
    }

    fn places(&self) -> Vec<Position> {
        let places = self.splits.iter().zip(&self.states);
        places
            .map(|(split, state)| Position {
                split: split.clone(),
                consumed: state.position,
                end: self
                    .client
                    .queue
                    .end(&split.topic, split.partition)
                    .map(NextOffset),
            })
            .collect()
    }

    fn queued(&self) -> usize {
        self.client.queue.len()
    }

    fn waited(&self) -> Duration {
        self.waited
    }

    fn rereading(&self) -> bool {
        self.states.iter().any(SplitState::rereading)
    }

    fn at_end(&self) -> bool {
        self.states.iter().all(SplitState::at_end)
    }
}
