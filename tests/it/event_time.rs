//! Folders by the time of the records instead of that of their processing.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::read_back::{self, Past, assert_exact, python};
use crate::harness::records::{avro_bytes, avro_long, encode, event};
use crate::harness::{Archive, Folder, Lineage, Root, Storage, Topic, looking, mix};
use crate::metrics::scrape_until;
use crate::refusals::refused;

/// The folders of the output, each once.
fn folders(archive: &Archive) -> BTreeSet<String> {
    let keys = archive.keys(Root::Output).into_iter();
    keys.map(|key| key.rsplit_once('/').unwrap().0.to_owned())
        .collect()
}

/// Rows whose folder is not that of their field `timestamp`, in a zone and by a pattern of Python.
fn misplaced(archive: &Archive, zone: &str, pattern: &str) -> String {
    let script = r#"
import glob, sys, zoneinfo
import pyarrow.parquet as pq
root, zone, pattern = sys.argv[1], zoneinfo.ZoneInfo(sys.argv[2]), sys.argv[3]
wrong = set()
for path in glob.glob(root + "/**/*.parquet", recursive=True):
    folder = path[len(root) + 1:].rsplit("/", 1)[0]
    for time in pq.ParquetFile(path).read(["timestamp"]).column(0).to_pylist():
        if time.astimezone(zone).strftime(pattern) != folder:
            wrong.add((folder, str(time)))
print(sorted(wrong)[:5] if wrong else "none", end="")
"#;
    let root = archive.mirror(Root::Output);
    python(&["-c", script, root.to_str().unwrap(), zone, pattern], "")
}

#[test]
fn rows_are_in_the_folder_of_their_own_time_in_the_zone_that_was_asked_for() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(3));
    // The records of partitions are some eleven days apart.
    topic.produce(3_000);
    let flags = [
        "--bounded",
        "--bucket-by=field:timestamp",
        "--bucket-zone=Asia/Kolkata",
        "--bucket-pattern=dt=%Y-%m-%d/%H",
    ];
    Lineage::run(&archive, &topic, &flags);
    assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(folders(&archive).len(), 3);
    assert_eq!(
        misplaced(&archive, "Asia/Kolkata", "dt=%Y-%m-%d/%H"),
        "none"
    );
}

#[test]
fn days_of_23_and_25_hours_have_as_many_folders_with_every_row_in_its_own() {
    // Of 2026 in Berlin, from midnight to midnight: clocks go forward in March, and back in October.
    for (midnight, hours) in [("2026-03-28T23:00:00Z", 23), ("2026-10-24T22:00:00Z", 25)] {
        let midnight: chrono::DateTime<chrono::Utc> = midnight.parse().unwrap();
        let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
        let values: Vec<_> = (0..hours * 3)
            .map(|third| {
                let time = midnight.timestamp_millis() + third * 20 * 60_000;
                event("0a0b0c0d-0102-4304-8506-0708090a0b0c", time)
            })
            .collect();
        topic.produce_raw(0, values.iter().map(|value| Some(value.as_slice())));
        let flags = [
            "--bounded",
            "--bucket-by=field:timestamp",
            "--bucket-zone=Europe/Berlin",
            "--bucket-pattern=%F/hour=%H%z",
        ];
        Lineage::run(&archive, &topic, &flags);
        assert_eq!(folders(&archive).len(), usize::try_from(hours).unwrap());
        let misplaced = misplaced(&archive, "Europe/Berlin", "%F/hour=%H%z");
        assert_eq!(misplaced, "none");
    }
}

#[test]
fn a_late_record_goes_to_its_own_folder_and_closes_no_other_file() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    let flags = [
        "--checkpoint-interval=1h",
        "--parallelism=1",
        "--bucket-by=field:timestamp",
    ];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    for _ in 0..5 {
        // Of the newer days, then of the older ones, again and again.
        topic.produce_to(1, 100);
        topic.produce_to(0, 1);
    }
    wait_until_read(&mut lineage, 505);
    lineage.stop();
    let report = assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(
        report["files"], 2,
        "one for each folder, and one checkpoint"
    );
}

/// Waits until it has read so many records, in whatever checkpoint.
fn wait_until_read(lineage: &mut Lineage, records: u32) {
    let address = lineage.address();
    scrape_until(&address, "end of the topic", |metrics| {
        metrics.sum("lineage_records_read_total", &[]) == f64::from(records)
    });
}

#[test]
fn by_kafkas_time_the_folder_is_that_of_the_record_in_kafka() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    let days = ["2024-02-29", "2024-03-01", "2025-12-31"];
    for (number, day) in (0..).zip(days) {
        let noon: chrono::DateTime<chrono::Utc> = format!("{day}T12:00:00Z").parse().unwrap();
        topic.produce_at(noon.timestamp_millis(), &encode(0, number));
        topic.produce_at(noon.timestamp_millis(), b"not avro");
    }
    let flags = [
        "--bounded",
        "--bucket-by=kafka-timestamp",
        "--bucket-pattern=%Y-%m-%d",
    ];
    Lineage::run(&archive, &topic, &flags);
    for root in [Root::Output, Root::Dropped] {
        let keys = archive.keys(root);
        let folders = keys.iter().map(|key| key.split_once('/').unwrap().0);
        assert!(folders.eq(days), "{keys:?}");
    }
}

#[test]
fn a_field_that_has_no_time_is_refused_before_anything_is_written() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::absent());
    for (by, said) in [("field:uuid", "no time"), ("field:when", "no field 'when'")] {
        refused(
            &archive,
            &topic,
            &["--bucket-by", by],
            &[],
            2,
            &["BUCKET_BY", said],
        );
    }
}

const ROWS: u32 = 2_000_000;

/// Two days of event time in any order, in one checkpoint.
#[test]
fn a_backfill_over_48_hours_of_event_time_stays_within_300_mb() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    let schema = Folder::new();
    let path = schema.path().join("hours.avsc");
    fs::write(
        &path,
        r#"{"type":"record","name":"Hours","fields":[{"name":"at","type":"long"},
            {"name":"text","type":"string"}]}"#,
    )
    .unwrap();
    let begin = 1_795_219_200_000_i64;
    for partition in 0..2 {
        let values: Vec<_> = (0..u64::from(ROWS / 2))
            .map(|n| {
                // Scattered over the two days, and text that does not repeat.
                let scattered = mix(n);
                let at = begin + i64::try_from(scattered % (48 * 3_600_000)).unwrap();
                let mut datum = Vec::with_capacity(48);
                avro_long(at, &mut datum);
                let text = format!("{:032x}", u128::from(scattered) << 57);
                avro_bytes(text.as_bytes(), &mut datum);
                datum
            })
            .collect();
        topic.produce_raw(partition, values.iter().map(|value| Some(value.as_slice())));
    }
    let path = path.to_str().unwrap();
    let flags = [
        "--avro-schema",
        path,
        "--bucket-by=field:at",
        "--checkpoint-interval=1h",
    ];
    let savepoints = archive.savepoints();
    let savepoints = [("SAVEPOINTS_PATH", savepoints.as_str())];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &savepoints);
    wait_until_read(&mut lineage, ROWS);
    // With the closing of all its files, which a stop would not let be seen.
    let rest = format!("http://{}", lineage.address());
    let saved = looking(&archive, &["savepoint", "--rest", &rest]);
    assert!(saved.status.success(), "{saved:?}");
    let peak = lineage.peak_bytes();
    lineage.stop();
    assert!(peak < 300_000_000, "{peak} bytes");
    assert_eq!(folders(&archive).len(), 48);
    let report = read_back::report(&archive, &topic);
    assert_eq!(report["output_rows"], ROWS);
}
