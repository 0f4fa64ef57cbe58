//! Kafka by librdkafka: one consumer for each subtask, partitions assigned by hand.

pub mod cluster;
mod context;
mod native;
pub mod reader;

pub use cluster::{Cluster, ClusterError, Watermarks};
pub use reader::KafkaReader;

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

/// How to reach Kafka.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    pub bootstrap_servers: String,
    pub group_id: String,
    /// Handed to librdkafka as they are; what the protocol owns has been refused before.
    pub properties: BTreeMap<String, String>,
    /// Whether the brokers can be asked for the topic's id; librdkafka's mock does not answer.
    pub topic_ids: bool,
}

/// Properties that exactly-once rests on, and why nobody else may set them.
pub const OWNED_PROPERTIES: &[(&str, &str)] = &[
    (
        "enable.auto.commit",
        "offsets are committed after the files are visible, never before",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed after the files are visible, never before",
    ),
    (
        "auto.commit.interval.ms",
        "offsets are committed after the files are visible, never before",
    ),
    (
        "auto.offset.reset",
        "a saved offset that is lost must be an error, never a silent jump",
    ),
    (
        "enable.partition.eof",
        "positions behind transaction markers come from these events",
    ),
    (
        "isolation.level",
        "records of aborted transactions must never be archived",
    ),
    (
        "bootstrap.servers",
        "it has a setting of its own: KAFKA_BOOTSTRAP_SERVERS",
    ),
    (
        "metadata.broker.list",
        "it is KAFKA_BOOTSTRAP_SERVERS under another name",
    ),
    ("group.id", "it has a setting of its own: KAFKA_GROUP_ID"),
];

impl KafkaSettings {
    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "lineage")
            // A full queue is looked at again after this time; librdkafka's default of a second
            // makes catching up almost four times slower.
            .set("fetch.queue.backoff.ms", "5")
            // Small queues: faster for the caches, and bounded. Each queued message costs some
            // 300 bytes beside its payload, so the count is the limit that matters.
            .set("queued.min.messages", "40000")
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.message.max.bytes", "524288")
            .set("fetch.max.bytes", "8388608")
            .set("reconnect.backoff.max.ms", "2000");
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("group.id", &self.group_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        config
    }
}
