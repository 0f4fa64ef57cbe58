//! Who leads which split: asked of any broker, whenever there are splits without a leader.
//!
//! Brokers that were known are asked first, and then those that the settings name, again and again: so it finds
//! back after Kafka has named no broker for a moment, or when all of them have moved.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::{ApiKey, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;

use super::connection::{Address, Connection, ConnectionError};
use super::fetching::Broker;
use super::state::{BrokerId, Leader};
use super::{Client, concern};
use crate::source::kafka::context::BROKERS;

/// With version 4 one says that asking makes no topic; from version 13 on topics that are unknown are told apart in
/// other ways.
const METADATA: (i16, i16) = (4, 12);
/// Between two questions while there are splits without a leader.
const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(2);

/// Keeps splits with their leaders, and a task for each broker that leads any.
pub async fn keep(client: Arc<Client>) {
    let mut brokers = JoinSet::new();
    let mut at_work = BTreeSet::new();
    let mut connection = None;
    let mut pause = SOON;
    loop {
        // A permit is kept for who comes later, so nothing is missed between the look and the wait.
        let wanted = client.shared.leaders_wanted.notified();
        if topics(&client).is_empty() {
            pause = SOON;
            wanted.await;
            continue;
        }
        match ask(&client, &mut connection).await {
            Ok(answer) => {
                client.well(BROKERS);
                take(&client, &answer);
            }
            Err(why) => client.failing(BROKERS, why),
        }
        let known: Vec<_> = client.shared.lock().brokers.keys().copied().collect();
        for id in known {
            if at_work.insert(id) {
                brokers.spawn(Broker::new(client.clone(), id).run());
            }
        }
        client.shared.leaders_known.notify_waiters();
        if !topics(&client).is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LATER);
        }
    }
}

/// Those of splits without a leader.
fn topics(client: &Client) -> BTreeSet<Arc<str>> {
    let state = client.shared.lock();
    state.leaderless().map(|w| w.split.topic.clone()).collect()
}

/// An answer of the broker that was asked last, or else of the first one that gives any.
async fn ask(
    client: &Client,
    connection: &mut Option<(Address, Connection)>,
) -> Result<MetadataResponse, String> {
    let topics = topics(client).into_iter().map(|topic| {
        let name = TopicName(StrBytes::from_string(topic.to_string()));
        MetadataRequestTopic::default().with_name(Some(name))
    });
    let request = MetadataRequest::default()
        .with_topics(Some(topics.collect()))
        .with_allow_auto_topic_creation(false);
    let mut why = Vec::new();
    if let Some((address, open)) = connection {
        match question(open, &request).await {
            Ok(answer) => return Ok(answer),
            // It may only have been idle for too long: it is asked once more below, like all others.
            Err(error) => tracing::debug!(broker = %address, %error, "kafka"),
        }
        *connection = None;
    }
    let mut addresses: Vec<_> = client.shared.lock().brokers.values().cloned().collect();
    for address in Address::all_of(&client.settings.bootstrap_servers) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    for address in addresses {
        let answer = async {
            let mut open = client.connect(&address).await?;
            let answer = question(&mut open, &request).await?;
            Ok::<_, ConnectionError>((open, answer))
        };
        match answer.await {
            // One that names no broker has lost sight of them.
            Ok((_, answer)) if answer.brokers.is_empty() => {
                why.push(format!("{address}: it names no broker"));
            }
            Ok((open, answer)) => {
                *connection = Some((address, open));
                return Ok(answer);
            }
            Err(error) => why.push(format!("{address}: {error}")),
        }
    }
    Err(why.join("; "))
}

async fn question(
    connection: &mut Connection,
    request: &MetadataRequest,
) -> Result<MetadataResponse, ConnectionError> {
    let key = ApiKey::Metadata;
    connection.ask(key, METADATA, request, Duration::ZERO).await
}

fn take(client: &Client, answer: &MetadataResponse) {
    let mut state = client.shared.lock();
    if !answer.brokers.is_empty() {
        let brokers = answer.brokers.iter().map(|broker| {
            let address = Address {
                host: broker.host.to_string(),
                port: u16::try_from(broker.port).unwrap_or_default(),
            };
            (BrokerId(broker.node_id.0), address)
        });
        state.brokers = brokers.collect();
    }
    let mut found = Vec::new();
    for wanted in state.leaderless() {
        let (name, partition) = (&*wanted.split.topic, wanted.split.partition);
        let topic = answer
            .topics
            .iter()
            .find(|topic| topic.name.as_ref().is_some_and(|n| n.as_str() == name));
        let Some(topic) = topic else {
            continue;
        };
        if let Some(error) = ResponseError::try_from_code(topic.error_code) {
            client.failing(&concern(&wanted.split), error.to_string());
            continue;
        }
        let mut partitions = topic.partitions.iter();
        let known = partitions.find(|known| known.partition_index == partition);
        let leader = known.filter(|known| {
            // While it is elected anew there is none; the service's own look at leaders says so.
            let broker = BrokerId(known.leader_id.0);
            known.leader_id.0 >= 0 && state.brokers.contains_key(&broker)
        });
        if let Some(leader) = leader {
            let leader = Leader {
                broker: BrokerId(leader.leader_id.0),
                epoch: leader.leader_epoch,
            };
            found.push((wanted.index, leader));
        }
    }
    for (index, leader) in found {
        state.of(index).leader = Some(leader);
    }
}
