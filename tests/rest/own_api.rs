//! `/lineage/…`.

use lineage::config::location::Location;
use lineage::jobs::control::{Operation, Refused, SavepointRequest};
use reqwest::StatusCode;
use serde_json::json;

use super::fake::Call;
use super::sample::JOB;
use super::server::{self, error};

#[tokio::test]
async fn the_view_is_the_job_as_it_is() {
    let server = server::start().await;
    let (status, view) = server.get("/lineage/view").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(view["job"], JOB);
    assert_eq!(view["state"], "RUNNING");
    assert_eq!(view["splits"].as_array().unwrap().len(), 10);
    assert_eq!(view["splits"][4]["durable"], 4_904);
    assert_eq!(view["checkpoints"]["history"][3]["late"], true);
}

#[tokio::test]
async fn the_files_of_a_checkpoint_are_the_lines_of_its_commit_log() {
    let server = server::start().await;
    for id in ["24", "chk-24"] {
        let (status, body) = server
            .get(&format!("/lineage/checkpoints/{id}/files"))
            .await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["checkpoint"], 24);
        assert_eq!(body["files"][0]["commit_timestamp"], "1795225460473");
    }
    let (status, body) = server.get("/lineage/checkpoints/23/files").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(
        error(&body).contains("chk-23: the store does not answer"),
        "{body}"
    );
    let (status, body) = server.get("/lineage/checkpoints/new/files").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(error(&body).contains("'new'"), "{body}");
}

#[tokio::test]
async fn a_savepoint_is_followed_by_its_trigger() {
    let server = server::start().await;
    let body = r#"{"target": "s3://archive/savepoints", "stop": true}"#;
    let (status, answer) = server.post("/lineage/savepoint", body).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let target: Location = "s3://archive/savepoints".parse().unwrap();
    let asked = SavepointRequest {
        target: Some(target),
        then_stop: true,
    };
    assert_eq!(server.control.calls(), [Call::Savepoint(asked)]);

    let path = format!(
        "/lineage/operations/{}",
        answer["trigger"].as_str().unwrap()
    );
    assert_eq!(server.get(&path).await.1, json!({"status": "in progress"}));
    server.control.complete(&Operation::Failed {
        cause: "s3://archive/savepoints: access denied".into(),
    });
    let failed = json!({"status": "failed", "cause": "s3://archive/savepoints: access denied"});
    assert_eq!(server.get(&path).await.1, failed);

    let (status, _) = server
        .get(&format!("/lineage/operations/{}", "0".repeat(32)))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server.get("/lineage/operations/7").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn stop_cancel_and_resume_reach_the_job() {
    let server = server::start().await;
    for (what, call) in [
        ("stop", Call::Stop),
        ("cancel", Call::Cancel),
        ("resume", Call::Resume),
    ] {
        let (status, body) = server.post(&format!("/lineage/{what}"), "").await;
        assert_eq!(
            (status, &body),
            (StatusCode::ACCEPTED, &json!({"accepted": what}))
        );
        assert_eq!(server.control.calls().last(), Some(&call));
    }
}

#[tokio::test]
async fn what_the_job_refuses_is_a_conflict_with_its_reason() {
    let server = server::start().await;
    for (refusal, status, why) in [
        (
            (|| Refused::NotRunning("FINISHED")) as fn() -> Refused,
            StatusCode::CONFLICT,
            "the job is FINISHED: there is nothing to do this with",
        ),
        (
            || Refused::Already("RUNNING"),
            StatusCode::CONFLICT,
            "the job is RUNNING already",
        ),
        (
            || Refused::BadRequest("no target is set".into()),
            StatusCode::BAD_REQUEST,
            "no target is set",
        ),
    ] {
        server.control.refuse(refusal);
        for path in ["savepoint", "stop", "cancel", "resume"] {
            let (given, body) = server.post(&format!("/lineage/{path}"), "").await;
            assert_eq!((given, error(&body)), (status, why), "{path}");
        }
    }
}

#[tokio::test]
async fn a_savepoint_that_is_not_understood_is_not_begun() {
    let server = server::start().await;
    for (body, named) in [
        ("{", "EOF"),
        ("[]", "expected format"),
        (r#"{"targte": "s3://a/b"}"#, "targte"),
        (r#"{"target": "/folder"}"#, "file:///FOLDER"),
        (r#"{"stop": "yes"}"#, "boolean"),
    ] {
        let (status, answer) = server.post("/lineage/savepoint", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(error(&answer).contains(named), "{body}: {answer}");
    }
    assert!(server.control.calls().is_empty());
}
