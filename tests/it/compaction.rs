//! Compacted topics: Kafka takes records out of the middle, before they are archived or after.

use serde_json::json;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Root, Storage, Topic, wait_for};
use crate::verify::verify;

const KEYS: u64 = 50;
const OF_EACH: u64 = 20;
/// Offsets of a partition before those of the newest record of each key.
const OLDER: i64 = (KEYS * (OF_EACH - 1)).cast_signed();

/// A segment takes what comes within a millisecond.
const SEGMENTS: (&str, &str) = ("segment.ms", "1");

/// Many records of each key, none of them compacted yet.
fn keyed(topic: &Topic) {
    topic.configure(&[SEGMENTS]);
    topic.produce_keyed(KEYS, OF_EACH);
}

/// Waits until only the newest record of each key is there, and one more: Kafka never compacts
/// the segment that it writes, so a last record, more than a millisecond later, is to have it alone.
fn compact(topic: &Topic) {
    topic.produce(topic.partitions());
    topic.configure(&[
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
        SEGMENTS,
    ]);
    let end = OLDER + KEYS.cast_signed() + 1;
    wait_for("end of the compaction", LONG, || {
        let left = topic.held();
        (left
            .iter()
            .all(|offsets| offsets.iter().copied().eq(OLDER..end)))
        .then_some(())
    });
}

#[test]
fn what_compaction_has_left_is_archived_and_the_gaps_are_kafkas_own() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    keyed(&topic);
    compact(&topic);
    topic.forget(|record| record.offset < OLDER);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);

    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 0, "{report}");
    for partition in report["partitions"].as_array().unwrap() {
        assert_eq!(partition["missing"], json!([[0, OLDER - 1]]), "{partition}");
        assert_eq!(partition["kafka"]["not_delivered"], partition["missing"]);
    }
    archive.delete(Root::Output, &archive.keys(Root::Output)[0]);
    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 1, "a file is missing now: {report}");
}

#[test]
fn what_was_archived_stays_whole_when_kafka_compacts_it_afterwards() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    keyed(&topic);
    Lineage::run(&archive, &topic, &["--bounded"]);
    compact(&topic);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
    for flags in [&[][..], &["--check-kafka"]] {
        let (code, report) = verify(&archive, flags);
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["partitions"][0]["missing"], json!([]));
    }
}
