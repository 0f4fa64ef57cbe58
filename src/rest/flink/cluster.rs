//! The answers that name no job.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::FLINK_VERSION;
use super::state;
use super::vertex::Vertex;
use crate::jobs::view::{JobState, JobView};
use crate::rest::Shared;
use crate::rest::answer::{self, Answer, Refusal};

/// The one log that there is.
pub const LOG: &str = "lineage.log";

fn revision() -> String {
    format!("lineage {}", env!("CARGO_PKG_VERSION"))
}

pub async fn config(State(app): State<Shared>) -> Answer {
    answer::ok(json!({
        "refresh-interval": 3000,
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": FLINK_VERSION,
        "flink-revision": revision(),
        "features": {
            "web-submit": false,
            "web-cancel": !app.settings.read_only,
            "web-rescale": false,
            "web-history": false,
        },
    }))
}

pub async fn overview(State(app): State<Shared>) -> Answer {
    let view = app.control.view();
    let known = |states: &[JobState]| u32::from(view.job.is_some() && states.contains(&view.state));
    answer::ok(json!({
        "taskmanagers": 1,
        "slots-total": view.parallelism,
        "slots-available": free_slots(&view),
        "jobs-running": known(&[
            JobState::Created,
            JobState::Running,
            JobState::Stopping,
            JobState::Cancelling,
        ]),
        "jobs-finished": known(&[JobState::Finished]),
        "jobs-cancelled": known(&[JobState::Canceled]),
        "jobs-failed": known(&[JobState::Failed]),
        "flink-version": FLINK_VERSION,
        "flink-commit": revision(),
    }))
}

/// A slot is one subtask of source and writer.
pub fn free_slots(view: &JobView) -> u32 {
    if view.state.is_terminal() {
        view.parallelism
    } else {
        0
    }
}

pub async fn datasets() -> Answer {
    answer::ok(json!({"dataSets": []}))
}

/// Some clients read `state` where Flink sends `status`.
pub async fn jobs(State(app): State<Shared>) -> Answer {
    let view = app.control.view();
    let state = state::of_job(view.state);
    let jobs = view.job.iter();
    let jobs = jobs.map(|id| json!({"id": id, "status": state, "state": state}));
    answer::ok(json!({"jobs": jobs.collect::<Vec<_>>()}))
}

pub async fn jobs_overview(State(app): State<Shared>) -> Answer {
    let view = app.control.view();
    let jobs: Vec<_> = view
        .job
        .iter()
        .map(|id| {
            let tasks: u32 = Vertex::ALL.iter().map(|v| v.parallelism(&view)).sum();
            let mut counts: Map<String, Value> = state::task_counts(view.state, tasks)
                .into_iter()
                .map(|(name, count)| (name.to_ascii_lowercase(), count))
                .collect();
            counts.insert("total".into(), tasks.into());
            let entered = view.entered.values().copied();
            let modified = entered.max().unwrap_or(view.started_at);
            json!({
                "jid": id,
                "name": view.name,
                "state": state::of_job(view.state),
                "start-time": view.started_at,
                "end-time": state::end_time(&view),
                "duration": state::duration(&view, view.started_at),
                "last-modification": modified,
                "tasks": counts,
            })
        })
        .collect();
    answer::ok(json!({"jobs": jobs}))
}

pub async fn settings(State(app): State<Shared>) -> Answer {
    answer::ok(key_values(&app.control.view()))
}

/// The settings in Flink's form of a configuration.
pub fn key_values(view: &JobView) -> Value {
    let settings = view.settings.iter();
    settings
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect()
}

pub async fn logs(State(app): State<Shared>) -> Answer {
    list_of_logs(&app)
}

pub fn list_of_logs(app: &Shared) -> Answer {
    let size = app.logs.size();
    answer::ok(json!({
        "logs": [{"name": LOG, "size": size.bytes, "mtime": size.written_at}],
    }))
}

pub async fn log(State(app): State<Shared>) -> Answer {
    text_of_log(&app, LOG)
}

pub async fn named_log(State(app): State<Shared>, Path(name): Path<String>) -> Answer {
    text_of_log(&app, &name)
}

pub fn text_of_log(app: &Shared, name: &str) -> Answer {
    if name != LOG {
        return Err(Refusal::not_found(format!(
            "there is no log '{name}': its name is {LOG}"
        )));
    }
    let mut response = Response::new(Body::from(app.logs.text()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    Ok(response)
}
