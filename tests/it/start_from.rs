//! Where a new job begins to read: the oldest record, the end, a time, or given offsets.

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Storage, Topic};
use crate::refusals::refused;
use crate::verify::verify;

/// The archive holds what is expected from there on, and is whole by its own account.
#[track_caller]
fn assert_begins(archive: &Archive, topic: &Topic, begins: &[i64]) {
    topic.forget(|record| record.offset < begins[usize::try_from(record.partition).unwrap()]);
    assert_exact(archive, topic, Past::Calm);
    let (code, report) = verify(archive, &["--check-kafka"]);
    assert_eq!(code, 0, "{report}");
    let slot = archive.newest_slot();
    let begun = slot["next_offsets"].as_array().unwrap().iter();
    let begun: Vec<_> = begun.map(|of| of["begin"].as_i64().unwrap()).collect();
    assert_eq!(begun, begins);
}

#[test]
fn from_latest_only_what_comes_after_the_first_start_is_archived() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    topic.produce(100);
    let flags = ["--start-from", "latest"];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");
    topic.produce(40);
    archive.wait_for_all_of(&topic);
    lineage.stop();
    // A job that has checkpoints goes on from them.
    topic.produce(20);
    Lineage::run(&archive, &topic, &["--start-from", "latest", "--bounded"]);
    assert_begins(&archive, &topic, &[50, 50]);
}

#[test]
fn a_partition_that_comes_later_is_read_from_its_first_record_also_from_latest() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    topic.produce(100);
    Lineage::run(&archive, &topic, &["--start-from", "latest", "--bounded"]);
    topic.grow(2);
    topic.produce_to(1, 30);
    Lineage::run(&archive, &topic, &["--start-from", "latest", "--bounded"]);
    assert_begins(&archive, &topic, &[100, 0]);
}

#[test]
fn from_given_offsets_exactly_these_partitions_begin_there_also_at_0() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    topic.produce(100);
    Lineage::run(&archive, &topic, &["--start-from", "0=0,1=17", "--bounded"]);
    assert_begins(&archive, &topic, &[0, 17]);
}

#[test]
fn from_a_time_the_first_record_of_then_or_later_is_the_first() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    topic.produce(100);
    // Kafka's own time of the records, to the millisecond.
    let between = chrono::Utc::now() + chrono::Duration::milliseconds(1);
    while chrono::Utc::now() <= between {
        std::thread::yield_now();
    }
    topic.produce_to(0, 30);
    let time = between.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    Lineage::run(&archive, &topic, &["--start-from", &time, "--bounded"]);
    assert_begins(&archive, &topic, &[50, 50]);
}

#[test]
fn offsets_that_kafka_does_not_hold_and_partitions_that_are_not_named_are_refused() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    topic.produce(100);
    topic.delete_below(0, 10);
    for (from, said) in [
        ("0=0,1=0", "holds the offsets 10 to 50"),
        ("0=10,1=51", "holds the offsets 0 to 50"),
        ("0=10", "names no offset for"),
        ("0=10,1=0,2=0", "names partition 2"),
    ] {
        refused(
            &archive,
            &topic,
            &["--start-from", from],
            &[],
            4,
            &[said, "START_FROM"],
        );
    }
    refused(
        &archive,
        &topic,
        &["--start-from", "0:10"],
        &[],
        2,
        &["--start-from"],
    );
}
