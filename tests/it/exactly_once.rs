//! Every record is in the output once, with its value: in one calm run, and through kills.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Random, Root, Storage, Topic};

/// All hours that a test touches, as the output's folders name them.
fn hours_since(begin: chrono::DateTime<chrono::Utc>) -> Vec<String> {
    let hours = [begin, chrono::Utc::now()];
    hours
        .map(|time| time.format("year=%Y/month=%m/day=%d/hour=%H").to_string())
        .into()
}

fn numeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `part-<job>-<generation>-<subtask>-<sequence>.parquet`
fn is_part_name(name: &str) -> bool {
    let Some(parts) = name
        .strip_prefix("part-")
        .and_then(|n| n.strip_suffix(".parquet"))
    else {
        return false;
    };
    match parts.split('-').collect::<Vec<_>>().as_slice() {
        [job, numbers @ ..] => {
            let is_job = job.len() == 32 && job.bytes().all(|b| b.is_ascii_hexdigit());
            is_job && numbers.len() == 3 && numbers.iter().all(|n| numeric(n))
        }
        [] => false,
    }
}

fn assert_schema(report: &Value) {
    let columns = report["schema"].as_array().unwrap();
    let column = |column: &Value| {
        let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
        (text("name"), text("type"), text("physical"))
    };
    let found: Vec<_> = columns.iter().map(column).collect();
    let expected = [
        ("uuid", "string", "BYTE_ARRAY"),
        ("timestamp", "timestamp[ms, tz=UTC]", "INT64"),
        ("kafka_topic", "string", "BYTE_ARRAY"),
        ("kafka_partition", "int32", "INT32"),
        ("kafka_offset", "int64", "INT64"),
        ("checkpoint_id", "int64", "INT64"),
    ]
    .map(|(name, kind, physical)| (name.to_owned(), kind.to_owned(), physical.to_owned()));
    assert_eq!(found, expected);
    let time = columns[1]["logical"].as_str().unwrap();
    assert!(
        time.contains("isAdjustedToUTC=true") && time.contains("timeUnit=milliseconds"),
        "{time}"
    );
}

fn a_million_records(storage: Storage, flags: &[&str]) {
    let begin = chrono::Utc::now();
    let archive = Archive::new(storage);
    let topic = Topic::create(10);
    topic.produce(1_000_000);
    let mut all = vec!["--bounded", "--parallelism", "2"];
    all.extend(flags);
    let mut lineage = Lineage::start(&archive, &topic, &all);
    lineage.ends_with(0);
    let checkpoints = lineage.says("checkpoint complete");
    assert!(checkpoints >= 3, "only {checkpoints} checkpoints");

    let report = assert_exact(&archive, &topic, Past::Calm);
    for partition in 0..10 {
        let found = &report["partitions"][partition.to_string()];
        assert_eq!(found["rows"], 100_000, "{partition}: {found}");
        assert_eq!((&found["min"], &found["max"]), (&0.into(), &99_999.into()));
        assert_eq!(found["missing_count"], 0);
    }
    assert_eq!(report["dropped_files"], 0);
    assert_schema(&report);

    let hours = hours_since(begin);
    for key in archive.keys(Root::Output) {
        let (hour, name) = key.rsplit_once('/').unwrap();
        assert!(
            hours.iter().any(|h| h == hour) && is_part_name(name),
            "{key}"
        );
    }
    assert_eq!(archive.next_offsets(), [100_000; 10]);
    let ends: Vec<_> = topic.watermarks().iter().map(|w| w.1).collect();
    assert_eq!(ends, [100_000; 10]);
    let committed = topic.committed_offsets();
    assert_eq!(committed, [rdkafka::Offset::Offset(100_000); 10]);
}

#[test]
fn a_million_records_of_all_codecs_are_archived_once_each_in_s3() {
    a_million_records(Storage::S3, &["--checkpoint-interval", "400ms"]);
}

#[test]
fn a_million_records_of_all_codecs_are_archived_once_each_in_a_folder() {
    let flags = ["--checkpoint-interval", "300ms", "--max-file-size", "1MiB"];
    a_million_records(Storage::Local, &flags);
}

/// Starts and kills it until it was killed `kills` times, then lets it read to the end.
fn through_kills(storage: Storage, records: usize, kills: usize) {
    let mut random = Random::seeded();
    let archive = Archive::new(storage);
    let topic = Topic::create(10);
    let producing = topic.produce_slowly(records, 25_000);
    let mut moments = BTreeMap::new();
    for kill in 0..kills {
        // Half of them soon after the start, where recovery and the claim of a slot are.
        let most = if kill % 2 == 0 { 600 } else { 3_000 };
        let moment = random.between(50, most);
        let begin = Instant::now();
        let lineage = Lineage::start(&archive, &topic, &["--checkpoint-interval", "150ms"]);
        std::thread::sleep(Duration::from_millis(moment).saturating_sub(begin.elapsed()));
        let complete = lineage.says("checkpoint complete");
        lineage.kill();
        moments.insert(kill, (moment, complete));
    }
    eprintln!("killed after ms, with so many checkpoints complete: {moments:?}");
    producing.join().unwrap();
    let complete: usize = moments.values().map(|(_, complete)| complete).sum();
    assert!(
        complete > kills,
        "the kills came too early to prove anything"
    );

    Lineage::run(&archive, &topic, &["--bounded"]);
    let report = assert_exact(&archive, &topic, Past::Killed);
    for (partition, found) in report["partitions"].as_object().unwrap() {
        assert_eq!(found["missing_count"], 0, "{partition}: {found}");
    }
}

#[test]
fn no_record_is_lost_or_doubled_by_twelve_kills_in_s3() {
    through_kills(Storage::S3, 400_000, 12);
}

#[test]
fn no_record_is_lost_or_doubled_by_twelve_kills_in_a_folder() {
    through_kills(Storage::Local, 400_000, 12);
}

#[test]
fn restarts_with_other_parallelism_go_on_exactly_where_the_last_one_stopped() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(10);
    for parallelism in ["2", "3", "1"] {
        let producing = topic.produce_slowly(30_000, 20_000);
        let flags = [
            "--checkpoint-interval",
            "200ms",
            "--parallelism",
            parallelism,
        ];
        let mut killed = Lineage::start(&archive, &topic, &flags);
        killed.wait_until_it_says_times("checkpoint complete", 3);
        killed.kill();
        let mut stopped = Lineage::start(&archive, &topic, &flags);
        producing.join().unwrap();
        stopped.wait_until_it_says("checkpoint complete");
        stopped.stop();
    }
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Killed);
}
