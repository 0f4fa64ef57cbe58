//! Questions to the cluster, and the offsets that are committed for lag monitors. All calls block.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::KafkaSettings;
use super::context::Context;
use super::native::{self, KafkaConsumer};
use crate::clock::Clock;
use crate::ids::{NextOffset, Split};
use crate::runtime::health::Health;

/// A broker that does not answer within it is asked again by the caller.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("Kafka at {servers} does not answer: {source}{why}")]
    Unreachable {
        servers: String,
        source: KafkaError,
        /// What the client said of its last connection; may be empty.
        why: String,
    },
    #[error("{split}: Kafka does not say which offsets it holds: {source}")]
    Watermarks { split: Split, source: KafkaError },
    #[error("offsets could not be committed to group {group}: {source}")]
    Commit { group: String, source: KafkaError },
}

/// Concern of partitions without a leader in the health.
const LEADERS: &str = "partition leaders";

/// What Kafka holds of a split: from the earliest record to behind the last committed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    pub earliest: NextOffset,
    pub end: NextOffset,
}

pub struct Cluster {
    consumer: KafkaConsumer,
    settings: KafkaSettings,
}

impl Cluster {
    pub fn new(
        settings: &KafkaSettings,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KafkaError> {
        let context = Context::new(health, clock);
        Ok(Self {
            consumer: settings.client_config().create_with_context(context)?,
            settings: settings.clone(),
        })
    }

    fn unreachable(&self, source: KafkaError) -> ClusterError {
        // Serves the events and log lines that say why.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        let why = self.consumer.client().context().last_error();
        ClusterError::Unreachable {
            servers: self.settings.bootstrap_servers.clone(),
            source,
            why: why.map(|why| format!(" ({why})")).unwrap_or_default(),
        }
    }

    /// Kafka's own id of the topic, where it has one.
    pub fn topic_id(&self, topic: &str) -> Result<Option<String>, ClusterError> {
        if !self.settings.topic_ids {
            return Ok(None);
        }
        native::topic_id(&self.consumer, topic, TIMEOUT)
            .map_err(|code| self.unreachable(KafkaError::MetadataFetch(code)))
    }

    /// The cluster's own id.
    pub fn id(&self) -> Result<String, ClusterError> {
        // Metadata first: its error says why there is no answer.
        let metadata = self.consumer.fetch_metadata(Some(""), TIMEOUT);
        metadata.map_err(|e| self.unreachable(e))?;
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        let id = self.consumer.client().fetch_cluster_id(TIMEOUT);
        id.ok_or_else(|| self.unreachable(timed_out))
    }

    /// Partitions of the topic; none when it does not exist. Those that no broker leads just now are
    /// among them, and a concern of the health.
    pub fn partitions(&self, topic: &str) -> Result<Vec<Split>, ClusterError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), TIMEOUT);
        let metadata = metadata.map_err(|e| self.unreachable(e))?;
        let mut splits = Vec::new();
        for found in metadata.topics().iter().filter(|t| t.name() == topic) {
            match found.error().map(RDKafkaErrorCode::from) {
                None => {}
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ) => return Ok(Vec::new()),
                Some(code) => return Err(self.unreachable(KafkaError::MetadataFetch(code))),
            }
            splits.extend(found.partitions().iter().map(|p| Split::new(topic, p.id())));
        }
        splits.sort();
        self.note_leaders(topic, &metadata);
        Ok(splits)
    }

    fn note_leaders(&self, topic: &str, metadata: &Metadata) {
        let topics = metadata.topics().iter().filter(|t| t.name() == topic);
        let leaderless = topics.flat_map(|t| t.partitions().iter().filter(|p| p.leader() < 0));
        let ids: Vec<_> = leaderless.map(|p| p.id().to_string()).collect();
        let context = self.consumer.client().context();
        if ids.is_empty() {
            context.well(LEADERS);
        } else {
            let partitions = ids.join(", ");
            let message = format!(
                "topic {topic}: no broker leads partition {partitions}; their records wait until \
                 a broker that holds them is back"
            );
            context.failing(LEADERS, message);
        }
    }

    pub fn watermarks(&self, split: &Split) -> Result<Watermarks, ClusterError> {
        let result = self
            .consumer
            .fetch_watermarks(&split.topic, split.partition, TIMEOUT);
        let (low, high) = result.map_err(|source| ClusterError::Watermarks {
            split: split.clone(),
            source,
        })?;
        Ok(Watermarks {
            earliest: NextOffset(low),
            end: NextOffset(high),
        })
    }

    /// Commits the next offsets to the consumer group. Only lag monitors read them.
    pub fn commit(&self, offsets: &BTreeMap<Split, NextOffset>) -> Result<(), ClusterError> {
        let failed = |source| ClusterError::Commit {
            group: self.settings.group_id.clone(),
            source,
        };
        let mut list = TopicPartitionList::new();
        for (split, next) in offsets {
            list.add_partition_offset(&split.topic, split.partition, KafkaOffset::Offset(next.0))
                .map_err(failed)?;
        }
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(failed)
    }
}
