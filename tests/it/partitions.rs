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
