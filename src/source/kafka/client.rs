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
use super::native::{KafkaConsumer, MessageQueue};
use crate::ids::{NextOffset, Split};
use crate::source::SourceError;

/// Kafka answers within it, or it does not.
const ANSWER: Duration = Duration::from_secs(5);

pub struct Client {
    pub queue: MessageQueue,
    pub consumer: Arc<KafkaConsumer>,
}

impl Client {
    pub fn new(settings: &KafkaSettings, context: Context) -> Result<Self, KafkaError> {
        let consumer: KafkaConsumer = settings.client_config().create_with_context(context)?;
        let consumer = Arc::new(consumer);
        let queue = MessageQueue::new(consumer.clone()).ok_or_else(|| {
            KafkaError::ClientCreation("librdkafka gave no queue for messages".into())
        })?;
        Ok(Self { queue, consumer })
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
        let (consumer, split) = (self.consumer.clone(), split.clone());
        let ask = move || {
            let ends = consumer.fetch_watermarks(&split.topic, split.partition, ANSWER);
            let end = ends.map(|(_, end)| NextOffset(end));
            // Unheard when records have come meanwhile.
            let _ = send.send(end.map_err(|e| e.to_string()));
        };
        let _ = std::thread::Builder::new().spawn(ask);
        answer
    }

    /// Ends it on a thread of its own, since it may wait for its brokers; without one it does so here.
    pub fn end(self) {
        let _ = std::thread::Builder::new().spawn(move || drop(self));
    }
}
