use std::collections::BTreeMap;

use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse};

use super::*;
use crate::clock::SystemClock;
use crate::ids::Split;
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::direct::built::Built;
use crate::source::kafka::direct::state::Leader;

const BROKER: BrokerId = BrokerId(7);

fn address(port: u16) -> Address {
    Address {
        host: "broker".into(),
        port,
    }
}

/// A broker that leads so many splits of one topic, to which nobody has connected.
fn broker(splits: u32) -> Broker {
    let settings = KafkaSettings {
        bootstrap_servers: "127.0.0.1:1".into(),
        group_id: "group".into(),
        properties: BTreeMap::new(),
        security: Default::default(),
        topic_ids: false,
        queue_memory: 64 << 20,
    };
    let (health, clock) = (Arc::default(), Arc::new(SystemClock::new()));
    let client = Arc::new(Client::new(&settings, health, clock).unwrap());
    let mut state = client.shared.lock();
    state.take_brokers([(BROKER, address(1))].into());
    for index in 0..splits {
        let split = Split::new("topic", index as i32);
        let index = SplitIndex(index);
        state.add(Wanted::new(split, index, NextOffset(0), None));
        let leader = Leader {
            broker: BROKER,
            epoch: 3,
        };
        state.take_leader(index, leader);
    }
    drop(state);
    Broker::new(client, BROKER)
}

fn of(partition: i32, end: i64) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition)
        .with_high_watermark(end)
}

fn answer(partitions: Vec<PartitionData>) -> FetchResponse {
    let topic = FetchableTopicResponse::default()
        .with_topic(TopicName(StrBytes::from_static_str("topic")))
        .with_partitions(partitions);
    FetchResponse::default().with_responses(vec![topic])
}

/// A batch of one record of so many bytes.
fn batch(offset: i64, bytes: usize) -> Vec<u8> {
    Built::new(offset, vec![(None, Some(&vec![0; bytes]), 0)]).bytes()
}

fn asked(request: &FetchRequest) -> Vec<i32> {
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.partition).collect()
}

#[tokio::test]
async fn what_has_come_or_is_at_its_end_is_asked_for_behind_all_others() {
    let mut broker = broker(5);
    let first = broker.request(&address(1), 12).unwrap();
    assert_eq!(asked(&first), [0, 1, 2, 3, 4]);
    assert!(first.max_wait_ms > 0);
    let of_one = of(1, 9).with_records(Some(batch(0, 10).into()));
    broker.take(answer(vec![of(0, 0), of_one, of(2, 5)])).await;
    let second = broker.request(&address(1), 12).unwrap();
    assert_eq!(asked(&second), [2, 3, 4, 0, 1]);
    assert_eq!(second.topics[0].partitions[4].fetch_offset, 1);
}

#[tokio::test]
async fn a_broker_that_has_more_than_enough_waits_for_nothing_more() {
    let mut broker = broker(40);
    broker.request(&address(1), 12).unwrap();
    let much = of(0, 9).with_records(Some(batch(0, 600 << 10).into()));
    broker.take(answer(vec![much])).await;
    let next = broker.request(&address(1), 12).unwrap();
    assert_eq!((asked(&next).len(), next.max_wait_ms), (BUSY_SPLITS, 0));
}

#[tokio::test]
async fn what_it_leads_no_more_is_left_to_its_new_leader_and_moves_no_offset() {
    let mut broker = broker(2);
    broker.request(&address(1), 12).unwrap();
    let shared = broker.client.shared.clone();
    shared
        .lock()
        .take_brokers([(BROKER, address(1)), (BrokerId(8), address(2))].into());
    let leader = Leader {
        broker: BrokerId(8),
        epoch: 4,
    };
    shared.lock().take_leader(SplitIndex(0), leader);
    let records = |partition| of(partition, 9).with_records(Some(batch(0, 10).into()));
    broker.take(answer(vec![records(0), records(1)])).await;
    let came = broker.client.inbox.take(Duration::ZERO).unwrap();
    assert_eq!(came.len(), 1);
    assert_eq!(came[0].split, SplitIndex(1));
    assert_eq!(shared.lock().of(SplitIndex(0)).next, NextOffset(0));
}

#[tokio::test]
async fn who_is_at_another_address_is_asked_there() {
    let mut broker = broker(1);
    assert!(broker.request(&address(2), 12).is_none());
    assert_eq!(broker.address(), Some(address(1)));
}

#[tokio::test]
async fn a_split_that_its_leader_refuses_rests_for_a_while_and_the_others_do_not() {
    let mut broker = broker(2);
    broker.request(&address(1), 12).unwrap();
    let refused = of(0, -1).with_error_code(ResponseError::KafkaStorageError.code());
    broker.take(answer(vec![refused])).await;
    let leader = Leader {
        broker: BROKER,
        epoch: 3,
    };
    let shared = broker.client.shared.clone();
    // Whoever says so at once.
    shared.lock().take_leader(SplitIndex(0), leader);
    assert!(shared.lock().ask_at().unwrap() > Instant::now());
    let next = broker.request(&address(1), 12).unwrap();
    assert_eq!(asked(&next), [1]);
    let came = broker.client.inbox.take(Duration::ZERO).unwrap();
    let error = Trouble::Error(ResponseError::KafkaStorageError);
    assert_eq!(came[0].trouble, Some(error));
}

#[tokio::test]
async fn a_log_that_was_cut_off_before_what_was_read_is_told() {
    let mut broker = broker(1);
    broker.request(&address(1), 12).unwrap();
    let mut first = batch(0, 10);
    // Whose leader took it.
    first[12..16].copy_from_slice(&3_i32.to_be_bytes());
    broker
        .take(answer(vec![of(0, 9).with_records(Some(first.into()))]))
        .await;
    broker.client.inbox.take(Duration::ZERO).unwrap();
    let asked = broker.request(&address(1), 12).unwrap();
    assert_eq!(asked.topics[0].partitions[0].last_fetched_epoch, 3);
    let diverges = EpochEndOffset::default().with_epoch(2).with_end_offset(0);
    let data = of(0, 9).with_diverging_epoch(diverges);
    broker
        .take(answer(vec![data.with_records(Some(batch(1, 10).into()))]))
        .await;
    let came = broker.client.inbox.take(Duration::ZERO).unwrap();
    let cut_off = Trouble::CutOff { epoch: 3, end: 0 };
    assert_eq!(came[0].trouble, Some(cut_off));
    assert!(came[0].records.is_empty());
    let shared = broker.client.shared.clone();
    assert_eq!(shared.lock().of(SplitIndex(0)).next, NextOffset(1));
}

#[tokio::test]
async fn a_broker_that_is_named_no_more_leads_nothing() {
    let broker = broker(2);
    let shared = broker.client.shared.clone();
    let mut state = shared.lock();
    state.take_brokers([(BrokerId(8), address(2))].into());
    assert_eq!(state.leaderless().count(), 2);
    assert_eq!(state.led_by(BROKER).count(), 0);
}

#[tokio::test]
async fn a_leader_of_an_earlier_epoch_is_not_believed_until_all_say_so() {
    let broker = broker(1);
    let shared = broker.client.shared.clone();
    let mut state = shared.lock();
    state.leads_no_more(BROKER);
    let earlier = Leader {
        broker: BROKER,
        epoch: 2,
    };
    state.take_leader(SplitIndex(0), earlier);
    assert_eq!(state.leaderless().count(), 1);
    // One who knows better, among others who do not.
    let leader = Leader {
        broker: BROKER,
        epoch: 3,
    };
    for _ in 0..20 {
        state.take_leader(SplitIndex(0), earlier);
        state.take_leader(SplitIndex(0), leader);
    }
    assert_eq!(state.of(SplitIndex(0)).leader, Some(leader));
    for _ in 0..21 {
        state.take_leader(SplitIndex(0), earlier);
    }
    assert_eq!(state.of(SplitIndex(0)).leader, Some(earlier));
}
