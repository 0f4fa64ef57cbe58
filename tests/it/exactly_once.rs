//! Every record is in the output once, with its value: in one calm run, and through kills.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::proxy::{Fate, Proxy};
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Random, Root, Storage, Topic, wait_for};

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
    a_million_records(Storage::S3, &["--checkpoint-interval", "50ms"]);
}

#[test]
fn a_million_records_of_all_codecs_are_archived_once_each_in_a_folder() {
    let flags = ["--checkpoint-interval", "50ms", "--max-file-size", "1MiB"];
    a_million_records(Storage::Local, &flags);
}

#[test]
fn a_million_records_of_all_codecs_are_archived_once_each_when_librdkafka_reads() {
    let flags = [
        "--checkpoint-interval",
        "50ms",
        "--kafka-reader",
        "librdkafka",
    ];
    a_million_records(Storage::Local, &flags);
}

/// MinIO destroys an upload when a kill ends the connection in the middle of its completion, and in
/// rare cases leaves nothing of it; nobody else touches these files, so this may always be allowed.
/// A folder loses nothing.
fn kill_flags(storage: Storage) -> &'static [&'static str] {
    let flags = &["--checkpoint-interval", "150ms", "--reread-lost-files"];
    match storage {
        Storage::S3 => flags,
        Storage::Local => &flags[..2],
    }
}

/// Starts and kills it until it was killed `kills` times, then lets it read to the end.
fn through_kills(storage: Storage, records: usize, per_second: usize, kills: usize) {
    let mut random = Random::seeded();
    let archive = Archive::new(storage);
    let topic = Topic::create(10);
    let producing = topic.produce_slowly(records, per_second);
    let mut moments = BTreeMap::new();
    let mut lost = 0;
    for kill in 0..kills {
        // Half of them soon after the start, where recovery and the claim of a slot are.
        let most = if kill % 2 == 0 { 600 } else { 3_000 };
        let moment = random.between(50, most);
        let begin = Instant::now();
        // A start goes on where another reader was.
        let reader = if kill % 3 == 2 {
            "librdkafka"
        } else {
            "direct"
        };
        let flags = [kill_flags(storage), &["--kafka-reader", reader]].concat();
        let mut lineage = Lineage::start(&archive, &topic, &flags);
        // The other half amid checkpoints, however slow the machine is.
        if kill % 2 == 1 {
            lineage.wait_until_it_says_times("checkpoint complete", 3);
        }
        std::thread::sleep(Duration::from_millis(moment).saturating_sub(begin.elapsed()));
        let complete = lineage.says("checkpoint complete");
        lost += lineage.says("the store has lost a file");
        lineage.kill();
        moments.insert(kill, (moment, complete));
    }
    eprintln!("killed after ms, with so many checkpoints complete: {moments:?}");
    producing.join().unwrap();
    let complete: usize = moments.values().map(|(_, complete)| complete).sum();
    assert!(complete > 0, "every kill came before the first checkpoint");

    let flags = [kill_flags(storage), &["--bounded"]].concat();
    let last = Lineage::run(&archive, &topic, &flags);
    lost += last.says("the store has lost a file");
    // More would not be the store's doing: a start that aborts what it should complete looks so.
    assert!(lost <= kills / 4, "{lost} files lost by {kills} kills");
    let report = assert_exact(&archive, &topic, Past::Killed);
    for (partition, found) in report["partitions"].as_object().unwrap() {
        assert_eq!(found["missing_count"], 0, "{partition}: {found}");
    }
}

#[test]
fn no_record_is_lost_or_doubled_by_eighteen_kills_in_s3() {
    through_kills(Storage::S3, 500_000, 25_000, 18);
}

#[test]
fn no_record_is_lost_or_doubled_by_twelve_kills_in_a_folder() {
    through_kills(Storage::Local, 400_000, 25_000, 12);
}

/// `scripts/chaos.sh` says how many.
#[test]
#[ignore = "takes a quarter of an hour"]
fn no_record_is_lost_or_doubled_by_hundreds_of_kills_in_s3() {
    let kills = std::env::var("LINEAGE_CHAOS_KILLS").map_or(500, |n| n.parse().unwrap());
    through_kills(Storage::S3, kills * 2_500, 2_500, kills);
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

/// A request that a checkpoint, or a start, consists of.
#[derive(Debug, Clone, Copy)]
enum Moment {
    StartRecord,
    UploadBegun,
    PartPut,
    CommitLog,
    Slot,
    FirstCompletion,
    SecondCompletion,
}

const MOMENTS: [Moment; 7] = [
    Moment::StartRecord,
    Moment::UploadBegun,
    Moment::PartPut,
    Moment::CommitLog,
    Moment::Slot,
    Moment::FirstCompletion,
    Moment::SecondCompletion,
];

/// A proxy that stands still for ever from this moment on, with the request carried out or not.
fn still_from(moment: Moment, carried_out: bool) -> Proxy {
    let (mut slots, mut completions, mut still) = (0, 0, false);
    Proxy::judged_by(move |request| {
        if still {
            return Fate::Hang;
        }
        let puts = |folder: &str| request.method == "PUT" && request.path.contains(folder);
        slots += u32::from(puts("/checkpoints/"));
        completions += u32::from(request.completes_an_upload());
        still = match moment {
            Moment::StartRecord => slots == 1,
            Moment::UploadBegun => request.method == "POST" && request.query.starts_with("uploads"),
            Moment::PartPut => request.method == "PUT" && request.query.contains("partNumber="),
            Moment::CommitLog => puts("/commit-log/"),
            Moment::Slot => slots == 2,
            Moment::FirstCompletion => completions == 1,
            Moment::SecondCompletion => completions == 2,
        };
        match still {
            false => Fate::Pass,
            true if carried_out => Fate::LoseAnswer,
            true => Fate::Hang,
        }
    })
}

#[test]
fn a_kill_at_every_step_of_a_checkpoint_loses_and_doubles_nothing_in_s3() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    for moment in MOMENTS {
        for carried_out in [false, true] {
            topic.produce(4_000);
            let proxy = still_from(moment, carried_out);
            let url = proxy.url();
            let settings = [("AWS_ENDPOINT_URL", url.as_str())];
            let flags = ["--checkpoint-interval", "50ms"];
            let lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
            wait_for(&format!("{moment:?}, {carried_out}"), LONG, || {
                (proxy.hung() > 0).then_some(())
            });
            lineage.kill();
        }
    }
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Killed);
}

#[test]
fn files_that_a_kill_left_pending_in_a_folder_become_visible_at_the_next_start() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(4);
    topic.produce(40_000);
    Lineage::run(&archive, &topic, &["--bounded", "--max-file-size", "1KiB"]);
    // As a kill leaves them between slot and finalization: not yet linked to its name, linked and
    // still under the hidden one too, and finished.
    let output = archive.mirror(Root::Output);
    let keys = archive.keys(Root::Output);
    assert!(keys.len() >= 3, "{keys:?}");
    for (place, key) in keys.iter().enumerate() {
        let (folder, name) = key.rsplit_once('/').unwrap();
        let visible = output.join(key);
        let hidden = output.join(folder).join(format!(".{name}.inprogress"));
        match place % 3 {
            0 => std::fs::rename(visible, hidden).unwrap(),
            1 => std::fs::hard_link(visible, hidden).unwrap(),
            _ => {}
        }
    }
    topic.produce(4_000);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
}
