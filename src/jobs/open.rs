//! Opens what a job needs from outside, and waits for what may still come up: a broker, a topic, a
//! store. What waiting cannot cure is an error, before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::JobError;
use crate::config::Settings;
use crate::config::location::Location;
use crate::config::settings::ReaderSchema;
use crate::ids::Split;
use crate::recovery::decide::Held;
use crate::recovery::execute::TopicLookup;
use crate::registry::client::{RegistryClient, RegistryError};
use crate::runtime::retry::{Patience, with_causes};
use crate::source::kafka::{Cluster, ClusterError, Topics, Watermarks};
use crate::source::start_from::StartFrom;
use crate::store::local::LocalStore;
use crate::store::s3::requests::Requests;
use crate::store::s3::{Purpose, S3Access, S3Store};
use crate::store::{Objects, StoreError, Stores};
use crate::transform::avro_schema::InputSchema;
use crate::transform::framing::{AvroFormat, SchemaId};

/// How often waiting is said.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// A topic with saved offsets that no broker has known for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

enum Opened {
    S3(Arc<S3Store>),
    Local(Arc<LocalStore>),
}

pub async fn stores(
    settings: &Settings,
    patience: &Patience,
    requests: &Arc<Requests>,
) -> Result<Stores, JobError> {
    let mut opened = Vec::new();
    let purposes = [Purpose::Files, Purpose::Files, Purpose::Logs, Purpose::Logs];
    for ((setting, location), purpose) in settings.paths.named().into_iter().zip(purposes) {
        let store = open(location, purpose, &settings.s3, patience, requests).await;
        opened.push(store.map_err(|source| JobError::Path {
            setting,
            location: location.clone(),
            source,
        })?);
    }
    let [output, dropped, commit_log, checkpoints] = opened.as_slice() else {
        unreachable!("four paths were opened");
    };
    macro_rules! as_dyn {
        ($opened:expr) => {
            match $opened {
                Opened::S3(store) => store.clone(),
                Opened::Local(store) => store.clone(),
            }
        };
    }
    Ok(Stores {
        output: as_dyn!(output),
        dropped: as_dyn!(dropped),
        commit_log: as_dyn!(commit_log),
        checkpoints: as_dyn!(checkpoints),
    })
}

/// A further place for small objects that nobody waits for: an error is the answer. Proves that it
/// can be written to.
pub async fn objects(
    location: &Location,
    access: &S3Access,
    requests: &Arc<Requests>,
) -> Result<Arc<dyn Objects>, StoreError> {
    match location {
        Location::Folder(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || LocalStore::open(&path)).await;
            let failed = |e| StoreError::unavailable("opening", location.to_string(), e);
            Ok(Arc::new(opened.map_err(failed)??))
        }
        Location::S3 { s3_bucket, prefix } => {
            let store = S3Store::open(access, s3_bucket, prefix, requests)?;
            if let Err(error) = store.check(Purpose::Logs).await {
                store.give_up().await;
                return Err(error);
            }
            Ok(Arc::new(store))
        }
    }
}

/// A place of small objects; nothing is made and nothing is proven.
pub fn existing(
    location: &Location,
    access: &S3Access,
    requests: &Arc<Requests>,
) -> Result<Arc<dyn Objects>, StoreError> {
    Ok(match location {
        Location::Folder(path) => Arc::new(LocalStore::existing(path)),
        Location::S3 { s3_bucket, prefix } => {
            Arc::new(S3Store::open(access, s3_bucket, prefix, requests)?)
        }
    })
}

async fn open(
    location: &Location,
    purpose: Purpose,
    access: &S3Access,
    patience: &Patience,
    requests: &Arc<Requests>,
) -> Result<Opened, StoreError> {
    match location {
        Location::Folder(path) => Ok(Opened::Local(Arc::new(LocalStore::open(path)?))),
        Location::S3 { s3_bucket, prefix } => {
            let store = S3Store::open(access, s3_bucket, prefix, requests)?;
            let mut waiting = Waiting::new(patience, "the store");
            loop {
                match store.check(purpose).await {
                    Ok(()) => return Ok(Opened::S3(Arc::new(store))),
                    Err(error @ StoreError::Unavailable { .. }) => {
                        let endpoint = access.endpoint.as_deref().unwrap_or("Amazon's");
                        let why = with_causes(&error);
                        let why = format!("{location} at AWS_ENDPOINT_URL={endpoint}: {why}");
                        waiting.say(&why).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// The cluster's id, once a broker answers.
///
/// # Errors
/// If the brokers do not let us in, and waiting does not cure that.
pub async fn cluster_id(cluster: &Arc<Cluster>, patience: &Patience) -> Result<String, JobError> {
    let mut waiting = Waiting::new(patience, "kafka");
    loop {
        let cluster = cluster.clone();
        match tokio::task::spawn_blocking(move || cluster.id()).await? {
            Ok(id) => return Ok(id),
            Err(error) if error.is_refusal() => return Err(error.into()),
            Err(error) => waiting.say(&with_causes(&error)).await,
        }
    }
}

/// The reader's schema of a run, once the registry answers if there is one.
pub async fn schema(
    settings: &Settings,
    registry: Option<&RegistryClient>,
    patience: &Patience,
) -> Result<InputSchema, JobError> {
    let mut waiting = Waiting::new(patience, "the schema registry");
    loop {
        let answer = match (registry, &settings.schema) {
            (None, ReaderSchema::Given(schema)) => return Ok(schema.clone()),
            (Some(registry), ReaderSchema::Given(schema)) => {
                registry.check().await.map(|()| schema.clone())
            }
            (Some(registry), ReaderSchema::Latest { subject }) => {
                match registry.latest(subject).await {
                    Ok((id, json)) => return latest(subject, id, &json, settings.avro_format),
                    Err(RegistryError::Unknown { .. }) => {
                        let (subject, urls) = (subject.clone(), registry.urls());
                        return Err(JobError::NoSubject { subject, urls });
                    }
                    Err(RegistryError::Unusable(why)) => {
                        let subject = subject.clone();
                        return Err(JobError::RegistryAnswer { subject, why });
                    }
                    Err(error) => Err(error),
                }
            }
            (None, ReaderSchema::Latest { .. }) => {
                unreachable!("the settings have a registry then")
            }
        };
        match answer {
            Err(RegistryError::Away(why)) => waiting.say(&why).await,
            answer => return Ok(answer?),
        }
    }
}

fn latest(
    subject: &str,
    id: SchemaId,
    json: &str,
    format: AvroFormat,
) -> Result<InputSchema, JobError> {
    let schema = InputSchema::parse(json).and_then(|schema| schema.framed(format));
    let schema = schema.map_err(|source| JobError::RegistrySchema {
        subject: subject.to_owned(),
        id,
        source,
    })?;
    tracing::info!(
        subject,
        schema_id = id.0,
        name = schema.name(),
        "reader's schema"
    );
    Ok(schema)
}

/// The topics of a cluster.
pub struct Lookup<'a> {
    pub cluster: &'a Arc<Cluster>,
    pub topics: &'a Topics,
    pub start_from: &'a StartFrom,
    pub patience: &'a Patience,
}

#[async_trait]
impl TopicLookup for Lookup<'_> {
    async fn look(&self, saved: &BTreeSet<Arc<str>>) -> Result<Held, ClusterError> {
        let mut waiting = Waiting::new(self.patience, "kafka");
        let mut absent_since = None;
        loop {
            let (cluster, topics) = (self.cluster.clone(), self.topics.clone());
            let start_from = self.start_from.clone();
            let left_out = saved.iter().filter(|topic| !self.topics.include(topic));
            let left_out: BTreeSet<_> = left_out.map(|topic| topic.to_string()).collect();
            let look =
                tokio::task::spawn_blocking(move || look(&cluster, &topics, &start_from, left_out));
            let why = match look.await {
                Ok(Ok(held)) => match absent(self.topics, &held, saved) {
                    Absent::Nothing => return Ok(held),
                    Absent::Expected(why) => why,
                    Absent::Saved(why) => {
                        let now = self.patience.clock.monotonic();
                        if now >= *absent_since.get_or_insert(now) + GONE_AFTER {
                            return Ok(held);
                        }
                        why
                    }
                },
                Ok(Err(error)) if error.is_refusal() => return Err(error),
                Ok(Err(error)) => with_causes(&error),
                Err(error) => error.to_string(),
            };
            waiting.say(&why).await;
        }
    }
}

/// `left_out`: topics with saved offsets that are not to be archived.
fn look(
    cluster: &Cluster,
    topics: &Topics,
    start_from: &StartFrom,
    left_out: BTreeSet<String>,
) -> Result<Held, ClusterError> {
    let all = cluster.partitions(topics)?;
    let with_marks = all.iter().map(|split| {
        let marks = cluster.watermarks(split)?;
        Ok((split.clone(), marks))
    });
    let splits: BTreeMap<_, _> = with_marks.collect::<Result<_, ClusterError>>()?;
    // After the ends: a split that has nothing of the time begins at its end, and what has come since
    // must not lie before that.
    let at_time = match start_from {
        StartFrom::Time(time) if !all.is_empty() => cluster.at_time(&all, *time)?,
        _ => BTreeMap::new(),
    };
    try_fetch(cluster, &splits)?;
    let ids = cluster.topic_ids(splits.keys())?;
    Ok(Held {
        ids,
        splits,
        at_time,
        left_out: cluster.existing(left_out)?,
    })
}

/// Reads a record of each topic, to see whether it may be read: that is a right of the topic, and a
/// partition that has records answers at once.
fn try_fetch(cluster: &Cluster, splits: &BTreeMap<Split, Watermarks>) -> Result<(), ClusterError> {
    let mut tried: BTreeMap<&str, (&Split, &Watermarks)> = BTreeMap::new();
    for (split, held) in splits {
        let of_topic = tried.entry(&split.topic).or_insert((split, held));
        if of_topic.1.earliest >= of_topic.1.end {
            *of_topic = (split, held);
        }
    }
    tried
        .into_values()
        .try_for_each(|(split, held)| cluster.try_fetch(split, held.earliest))
}

/// Which of the topics are not there.
enum Absent {
    Nothing,
    /// Some that were never seen: they will come.
    Expected(String),
    /// Only some with saved offsets: the brokers may not know all of them yet, or they are gone.
    Saved(String),
}

fn absent(topics: &Topics, held: &Held, saved: &BTreeSet<Arc<str>>) -> Absent {
    let named = match topics {
        Topics::Named(names) => Some(names),
        Topics::Matching(_) => None,
    };
    let missing = |name: &str| format!("topic {name} does not exist");
    let mut new = named
        .into_iter()
        .flatten()
        .filter(|name| !saved.contains(name.as_str()));
    if let Some(name) = new.find(|name| !held.has(name)) {
        return Absent::Expected(missing(name));
    }
    let is_there = |name: &Arc<str>| held.has(name) || held.left_out.contains(name);
    match saved.iter().find(|name| !is_there(name)) {
        Some(name) => Absent::Saved(missing(name)),
        None if held.splits.is_empty() => {
            Absent::Expected(format!("there is no topic whose name matches {topics}"))
        }
        None => Absent::Nothing,
    }
}

/// Says what is waited for, at once and then every few seconds.
struct Waiting<'a> {
    patience: &'a Patience,
    whom: &'static str,
    said_at: Option<Duration>,
}

impl<'a> Waiting<'a> {
    fn new(patience: &'a Patience, whom: &'static str) -> Self {
        Self {
            patience,
            whom,
            said_at: None,
        }
    }

    async fn say(&mut self, why: &str) {
        let now = self.patience.clock.monotonic();
        if self.said_at.is_none_or(|at| now >= at + SAY_EVERY) {
            tracing::warn!(why, "waiting for {}", self.whom);
            self.said_at = Some(now);
        }
        self.patience.clock.sleep(Duration::from_millis(500)).await;
    }
}
