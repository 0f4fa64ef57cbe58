//! Requests of Flink's tools: savepoint, checkpoint, stop, cancel, and how far they are.

use axum::Router;
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, patch, post};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::path::{self, Job};
use crate::config::location::Location;
use crate::jobs::control::{Operation, Refused, SavepointRequest};
use crate::rest::answer::{self, Answer, Refusal};
use crate::rest::body::{self, Body};
use crate::rest::{Shared, guard, trigger};

pub fn router(app: &Shared) -> Router<Shared> {
    let changing = Router::new()
        .route("/jobs/{jobid}", patch(cancel))
        .route("/jobs/{jobid}/savepoints", post(savepoint))
        .route("/jobs/{jobid}/checkpoints", post(checkpoint))
        .route("/jobs/{jobid}/stop", post(stop))
        // Flink's own page cancels by this.
        .route("/jobs/{jobid}/yarn-cancel", get(cancel))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard::changing));
    Router::new()
        .route(
            "/jobs/{jobid}/savepoints/{triggerid}",
            get(savepoint_status),
        )
        .route(
            "/jobs/{jobid}/checkpoints/{triggerid}",
            get(checkpoint_status),
        )
        .merge(changing)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SavepointBody {
    target_directory: Option<String>,
    cancel_job: Option<bool>,
    #[serde(rename = "triggerId")]
    trigger_id: Option<String>,
    #[serde(rename = "formatType")]
    _format: Option<Format>,
}

/// `drain` asks for a last watermark; there is none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StopBody {
    target_directory: Option<String>,
    trigger_id: Option<String>,
    #[serde(rename = "formatType")]
    _format: Option<Format>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CheckpointBody {
    trigger_id: Option<String>,
    #[serde(rename = "checkpointType")]
    _kind: Option<Kind>,
}

/// There is one format and one kind: Flink's names for them are understood, and make no difference.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Format {
    Canonical,
    Native,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Configured,
    Full,
    Incremental,
}

pub async fn savepoint(job: Job, body: Body) -> Answer {
    let body: SavepointBody = body::parse(body)?;
    let then_stop = body.cancel_job.unwrap_or(false);
    begin_savepoint(&job, body.target_directory, body.trigger_id, then_stop)
}

/// A savepoint after which the job ends. Clients ask for it as for any savepoint.
pub async fn stop(job: Job, body: Body) -> Answer {
    let body: StopBody = body::parse(body)?;
    begin_savepoint(&job, body.target_directory, body.trigger_id, true)
}

fn begin_savepoint(
    job: &Job,
    target: Option<String>,
    chosen: Option<String>,
    then_stop: bool,
) -> Answer {
    let target: Option<Location> = target
        .map(|target| target.parse())
        .transpose()
        .map_err(|e| Refusal::bad_request(format!("target directory: {e}")))?;
    let chosen = chosen_id(chosen)?;
    let number = job.app.given.begin(chosen, || {
        job.app
            .control
            .savepoint(SavepointRequest { target, then_stop })
    })?;
    answer::accepted(json!({"request-id": number}))
}

fn chosen_id(chosen: Option<String>) -> Result<Option<String>, Refusal> {
    let chosen = chosen.map(|chosen| {
        trigger::id_of(&chosen).ok_or_else(|| {
            Refusal::bad_request(format!(
                "triggerId '{chosen}' is not of 32 hexadecimal digits"
            ))
        })
    });
    chosen.transpose()
}

pub async fn checkpoint(job: Job, body: Body) -> Answer {
    let body: CheckpointBody = body::parse(body)?;
    let chosen = chosen_id(body.trigger_id)?;
    let control = &job.app.control;
    let number = job.app.given.begin(chosen, || control.checkpoint())?;
    answer::accepted(json!({"request-id": number}))
}

pub async fn cancel(job: Job, uri: Uri) -> Answer {
    match path::query(&uri, "mode").unwrap_or_default().first() {
        None => {}
        Some(mode) if mode == "cancel" => {}
        Some(mode) if mode == "stop" => {
            return Err(Refusal::new(
                StatusCode::PERMANENT_REDIRECT,
                "The termination mode \"stop\" has been removed. Please use \"jobs/:jobid/stop\".",
            ));
        }
        Some(mode) => {
            return Err(Refusal::bad_request(format!(
                "mode={mode} is not known: use cancel"
            )));
        }
    }
    match job.app.control.cancel() {
        // As with Flink, a job that is cancelled can be cancelled again.
        Ok(()) | Err(Refused::Already(_)) => answer::accepted(json!({})),
        Err(refused) => Err(refused.into()),
    }
}

pub async fn savepoint_status(job: Job) -> Answer {
    status(
        &job,
        "savepoint",
        "failure-cause",
        |operation| match operation {
            Operation::Savepoint { location } => Some(json!({"location": location})),
            _ => None,
        },
    )
}

pub async fn checkpoint_status(job: Job) -> Answer {
    status(
        &job,
        "checkpoint",
        "failureCause",
        |operation| match operation {
            Operation::Checkpoint { id } => Some(json!({"checkpointId": id})),
            _ => None,
        },
    )
}

fn status(
    job: &Job,
    what: &str,
    failure: &str,
    result: fn(&Operation) -> Option<Value>,
) -> Result<Response, Refusal> {
    let asked = job.param("triggerid");
    let id = trigger::id_of(asked).ok_or_else(|| Refusal::malformed("triggerid", asked))?;
    let unknown = || {
        Refusal::not_found(format!(
            "There is no {what} operation with triggerId={id} for job {}.",
            job.id
        ))
    };
    let operation = job.app.given.operation(job.app.control.as_ref(), &id);
    let (status, operation) = match operation.ok_or_else(unknown)? {
        Operation::InProgress => ("IN_PROGRESS", Value::Null),
        Operation::Failed { cause } => ("COMPLETED", json!({failure: super::cause::of(&cause)})),
        other => ("COMPLETED", result(&other).ok_or_else(unknown)?),
    };
    answer::ok(json!({"status": {"id": status}, "operation": operation}))
}
