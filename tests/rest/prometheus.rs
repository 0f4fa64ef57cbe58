//! `/metrics`.

use lineage::jobs::view::{JobState, JobView};
use reqwest::{Method, StatusCode};

use super::exposition::Exposition;
use super::monitoring;
use super::server::{self, Server};

async fn scrape(server: &Server) -> Exposition {
    let answer = server
        .request(Method::GET, "/metrics")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    Exposition::read(&answer.text().await.unwrap())
}

async fn scrape_of(change: impl FnOnce(&mut JobView)) -> Exposition {
    let server = server::start().await;
    server.control.change(change);
    scrape(&server).await
}

#[tokio::test]
async fn the_metrics_say_what_the_view_says() {
    let said = scrape(&server::start().await).await;
    let third = [("topic", "orders"), ("partition", "3")];
    for (name, labels, value) in [
        (
            "lineage_partition_consumed_next_offset",
            &third[..],
            5_003.0,
        ),
        ("lineage_partition_durable_next_offset", &third, 4_903.0),
        ("lineage_partition_committed_next_offset", &third, 4_903.0),
        ("lineage_partition_end_offset", &third, 5_010.0),
        ("lineage_partition_lag_records", &third, 7.0),
        ("lineage_lag_records", &[], 70.0),
        ("lineage_read_bytes_total", &[("subtask", "1")], 430_000.0),
        (
            "lineage_rows_written_total",
            &[("subtask", "1"), ("output", "output")],
            9_900.0,
        ),
        (
            "lineage_rows_written_total",
            &[("subtask", "0"), ("output", "dropped")],
            2.0,
        ),
        (
            "lineage_records_dropped_total",
            &[("reason", "not Avro of this schema")],
            2.0,
        ),
        ("lineage_consumer_queue_records", &[("subtask", "0")], 12.0),
        ("lineage_job_starts_total", &[], 3.0),
        ("lineage_degraded", &[], 1.0),
        ("lineage_job_state", &[("state", "running")], 1.0),
        ("lineage_job_state", &[("state", "failed")], 0.0),
        ("lineage_checkpoints_completed_total", &[], 3.0),
        ("lineage_checkpoints_late_total", &[], 1.0),
        (
            "lineage_checkpoint_phase_duration_seconds_count",
            &[("phase", "upload")],
            3.0,
        ),
        (
            "lineage_checkpoint_phase_duration_seconds_sum",
            &[("phase", "commit_log")],
            0.15,
        ),
        (
            "lineage_checkpoint_phase_duration_seconds_bucket",
            &[("phase", "slot"), ("le", "0.05")],
            0.0,
        ),
        (
            "lineage_checkpoint_phase_duration_seconds_bucket",
            &[("phase", "slot"), ("le", "0.1")],
            3.0,
        ),
        ("lineage_checkpoint_last_size_bytes", &[], 80_000.0),
        ("lineage_checkpoint_last_files", &[], 4.0),
        ("lineage_checkpoint_interval_seconds", &[], 10.0),
        (
            "lineage_memory_budget_bytes",
            &[("part", "queues")],
            10_485_760.0,
        ),
        (
            "lineage_memory_budget_bytes",
            &[("part", "files")],
            123_731_968.0,
        ),
        (
            "lineage_memory_used_bytes",
            &[("part", "in_flight")],
            5_242_880.0,
        ),
        ("lineage_store_retries_total", &[], 3.0),
        ("lineage_orphans_aborted_total", &[], 2.0),
        (
            "lineage_s3_requests_total",
            &[("method", "PUT"), ("outcome", "no_answer")],
            1.0,
        ),
        (
            "lineage_s3_requests_total",
            &[("method", "PUT"), ("outcome", "server_error")],
            0.0,
        ),
        (
            "lineage_s3_request_duration_seconds_count",
            &[("method", "PUT")],
            2.0,
        ),
    ] {
        let found = said.one(name, labels);
        assert!((found - value).abs() < 1e-9, "{name}{labels:?}: {found}");
    }
    // The time of the view goes on with every look.
    let busy = [("subtask", "1"), ("activity", "busy")];
    assert!(said.one("lineage_subtask_time_seconds_total", &busy) >= 20.3);
    assert!(said.one("lineage_records_read_total", &[("subtask", "1")]) >= 12_000.0);
    assert_eq!(said.all("lineage_partition_lag_records", &[]).len(), 10);
    let info = said
        .samples
        .iter()
        .find(|s| s.name == "lineage_job_info")
        .unwrap();
    assert_eq!(info.labels["job_id"], super::sample::JOB);
}

#[tokio::test]
async fn every_metric_is_in_the_docs_and_every_alert_and_panel_uses_what_is_there() {
    let said = scrape(&server::start().await).await;
    monitoring::the_documented_are_the_exposed(&said);
    monitoring::the_used_are_exposed(&said);
    monitoring::the_documented_alerts_are_the_rules();
}

#[tokio::test]
async fn what_is_not_known_is_left_out() {
    let said = scrape_of(|view| {
        view.generation = None;
        view.splits[2].end = None;
        view.splits[2].committed = None;
    })
    .await;
    let second = [("partition", "2")];
    for name in ["end_offset", "lag_records", "committed_next_offset"] {
        let name = format!("lineage_partition_{name}");
        assert_eq!(said.all(&name, &second).len(), 0, "{name}");
        assert_eq!(said.all(&name, &[]).len(), 9, "{name}");
    }
    assert_eq!(
        said.all("lineage_partition_consumed_next_offset", &second),
        [5_002.0]
    );
    assert_eq!(said.all("lineage_lag_records", &[]).len(), 0);
    assert_eq!(said.all("lineage_job_starts_total", &[]).len(), 0);
}

#[tokio::test]
async fn the_age_of_the_last_checkpoint_is_that_of_this_start_and_is_none_when_it_has_ended() {
    const AGE: &str = "lineage_checkpoint_age_seconds";
    let started = super::sample::STARTED;
    // The newest one was complete a good minute after the start.
    let said = scrape_of(|view| view.now = started + 160_450).await;
    let age = said.one(AGE, &[]);
    assert!((100.0..200.0).contains(&age), "{age}");
    // Those of an earlier start do not count: it runs since 900 ms after its start.
    let said = scrape_of(|view| {
        view.now = started + 40_900;
        view.checkpoints.history.drain(..4);
    })
    .await;
    let age = said.one(AGE, &[]);
    assert!((40.0..100.0).contains(&age), "{age}");
    for state in [JobState::Created, JobState::Finished, JobState::Failed] {
        let said = scrape_of(|view| view.state = state).await;
        assert_eq!(said.all(AGE, &[]).len(), 0, "{state:?}");
    }
}

#[tokio::test]
async fn a_thousand_partitions_are_one_answer() {
    let server = server::start().await;
    server.control.change(|view| {
        let split = view.splits[0].clone();
        view.splits = (0..1_000)
            .map(|partition| lineage::jobs::view::SplitView {
                split: lineage::ids::Split::new("orders", partition),
                ..split.clone()
            })
            .collect();
    });
    let said = scrape(&server).await;
    assert_eq!(said.all("lineage_partition_lag_records", &[]).len(), 1_000);
    assert_eq!(said.one("lineage_lag_records", &[]), 7_000.0);
}
