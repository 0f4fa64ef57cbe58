//! One broker: what it leads is fetched from it, one request after the other.
//!
//! The next request is sent as soon as there is room for an answer that has come, before its records are read: the
//! broker has the next one ready meanwhile. Without room nothing is asked for.
//!
//! What an answer brings is noted and handed over in one step, under the lock of the state. So what comes of one
//! split is in its order in the inbox, also when its leader changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::{ApiKey, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::connection::{Address, Connection, ConnectionError};
use super::record_batch;
use super::state::{BrokerId, Wanted};
use super::transactions::Aborted;
use super::{Client, Fetched, Trouble};
use crate::ids::NextOffset;
use crate::source::SplitIndex;

/// The first one of those with record batches of today's format; behind the last one topics have ids instead of names.
pub const FETCH: (i16, i16) = (4, 12);
/// The first one that says which leader one means, and the first one that says who wrote what one has.
const WITH_EPOCH: i16 = 9;
const WITH_LAST_EPOCH: i16 = 12;
const COMMITTED: i8 = 1;
/// No broker: a consumer.
const NO_REPLICA: i32 = -1;
/// No session: each request says all that it wants.
const NO_SESSION: (i32, i32) = (0, -1);

const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(2);
/// Splits that are asked for at once while the broker has more than one answer takes: to name hundreds of others for
/// each answer would cost as much as their records.
const BUSY_SPLITS: usize = 32;
/// A broker that asks to be left alone for longer is asked sooner.
const LONGEST_THROTTLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;

pub struct Broker {
    client: Arc<Client>,
    id: BrokerId,
    /// Splits in the order in which they are asked for: what has come goes behind, so that all have their turn.
    turns: Vec<SplitIndex>,
    /// The last answer was large: there is more than one can take at once.
    busy: bool,
    /// By what name it is in trouble.
    concern: Option<String>,
    /// It has answered a fetch on this connection.
    served: bool,
}

impl Broker {
    pub fn new(client: Arc<Client>, id: BrokerId) -> Self {
        Self {
            client,
            id,
            turns: Vec::new(),
            busy: false,
            concern: None,
            served: false,
        }
    }

    /// For ever: a broker that leads nothing is waited for.
    pub async fn run(mut self) {
        let mut pause = SOON;
        let shared = self.client.shared.clone();
        loop {
            // From here on nothing is missed until it is waited for.
            let known = shared.leaders_known.notified();
            let Some(address) = self.address() else {
                known.await;
                continue;
            };
            let concern = format!("kafka broker {address}");
            if self.concern.as_ref().is_some_and(|last| *last != concern) {
                self.well();
            }
            self.served = false;
            let failed = match self.client.connect(&address).await {
                Ok(connection) => self.fetch(&address, connection).await,
                Err(error) => Err(error),
            };
            let Err(error) = failed else {
                continue;
            };
            // Somebody else may lead now what it led.
            shared.lock().leads_no_more(self.id);
            shared.leaders_wanted.notify_one();
            // One that has served and ends the connection is asked again at once: brokers do so with idle ones.
            if self.served && matches!(error, ConnectionError::Io(_)) {
                tracing::debug!(broker = %address, %error, "kafka: connecting again");
                pause = SOON;
                continue;
            }
            self.client.failing(&concern, error.to_string());
            self.concern = Some(concern);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LATER);
        }
    }

    /// Where it is, if there is something to be fetched from it.
    fn address(&mut self) -> Option<Address> {
        let shared = self.client.shared.clone();
        let state = shared.lock();
        if state.led_by(self.id).next().is_some() {
            return state.brokers.get(&self.id).cloned();
        }
        if state.leaderless().next().is_none() {
            // Others lead all there is: whether this one is well concerns nobody any more.
            self.well();
        }
        None
    }

    fn well(&mut self) {
        if let Some(concern) = self.concern.take() {
            self.client.well(&concern);
        }
    }

    /// Until there is nothing to be fetched here, or it is time to connect again.
    async fn fetch(
        &mut self,
        address: &Address,
        mut connection: Connection,
    ) -> Result<(), ConnectionError> {
        let version = connection.version(ApiKey::Fetch, FETCH)?;
        while connection.until.is_none_or(|until| Instant::now() < until) {
            let Some(request) = self.request(address, version) else {
                return Ok(());
            };
            let wait = Duration::from_millis(request.max_wait_ms.unsigned_abs().into());
            let answer: FetchResponse =
                connection.ask(ApiKey::Fetch, FETCH, &request, wait).await?;
            if let Some(error) = ResponseError::try_from_code(answer.error_code) {
                return Err(ConnectionError::NotKafka(error.to_string()));
            }
            self.served = true;
            self.well();
            let throttle =
                Duration::from_millis(answer.throttle_time_ms.max(0).unsigned_abs().into());
            self.take(answer).await;
            if !throttle.is_zero() {
                tokio::time::sleep(throttle.min(LONGEST_THROTTLE)).await;
            }
        }
        Ok(())
    }

    /// What is wanted of this broker now; `None`: nothing.
    fn request(&mut self, address: &Address, version: i16) -> Option<FetchRequest> {
        let client = &self.client;
        let state = client.shared.lock();
        if state.brokers.get(&self.id) != Some(address) {
            // Somebody else is there, perhaps.
            return None;
        }
        let led: HashMap<_, _> = state.led_by(self.id).map(|w| (w.index, w)).collect();
        self.turns.retain(|index| led.contains_key(index));
        if self.turns.len() < led.len() {
            let new = state.led_by(self.id).map(|wanted| wanted.index);
            let new: Vec<_> = new.filter(|index| !self.turns.contains(index)).collect();
            self.turns.extend(new);
        }
        if self.turns.is_empty() {
            return None;
        }
        let limits = client.limits(state.brokers.len());
        let partition = |wanted: &Wanted| {
            let epoch = wanted.leader.map_or(-1, |leader| leader.epoch);
            let last_epoch = wanted.last_epoch;
            FetchPartition::default()
                .with_partition(wanted.split.partition)
                .with_current_leader_epoch(if version < WITH_EPOCH { -1 } else { epoch })
                .with_last_fetched_epoch(if version < WITH_LAST_EPOCH {
                    -1
                } else {
                    last_epoch
                })
                .with_fetch_offset(wanted.next.0)
                .with_partition_max_bytes(limits.partition)
        };
        // A topic may come twice: what counts is the order of the partitions.
        let mut topics: Vec<(&str, FetchTopic)> = Vec::new();
        let most = match self.busy {
            true => BUSY_SPLITS,
            false => self.turns.len(),
        };
        for index in self.turns.iter().take(most) {
            let wanted = led[index];
            let name = &*wanted.split.topic;
            if topics.last().is_none_or(|(last, _)| *last != name) {
                let topic = TopicName(StrBytes::from_string(name.to_owned()));
                topics.push((name, FetchTopic::default().with_topic(topic)));
            }
            if let Some((_, topic)) = topics.last_mut() {
                topic.partitions.push(partition(wanted));
            }
        }
        let topics = topics.into_iter().map(|(_, topic)| topic).collect();
        let at_once = state.bounded();
        // Those that are named may have nothing, and others more than enough.
        let wait_ms = if self.busy { 0 } else { client.limits.wait_ms };
        Some(
            FetchRequest::default()
                .with_replica_id(NO_REPLICA.into())
                .with_max_wait_ms(wait_ms)
                .with_min_bytes(if at_once { 1 } else { client.limits.least })
                .with_max_bytes(limits.all)
                .with_isolation_level(COMMITTED)
                .with_session_id(NO_SESSION.0)
                .with_session_epoch(NO_SESSION.1)
                .with_topics(topics),
        )
    }

    /// Hands on what the reader is to see of an answer, as soon as it has room for it.
    async fn take(&mut self, answer: FetchResponse) {
        let client = self.client.clone();
        let room = client.inbox.room().await;
        let mut state = client.shared.lock();
        let places = state.led_by(self.id).map(|wanted| {
            let split = &wanted.split;
            ((split.topic.clone(), split.partition), wanted.index)
        });
        let places: HashMap<_, _> = places.collect();
        let (mut fetched, mut well, mut bytes) = (Vec::new(), true, 0);
        let (mut idle, mut served) = (HashSet::new(), HashSet::new());
        for topic in answer.responses {
            let name: Arc<str> = topic.topic.as_str().into();
            for data in topic.partitions {
                // What has another leader by now is fetched from there.
                let Some(&index) = places.get(&(name.clone(), data.partition_index)) else {
                    continue;
                };
                let wanted = state.of(index);
                let this = of_partition(wanted, data);
                if this.trouble.is_some() {
                    wanted.failed();
                    well = false;
                } else if !this.records.is_empty() {
                    wanted.well();
                    served.insert(index);
                } else if wanted.end.is_some_and(|end| end <= wanted.next) {
                    wanted.well();
                    idle.insert(index);
                }
                bytes += this.records.len();
                fetched.push(this);
            }
        }
        let large = client.limits(state.brokers.len()).all / 2;
        self.busy = bytes >= usize::try_from(large).unwrap_or(usize::MAX);
        self.turns
            .retain(|index| !served.contains(index) && !idle.contains(index));
        self.turns.extend(idle);
        self.turns.extend(served);
        if !fetched.is_empty() {
            room.put(fetched);
        }
        drop(state);
        if !well {
            client.shared.leaders_wanted.notify_one();
        }
    }
}

/// What came of one partition. Moves on what is asked for next.
fn of_partition(wanted: &mut Wanted, data: PartitionData) -> Fetched {
    let from = wanted.next;
    let trouble = match ResponseError::try_from_code(data.error_code) {
        Some(error) => Some(Trouble::Error(error)),
        None if data.diverging_epoch.epoch >= 0 => Some(Trouble::CutOff {
            epoch: wanted.last_epoch,
            end: data.diverging_epoch.end_offset,
        }),
        None => None,
    };
    if data.high_watermark >= 0 {
        wanted.end = Some(NextOffset(data.high_watermark));
    }
    let mut records = data.records.unwrap_or_default();
    let whole = record_batch::whole(&records);
    records.truncate(if trouble.is_none() { whole.end } else { 0 });
    if let Some(last) = whole.last
        && trouble.is_none()
        && last.next > from.0
    {
        wanted.next = NextOffset(last.next);
        wanted.last_epoch = last.epoch;
    }
    let aborted = data.aborted_transactions.unwrap_or_default().into_iter();
    let aborted = aborted.map(|aborted| Aborted {
        producer_id: aborted.producer_id.0,
        first_offset: aborted.first_offset,
    });
    Fetched {
        split: wanted.index,
        from,
        trouble,
        aborted: aborted.collect(),
        records,
    }
}
