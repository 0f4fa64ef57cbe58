//! The ends of the protocol in a real process: threads behind the barriers, Kafka behind the
//! offsets, and the look for new topics and partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};

use crate::checkpoint::driver::{Event, OffsetCommitter, Subtasks};
use crate::checkpoint::slot::TopicIds;
use crate::ids::{NextOffset, Split, SubtaskIndex};
use crate::runtime::retry::{Patience, with_causes};
use crate::runtime::subtask::Command;
use crate::source::kafka::{Cluster, ClusterError, Topics};
use crate::source::{SplitStart, Wake};

/// The subtasks' threads, by index: their command channels, and what ends their waiting for records, so
/// that a barrier does not wait for these.
pub struct Threads(pub Vec<(std_mpsc::Sender<Command>, Arc<dyn Wake>)>);

impl Subtasks for Threads {
    fn send(&self, subtask: SubtaskIndex, command: Command) {
        // A thread that has ended has reported why; the driver reads that next.
        let (commands, waker) = &self.0[subtask.0 as usize];
        let _ = commands.send(command);
        waker.wake();
    }

    fn parallelism(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for (commands, waker) in self.0.drain(..) {
            // Closed first: that is what the thread sees when it wakes.
            drop(commands);
            waker.wake();
        }
    }
}

/// Commits to the consumer group; a failure is said and costs nothing else.
pub struct KafkaOffsets {
    cluster: Arc<Cluster>,
    patience: Patience,
    /// One after the other, so that older offsets never come last.
    turn: Mutex<()>,
}

/// Concern of the group in the health.
const GROUP: &str = "kafka group";

impl KafkaOffsets {
    pub fn new(cluster: Arc<Cluster>, patience: Patience) -> Self {
        Self {
            cluster,
            patience,
            turn: Mutex::new(()),
        }
    }

    /// A right that somebody has to give us lasts until then, and is worth a look.
    fn not_committed(&self, error: &ClusterError) {
        let now = self.patience.clock.monotonic();
        let message = with_causes(error);
        if error.is_about_the_group() {
            let message = format!(
                "{message}; the archive is well without them, but lag monitors see nothing. Give the \
                 principal the permission Read on the group, or set KAFKA_GROUP_ID to one that it \
                 may use"
            );
            self.patience.health.failing(GROUP, now, message);
        } else {
            tracing::warn!(
                error = message,
                "offsets not committed; lag monitors will show old ones"
            );
        }
    }
}

#[async_trait]
impl OffsetCommitter for KafkaOffsets {
    async fn commit(&self, next_offsets: &BTreeMap<Split, NextOffset>) -> bool {
        let _turn = self.turn.lock().await;
        let (cluster, offsets) = (self.cluster.clone(), next_offsets.clone());
        let commit = tokio::task::spawn_blocking(move || cluster.commit(&offsets));
        match commit.await {
            Ok(Ok(())) => {
                let now = self.patience.clock.monotonic();
                self.patience.health.well(GROUP, now);
                return true;
            }
            Ok(Err(error)) => self.not_committed(&error),
            Err(error) => tracing::warn!(%error, "offsets not committed"),
        }
        false
    }
}

/// Concern of the discovery in the health.
const DISCOVERY: &str = "partition discovery";

/// What the discovery has seen before.
#[derive(Clone)]
pub struct Known {
    pub splits: BTreeSet<Split>,
    pub topic_ids: TopicIds,
}

/// Looks for topics and partitions that are not known yet, for ever, and reports them as events.
pub async fn discover(
    cluster: Arc<Cluster>,
    topics: Topics,
    mut known: Known,
    interval: Duration,
    patience: Patience,
    events: mpsc::UnboundedSender<Event>,
) {
    loop {
        patience.clock.sleep(interval).await;
        let (cluster, topics, seen) = (cluster.clone(), topics.clone(), known.clone());
        let look = tokio::task::spawn_blocking(move || find(&cluster, &topics, &seen));
        let now = patience.clock.monotonic();
        match look.await {
            Ok(Ok(Found::MadeAgain(topic))) => {
                // Unheard only when the process is ending already.
                let _ = events.send(Event::TopicMadeAgain { topic });
                return;
            }
            Ok(Ok(Found::New(starts, topic_ids))) => {
                patience.health.well(DISCOVERY, now);
                if starts.is_empty() {
                    continue;
                }
                for start in &starts {
                    tracing::info!(split = %start.split, from = start.from.0, "new partition");
                    known.splits.insert(start.split.clone());
                }
                known.topic_ids.extend(topic_ids.clone());
                if events.send(Event::NewSplits { starts, topic_ids }).is_err() {
                    return;
                }
            }
            Ok(Err(error)) => patience.health.failing(DISCOVERY, now, with_causes(&error)),
            Err(error) => patience.health.failing(DISCOVERY, now, error.to_string()),
        }
    }
}

enum Found {
    New(Vec<SplitStart>, TopicIds),
    /// A topic of the name of a known one.
    MadeAgain(String),
}

fn find(cluster: &Cluster, topics: &Topics, known: &Known) -> Result<Found, ClusterError> {
    let splits = cluster.partitions(topics)?;
    let topic_ids = cluster.topic_ids(splits.iter())?;
    for (topic, is) in &topic_ids {
        if known.topic_ids.get(topic).is_some_and(|was| was != is) {
            return Ok(Found::MadeAgain(topic.to_string()));
        }
    }
    let new = splits
        .into_iter()
        .filter(|split| !known.splits.contains(split));
    let starts = new.map(|split| {
        let from = cluster.watermarks(&split)?.earliest;
        Ok(SplitStart {
            split,
            from,
            reread: None,
            until: None,
        })
    });
    Ok(Found::New(starts.collect::<Result<_, _>>()?, topic_ids))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, TryRecvError};

    use super::*;

    /// What a thread finds when it is woken.
    struct Thread {
        commands: Mutex<Receiver<Command>>,
        found: Mutex<Vec<Result<(), TryRecvError>>>,
    }

    impl Wake for Thread {
        fn wake(&self) {
            let command = self.commands.lock().unwrap().try_recv();
            self.found.lock().unwrap().push(command.map(drop));
        }
    }

    #[test]
    fn a_thread_is_woken_when_its_command_is_there_and_when_no_more_will_come() {
        let (commands, receive) = std_mpsc::channel();
        let thread = Arc::new(Thread {
            commands: Mutex::new(receive),
            found: Mutex::default(),
        });
        let threads = Threads(vec![(commands, thread.clone())]);
        threads.send(SubtaskIndex(0), Command::AddSplits(Vec::new()));
        drop(threads);
        let found = thread.found.lock().unwrap();
        assert_eq!(*found, [Ok(()), Err(TryRecvError::Disconnected)]);
    }
}
