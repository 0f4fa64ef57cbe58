//! Stops: with a last checkpoint, at once, and when there is no time for one.

use std::time::Duration;

use crate::harness::proxy::Proxy;
use crate::harness::read_back::{Past, assert_consistent, assert_exact, report};
use crate::harness::{Archive, LONG, Lineage, Storage, Topic, wait_for};

const STOPPING: &str = "stopping: taking a last checkpoint";

fn sigterm(storage: Storage) {
    let archive = Archive::new(storage);
    let topic = Topic::create(4);
    let mut lineage = Lineage::start(&archive, &topic, &["--checkpoint-interval", "1h"]);
    lineage.wait_until_it_says("started");
    topic.produce(20_000);
    // It has begun to read, and there is no checkpoint before the one of the stop.
    wait_for("open file", LONG, || {
        (!archive.hidden().is_empty()).then_some(())
    });
    lineage.terminate();
    lineage.ends_with(0);
    assert_eq!(lineage.says(STOPPING), 1, "{}", lineage.log());
    assert_eq!(lineage.says("checkpoint complete"), 1, "{}", lineage.log());
    // What was read is visible, and what the slot says.
    let report = report(&archive, &topic);
    assert_consistent(&report, Past::Calm);
    let rows: i64 = archive.next_offsets().iter().sum();
    assert!(
        rows > 0 && report["output_rows"] == rows,
        "{rows}: {report}"
    );
    assert_eq!(archive.hidden(), [""; 0]);

    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn sigterm_takes_a_last_checkpoint_and_what_was_read_is_visible_in_s3() {
    sigterm(Storage::S3);
}

#[test]
fn sigterm_takes_a_last_checkpoint_and_what_was_read_is_visible_in_a_folder() {
    sigterm(Storage::Local);
}

/// Runs until a checkpoint is complete, then S3 answers no more, and records come that need it.
fn hanging(archive: &Archive, topic: &Topic, proxy: &Proxy, flags: &[&str]) -> Lineage {
    let url = proxy.url();
    topic.produce(5_000);
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let mut lineage = Lineage::start_with(archive, topic, flags, &settings);
    lineage.wait_until_it_says_times("checkpoint complete", 2);
    proxy.hang();
    topic.produce(5_000);
    wait_for("request that hangs", LONG, || {
        (proxy.hung() > 0).then_some(())
    });
    lineage.terminate();
    lineage.wait_until_it_says(STOPPING);
    lineage
}

#[test]
fn a_second_sigterm_ends_it_at_once_and_the_next_start_is_exact() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    let proxy = Proxy::start();
    let flags = ["--checkpoint-interval", "300ms"];
    let mut lineage = hanging(&archive, &topic, &proxy, &flags);
    lineage.terminate();
    // Well before `STOP_TIMEOUT`, which is 30 s.
    lineage.ends_within(Duration::from_secs(20), 130);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Killed);
}

#[test]
fn a_stop_that_takes_too_long_exits_with_5_and_the_next_start_is_exact() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    let proxy = Proxy::start();
    let flags = ["--checkpoint-interval", "300ms", "--stop-timeout", "1s"];
    let mut lineage = hanging(&archive, &topic, &proxy, &flags);
    lineage.ends_with(5);
    let log = lineage.log();
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("STOP_TIMEOUT (1s)") && last.contains("the next start goes on"),
        "{last}"
    );
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Killed);
}

#[test]
fn a_stop_while_it_waits_for_its_topic_ends_it_well() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::absent();
    let mut lineage = Lineage::start(&archive, &topic, &[]);
    lineage.wait_until_it_says("does not exist");
    lineage.terminate();
    lineage.ends_with(0);
    assert_eq!(archive.slot_ids(), [0; 0]);
}
