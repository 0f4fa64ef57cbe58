//! The topics of a cluster, and what it holds of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Waiting;
use crate::ids::Split;
use crate::recovery::decide::Held;
use crate::recovery::execute::TopicLookup;
use crate::runtime::retry::{Patience, with_causes};
use crate::source::kafka::{Cluster, ClusterError, Topics, Watermarks};
use crate::source::start_from::StartFrom;

/// A topic with saved offsets that no broker has known for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

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
        let waiting = Waiting::new(self.patience, "kafka");
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
