//! A bounded run reads what was there when it began, and leaves the rest to the next one.

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Storage, Topic};

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
