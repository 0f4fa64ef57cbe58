//! `/healthz` and `/readyz` in every state of a job.

use lineage::jobs::view::{CheckpointState, JobState};
use reqwest::StatusCode;

use super::sample::STARTED;
use super::server::{self, Server};

async fn readyz(server: &Server) -> (StatusCode, String) {
    let (status, body) = server.get("/readyz").await;
    (status, body["reason"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_job_that_consumes_with_a_recent_checkpoint_is_ready_and_says_what_is_wrong() {
    let server = server::start().await;
    let (status, reason) = readyz(&server).await;
    assert_eq!(status, StatusCode::OK, "{reason}");
    assert!(reason.contains("newest complete checkpoint"), "{reason}");
    assert!(reason.contains("the store does not answer"), "{reason}");
}

#[tokio::test]
async fn a_checkpoint_older_than_three_intervals_is_not_ready() {
    let server = server::start().await;
    let newest = STARTED + 60_450;
    server
        .control
        .change(|view| view.now = newest + 30_000 - 1_000);
    // The look itself takes the job's clock a second further.
    server
        .control
        .change(|view| view.checkpoints.history.retain(|one| one.id.0 != 25));
    let (_, reason) = readyz(&server).await;
    server.control.change(|view| view.now = newest + 300_000);
    let (status, late) = readyz(&server).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{late}");
    assert!(late.contains("30000 ms"), "{reason} {late}");
}

#[tokio::test]
async fn before_the_first_checkpoint_the_start_counts_and_those_of_earlier_starts_do_not() {
    let server = server::start().await;
    server.control.change(|view| {
        let checkpoints = &mut view.checkpoints.history;
        checkpoints.retain(|one| {
            one.state == CheckpointState::InProgress || one.completed_at < Some(STARTED)
        });
        view.now = STARTED + 5_000;
    });
    let (status, reason) = readyz(&server).await;
    assert_eq!(status, StatusCode::OK, "{reason}");
    assert!(reason.contains("no checkpoint is complete yet"), "{reason}");
    server.control.change(|view| view.now = STARTED + 500_000);
    assert_eq!(readyz(&server).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_job_that_does_not_consume_is_alive_and_not_ready_and_says_why() {
    let server = server::start().await;
    for (state, why) in [
        (JobState::Created, "recovery"),
        (JobState::Stopping, "stopping"),
        (JobState::Cancelling, "cancelled"),
        (JobState::Finished, "stopped on purpose"),
        (JobState::Canceled, "cancelled on purpose"),
        (JobState::Failed, "the store does not answer"),
    ] {
        server.control.change(|view| view.state = state);
        let (status, reason) = readyz(&server).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{state:?}");
        assert!(reason.contains(why), "{state:?}: {reason}");
        let (status, body) = server.get("/healthz").await;
        assert_eq!(status, StatusCode::OK, "{state:?}");
        assert_eq!(body["status"], "alive");
    }
}
