//! Kafka by librdkafka: one consumer for each subtask, partitions assigned by hand.

mod batch;
mod blocking;
mod client;
pub mod cluster;
mod context;
mod direct;
mod either;
mod liveness;
mod native;
pub mod oauth;
mod permission;
mod probe;
pub mod reader;
mod refusal;
pub mod security;
mod splits;
mod token;
pub mod token_endpoint;
pub mod topics;

pub use cluster::{Cluster, ClusterError, Watermarks};
pub use direct::DirectReader;
pub use either::{ReadBy, Reader, ReaderChoice, ReaderError};
pub use reader::KafkaReader;
pub use topics::Topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::clock::Clock;
use crate::runtime::health::Health;
use context::Context;
use native::KafkaConsumer;
use security::Security;

/// How to reach Kafka.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    pub bootstrap_servers: String,
    pub group_id: String,
    /// Handed to librdkafka as they are; what the protocol owns has been refused before.
    pub properties: BTreeMap<String, String>,
    pub security: Security,
    /// Whether the brokers can be asked for the topic's id; librdkafka's mock does not answer.
    pub topic_ids: bool,
    /// Bytes that one consumer's queue may take, fetches under way included.
    pub queue_memory: usize,
}

/// What librdkafka needs for a queued message beside its payload.
const MESSAGE_OVERHEAD: usize = 300;
/// A fetch of small messages takes so many times its bytes once it is in the queue.
const SMALL_MESSAGES: usize = 8;
/// More does not make it faster, and takes memory.
const MOST_MESSAGES: usize = 10_000;
const LARGEST_FETCH: usize = 8 << 20;
/// Librdkafka asks for at least `message.max.bytes`, which is a million.
const SMALLEST_FETCH: usize = 1_000_000;

/// Properties that exactly-once rests on, and why nobody else may set them.
const OWNED_PROPERTIES: &[(&str, &str)] = &[
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

/// Properties of librdkafka that nobody may set by hand, and why.
pub fn owned_properties() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    OWNED_PROPERTIES.iter().chain(security::OWNED_PROPERTIES)
}

/// Why there is no client, without the value of a property: it may be a secret.
pub fn without_values(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, key, value) if why.contains(value.as_str()) => {
            format!("{key} has a value that it cannot have")
        }
        KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
        error => error.to_string(),
    }
}

impl KafkaSettings {
    fn context(&self, health: Arc<Health>, clock: Arc<dyn Clock>) -> Context {
        Context::new(health, clock, &self.security)
    }

    fn client(&self, context: Context) -> Result<Arc<KafkaConsumer>, KafkaError> {
        self.client_config()
            .create_with_context(context)
            .map(Arc::new)
    }

    fn client_config(&self) -> ClientConfig {
        let half = self.queue_memory / 2;
        let messages = (half / MESSAGE_OVERHEAD).clamp(1, MOST_MESSAGES);
        let fetch = (half / SMALL_MESSAGES).clamp(SMALLEST_FETCH, LARGEST_FETCH);
        let mut config = ClientConfig::new();
        // Connections that brokers close are said at this level, and no lower one.
        if (config.log_level as i32) < RDKafkaLogLevel::Info as i32 {
            config.set_log_level(RDKafkaLogLevel::Info);
        }
        config
            .set("client.id", "lineage")
            // A full queue is looked at again after this time; librdkafka's default of a second
            // makes catching up almost four times slower.
            .set("fetch.queue.backoff.ms", "5")
            // Half for what is queued, half for the fetch that comes on top of it. Small queues are
            // faster, too: they stay in the caches.
            .set("queued.min.messages", messages.to_string())
            .set("queued.max.messages.kbytes", (half >> 10).to_string())
            .set(
                "fetch.message.max.bytes",
                (512 << 10).min(fetch).to_string(),
            )
            .set("fetch.max.bytes", fetch.to_string())
            .set("reconnect.backoff.max.ms", "2000");
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        for (key, value) in self.security.properties() {
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
