//! The readers of a subtask by themselves, on a real broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lineage::clock::SystemClock;
use lineage::ids::{NextOffset, Split};
use lineage::runtime::health::Health;
use lineage::source::kafka::{KafkaSettings, ReadBy, Reader};
use lineage::source::{RawBatch, SourceReader, SplitStart};
use tokio::runtime::Runtime;

use crate::harness::{LONG, Topic, kafka, wait_for};

/// One that reads the first partition, up to `until`, and what its tasks run on.
fn reader(by: ReadBy, topic: &Topic, until: Option<NextOffset>) -> (Runtime, Reader) {
    let settings = KafkaSettings {
        bootstrap_servers: kafka::servers(),
        group_id: topic.name.clone(),
        properties: BTreeMap::new(),
        security: Default::default(),
        topic_ids: true,
        queue_memory: 4 << 20,
    };
    let (health, clock) = (Arc::new(Health::default()), Arc::new(SystemClock::new()));
    let runtime = Runtime::new().unwrap();
    let in_runtime = runtime.enter();
    let mut reader = Reader::new(by, &settings, health, clock).unwrap();
    drop(in_runtime);
    let start = SplitStart {
        split: Split::new(topic.name.as_str(), 0),
        from: NextOffset(0),
        reread: None,
        until,
    };
    reader.add_splits(vec![start]).unwrap();
    (runtime, reader)
}

fn no_position_goes_behind_the_end(by: ReadBy) {
    let topic = Topic::create(1);
    topic.produce(150);
    let (_runtime, mut reader) = reader(by, &topic, Some(NextOffset(100)));
    // Until nothing comes any more: the event that the partition ends at 150 is among it.
    let (mut read, mut empty) = (0, 0);
    while empty < 5 {
        let batch = reader.fetch(Duration::from_millis(500)).unwrap();
        read += batch.len();
        empty = if batch.is_empty() { empty + 1 } else { 0 };
    }
    assert!(reader.at_end());
    assert_eq!((read, reader.positions()[0].1), (100, NextOffset(100)));
}

#[test]
fn no_position_goes_behind_the_end_of_a_bounded_run() {
    no_position_goes_behind_the_end(ReadBy::Direct);
}

#[test]
fn no_position_goes_behind_the_end_of_a_bounded_run_that_librdkafka_reads() {
    no_position_goes_behind_the_end(ReadBy::Librdkafka);
}

fn a_fetch_is_woken(by: ReadBy) {
    const FOR_EVER: Duration = Duration::from_secs(100_000);
    // Fewer than one call takes: it goes on waiting for more.
    const RECORDS: usize = 5;
    let topic = Topic::create(1);
    let (_runtime, mut reader) = reader(by, &topic, None);
    let waker = reader.waker();
    // Before it waits as well.
    waker.wake();
    let fetching = std::thread::spawn(move || {
        assert!(reader.fetch(FOR_EVER).unwrap().is_empty());
        reader
    });
    wait_for("end of a fetch", LONG, || {
        fetching.is_finished().then_some(())
    });
    let mut reader = fetching.join().unwrap();

    topic.produce(RECORDS);
    let fetching = std::thread::spawn(move || {
        let mut read = 0;
        while read < RECORDS {
            read += reader.fetch(FOR_EVER).unwrap().len();
        }
        reader
    });
    wait_for("records from woken fetches", LONG, || {
        waker.wake();
        fetching.is_finished().then_some(())
    });
    let positions = fetching.join().unwrap().positions();
    assert_eq!(positions[0].1, NextOffset(RECORDS as i64));
}

#[test]
fn a_fetch_that_waits_for_records_returns_what_it_has_when_it_is_woken() {
    a_fetch_is_woken(ReadBy::Direct);
}

#[test]
fn a_fetch_of_librdkafka_that_waits_for_records_returns_what_it_has_when_it_is_woken() {
    a_fetch_is_woken(ReadBy::Librdkafka);
}
