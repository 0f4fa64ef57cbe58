//! Partitions that appear while it runs.

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Storage, Topic, wait_for};

#[test]
fn a_partition_that_is_added_while_it_runs_is_read_from_its_first_record() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    topic.produce(1_000);
    // Long enough for the records to be there before the partitions are found.
    let flags = [
        "--checkpoint-interval",
        "200ms",
        "--partition-discovery-interval",
        "3s",
    ];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");
    topic.grow(4);
    topic.produce_to(2, 700);
    topic.produce_to(3, 800);
    lineage.wait_until_it_says_times("new partition", 2);
    wait_for("slot with the new records", LONG, || {
        (archive.next_offsets() == [500, 500, 700, 800]).then_some(())
    });
    lineage.stop();
    let report = assert_exact(&archive, &topic, Past::Calm);
    for partition in ["2", "3"] {
        assert_eq!(report["partitions"][partition]["min"], 0);
    }
}

#[test]
fn a_partition_that_is_added_between_two_runs_is_read_from_its_first_record() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    topic.produce(1_000);
    Lineage::run(&archive, &topic, &["--bounded"]);
    topic.grow(3);
    topic.produce(900);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(archive.next_offsets(), [800, 800, 300]);
}

#[test]
fn a_thousand_partitions_are_archived_within_the_memory_budget() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(1_000));
    topic.produce(500_000);
    let flags = ["--memory-budget", "64MiB"];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");
    archive.wait_for_all_of(&topic);
    let peak = lineage.peak_bytes();
    assert!(peak < 300 << 20, "{} MiB", peak >> 20);
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_restart_with_a_saved_offset_of_0_reads_the_record_at_0() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_eq!(archive.next_offsets(), [0, 0]);
    topic.produce(100);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(archive.next_offsets(), [50, 50]);
}
