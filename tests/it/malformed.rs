//! Records that cannot be decoded go to the dropped output, and everything else goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use data_generator::malformed::{Kind, Plan};
use serde_json::Value;

use crate::harness::read_back::{Past, assert_exact, python};
use crate::harness::records::encode;
use crate::harness::{Archive, Lineage, Root, Storage, Topic, looking};

/// What the dropped output says: partition, offset, error, length of the value or null.
fn dropped_rows(archive: &Archive) -> Vec<Value> {
    let script = r#"
import glob, json, sys
import pyarrow.parquet as pq
rows = []
for path in glob.glob(sys.argv[1] + "/**/*.parquet", recursive=True):
    for row in pq.ParquetFile(path).read().to_pylist():
        value = row["value"]
        rows.append([row["kafka_partition"], row["kafka_offset"], row["error"],
                     None if value is None else value.hex(), row["kafka_timestamp"] is not None])
json.dump(sorted(rows, key=lambda row: row[:2]), sys.stdout)
"#;
    let folder = archive.mirror(Root::Dropped);
    let rows = python(&["-c", script, folder.to_str().unwrap()], "");
    serde_json::from_str(&rows).unwrap()
}

fn with_malformed(storage: Storage) {
    let archive = Archive::new(storage);
    let topic = Topic::create(10);
    let mut plan = Plan::new(0.01, 10);
    let mut kinds = BTreeSet::new();
    let mut values = Vec::new();
    let mut bad = topic.produce_some_broken(50_000, |n, whole| {
        let kind = plan.next(n % 10)?;
        kinds.insert(format!("{kind:?}"));
        let value = kind.apply(whole, &mut Vec::new()).map(<[u8]>::to_vec);
        values.push(value.clone());
        Some(value)
    });
    assert_eq!(bad.len(), 500);
    assert_eq!(kinds.len(), Kind::ALL.len(), "{kinds:?}");
    Lineage::run(
        &archive,
        &topic,
        &["--bounded", "--checkpoint-interval", "200ms"],
    );

    let report = assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(report["dropped_rows"], 500);
    assert_eq!(report["rows"], 50_000);
    for (partition, found) in report["partitions"].as_object().unwrap() {
        assert_eq!(
            (&found["rows"], &found["missing_count"]),
            (&5_000.into(), &0.into()),
            "{partition}"
        );
    }
    let columns: Vec<_> = report["dropped_schema"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["type"].as_str().unwrap()))
        .collect();
    assert_eq!(
        columns,
        [
            ("kafka_topic", "string"),
            ("kafka_partition", "int32"),
            ("kafka_offset", "int64"),
            ("kafka_timestamp", "timestamp[ms, tz=UTC]"),
            ("key", "binary"),
            ("value", "binary"),
            ("error", "string"),
            ("checkpoint_id", "int64"),
        ]
    );
    let logs = archive.keys(Root::CommitLog);
    assert!(logs.iter().any(|key| key.contains("/dropped-")), "{logs:?}");

    let rows = dropped_rows(&archive);
    bad.sort_unstable();
    let origins: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                i32::try_from(row[0].as_i64().unwrap()).unwrap(),
                row[1].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(origins, bad);
    assert!(
        rows.iter().all(|row| !row[2].as_str().unwrap().is_empty()),
        "a row without a reason"
    );
    assert!(
        rows.iter().all(|row| row[4] == true),
        "a row without Kafka's timestamp"
    );
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let mut found: Vec<_> = rows
        .iter()
        .map(|row| row[3].as_str().map(str::to_owned))
        .collect();
    let mut expected: Vec<_> = values.iter().map(|v| v.as_deref().map(hex)).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "the values as Kafka had them");
}

#[test]
fn one_malformed_record_in_a_hundred_is_dropped_with_its_reason_in_s3() {
    with_malformed(Storage::S3);
}

#[test]
fn one_malformed_record_in_a_hundred_is_dropped_with_its_reason_in_a_folder() {
    with_malformed(Storage::Local);
}

#[test]
fn a_topic_of_malformed_records_alone_is_archived() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(10);
    let mut plan = Plan::new(1.0, 10);
    topic.produce_some_broken(100_000, |n, whole| {
        let kind = plan.next(n % 10).unwrap();
        Some(kind.apply(whole, &mut Vec::new()).map(<[u8]>::to_vec))
    });
    let mut lineage = Lineage::start(&archive, &topic, &["--bounded"]);
    lineage.ends_with(0);
    let report = assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(
        (&report["output_rows"], &report["dropped_rows"]),
        (&0.into(), &100_000.into())
    );
}

/// A good record with up to three bytes changed, put in or taken out.
fn mutated(rng: &mut fastrand::Rng, partition: i32, number: u64) -> Vec<u8> {
    let mut bytes = encode(partition, number);
    for _ in 0..rng.usize(0..4) {
        let place = rng.usize(0..=bytes.len());
        match rng.u8(0..4) {
            0 if place < bytes.len() => bytes[place] = rng.u8(..),
            1 if place < bytes.len() => drop(bytes.remove(place)),
            2 => bytes.truncate(place),
            _ => bytes.insert(place, rng.u8(..)),
        }
    }
    bytes
}

#[test]
#[ignore = "takes minutes"]
fn of_ten_million_mutated_records_each_is_in_the_output_or_dropped() {
    const OF_A_PARTITION: u64 = 1_000_000;
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(10));
    let mut rng = fastrand::Rng::with_seed(42);
    for partition in 0..10 {
        let values = (0..OF_A_PARTITION).map(|number| mutated(&mut rng, partition, number));
        let values: Vec<_> = values.collect();
        topic.produce_raw(partition, values.iter().map(|value| Some(&value[..])));
    }
    let mut lineage = Lineage::start(&archive, &topic, &["--bounded"]);
    lineage.ends_within(Duration::from_secs(900), 0);
    let output = looking(&archive, &["verify", "--deep", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    let (mut rows, mut dropped) = (0, 0);
    for partition in report["partitions"].as_array().unwrap() {
        let of = |name: &str| partition[name].as_u64().unwrap();
        assert_eq!(of("rows") + of("dropped"), OF_A_PARTITION, "{partition}");
        assert_eq!(partition["missing"], serde_json::json!([]), "{partition}");
        rows += of("rows");
        dropped += of("dropped");
    }
    assert!(
        rows > 2_000_000 && dropped > 2_000_000,
        "{rows} rows, {dropped} dropped"
    );
}
