//! The consumer group: offsets are committed to it for lag monitors, and nothing rests on it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::harness::kafka::servers;
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Storage, Topic, wait_for};

#[test]
fn a_consumer_that_joins_the_group_takes_no_record_from_the_archive_and_ends_nothing() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(4));
    topic.produce(1_000);
    let flags = ["--checkpoint-interval", "200ms"];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");

    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers())
        .set("group.id", &topic.name)
        .set("auto.offset.reset", "earliest");
    let other: BaseConsumer = settings.create().unwrap();
    other.subscribe(&[&topic.name]).unwrap();
    topic.produce(1_000);
    wait_for("a record for the other consumer", LONG, || {
        other.poll(Duration::from_millis(100))?.ok().map(|_| ())
    });
    assert_eq!(other.assignment().unwrap().count(), 4);
    topic.produce(1_000);
    archive.wait_for_all_of(&topic);
    let completed = lineage.says("checkpoint complete");
    lineage.wait_until_it_says_times("checkpoint complete", completed + 2);
    drop(other);
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}
