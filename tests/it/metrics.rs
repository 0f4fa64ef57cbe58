//! `/metrics` of the real process: it says what the view says and what has happened.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::exposition::Exposition;
use crate::harness::proxy::{Fate, Proxy, Request};
use crate::harness::{Archive, LONG, Lineage, Storage, Topic, block_on, fed, server, wait_for};
use crate::monitoring;

fn text(address: &str, path: &str) -> String {
    let url = format!("http://{address}{path}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    block_on(async { client.get(url).send().await.unwrap().text().await }).unwrap()
}

fn scrape(address: &str) -> Exposition {
    Exposition::read(&text(address, "/metrics"))
}

fn view(address: &str) -> Value {
    serde_json::from_str(&text(address, "/lineage/view")).unwrap()
}

/// Waits until what it says is so.
#[track_caller]
pub fn scrape_until(address: &str, what: &str, so: impl Fn(&Exposition) -> bool) -> Exposition {
    wait_for(what, LONG, || Some(scrape(address)).filter(&so))
}

/// A service behind a proxy that lets everything pass until it is told to be bad, and that is good
/// again when it is told so.
fn behind_a_proxy(
    topic: &Topic,
    archive: &Archive,
    flags: &[&str],
    bad: impl Fn(&Request) -> Fate + Send + 'static,
) -> (Lineage, Proxy, Arc<AtomicBool>) {
    let is_bad = Arc::new(AtomicBool::new(false));
    let asked = is_bad.clone();
    let proxy = Proxy::judged_by(move |request| match asked.load(Ordering::Relaxed) {
        true => bad(request),
        false => Fate::Pass,
    });
    let url = proxy.url();
    let lineage = Lineage::start_with(archive, topic, flags, &[("AWS_ENDPOINT_URL", &url)]);
    (lineage, proxy, is_bad)
}

/// A service that has read 1,000 records, of which 200 cannot be decoded, and archived them.
fn with_dropped_records() -> (Archive, Arc<Topic>, Lineage, String) {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    topic.produce_some_broken(1_000, |n, value| match n % 10 {
        3 => Some(Some(value[..20].to_vec())),
        6 => Some(None),
        _ => None,
    });
    let mut lineage = Lineage::start(&archive, &topic, &[]);
    let address = lineage.address();
    let durable = "lineage_partition_durable_next_offset";
    scrape_until(&address, "durable records", |said| {
        said.sum(durable, &[]) == 1_000.0
    });
    (archive, topic, lineage, address)
}

fn posts(said: &Exposition) -> f64 {
    let labels = [("method", "POST"), ("outcome", "success")];
    said.one("lineage_s3_requests_total", &labels)
}

/// Those with which a start tries what the store can do, by one that has nothing to archive.
fn posts_of_a_start() -> f64 {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(1));
    let mut lineage = Lineage::start(&archive, &topic, &[]);
    let address = lineage.address();
    let said = scrape_until(&address, "a checkpoint", |said| {
        said.sum("lineage_checkpoints_completed_total", &[]) >= 1.0
    });
    lineage.stop();
    posts(&said)
}

#[test]
fn the_metrics_of_a_service_at_rest_are_what_was_archived() {
    let (archive, topic, lineage, address) = with_dropped_records();
    let committed = "lineage_partition_committed_next_offset";
    let said = scrape_until(&address, "committed offsets and positions", |said| {
        said.sum(committed, &[]) == 1_000.0 && said.all("lineage_lag_records", &[]) == [0.0]
    });
    for partition in ["0", "1"] {
        let labels = [("topic", topic.name.as_str()), ("partition", partition)];
        for what in ["consumed_next_offset", "durable_next_offset", "end_offset"] {
            let name = format!("lineage_partition_{what}");
            assert_eq!(said.one(&name, &labels), 500.0, "{name}{labels:?}");
        }
    }
    for (name, labels, value) in [
        ("lineage_records_read_total", &[][..], 1_000.0),
        ("lineage_rows_written_total", &[("output", "output")], 800.0),
        (
            "lineage_rows_written_total",
            &[("output", "dropped")],
            200.0,
        ),
        (
            "lineage_records_dropped_total",
            &[("reason", "null")],
            100.0,
        ),
        ("lineage_records_dropped_total", &[], 200.0),
        ("lineage_open_files", &[], 0.0),
        ("lineage_memory_used_bytes", &[], 0.0),
        ("lineage_job_starts_total", &[], 1.0),
        ("lineage_job_state", &[("state", "running")], 1.0),
        ("lineage_job_state", &[], 1.0),
        ("lineage_degraded", &[], 0.0),
        ("lineage_store_retries_total", &[], 0.0),
        ("lineage_checkpoint_interval_seconds", &[], 1.0),
    ] {
        assert_eq!(said.sum(name, labels), value, "{name}{labels:?}");
    }
    // Every checkpoint is in each phase's histogram once.
    let completed = said.one("lineage_checkpoints_completed_total", &[]);
    let counts = said.all("lineage_checkpoint_phase_duration_seconds_count", &[]);
    assert_eq!(counts, [completed; 5]);
    let age = said.one("lineage_checkpoint_age_seconds", &[]);
    assert!((0.0..30.0).contains(&age), "{age}");
    // Every file was opened, had one part at least, and was completed; POST does the first and last.
    let files = archive.keys(crate::harness::Root::Output).len()
        + archive.keys(crate::harness::Root::Dropped).len();
    assert_eq!(posts(&said) - posts_of_a_start(), 2.0 * files as f64);
    for method in ["GET", "PUT", "POST"] {
        let requests = said.sum("lineage_s3_requests_total", &[("method", method)]);
        let timed = said.one(
            "lineage_s3_request_duration_seconds_count",
            &[("method", method)],
        );
        assert_eq!(requests, timed, "{method}");
    }
    monitoring::the_documented_are_the_exposed(&said);
    monitoring::the_used_are_exposed(&said);
    lineage.stop();
}

#[test]
fn while_records_flow_the_metrics_agree_with_the_view() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    let flow = topic.flow(10_000);
    let flags = ["--checkpoint-interval", "200ms"];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    let address = lineage.address();
    let (mut moved, begin) = (0, Instant::now());
    while moved < 200 {
        assert!(
            begin.elapsed() < LONG,
            "{moved} numbers have moved between two looks"
        );
        // All of these only grow: what one looks at between two others is between them.
        let (before, between, after) = (scrape(&address), view(&address), scrape(&address));
        let splits = between["splits"].as_array().unwrap();
        for split in splits {
            let partition = split["split"]["partition"].to_string();
            let labels = [("partition", partition.as_str())];
            for field in ["consumed", "durable", "committed"] {
                let name = format!("lineage_partition_{field}_next_offset");
                let (Some(seen), &[low], &[high]) = (
                    split[field].as_f64(),
                    before.all(&name, &labels).as_slice(),
                    after.all(&name, &labels).as_slice(),
                ) else {
                    continue;
                };
                assert!((low..=high).contains(&seen), "{name}: {low} {seen} {high}");
                moved += u32::from(low < high);
            }
        }
        let completed = "lineage_checkpoints_completed_total";
        let seen = between["checkpoints"]["completed"].as_f64().unwrap();
        let (low, high) = (before.one(completed, &[]), after.one(completed, &[]));
        assert!((low..=high).contains(&seen), "{low} {seen} {high}");
    }
    flow.end();
    archive.wait_for_all_of(&topic);
    let produced = topic.count() as f64;
    let read = scrape_until(&address, "all records", |said| {
        said.sum("lineage_records_read_total", &[]) >= produced
    });
    assert_eq!(read.sum("lineage_records_read_total", &[]), produced);
    lineage.stop();
}

#[test]
fn a_store_that_fails_makes_the_service_degraded_until_it_works_again() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    let flags = ["--checkpoint-interval", "200ms"];
    let (mut lineage, _proxy, bad) =
        behind_a_proxy(&topic, &archive, &flags, |_| Fate::Refuse(503, "SlowDown"));
    let address = lineage.address();
    topic.produce(1_000);
    let durable = "lineage_partition_durable_next_offset";
    let well = scrape_until(&address, "durable records", |said| {
        said.sum(durable, &[]) == 1_000.0
    });
    let failed = [("outcome", "server_error")];
    assert_eq!(well.one("lineage_degraded", &[]), 0.0);
    assert_eq!(well.sum("lineage_s3_requests_total", &failed), 0.0);

    bad.store(true, Ordering::Relaxed);
    topic.produce(1_000);
    let ill = scrape_until(&address, "degraded service", |said| {
        said.one("lineage_degraded", &[]) == 1.0
            && said.one("lineage_store_retries_total", &[]) >= 1.0
    });
    assert!(ill.sum("lineage_s3_requests_total", &failed) >= 2.0);
    assert_eq!(ill.sum(durable, &[]), 1_000.0);

    bad.store(false, Ordering::Relaxed);
    archive.wait_for_all_of(&topic);
    let again = scrape_until(&address, "service that has recovered", |said| {
        said.one("lineage_degraded", &[]) == 0.0 && said.sum(durable, &[]) == 2_000.0
    });
    let retries = "lineage_store_retries_total";
    assert!(again.one(retries, &[]) >= ill.one(retries, &[]));
    lineage.stop();
}

#[test]
fn a_checkpoint_that_takes_too_long_is_late_and_the_age_of_the_last_one_grows() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    let flags = [
        "--checkpoint-interval",
        "200ms",
        "--checkpoint-timeout",
        "3s",
    ];
    let (mut lineage, proxy, held) = behind_a_proxy(&topic, &archive, &flags, |request| {
        match request.puts_a_commit_log() {
            true => Fate::Hold,
            false => Fate::Pass,
        }
    });
    let address = lineage.address();
    topic.produce(1_000);
    scrape_until(&address, "durable records", |said| {
        said.sum("lineage_partition_durable_next_offset", &[]) == 1_000.0
    });
    held.store(true, Ordering::Relaxed);
    topic.produce(1_000);
    let late = "lineage_checkpoints_late_total";
    let said = scrape_until(&address, "late checkpoint", |said| {
        said.one(late, &[]) > 0.0
    });
    assert_eq!(said.one("lineage_degraded", &[]), 1.0);
    let age = "lineage_checkpoint_age_seconds";
    let first = said.one(age, &[]);
    assert!(first >= 3.0, "{first}");
    scrape_until(&address, "older checkpoint", |said| {
        said.one(age, &[]) > first + 0.5
    });

    proxy.release();
    archive.wait_for_all_of(&topic);
    scrape_until(&address, "young checkpoint", |said| {
        said.one(age, &[]) < first && said.one("lineage_degraded", &[]) == 0.0
    });
    lineage.stop();
}

#[test]
fn what_a_killed_process_has_left_is_counted_by_the_next() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    topic.produce(1_000);
    let flags = ["--checkpoint-interval", "1h"];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    let address = lineage.address();
    let said = scrape_until(&address, "open files", |said| {
        said.sum("lineage_rows_written_total", &[]) == 1_000.0
            && said.sum("lineage_open_files", &[]) == 2.0
    });
    assert!(said.one("lineage_memory_used_bytes", &[("part", "open_files")]) > 0.0);
    assert_eq!(said.one("lineage_orphans_aborted_total", &[]), 0.0);
    wait_for("open uploads", LONG, || {
        (archive.hidden().len() == 2).then_some(())
    });
    lineage.kill();

    let mut lineage = Lineage::start(&archive, &topic, &flags);
    let address = lineage.address();
    let said = scrape_until(&address, "second start", |said| {
        said.all("lineage_job_starts_total", &[]) == [2.0]
    });
    assert_eq!(said.one("lineage_orphans_aborted_total", &[]), 2.0);
    lineage.stop();
}

#[test]
fn a_store_that_takes_nothing_fills_the_memory_budget_and_then_the_queue_of_the_consumer() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(1));
    let flags = [
        "--parallelism=1",
        "--memory-budget=16MiB",
        "--parquet-compression=none",
        "--checkpoint-interval=1h",
    ];
    let (mut lineage, proxy, held) = behind_a_proxy(&topic, &archive, &flags, |request| {
        match request.puts_a_part() {
            true => Fate::Hold,
            false => Fate::Pass,
        }
    });
    let address = lineage.address();
    scrape_until(&address, "running job", |said| {
        said.one("lineage_job_state", &[("state", "running")]) == 1.0
    });
    held.store(true, Ordering::Relaxed);
    topic.produce(500_000);
    let used = "lineage_memory_used_bytes";
    let waiting = [("activity", "backpressured")];
    let full = scrape_until(&address, "backpressure and a queue", |said| {
        said.sum("lineage_subtask_time_seconds_total", &waiting) > 0.2
            && said.sum("lineage_consumer_queue_records", &[]) > 100.0
    });
    let files = full.one("lineage_memory_budget_bytes", &[("part", "files")]);
    let queues = full.one("lineage_memory_budget_bytes", &[("part", "queues")]);
    assert_eq!(files + queues, f64::from(16 << 20));
    assert!(full.sum(used, &[]) >= files, "{}", full.sum(used, &[]));
    assert!(full.one(used, &[("part", "in_flight")]) > 0.0);
    assert!(full.sum("lineage_lag_records", &[]) > 0.0);

    proxy.release();
    scrape_until(&address, "empty queue", |said| {
        said.sum("lineage_rows_written_total", &[]) == 500_000.0
            && said.sum("lineage_consumer_queue_records", &[]) == 0.0
            && said.one(used, &[("part", "in_flight")]) == 0.0
    });
    lineage.stop();
}

/// Runs promtool to a good end.
#[track_caller]
fn promtool(arguments: &[&str], input: &str) {
    let mut program = Command::new(server("LINEAGE_TEST_PROMTOOL"));
    program
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::piped());
    let output = fed(&mut program, input);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
#[ignore = "needs scripts/clients.sh install"]
fn promtool_finds_nothing_wrong_with_the_metrics_of_a_running_service() {
    let (_archive, _topic, lineage, address) = with_dropped_records();
    promtool(&["check", "metrics"], &text(&address, "/metrics"));
    lineage.stop();
}

#[test]
#[ignore = "needs scripts/clients.sh install"]
fn promtool_accepts_the_rules_and_each_alert_fires_when_it_should() {
    promtool(
        &[
            "check",
            "rules",
            "--lint=all",
            "--lint-fatal",
            "monitoring/alerts.yml",
        ],
        "",
    );
    promtool(&["test", "rules", "monitoring/alerts.test.yml"], "");
}

#[test]
#[ignore = "needs scripts/clients.sh install"]
fn promtool_accepts_the_configuration_of_prometheus() {
    promtool(
        &[
            "check",
            "config",
            "--syntax-only",
            "monitoring/prometheus.yml",
        ],
        "",
    );
}
