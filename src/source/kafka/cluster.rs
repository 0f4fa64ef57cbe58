//! Questions to the cluster, and the offsets that are committed for lag monitors. All calls block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::context::Context;
use super::native::{self, KafkaConsumer};
use super::permission;
use super::refusal::Refusal;
use super::{KafkaSettings, Topics};
use crate::clock::Clock;
use crate::ids::{NextOffset, Split};
use crate::runtime::health::Health;

/// A broker that does not answer within it is asked again by the caller.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What it fetches is only to see whether it may; an empty partition is not worth waiting for.
const FETCH_WAIT: (&str, &str) = ("fetch.wait.max.ms", "10");

/// Nobody joins the group; but for so long a commit waits for a coordinator, and the end of the client
/// for the commit.
const COMMIT_WAIT: (&str, &str) = ("session.timeout.ms", "5000");
/// A broker that is away must not hold up the next checkpoint.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at what is said while a commit waits.
const LOOK: Duration = Duration::from_millis(100);

/// A client that has asked in vain for so long is replaced.
const LONG: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("Kafka at {servers} does not answer: {source}{why}")]
    Unreachable {
        servers: String,
        source: KafkaError,
        /// What the client said of its last connection; may be empty.
        why: String,
    },
    #[error("Kafka at {servers} does not let lineage in: {refusal}")]
    Refused { servers: String, refusal: Refusal },
    #[error(
        "topic {topic} may not be {verb}: {source}. The principal needs the permissions Describe and \
         Read on the topic (an ACL of Kafka)"
    )]
    Forbidden {
        topic: String,
        verb: &'static str,
        source: KafkaError,
    },
    #[error("{split}: Kafka does not say which offsets it holds: {source}{why}")]
    Watermarks {
        split: Split,
        source: KafkaError,
        /// As above.
        why: String,
    },
    #[error("offsets could not be committed to group {group}: {source}")]
    Commit { group: String, source: KafkaError },
}

impl ClusterError {
    /// Whether waiting does not cure it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Forbidden { .. })
    }

    /// Whether the group may not be used.
    pub fn is_about_the_group(&self) -> bool {
        matches!(self, Self::Commit { source, .. } if permission::is_about_the_group(source))
    }
}

/// Concern of partitions without a leader in the health.
const LEADERS: &str = "partition leaders";

/// What is asked of a topic.
const DESCRIBED: &str = "described";
const READ: &str = "read";

/// What Kafka holds of a split: from the earliest record to behind the last committed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    pub earliest: NextOffset,
    pub end: NextOffset,
}

pub struct Cluster {
    client: Mutex<Arc<KafkaConsumer>>,
    /// Since when it has asked in vain (see `liveness.rs`).
    in_vain: Mutex<Option<Duration>>,
    settings: KafkaSettings,
}

impl Cluster {
    pub fn new(
        settings: &KafkaSettings,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KafkaError> {
        // Those of the subtasks' clients, which come when it is too late for a refusal.
        settings.client_config().create_native_config()?;
        let mut settings = settings.clone();
        for (key, value) in [FETCH_WAIT, COMMIT_WAIT] {
            settings.properties.insert(key.into(), value.into());
        }
        Ok(Self {
            client: Mutex::new(settings.client(settings.context(health, clock))?),
            in_vain: Mutex::new(None),
            settings,
        })
    }

    fn client(&self) -> Arc<KafkaConsumer> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.clone()
    }

    fn in_vain(&self) -> MutexGuard<'_, Option<Duration>> {
        self.in_vain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(
        &self,
        question: impl FnOnce(&KafkaConsumer) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let client = self.client();
        // Nobody else polls it, and without a token there is no answer.
        if self.settings.security.tokens().is_some() {
            serve(&client);
        }
        let answer = question(&client);
        if answer.as_ref().is_err_and(is_local) {
            self.asked_in_vain(client.client().context());
        } else {
            *self.in_vain() = None;
        }
        answer
    }

    /// Notes a question without an answer. A client that has had none for long may have lost its way
    /// to the brokers for good: a new one takes its place.
    fn asked_in_vain(&self, context: &Context) {
        let now = context.now();
        let mut in_vain = self.in_vain();
        if now < *in_vain.get_or_insert(now) + LONG {
            return;
        }
        *in_vain = None;
        match self.settings.client(context.again()) {
            Ok(new) => {
                tracing::info!("kafka: no answer for long; trying a new client");
                *self.client.lock().unwrap_or_else(PoisonError::into_inner) = new;
            }
            Err(error) => tracing::warn!(%error, "kafka: no new client"),
        }
    }

    /// What becomes of a question that failed.
    fn failed(
        &self,
        source: KafkaError,
        otherwise: impl FnOnce(KafkaError, String) -> ClusterError,
    ) -> ClusterError {
        let client = self.client();
        // What it says now says why.
        serve(&client);
        let context = client.client().context();
        if is_local(&source)
            && let Some(refusal) = context.refusal(&self.settings)
        {
            let servers = self.settings.bootstrap_servers.clone();
            return ClusterError::Refused { servers, refusal };
        }
        let why = context.last_error();
        otherwise(
            source,
            why.map(|why| format!(" ({why})")).unwrap_or_default(),
        )
    }

    fn unreachable(&self, source: KafkaError) -> ClusterError {
        self.failed(source, |source, why| ClusterError::Unreachable {
            servers: self.settings.bootstrap_servers.clone(),
            source,
            why,
        })
    }

    /// What becomes of a question about a topic that failed.
    fn unreachable_topic(
        &self,
        topic: &str,
        verb: &'static str,
        source: KafkaError,
    ) -> ClusterError {
        if permission::is_refusal(&source) {
            let topic = topic.to_owned();
            return ClusterError::Forbidden {
                topic,
                verb,
                source,
            };
        }
        self.unreachable(source)
    }

    /// Kafka's own ids of the topics of these splits, in whose order the splits are. (A topic that is not
    /// there has no id; asking for it would be an error.)
    pub fn topic_ids<'a>(
        &self,
        splits: impl Iterator<Item = &'a Split>,
    ) -> Result<BTreeMap<Arc<str>, String>, ClusterError> {
        let mut ids = BTreeMap::new();
        let mut last = None;
        for split in splits {
            if last.replace(&split.topic) != Some(&split.topic)
                && let Some(id) = self.topic_id(&split.topic)?
            {
                ids.insert(split.topic.clone(), id);
            }
        }
        Ok(ids)
    }

    /// Kafka's own id of the topic, where it has one.
    fn topic_id(&self, topic: &str) -> Result<Option<String>, ClusterError> {
        if !self.settings.topic_ids {
            return Ok(None);
        }
        self.ask(|client| {
            native::topic_id(client, topic, TIMEOUT).map_err(KafkaError::MetadataFetch)
        })
        .map_err(|e| self.unreachable_topic(topic, DESCRIBED, e))
    }

    /// The cluster's own id.
    pub fn id(&self) -> Result<String, ClusterError> {
        // Metadata first: its error says why there is no answer.
        self.ask(|client| {
            client.fetch_metadata(Some(""), TIMEOUT)?;
            let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
            let id = client.client().fetch_cluster_id(TIMEOUT);
            id.ok_or(timed_out)
        })
        .map_err(|e| self.unreachable(e))
    }

    /// Partitions of those of the topics that exist, in their order. Those that no broker leads just
    /// now are among them, and a concern of the health.
    pub fn partitions(&self, topics: &Topics) -> Result<Vec<Split>, ClusterError> {
        let (splits, leaderless) = self.described(topics)?;
        self.note_leaders(&leaderless);
        Ok(splits)
    }

    /// Those of the topics that exist.
    pub fn existing(&self, names: BTreeSet<String>) -> Result<BTreeSet<Arc<str>>, ClusterError> {
        let (splits, _) = self.described(&Topics::Named(names))?;
        Ok(splits.into_iter().map(|split| split.topic).collect())
    }

    /// Partitions in their order, and the names of those that no broker leads.
    fn described(&self, topics: &Topics) -> Result<(Vec<Split>, Vec<String>), ClusterError> {
        let (mut splits, mut leaderless) = (Vec::new(), Vec::new());
        let answers = match topics {
            Topics::Named(names) => {
                let answers = names.iter().map(|name| self.metadata(Some(name)));
                answers.collect::<Result<Vec<_>, _>>()?
            }
            Topics::Matching(_) => vec![self.metadata(None)?],
        };
        let found = answers.iter().flat_map(Metadata::topics);
        for topic in found.filter(|topic| topics.include(topic.name())) {
            match topic.error().map(RDKafkaErrorCode::from) {
                None => {}
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ) => continue,
                Some(code) => {
                    let error = KafkaError::MetadataFetch(code);
                    return Err(self.unreachable_topic(topic.name(), DESCRIBED, error));
                }
            }
            for partition in topic.partitions() {
                let split = Split::new(topic.name(), partition.id());
                if partition.leader() < 0 {
                    leaderless.push(split.to_string());
                }
                splits.push(split);
            }
        }
        splits.sort();
        Ok((splits, leaderless))
    }

    /// Of one topic, or of all.
    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, ClusterError> {
        self.ask(|client| client.fetch_metadata(topic, TIMEOUT))
            .map_err(|e| self.unreachable(e))
    }

    fn note_leaders(&self, leaderless: &[String]) {
        let client = self.client();
        let context = client.client().context();
        if leaderless.is_empty() {
            context.well(LEADERS);
        } else {
            let message = format!(
                "no broker leads {}; their records wait until a broker that holds them is back",
                leaderless.join(", ")
            );
            context.failing(LEADERS, message);
        }
    }

    /// The offsets of the first records of this time or later, milliseconds since 1970; none for splits
    /// that have no such record.
    pub fn at_time(
        &self,
        splits: &[Split],
        time: i64,
    ) -> Result<BTreeMap<Split, NextOffset>, ClusterError> {
        let mut asked = TopicPartitionList::new();
        for split in splits {
            asked
                .add_partition_offset(&split.topic, split.partition, KafkaOffset::Offset(time))
                .map_err(|e| self.unreachable(e))?;
        }
        let answer = self.ask(|client| client.offsets_for_times(asked, TIMEOUT));
        let answer = answer.map_err(|e| self.unreachable(e))?;
        let mut found = BTreeMap::new();
        for element in answer.elements() {
            element.error().map_err(|e| self.unreachable(e))?;
            if let KafkaOffset::Offset(offset) = element.offset() {
                let split = Split::new(element.topic(), element.partition());
                found.insert(split, NextOffset(offset));
            }
        }
        Ok(found)
    }

    pub fn watermarks(&self, split: &Split) -> Result<Watermarks, ClusterError> {
        let result =
            self.ask(|client| client.fetch_watermarks(&split.topic, split.partition, TIMEOUT));
        let (low, high) = result.map_err(|source| {
            if permission::is_refusal(&source) {
                return self.unreachable_topic(&split.topic, DESCRIBED, source);
            }
            self.failed(source, |source, why| ClusterError::Watermarks {
                split: split.clone(),
                source,
                why,
            })
        })?;
        Ok(Watermarks {
            earliest: NextOffset(low),
            end: NextOffset(high),
        })
    }

    /// Whether records of a split may be read, by reading one. To be asked by one at a time.
    ///
    /// # Errors
    /// If they may not. A broker that says nothing to it is no error: reading will meet that.
    pub fn try_fetch(&self, split: &Split, from: NextOffset) -> Result<(), ClusterError> {
        let client = self.client();
        permission::try_fetch(&client, split, from)
            .map_err(|e| self.unreachable_topic(&split.topic, READ, e))
    }

    /// Commits the next offsets to the consumer group. Only lag monitors read them.
    ///
    /// # Errors
    /// If it is refused, or nobody answers for some seconds.
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
        // Nothing follows of its failure for the client: the group may be in trouble alone.
        let client = self.client();
        let context = client.client().context();
        // It may need a token first.
        serve(&client);
        let (send, answer) = channel();
        let committing = client.clone();
        let commit = move || {
            let answer = committing.commit(&list, CommitMode::Sync);
            if answer.is_ok() {
                committing.client().context().group_is_well();
            }
            // Unheard where it was known before what comes of it.
            let _ = send.send(answer);
        };
        let no_thread = |e: std::io::Error| failed(KafkaError::ClientCreation(e.to_string()));
        std::thread::Builder::new()
            .spawn(commit)
            .map_err(no_thread)?;
        // Without the right to look for the group's coordinator the commit only waits for it: what is said of
        // the group meanwhile is the answer then.
        let begin = Instant::now();
        while begin.elapsed() < COMMIT_TIMEOUT {
            match answer.recv_timeout(LOOK) {
                Ok(answer) => return answer.map_err(failed),
                Err(_) => serve(&client),
            }
            if let Some(refused) = context.group_refused() {
                return Err(failed(refused));
            }
        }
        let code = RDKafkaErrorCode::OperationTimedOut;
        Err(failed(KafkaError::ConsumerCommit(code)))
    }
}

/// Has callbacks called for what has happened.
fn serve(client: &KafkaConsumer) {
    for _ in 0..native::waiting_events(client).max(1) {
        let _ = client.poll(Duration::ZERO);
    }
}

/// Whether it is the client that says so, and not a broker.
fn is_local(error: &KafkaError) -> bool {
    error
        .rdkafka_error_code()
        .is_some_and(|code| (code as i32) < 0)
}
