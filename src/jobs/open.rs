//! Opens what a job needs from outside, and waits for what may still come up: a broker, a topic, a
//! store. What waiting cannot cure is an error, before anything is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::JobError;
use crate::config::Settings;
use crate::config::location::Location;
use crate::recovery::decide;
use crate::recovery::execute::TopicLookup;
use crate::runtime::retry::{Patience, with_causes};
use crate::source::kafka::{Cluster, ClusterError};
use crate::store::local::LocalStore;
use crate::store::s3::requests::Requests;
use crate::store::s3::{Purpose, S3Access, S3Store};
use crate::store::{Objects, StoreError, Stores};

/// How often waiting is said.
const SAY_EVERY: Duration = Duration::from_secs(5);

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
            store.check(Purpose::Logs).await?;
            Ok(Arc::new(store))
        }
    }
}

/// A place to read small objects from; nothing is made and nothing is proven.
pub fn to_read(
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
pub async fn cluster_id(cluster: &Arc<Cluster>, patience: &Patience) -> Result<String, JobError> {
    let mut waiting = Waiting::new(patience, "kafka");
    loop {
        let cluster = cluster.clone();
        match tokio::task::spawn_blocking(move || cluster.id()).await? {
            Ok(id) => return Ok(id),
            Err(error) => waiting.say(&with_causes(&error)).await,
        }
    }
}

/// The topic of a cluster.
pub struct Topic<'a> {
    pub cluster: &'a Arc<Cluster>,
    pub name: &'a str,
    pub patience: &'a Patience,
}

#[async_trait]
impl TopicLookup for Topic<'_> {
    async fn look(&self) -> decide::Topic {
        let mut waiting = Waiting::new(self.patience, "kafka");
        loop {
            let (cluster, name) = (self.cluster.clone(), self.name.to_owned());
            let look = tokio::task::spawn_blocking(move || look(&cluster, &name));
            let why = match look.await {
                Ok(Ok(topic)) if topic.splits.is_empty() => {
                    format!("topic {} does not exist", self.name)
                }
                Ok(Ok(topic)) => return topic,
                Ok(Err(error)) => with_causes(&error),
                Err(error) => error.to_string(),
            };
            waiting.say(&why).await;
        }
    }
}

fn look(cluster: &Cluster, topic: &str) -> Result<decide::Topic, ClusterError> {
    let splits = cluster.partitions(topic)?;
    let with_marks = splits.into_iter().map(|split| {
        let marks = cluster.watermarks(&split)?;
        Ok((split, marks))
    });
    let splits: BTreeMap<_, _> = with_marks.collect::<Result<_, ClusterError>>()?;
    // A topic that is not there has no id; asking for it would be an error.
    let id = match splits.is_empty() {
        true => None,
        false => cluster.topic_id(topic)?,
    };
    Ok(decide::Topic { splits, id })
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
