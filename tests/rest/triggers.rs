//! Requests of Flink's tools.

use std::collections::BTreeSet;

use lineage::ids::CheckpointId;
use lineage::jobs::control::{Operation, Refused, SavepointRequest};
use lineage::jobs::view::JobState;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::fake::Call;
use super::goldens::golden;
use super::sample::{JOB, STARTED};
use super::server::{self, Server, answer, error};
use super::shape::differences;

fn same_shape(name: &str, ours: &Value) {
    assert_eq!(
        differences(&golden(name), ours),
        BTreeSet::new(),
        "{name}: {ours}"
    );
}

fn number(answer: &Value) -> String {
    let number = answer["request-id"].as_str().unwrap();
    assert!(
        number.len() == 32 && number.bytes().all(|b| b.is_ascii_hexdigit()),
        "{number}"
    );
    number.to_owned()
}

async fn begin(server: &Server, path: &str, body: &str) -> String {
    let (status, answer) = server.post(path, body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    same_shape("trigger-savepoint", &answer);
    number(&answer)
}

#[tokio::test]
async fn a_savepoint_is_begun_followed_and_found() {
    let server = server::start().await;
    let body = r#"{"target-directory": "file:///opt/savepoints", "cancel-job": false}"#;
    let id = begin(&server, "/v1/jobs/{job}/savepoints", body).await;
    let asked = SavepointRequest {
        target: Some("file:///opt/savepoints".parse().unwrap()),
        then_stop: false,
    };
    assert_eq!(server.control.calls(), [Call::Savepoint(asked)]);

    let path = format!("/v1/jobs/{{job}}/savepoints/{id}");
    let (status, open) = server.get(&path).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(open, golden("trigger-savepoint-open"));
    server.control.complete(&Operation::Savepoint {
        location: "file:///opt/savepoints/savepoint-1".into(),
    });
    let (_, done) = server.get(&path).await;
    same_shape("trigger-savepoint-done", &done);
    assert_eq!(
        done["operation"]["location"],
        "file:///opt/savepoints/savepoint-1"
    );
    server.control.complete(&Operation::Failed {
        cause: "access denied".into(),
    });
    let (_, failed) = server.get(&path).await;
    same_shape("savepoint-failed", &failed);
    assert_eq!(failed["status"]["id"], "COMPLETED");
    let text = failed["operation"]["failure-cause"]["stack-trace"].as_str();
    assert!(text.unwrap().contains("access denied"));
}

#[tokio::test]
async fn a_number_that_the_client_chose_begins_one_savepoint_however_often_it_is_sent() {
    let server = server::start().await;
    let body = r#"{"triggerId": "11111111111111111111111111111111", "formatType": "NATIVE"}"#;
    for _ in 0..3 {
        let id = begin(&server, "/jobs/{job}/savepoints", body).await;
        assert_eq!(id, "1".repeat(32));
    }
    assert_eq!(server.control.calls().len(), 1);
    let path = format!("/jobs/{{job}}/savepoints/{}", "1".repeat(32));
    assert_eq!(server.get(&path).await.1["status"]["id"], "IN_PROGRESS");
}

#[tokio::test]
async fn a_stop_is_a_savepoint_after_which_the_job_ends() {
    let server = server::start().await;
    let body = r#"{"targetDirectory": "s3://archive/savepoints", "drain": true}"#;
    let id = begin(&server, "/jobs/{job}/stop", body).await;
    let asked = SavepointRequest {
        target: Some("s3://archive/savepoints".parse().unwrap()),
        then_stop: true,
    };
    assert_eq!(server.control.calls(), [Call::Savepoint(asked.clone())]);
    let (status, open) = server.get(&format!("/jobs/{{job}}/savepoints/{id}")).await;
    assert_eq!(
        (status, open),
        (StatusCode::OK, golden("trigger-savepoint-open"))
    );

    let body = r#"{"target-directory": "s3://archive/savepoints", "cancel-job": true}"#;
    begin(&server, "/jobs/{job}/savepoints", body).await;
    assert_eq!(server.control.calls()[1], Call::Savepoint(asked));
}

#[tokio::test]
async fn a_checkpoint_is_begun_and_has_its_id_in_the_end() {
    let server = server::start().await;
    let body = r#"{"checkpointType": "FULL"}"#;
    let id = begin(&server, "/jobs/{job}/checkpoints", body).await;
    assert_eq!(server.control.calls(), [Call::Checkpoint]);
    server.control.complete(&Operation::Checkpoint {
        id: CheckpointId(26),
    });
    let (_, done) = server.get(&format!("/jobs/{{job}}/checkpoints/{id}")).await;
    same_shape("trigger-checkpoint-done", &done);
    assert_eq!(done["operation"]["checkpointId"], 26);
}

#[tokio::test]
async fn a_body_that_is_empty_or_absent_asks_for_the_defaults() {
    let server = server::start().await;
    for path in ["savepoints", "checkpoints", "stop"] {
        for body in ["", "{}", " \n"] {
            begin(&server, &format!("/jobs/{{job}}/{path}"), body).await;
        }
    }
}

#[tokio::test]
async fn a_get_with_a_body_is_a_get() {
    let server = server::start().await;
    for path in ["/v1/jobs/overview", "/jobs/{job}", "/v1/config"] {
        let request = server.request(Method::GET, path).body("{}");
        let (status, _) = answer(request).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn cancelling_has_flinks_statuses() {
    let server = server::start().await;
    let cancel = |path: &'static str| answer(server.request(Method::PATCH, path));
    for path in ["/jobs/{job}", "/v1/jobs/{job}?mode=cancel"] {
        assert_eq!(cancel(path).await, (StatusCode::ACCEPTED, json!({})));
    }
    let (status, body) = cancel("/jobs/{job}?mode=stop").await;
    assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
    assert!(error(&body).contains("jobs/:jobid/stop"), "{body}");
    assert_eq!(
        cancel("/jobs/{job}?mode=x").await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(server.control.calls(), [Call::Cancel, Call::Cancel]);

    server.control.refuse(|| Refused::Already("CANCELED"));
    assert_eq!(cancel("/jobs/{job}").await.0, StatusCode::ACCEPTED);
    server.control.refuse(|| Refused::NotRunning("FINISHED"));
    let (status, body) = cancel("/jobs/{job}").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(error(&body).contains("FINISHED"), "{body}");
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_begins_nothing() {
    let server = server::start().await;
    for (path, body, named) in [
        ("savepoints", "{", "expected format"),
        ("savepoints", "[]", "expected format"),
        (
            "savepoints",
            r#"{"target-directory": 7}"#,
            "expected format",
        ),
        (
            "savepoints",
            r#"{"target-directory": "folder"}"#,
            "target directory",
        ),
        ("savepoints", r#"{"formatType": "XML"}"#, "XML"),
        ("savepoints", r#"{"triggerId": "7"}"#, "triggerId '7'"),
        ("stop", r#"{"targetDirectory": "ftp://a/b"}"#, "ftp"),
        ("checkpoints", r#"{"checkpointType": "HALF"}"#, "HALF"),
    ] {
        let (status, answer) = server.post(&format!("/jobs/{{job}}/{path}"), body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
        assert!(error(&answer).contains(named), "{path} {body}: {answer}");
    }
    assert!(server.control.calls().is_empty());
}

#[tokio::test]
async fn ids_that_are_unknown_are_not_found_and_ids_that_are_malformed_are_bad() {
    let server = server::start().await;
    let unknown = "0".repeat(32);
    let (_, plan) = server.get("/jobs/{job}/plan").await;
    let source = plan["plan"]["nodes"][2]["id"].as_str().unwrap();
    let not_found = [
        format!("/jobs/{unknown}"),
        format!("/jobs/{unknown}/plan"),
        format!("/jobs/{unknown}/checkpoints/config"),
        format!("/jobs/{JOB}/vertices/{unknown}"),
        format!("/jobs/{JOB}/vertices/{source}/subtasks/2"),
        format!("/jobs/{JOB}/vertices/{source}/subtasks/0/attempts/0"),
        format!("/jobs/{JOB}/savepoints/{unknown}"),
        format!("/jobs/{JOB}/checkpoints/{unknown}"),
        format!("/jobs/{JOB}/checkpoints/details/999999"),
        format!("/jobs/{JOB}/checkpoints/details/24/subtasks/{unknown}"),
        "/taskmanagers/nosuch:1-aaaaaa".to_owned(),
    ];
    for path in &not_found {
        let (status, body) = server.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        error(&body);
    }
    for (path, parameter) in [
        ("/jobs/abc", "jobid"),
        ("/jobs/{job}/vertices/abc", "vertexid"),
        ("/jobs/{job}/savepoints/chk-1", "triggerid"),
        ("/jobs/{job}/checkpoints/1", "triggerid"),
        ("/jobs/{job}/checkpoints/details/x", "checkpointid"),
        (
            &format!("/jobs/{JOB}/vertices/{source}/subtasks/x"),
            "subtaskindex",
        ),
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(
            error(&body).contains(&format!("({parameter})")),
            "{path}: {body}"
        );
    }
    let unknown_trigger = server
        .get(&format!("/jobs/{JOB}/savepoints/{unknown}"))
        .await
        .1;
    let flink = golden("error-trigger-unknown");
    let flink = error(&flink).split_once(": ").unwrap().1.to_owned();
    let flink = flink.replace("f377fdbcd1c5d5785453bd91d46ef33a", JOB);
    assert_eq!(error(&unknown_trigger), flink);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_have_flinks_words() {
    let server = server::start().await;
    let (status, body) = server.get("/v1/nosuchpath").await;
    assert_eq!(
        (status, body),
        (StatusCode::NOT_FOUND, golden("error-path"))
    );
    let (status, body) = server.post("/v1/overview", "{}").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(error(&body), "Not found: /v1/overview");
}

#[tokio::test]
async fn a_job_that_has_ended_stays_to_be_seen() {
    let server = server::start().await;
    for (state, name) in [
        (JobState::Finished, "job-finished"),
        (JobState::Canceled, "job-canceled"),
    ] {
        let ended = STARTED + 70_000;
        server.control.change(|view| {
            view.state = state;
            view.entered.insert(state, ended);
            view.ended_at = Some(ended);
        });
        let (_, job) = server.get("/jobs/{job}").await;
        let flink = golden(name);
        assert_eq!(job["state"], flink["state"]);
        assert_eq!(job["end-time"], ended);
        assert_eq!(job["duration"], 70_000);
        assert_eq!(job["vertices"][0]["status"], flink["vertices"][0]["status"]);
        let (_, jobs) = server.get("/jobs").await;
        let expected = json!({"id": JOB, "status": flink["state"], "state": flink["state"]});
        assert_eq!(jobs["jobs"][0], expected);
        let (_, overview) = server.get("/overview").await;
        assert_eq!(overview["slots-available"], 2);
        assert_eq!(overview["jobs-running"], 0);
    }
    server
        .control
        .change(|view| view.state = JobState::Finished);
    let (_, result) = server.get("/jobs/{job}/execution-result").await;
    same_shape("job-execution-result-finished", &result);
}

#[tokio::test]
async fn the_states_between_are_those_of_flink() {
    let server = server::start().await;
    for (state, of_job, of_task) in [
        (JobState::Created, "CREATED", "CREATED"),
        (JobState::Stopping, "RUNNING", "RUNNING"),
        (JobState::Cancelling, "CANCELLING", "CANCELING"),
    ] {
        server.control.change(|view| view.state = state);
        let (_, job) = server.get("/jobs/{job}").await;
        assert_eq!(
            (&job["state"], &job["vertices"][0]["status"]),
            (&json!(of_job), &json!(of_task))
        );
        assert_eq!(job["end-time"], -1);
        assert_eq!(job["vertices"][0]["tasks"][of_task], 2);
    }
}

#[tokio::test]
async fn checkpoints_before_the_first_look_like_flinks() {
    let server = server::start().await;
    server.control.change(|view| {
        view.checkpoints = lineage::jobs::view::CheckpointsView::default();
    });
    let (_, ours) = server.get("/jobs/{job}/checkpoints").await;
    assert_eq!(ours, golden("job-checkpoints-empty"));
}
