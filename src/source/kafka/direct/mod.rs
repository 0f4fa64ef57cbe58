//! Reading from the brokers directly: record batches are read where they lie in the answers.
//!
//! librdkafka makes a message of some 300 bytes of every record, on a thread of its own, and another one frees it.
//! For records of some dozens of bytes that costs several times what all else does. Here an answer of a broker is
//! one buffer, and a record is two places in it. Everything that is not paid for each record, such as questions to
//! the cluster and the offsets of the group, stays with librdkafka, which also reads in place of this where
//! [`DirectReader::new`] says so.
//!
//! ```text
//! leaders ──► a task for each broker: one fetch at a time ──► inbox (1 answer) ──► reader, on the subtask's thread
//! ```
//!
//! A record of an aborted transaction is never handed over, nor one from a batch whose checksum is wrong.

#[cfg(test)]
mod built;
mod codec;
mod connection;
mod fetching;
mod inbox;
mod leaders;
mod reader;
mod record;
mod record_batch;
mod sasl;
mod state;
mod tls;
mod transactions;

pub use reader::DirectReader;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use tokio::time::timeout;

use super::KafkaSettings;
use crate::clock::Clock;
use crate::ids::{NextOffset, Split};
use crate::runtime::health::Health;
use crate::source::SplitIndex;
use connection::{Address, Connection, ConnectionError, Connector};
use fetching::FETCH;
use inbox::Inbox;
use state::Shared;
use tls::Tls;
use transactions::Aborted;

/// The properties of librdkafka that mean the same here.
const PROPERTIES: [&str; 6] = [
    CLIENT_ID,
    WAIT,
    LEAST,
    MOST,
    MOST_OF_PARTITION,
    MOST_OF_PARTITION_TOO,
];
const CLIENT_ID: &str = "client.id";
const WAIT: &str = "fetch.wait.max.ms";
const LEAST: &str = "fetch.min.bytes";
const MOST: &str = "fetch.max.bytes";
const MOST_OF_PARTITION: &str = "fetch.message.max.bytes";
const MOST_OF_PARTITION_TOO: &str = "max.partition.fetch.bytes";

/// As librdkafka has it.
const FETCH_WAIT_MS: i32 = 500;
/// A broker that has less waits for more of it: what an answer costs is most of what an idle pipeline costs.
const LEAST_BYTES: i32 = 64 << 10;
/// Larger answers make nothing faster, and leave the caches before they are read.
const MOST_BYTES: i32 = 1 << 20;
const MOST_BYTES_OF_PARTITION: i32 = 512 << 10;
/// Answers that wait for the reader beside those that their tasks hold.
const INBOX: usize = 1;
/// Of one broker at the most: one that is read just now, one in the inbox, and one with its task.
const ANSWERS_OF_BROKER: usize = 3;
/// How long a start waits for brokers that may not answer.
const TRIAL: Duration = Duration::from_secs(3);

/// What came of one split.
#[derive(Debug)]
pub struct Fetched {
    pub split: SplitIndex,
    /// What was asked for.
    pub from: NextOffset,
    pub trouble: Option<Trouble>,
    pub aborted: Vec<Aborted>,
    /// Whole record batches; may be empty.
    pub records: Bytes,
}

/// Why nothing came of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Error(ResponseError),
    /// Of the epoch that was read last, its leader has records up to `end` only, or none.
    CutOff {
        epoch: i32,
        end: i64,
    },
}

/// Of one request.
pub type Answer = Vec<Fetched>;

/// How much is fetched at once.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How long a broker waits for `least` bytes.
    wait_ms: i32,
    least: i32,
    all: i32,
    partition: i32,
}

/// What the tasks of a reader have in common.
pub struct Client {
    settings: KafkaSettings,
    connector: Connector,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    inbox: Arc<Inbox<Answer>>,
    limits: Limits,
}

impl Client {
    /// # Errors
    /// With the reason for which reading is left to librdkafka.
    fn new(
        settings: &KafkaSettings,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let known = |key: &String| PROPERTIES.contains(&key.as_str());
        if let Some(other) = settings.properties.keys().find(|key| !known(key)) {
            return Err(format!("of the property {other} only librdkafka knows"));
        }
        let property = |key: &str| settings.properties.get(key).map(String::as_str);
        let number = |key: &str, otherwise: i32| match property(key) {
            None => Ok(otherwise),
            Some(text) => text
                .parse()
                .map_err(|_| format!("{key} has a value that only librdkafka knows")),
        };
        let of_partition = match property(MOST_OF_PARTITION) {
            Some(_) => MOST_OF_PARTITION,
            None => MOST_OF_PARTITION_TOO,
        };
        let limits = Limits {
            wait_ms: number(WAIT, FETCH_WAIT_MS)?,
            least: number(LEAST, LEAST_BYTES)?,
            all: number(MOST, MOST_BYTES)?,
            partition: number(of_partition, MOST_BYTES_OF_PARTITION)?,
        };
        let client_id = property(CLIENT_ID).unwrap_or("lineage").to_owned();
        Ok(Self {
            connector: Connector {
                client_id: StrBytes::from_string(client_id),
                tls: Tls::new(&settings.security)?,
                security: settings.security.clone(),
            },
            settings: settings.clone(),
            health,
            clock,
            shared: Arc::default(),
            inbox: Inbox::new(INBOX),
            limits,
        })
    }

    async fn connect(&self, address: &Address) -> Result<Connection, ConnectionError> {
        let token = async || {
            let Some(tokens) = self.settings.security.tokens().cloned() else {
                return Err("no token is to be had".to_owned());
            };
            let (health, clock) = (self.health.clone(), self.clock.clone());
            // It may wait for the first answer of an endpoint.
            let token = tokio::task::spawn_blocking(move || tokens.token(&health, &clock)).await;
            let token = token.map_err(|e| e.to_string())?;
            token.map(|token| token.token).map_err(|e| e.to_string())
        };
        self.connector.connect(address, token).await
    }

    /// Why one of the brokers refuses this client, which librdkafka may not be. One that does not answer is waited
    /// for later.
    async fn refused(&self) -> Option<String> {
        let (mut all, mut why) = (None, None);
        for address in Address::all_of(&self.settings.bootstrap_servers) {
            match self.metadata(&address, &BTreeSet::new()).await {
                Ok(answer) => {
                    all = Some(leaders::brokers(&answer));
                    break;
                }
                Err(error) if error.is_refusal() => why = Some(format!("{address}: {error}")),
                Err(_) => {}
            }
        }
        let Some(all) = all else {
            return why;
        };
        let trials = all.into_values().map(|address| async move {
            let trial = async { self.connect(&address).await?.version(ApiKey::Fetch, FETCH) };
            match timeout(TRIAL, trial).await {
                Ok(Err(error)) if error.is_refusal() => Some(format!("{address}: {error}")),
                _ => None,
            }
        });
        join_all(trials).await.into_iter().flatten().next()
    }

    /// What one fetch may bring, with so many brokers. A batch that is larger comes whole.
    fn limits(&self, brokers: usize) -> Limits {
        let share = self.settings.queue_memory / (ANSWERS_OF_BROKER * brokers.max(1));
        let share = i32::try_from(share).unwrap_or(i32::MAX).max(LEAST_BYTES);
        Limits {
            all: self.limits.all.min(share),
            partition: self.limits.partition.min(share),
            ..self.limits
        }
    }

    fn failing(&self, concern: &str, message: String) {
        self.health
            .failing(concern, self.clock.monotonic(), message);
    }

    fn well(&self, concern: &str) {
        self.health.well(concern, self.clock.monotonic());
    }
}

/// Concern of a split in the health.
fn concern(split: &Split) -> String {
    format!("kafka {split}")
}
