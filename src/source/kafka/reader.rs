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
use super::batch::{Copied, KafkaBatch};
use super::client::Client;
use super::context::BROKERS;
use super::liveness::{Liveness, Silence};
use super::native::{self, MessageQueue, Messages, QueueWaker};
use super::permission::is_about_the_group;
use super::splits::Splits;
use crate::clock::Clock;
use crate::ids::{NextOffset, Offset, Split};
use crate::runtime::health::Health;
use crate::runtime::progress::subtask::Position;
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
    splits: Splits,
    places: HashMap<(String, i32), SplitIndex>,
    /// Messages that the next call takes.
    call: usize,
    /// Records and bytes of the last batch: the next one is much the same.
    last: (usize, usize),
    /// Whether records have their headers.
    headers: bool,
    /// Time that calls have waited for messages.
    waited: Duration,
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
            splits: Splits::default(),
            places: HashMap::new(),
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
    fn take(&mut self, messages: &Messages, batch: &mut Copied) -> Result<(), SourceError> {
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
            let offset = Offset(message.offset);
            if !self.splits.take(index, offset) {
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
            if !batch.push(record, headers) {
                let what = format!("the records before offset {offset} are beyond 4 GiB");
                return Err(SourceError::Fatal(what));
            }
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
                context.well(&concern(self.splits.name(index)));
            }
        }
    }

    /// Looks into the silence of a client that has delivered nothing for long.
    fn listen(&mut self) -> Result<(), SourceError> {
        let now = self.client.context().now();
        if !self.liveness.due(now) {
            return Ok(());
        }
        let open = self.splits.open();
        let (splits, client) = (&self.splits, &self.client);
        let ask = |index: SplitIndex| client.ask_for_end(splits.name(index));
        match self.liveness.look(now, &open, ask) {
            Silence::NotKnownYet => {}
            Silence::Well(split) => self.recovered(split),
            Silence::Lost(split, why) => {
                let message = format!("nothing comes: {why}; trying a new client");
                self.trouble(&concern(self.splits.name(split)), &message);
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
        match code {
            RDKafkaErrorCode::PartitionEOF => {
                self.splits.reach(index, NextOffset(offset));
                self.recovered([index]);
                Ok(())
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Err(SourceError::OffsetLost {
                    split: self.splits.name(index).clone(),
                    wanted: self.splits.position(index),
                })
            }
            // The client goes on behind what it could not read; the archive must not.
            RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::NotImplemented
            | RDKafkaErrorCode::InvalidMessage => Err(SourceError::Unreadable {
                split: self.splits.name(index).clone(),
                position: self.splits.position(index),
                why: code.to_string(),
            }),
            code => {
                self.trouble(&concern(self.splits.name(index)), &code.to_string());
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
        let mut batch = Copied::with_capacity(self.last.0, self.last.1);
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
        let batch = batch.finish();
        self.splits.finish_rereading()?;
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
            let split = start.split.clone();
            let (index, begin) = self.splits.add(start);
            let place = (split.topic.to_string(), split.partition);
            self.places.insert(place, index);
            begins.push((split, begin));
        }
        self.client.assign(&begins)
    }

    fn splits(&self) -> &[Split] {
        self.splits.names()
    }

    fn positions(&self) -> Vec<(Split, NextOffset)> {
        self.splits.positions()
    }

    fn places(&self) -> Vec<Position> {
        let queue = &self.client.queue;
        let end = |split: &Split| queue.end(&split.topic, split.partition).map(NextOffset);
        self.splits.places(|_, split| end(split))
    }

    fn queued(&self) -> usize {
        self.client.queue.len()
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
