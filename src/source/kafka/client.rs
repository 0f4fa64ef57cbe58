//! One librdkafka client of a reader, with the queue that its messages come to.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::KafkaSettings;
use super::context::Context;
use super::liveness::Answer;
use super::native::{KafkaConsumer, MessageQueue, QueueWaker};
use crate::ids::{NextOffset, Split};
use crate::source::SourceError;

/// Kafka answers within it, or it does not; on top of a fetch that waits for records before it.
const ANSWER: Duration = Duration::from_secs(5);
const FETCH_WAIT: &str = "fetch.wait.max.ms";

pub struct Client {
    pub queue: MessageQueue,
    pub consumer: Arc<KafkaConsumer>,
    /// How long it waits for an answer.
    answer: Duration,
}

impl Client {
    /// `waker` is its queue's from now on.
    pub fn new(
        settings: &KafkaSettings,
        context: Context,
        waker: Arc<QueueWaker>,
    ) -> Result<Self, KafkaError> {
        let consumer = settings.client(context)?;
        let queue = MessageQueue::new(consumer.clone(), waker).ok_or_else(|| {
            KafkaError::ClientCreation("librdkafka gave no queue for messages".into())
        })?;
        let wait = settings.properties.get(FETCH_WAIT);
        let wait = wait.and_then(|wait| wait.parse().ok()).unwrap_or_default();
        Ok(Self {
            queue,
            consumer,
            answer: ANSWER + Duration::from_millis(wait),
        })
    }

    pub fn context(&self) -> &Context {
        self.consumer.client().context()
    }

    /// Has these splits delivered from these offsets on, beside those that it has.
    pub fn assign(&self, starts: &[(Split, NextOffset)]) -> Result<(), SourceError> {
        let mut assignment = TopicPartitionList::new();
        let fatal = |e: KafkaError| SourceError::Fatal(e.to_string());
        for (split, from) in starts {
            let from = KafkaOffset::Offset(from.0);
            assignment
                .add_partition_offset(&split.topic, split.partition, from)
                .map_err(fatal)?;
            if !self.queue.forward(&split.topic, split.partition) {
                return Err(SourceError::Fatal(format!("no queue for {split}")));
            }
        }
        self.consumer.incremental_assign(&assignment).map_err(fatal)
    }

    /// Asks Kafka where a split ends, on a thread of its own: reading must not wait for it. Without
    /// a thread the channel says that there is no answer.
    pub fn ask_for_end(&self, split: &Split) -> Receiver<Answer> {
        let (send, answer) = channel();
        let (consumer, split, timeout) = (self.consumer.clone(), split.clone(), self.answer);
        // Unheard when records have come meanwhile.
        let ask = move || drop(send.send(end_of(&consumer, &split, timeout)));
        let _ = std::thread::Builder::new().spawn(ask);
        answer
    }

    /// Ends it on a thread of its own, since it may wait for its brokers; without one it does so here.
    pub fn end(self) {
        let _ = std::thread::Builder::new().spawn(move || drop(self));
    }
}

fn end_of(consumer: &KafkaConsumer, split: &Split, timeout: Duration) -> Answer {
    let error = match consumer.fetch_watermarks(&split.topic, split.partition, timeout) {
        Ok((_, end)) => return Answer::End(NextOffset(end)),
        Err(error) => error,
    };
    // A partition without a leader and a client without brokers fail alike.
    let leaderless = consumer
        .fetch_metadata(Some(&split.topic), timeout)
        .is_ok_and(|known| {
            let mut partitions = known.topics().iter().flat_map(|topic| topic.partitions());
            let led = partitions.any(|p| p.id() == split.partition && p.leader() >= 0);
            !known.brokers().is_empty() && !led
        });
    if leaderless {
        Answer::NoLeader
    } else {
        Answer::None(error.to_string())
    }
}
