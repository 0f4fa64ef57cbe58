//! Whether one may read a topic: Kafka says it only to who tries.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::native::KafkaConsumer;
use crate::ids::{NextOffset, Split};

/// A broker that has not said anything about a fetch by then has other troubles, which reading will meet.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks at a silent client.
const LOOK: Duration = Duration::from_millis(100);

/// Fetches one record, or the end. The client must have nothing else assigned.
///
/// # Errors
/// The broker's, if it refuses.
pub fn try_fetch(
    consumer: &KafkaConsumer,
    split: &Split,
    from: NextOffset,
) -> Result<(), KafkaError> {
    let mut assignment = TopicPartitionList::new();
    let offset = Offset::Offset(from.0);
    assignment.add_partition_offset(&split.topic, split.partition, offset)?;
    consumer.assign(&assignment)?;
    let begin = Instant::now();
    let answer = loop {
        match consumer.poll(LOOK) {
            Some(Err(error)) if is_refusal(&error) => break Err(error),
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => break Ok(()),
            // Other troubles are no refusal.
            Some(Err(_)) | None => {}
        }
        if begin.elapsed() > ANSWER {
            break Ok(());
        }
    };
    consumer.unassign()?;
    answer
}

/// Whether the topic is refused, for good.
pub fn is_refusal(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// Whether it is the group that is refused.
pub fn is_about_the_group(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}
