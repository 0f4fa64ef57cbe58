//! Who leads which split: asked of any broker, whenever there are splits without a leader, and now and then.
//!
//! Brokers that were known are asked first, and then those that the settings name, again and again: so it finds
//! back after Kafka has named no broker for a moment, or when all of them have moved. Each question has a connection
//! of its own: one that is kept is ended by brokers as idle, and always asks the same one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::{ApiKey, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::connection::{Address, ConnectionError};
use super::fetching::Broker;
use super::state::{BrokerId, Leader, Wanted};
use super::{Client, concern};

/// With version 4 one says that asking makes no topic; from version 13 on topics that are unknown are told apart in
/// other ways.
const METADATA: (i16, i16) = (4, 12);
/// Concern in the health while no broker says who leads which split.
const LOOKUP: &str = "looking for leaders";
/// Between two questions while there are splits without a leader.
const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(2);
/// Between two while all have one: a leader that Kafka has deposed may answer on as if it still led, without an error
/// and without records.
const REFRESH: Duration = Duration::from_secs(60);

/// Keeps splits with their leaders, and a task for each broker that leads any. Ends only when one of these has, which
/// none should.
pub async fn keep(client: Arc<Client>) {
    let mut brokers = JoinSet::new();
    let mut at_work = BTreeSet::new();
    let mut round = 0;
    let mut pause = SOON;
    // When it was asked last, and before when it is not asked again.
    let (mut asked, mut soonest) = (Instant::now(), Instant::now());
    loop {
        // A permit is kept for who comes later, so nothing is missed between the look and the wait.
        let wanted = client.shared.leaders_wanted.notified();
        let due = match client.shared.lock().ask_at() {
            Some(ask_at) => ask_at.max(soonest),
            None => asked + REFRESH,
        };
        if due > Instant::now() {
            tokio::select! {
                () = wanted => {
                    soonest = soonest.min(asked + SOON);
                    continue;
                }
                () = sleep_until(due) => {}
                // Its splits would wait for ever.
                Some(_) = brokers.join_next(), if !brokers.is_empty() => return,
            }
        }
        let topics = topics(&client);
        if topics.is_empty() {
            asked = Instant::now();
            continue;
        }
        match ask(&client, topics, round).await {
            Ok(answer) => {
                client.well(LOOKUP);
                take(&client, answer);
            }
            Err(why) => client.failing(LOOKUP, why),
        }
        round += 1;
        let known: Vec<_> = client.shared.lock().brokers.keys().copied().collect();
        for id in known {
            if at_work.insert(id) {
                brokers.spawn(Broker::new(client.clone(), id).run());
            }
        }
        client.shared.leaders_known.notify_waiters();
        asked = Instant::now();
        if client.shared.lock().leaderless().next().is_some() {
            soonest = asked + pause;
            pause = (pause * 2).min(LATER);
        } else {
            soonest = asked;
            pause = SOON;
        }
    }
}

/// Those that there is anything to fetch of.
fn topics(client: &Client) -> BTreeSet<Arc<str>> {
    let state = client.shared.lock();
    state.open().map(|w| w.split.topic.clone()).collect()
}

/// The first answer that one gives. Each round begins with another broker, since one may be behind; those that the
/// settings name come last.
async fn ask(
    client: &Client,
    topics: BTreeSet<Arc<str>>,
    round: usize,
) -> Result<MetadataResponse, String> {
    let mut addresses: Vec<_> = client.shared.lock().brokers.values().cloned().collect();
    let first = round % addresses.len().max(1);
    addresses.rotate_left(first);
    for address in Address::all_of(&client.settings.bootstrap_servers) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let mut why = Vec::new();
    for address in addresses {
        match client.metadata(&address, &topics).await {
            // One that names no broker has lost sight of them.
            Ok(answer) if answer.brokers.is_empty() => {
                why.push(format!("{address}: it names no broker"));
            }
            Ok(answer) => return Ok(answer),
            Err(error) => why.push(format!("{address}: {error}")),
        }
    }
    Err(why.join("; "))
}

impl Client {
    /// What a broker knows of others, and of these topics.
    pub(super) async fn metadata(
        &self,
        address: &Address,
        topics: &BTreeSet<Arc<str>>,
    ) -> Result<MetadataResponse, ConnectionError> {
        let topics = topics.iter().map(|topic| {
            let name = TopicName(StrBytes::from_string(topic.to_string()));
            MetadataRequestTopic::default().with_name(Some(name))
        });
        let request = MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_allow_auto_topic_creation(false);
        let mut connection = self.connect(address).await?;
        let key = ApiKey::Metadata;
        connection
            .ask(key, METADATA, &request, Duration::ZERO)
            .await
    }
}

/// By its number, where each broker of an answer is.
pub fn brokers(answer: &MetadataResponse) -> BTreeMap<BrokerId, Address> {
    let brokers = answer.brokers.iter().map(|broker| {
        let address = Address {
            host: broker.host.to_string(),
            port: u16::try_from(broker.port).unwrap_or_default(),
        };
        (BrokerId(broker.node_id.0), address)
    });
    brokers.collect()
}

fn take(client: &Client, answer: MetadataResponse) {
    let mut state = client.shared.lock();
    state.take_brokers(brokers(&answer));
    let mut leaders = HashMap::new();
    for topic in &answer.topics {
        let Some(name) = &topic.name else {
            continue;
        };
        let error = ResponseError::try_from_code(topic.error_code);
        for partition in &topic.partitions {
            let broker = BrokerId(partition.leader_id.0);
            // While it is elected anew there is none; the service's own look at leaders says so.
            if broker.0 >= 0 && state.brokers.contains_key(&broker) {
                let leader = Leader {
                    broker,
                    epoch: partition.leader_epoch,
                };
                leaders.insert((name.as_str(), partition.partition_index), leader);
            }
        }
        if let Some(error) = error {
            let of_topic = |wanted: &&Wanted| &*wanted.split.topic == name.as_str();
            for wanted in state.leaderless().filter(of_topic) {
                client.failing(&concern(&wanted.split), error.to_string());
            }
        }
    }
    let found = state.open().filter_map(|wanted| {
        let leader = leaders.get(&(&*wanted.split.topic, wanted.split.partition))?;
        Some((wanted.index, *leader))
    });
    for (index, leader) in found.collect::<Vec<_>>() {
        state.take_leader(index, leader);
    }
}
