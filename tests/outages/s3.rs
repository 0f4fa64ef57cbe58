//! S3 goes away and comes back while the service writes to it.

use std::time::{Duration, Instant};

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::s3::{mc, s3_bucket};
use crate::harness::{Archive, LONG, Lineage, Storage, Topic, looking, wait_for};
use crate::server::Server;

const FLAGS: [&str; 3] = ["--checkpoint-interval", "200ms", "--reread-lost-files"];

/// Everything that was produced is archived, by the same process.
fn catches_up(archive: &Archive, topic: &Topic, lineage: Lineage) {
    archive.wait_for_all_of(topic);
    lineage.stop();
    // Uploads whose opening was carried out long after its answer had been given up stay open: a
    // process never aborts its own. The next start does.
    Lineage::run(archive, topic, &["--bounded", "--reread-lost-files"]);
    assert_exact(archive, topic, Past::Killed);
}

#[test]
fn a_store_that_is_killed_and_started_again_costs_no_record() {
    let s3 = Server::s3();
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    let flow = topic.flow(10_000);
    let mut lineage = Lineage::start(&archive, &topic, &FLAGS);
    lineage.wait_until_it_says_times("checkpoint complete", 2);
    let again = s3.kill();
    lineage.wait_until_it_says("degraded");
    s3.start_again(again);
    flow.end();
    // MinIO may have been killed in the middle of a completion, and so have lost a file: then the
    // process says so and ends, and the next one reads its records again.
    wait_for("recovery, or a lost file", LONG, || {
        (lineage.says("recovered") > 0 || lineage.ended().is_some()).then_some(())
    });
    if let Some(status) = lineage.ended() {
        assert_eq!(status.code(), Some(1), "{}", lineage.log());
        assert!(lineage.log().contains("the store has lost files"));
        lineage = Lineage::start(&archive, &topic, &FLAGS);
    }
    catches_up(&archive, &topic, lineage);
}

#[test]
fn a_deleted_s3_bucket_is_waited_for_and_verify_says_what_went_with_it() {
    let _alone = Server::s3();
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    topic.produce(5_000);
    let mut lineage = Lineage::start(&archive, &topic, &FLAGS);
    lineage.wait_until_it_says("checkpoint complete");
    archive.wait_for_all_of(&topic);
    let place = format!("it/{}", s3_bucket());
    mc(&["rb", "--force", &place]);
    topic.produce(1_000);
    lineage.wait_until_it_says("degraded");
    assert!(lineage.log().contains("NoSuchBucket"), "{}", lineage.log());
    mc(&["mb", &place]);
    lineage.wait_until_it_says("recovered");
    topic.produce(1_000);
    archive.wait_for_all_of(&topic);
    // The same process, which lost nothing that it had not archived.
    lineage.stop();
    let output = looking(&archive, &["verify", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    for partition in report["partitions"].as_array().unwrap() {
        let missing = serde_json::json!([[0, 1_249]]);
        assert_eq!(partition["missing"], missing, "{partition}");
        assert_eq!(
            partition["duplicates"],
            serde_json::json!([]),
            "{partition}"
        );
    }
}

#[test]
fn a_store_that_hangs_is_waited_for_and_memory_stays_bounded() {
    hangs_for(Duration::from_secs(2));
}

#[test]
#[ignore = "takes six minutes"]
fn a_store_that_hangs_for_five_minutes_costs_no_restart_and_memory_stays_bounded() {
    hangs_for(Duration::from_secs(300));
}

fn hangs_for(time: Duration) {
    let s3 = Server::s3();
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    topic.produce(1_000);
    // Uncompressed, so that there is several times as much as the budget allows.
    let flags = [
        &FLAGS[..],
        &["--memory-budget", "32MiB", "--parquet-compression", "none"],
    ]
    .concat();
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says_times("checkpoint complete", 2);
    s3.pause();
    let begin = Instant::now();
    lineage.wait_until_it_says("degraded");
    let after = begin.elapsed();
    assert!(after < Duration::from_secs(10), "degraded after {after:?}");
    topic.produce(2_000_000);
    let rest = format!("http://{}", lineage.address());
    let status = || -> serde_json::Value {
        let said = looking(&archive, &["status", "--json", "--rest", &rest]).stdout;
        serde_json::from_slice(&said).unwrap()
    };
    wait_for("a subtask that waits for the memory budget", LONG, || {
        let status = status();
        let mut subtasks = status["subtasks"].as_array().unwrap().iter();
        let waits = subtasks.any(|subtask| subtask["backpressured_ms"] != 0);
        waits.then_some(())
    });
    std::thread::sleep(time);
    let memory = &status()["memory"];
    let used = ["open_files", "in_flight"].map(|part| memory[part].as_u64().unwrap());
    // Five eighths are for files; each of the two subtasks may be a row group above them.
    let most = (20 + 2 * 8) << 20;
    assert!(used.iter().sum::<u64>() <= most, "{memory}");
    let peak = lineage.peak_bytes();
    assert!(peak < 300 << 20, "{} MiB", peak >> 20);
    s3.resume();
    catches_up(&archive, &topic, lineage);
}
