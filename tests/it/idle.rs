//! Checkpoints without traffic.

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Root, Storage, Topic, wait_for};

#[test]
fn checkpoints_without_rows_go_on_and_write_no_commit_log() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    let flags = ["--checkpoint-interval", "200ms", "--parallelism", "2"];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says_times("checkpoint complete", 3);
    assert!(*archive.slot_ids().last().unwrap() >= 3);
    for root in [Root::Output, Root::Dropped, Root::CommitLog] {
        assert_eq!(archive.keys(root), [""; 0]);
    }
    // Rows for one subtask only: the other one has no file and so no CSV.
    topic.produce_to(1, 100);
    wait_for("slot with all records", LONG, || {
        (archive.next_offsets() == [0, 100]).then_some(())
    });
    lineage.stop();
    let logs = archive.keys(Root::CommitLog);
    assert!(
        logs.iter().all(|key| key.ends_with("/subtask-1.csv")),
        "{logs:?}"
    );
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn the_checkpoint_log_keeps_its_newest_hundred_slots() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(1);
    let flags = [
        "--checkpoint-interval",
        "10ms",
        "--checkpoint-min-pause",
        "1ms",
    ];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says_times("checkpoint complete", 120);
    lineage.stop();
    let ids = archive.slot_ids();
    assert_eq!(ids.len(), 100);
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
}
