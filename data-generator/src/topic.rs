//! Waits for the broker, and makes the topic if there is none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::progress::Progress;
use crate::settings::{Error, Settings};

type Admin = AdminClient<DefaultClientContext>;

const ASK: Duration = Duration::from_secs(2);
const BETWEEN_ASKING: Duration = Duration::from_millis(200);
const BETWEEN_NOTES: Duration = Duration::from_secs(3);
const CREATE: Duration = Duration::from_secs(30);

/// What every client of this crate has in common.
pub(crate) fn client_config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("client.id", "lineage-data-generator")
        // A broker that makes topics by itself would do it on the first question about one, with
        // its own number of partitions.
        .set("allow.auto.create.topics", "false")
        // The default of 10 s would let a broker that starts late be found late.
        .set("reconnect.backoff.max.ms", "1000");
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    config
}

/// Waits until the topic exists and all its partitions have a leader, and returns how many
/// partitions it has. An absent one is created. `None` if `stop` was set meanwhile.
pub(crate) fn ready(
    settings: &Settings,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Option<i32>, Error> {
    let admin: Admin = client_config(settings).create().map_err(Error::client)?;
    let mut created = false;
    let mut waiting = Waiting {
        next_note: Instant::now() + BETWEEN_NOTES,
        progress,
    };
    while !stop.load(Ordering::Relaxed) {
        match look(&admin, &settings.topic) {
            Seen::Ready(partitions) => {
                if !created && partitions != settings.partitions {
                    progress.note(&format!(
                        "topic {} exists with {partitions} partitions, not {}: using the {partitions} it has",
                        settings.topic, settings.partitions
                    ));
                }
                return Ok(Some(partitions));
            }
            Seen::Absent if !created => {
                create(&admin, settings, progress)?;
                created = true;
            }
            // The broker confirmed it, and not all of the cluster knows it yet.
            Seen::Absent => waiting.note("the topic that was just created"),
            Seen::NotYet(why) => waiting.note(&format!(
                "Kafka at {} (KAFKA_BOOTSTRAP_SERVERS): {why}",
                settings.bootstrap_servers
            )),
            Seen::Refused(why) => return Err(refused(settings, why)),
        }
        thread::sleep(BETWEEN_ASKING);
    }
    Ok(None)
}

/// Says every few seconds what is waited for; not at once, since most often it is there in no time.
struct Waiting<'a> {
    next_note: Instant,
    progress: &'a Progress,
}

impl Waiting<'_> {
    fn note(&mut self, what: &str) {
        if Instant::now() >= self.next_note {
            self.next_note = Instant::now() + BETWEEN_NOTES;
            self.progress.note(&format!("waiting for {what}"));
        }
    }
}

enum Seen {
    Ready(i32),
    Absent,
    NotYet(String),
    Refused(String),
}

fn look(admin: &Admin, topic: &str) -> Seen {
    let metadata = match admin.inner().fetch_metadata(Some(topic), ASK) {
        Ok(metadata) => metadata,
        Err(error) => return Seen::NotYet(error.to_string()),
    };
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Seen::NotYet("its answer does not speak of the topic".into());
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            return Seen::Absent;
        }
        Some(
            error @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::InvalidTopic),
        ) => return Seen::Refused(error.to_string()),
        Some(error) => return Seen::NotYet(error.to_string()),
    }
    let partitions = found.partitions();
    match partitions.iter().find(|partition| partition.leader() < 0) {
        Some(partition) => Seen::NotYet(format!("partition {} has no leader", partition.id())),
        None if partitions.is_empty() => Seen::Absent,
        None => i32::try_from(partitions.len()).map_or_else(
            |_| Seen::Refused("more partitions than Kafka can number".into()),
            Seen::Ready,
        ),
    }
}

fn create(admin: &Admin, settings: &Settings, progress: &Progress) -> Result<(), Error> {
    // -1 is the broker's own default: 1 where one broker runs, 3 where it is taken seriously.
    let replication = TopicReplication::Fixed(-1);
    let topic = NewTopic::new(&settings.topic, settings.partitions, replication);
    let options = AdminOptions::new()
        .operation_timeout(Some(CREATE))
        .request_timeout(Some(CREATE));
    let results = block_on(admin.create_topics([&topic], &options))
        .map_err(|error| refused(settings, format!("cannot be created: {error}")))?;
    match results.into_iter().next() {
        // Another one was faster, which is as good.
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, error))) => Err(refused(settings, format!("cannot be created: {error}"))),
        Some(Ok(_)) | None => {
            progress.note(&format!(
                "created topic {} with {} partitions",
                settings.topic, settings.partitions
            ));
            Ok(())
        }
    }
}

fn refused(settings: &Settings, reason: String) -> Error {
    Error::Topic {
        topic: settings.topic.clone(),
        bootstrap_servers: settings.bootstrap_servers.clone(),
        reason,
    }
}
