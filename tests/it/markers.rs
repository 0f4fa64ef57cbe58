//! `_SUCCESS` in folders that are complete.

use std::fs;
use std::sync::Arc;

use lineage::runtime::failure;
use serde_json::{Value, json};

use crate::harness::records::{avro_long, framed};
use crate::harness::registry::Registry;
use crate::harness::{Archive, Folder, LONG, Lineage, Root, Storage, Topic, wait_for};
use crate::verify::verify;

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
/// 2026-11-20T00:00:00Z.
const DAY: i64 = 1_795_132_800_000;

/// A topic of records that are nothing but their time.
struct Times {
    topic: Arc<Topic>,
    folder: Folder,
}

impl Times {
    fn new(partitions: usize) -> Self {
        let folder = Folder::new();
        let schema = r#"{"type":"record","name":"T","fields":[{"name":"at","type":"long"}]}"#;
        fs::write(folder.path().join("t.avsc"), schema).unwrap();
        let topic = Topic::create(partitions);
        Self { topic, folder }
    }

    /// One record of `hour` and `minute` of the day.
    fn send(&self, partition: i32, hour: i64, minute: i64) {
        let mut datum = Vec::new();
        avro_long(DAY + hour * HOUR + minute * MINUTE, &mut datum);
        self.topic.produce_raw(partition, [Some(datum.as_slice())]);
    }

    fn start(&self, archive: &Archive, flags: &[&str]) -> Lineage {
        self.start_with(archive, flags, &[])
    }

    fn start_with(&self, archive: &Archive, flags: &[&str], more: &[(&str, &str)]) -> Lineage {
        let schema = self.folder.path().join("t.avsc");
        let fixed = [
            "--avro-schema",
            schema.to_str().unwrap(),
            "--bucket-by=field:at",
            "--bucket-pattern=%F/hour=%H",
            "--checkpoint-interval=200ms",
            "--success-markers",
            "--allowed-lateness=1m",
        ];
        let flags = [&fixed[..], flags].concat();
        Lineage::start_with(archive, &self.topic, &flags, more)
    }
}

fn markers(archive: &Archive) -> Vec<String> {
    let keys = archive.keys(Root::Output).into_iter();
    keys.filter_map(|key| key.strip_suffix("/_SUCCESS").map(str::to_owned))
        .collect()
}

#[track_caller]
fn wait_for_markers(archive: &Archive, folders: &[&str]) {
    wait_for(&format!("marker in {folders:?}"), LONG, || {
        (markers(archive) == folders).then_some(())
    });
}

fn marker(archive: &Archive, folder: &str) -> Value {
    serde_json::from_slice(&archive.get(Root::Output, &format!("{folder}/_SUCCESS"))).unwrap()
}

/// Waits for two more checkpoints: the first may have been under way.
fn some_checkpoints(archive: &Archive) {
    let begin = archive.slot_ids().last().copied().unwrap_or(0);
    wait_for("two checkpoints more", LONG, || {
        (archive.slot_ids().last().copied()? >= begin + 2).then_some(())
    });
}

#[test]
fn an_hour_is_marked_once_every_partition_has_passed_it_and_anew_for_a_late_file() {
    for storage in [Storage::S3, Storage::Local] {
        let (archive, times) = (Archive::new(storage), Times::new(2));
        times.send(0, 7, 10);
        times.send(1, 7, 20);
        let lineage = times.start(&archive, &["--idle-partition-timeout=1h"]);
        archive.wait_until_archived(2);
        times.send(0, 8, 10);
        archive.wait_until_archived(3);
        some_checkpoints(&archive);
        assert_eq!(
            markers(&archive),
            [""; 0],
            "partition 1 has not passed 8 o'clock"
        );
        times.send(1, 8, 30);
        wait_for_markers(&archive, &["2026-11-20/hour=07"]);
        let first = marker(&archive, "2026-11-20/hour=07");
        assert_eq!(first["bucket"], "2026-11-20/hour=07");
        assert_eq!(first["watermark"], DAY + 8 * HOUR + 9 * MINUTE);

        times.send(0, 7, 59);
        wait_for("changed marker", LONG, || {
            (marker(&archive, "2026-11-20/hour=07") != first).then_some(())
        });
        let changed = marker(&archive, "2026-11-20/hour=07");
        assert!(changed["checkpoint_id"].as_u64() > first["checkpoint_id"].as_u64());
        assert_eq!(markers(&archive), ["2026-11-20/hour=07"]);
        lineage.stop();
        let (code, report) = verify(&archive, &[]);
        assert_eq!(code, 0, "{report}");
    }
}

#[test]
fn a_partition_without_records_holds_up_no_marker_once_it_is_idle() {
    let (archive, times) = (Archive::new(Storage::Local), Times::new(2));
    times.send(0, 7, 10);
    let lineage = times.start(&archive, &["--idle-partition-timeout=2s"]);
    archive.wait_until_archived(1);
    wait_for("marker, while the other partition goes on", LONG, || {
        // As long as it takes: were it silent too, nobody could tell that time goes on.
        times.send(0, 8, 30);
        (markers(&archive) == ["2026-11-20/hour=07"]).then_some(())
    });
    lineage.stop();
}

#[test]
fn records_that_wait_for_their_schema_hold_up_the_marker_of_their_hour() {
    let registry = Registry::get();
    let door = registry.door();
    let (archive, times) = (Archive::new(Storage::Local), Times::new(2));
    let of = |doc: &str| {
        let schema = json!({"type": "record", "name": "T", "doc": doc,
            "fields": [{"name": "at", "type": "long"}]});
        registry.register(&times.topic.name, &schema)
    };
    let send = |id: u32, partition: i32, hour: i64, minute: i64| {
        let mut datum = Vec::new();
        avro_long(DAY + hour * HOUR + minute * MINUTE, &mut datum);
        let value = framed(id, &datum);
        times.topic.produce_raw(partition, [Some(value.as_slice())]);
    };
    let known = of("known");
    let url = door.url();
    let flags = [
        "--avro-format=confluent",
        "--schema-registry-url",
        &url,
        "--idle-partition-timeout=500ms",
    ];
    let mut lineage = times.start(&archive, &flags);
    send(known, 0, 7, 10);
    send(known, 1, 7, 20);
    archive.wait_until_archived(2);
    door.shut();
    send(of("not seen yet"), 0, 7, 30);
    lineage.wait_until_it_says("degraded");
    for minute in 0..10 {
        // With each at least one checkpoint, so that the first partition would be idle by then.
        send(known, 1, 9, minute);
        archive.wait_until_archived(3 + minute);
    }
    assert_eq!(markers(&archive), [""; 0]);

    door.open();
    archive.wait_until_archived(2 + 1 + 10);
    wait_for("marker", LONG, || {
        send(known, 1, 9, 30);
        (markers(&archive) == ["2026-11-20/hour=07"]).then_some(())
    });
    lineage.stop();
}

#[test]
fn a_start_goes_on_with_what_was_not_marked_yet() {
    let (archive, times) = (Archive::new(Storage::S3), Times::new(1));
    times.send(0, 7, 10);
    let lineage = times.start(&archive, &[]);
    archive.wait_until_archived(1);
    lineage.stop();
    assert_eq!(markers(&archive), [""; 0]);
    let lineage = times.start(&archive, &[]);
    times.send(0, 9, 0);
    wait_for_markers(&archive, &["2026-11-20/hour=07"]);
    lineage.stop();
}

#[test]
fn a_death_before_or_after_a_marker_is_written_leaves_none_out() {
    for point in [failure::MARK_BEFORE, failure::MARKED_AFTER] {
        let (archive, times) = (Archive::new(Storage::S3), Times::new(1));
        times.send(0, 7, 10);
        let lineage = times.start(&archive, &[]);
        archive.wait_until_archived(1);
        lineage.stop();
        times.send(0, 9, 0);
        // The first checkpoint of this process has nothing to mark, and need not be the one with the record.
        let at = match point {
            failure::MARK_BEFORE => format!("{point}:2"),
            _ => point.to_owned(),
        };
        times
            .start_with(&archive, &[], &[("LINEAGE_DIE_AT", &at)])
            .dies();
        let lineage = times.start(&archive, &[]);
        times.send(0, 9, 30);
        wait_for_markers(&archive, &["2026-11-20/hour=07"]);
        assert_eq!(
            marker(&archive, "2026-11-20/hour=07")["bucket"],
            "2026-11-20/hour=07"
        );
        lineage.stop();
        let (code, report) = verify(&archive, &[]);
        assert_eq!(code, 0, "{report}");
    }
}

#[test]
fn a_record_that_cannot_be_decoded_completes_no_hour() {
    let (archive, times) = (Archive::new(Storage::Local), Times::new(1));
    times.send(0, 7, 10);
    let lineage = times.start(&archive, &["--idle-partition-timeout=1h"]);
    archive.wait_until_archived(1);
    // Kafka's time of it is now.
    times.topic.produce_raw(0, [Some(&b"\xff"[..])]);
    wait_for("the dropped record", LONG, || {
        (!archive.keys(Root::Dropped).is_empty()).then_some(())
    });
    some_checkpoints(&archive);
    assert_eq!(markers(&archive), [""; 0]);
    lineage.stop();
}

#[test]
fn without_being_asked_for_there_are_no_markers() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    topic.produce(10);
    let flags = ["--bucket-pattern=%Y%m%d%H%M", "--checkpoint-interval=200ms"];
    let lineage = Lineage::start(&archive, &topic, &flags);
    archive.wait_until_archived(10);
    some_checkpoints(&archive);
    lineage.stop();
    assert_eq!(markers(&archive), [""; 0]);
    assert!(archive.newest_slot().get("markers").is_none());
}
