//! A bounded run reads what was there when it began, and leaves the rest to the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lineage::clock::SystemClock;
use lineage::ids::{NextOffset, Split};
use lineage::runtime::health::Health;
use lineage::source::kafka::{KafkaReader, KafkaSettings};
use lineage::source::{RawBatch, SourceReader, SplitStart};

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Storage, Topic, kafka};

#[test]
fn no_position_goes_behind_the_end_of_a_bounded_run() {
    let topic = Topic::create(1);
    topic.produce(150);
    let settings = KafkaSettings {
        bootstrap_servers: kafka::servers(),
        group_id: topic.name.clone(),
        properties: BTreeMap::new(),
        topic_ids: true,
        queue_memory: 4 << 20,
    };
    let (health, clock) = (Arc::new(Health::default()), Arc::new(SystemClock::new()));
    let mut reader = KafkaReader::new(&settings, health, clock).unwrap();
    let start = SplitStart {
        split: Split::new(topic.name.as_str(), 0),
        from: NextOffset(0),
        reread: None,
        until: Some(NextOffset(100)),
    };
    reader.add_splits(vec![start]).unwrap();
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
fn what_comes_to_a_finished_partition_while_others_are_read_is_read_by_the_next_run() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    topic.produce_to(0, 100);
    topic.produce_to(1, 300_000);
    let flags = [
        "--bounded",
        "--checkpoint-interval",
        "100ms",
        // Small, so that the second partition takes its time.
        "--kafka-property",
        "queued.max.messages.kbytes=64",
    ];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("started");
    topic.produce_to(0, 50);
    lineage.ends_with(0);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
}
