//! Our own API, for the page and for `lineage` on the command line.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::middleware;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::body::{self, Body};
use super::{Shared, guard, trigger};
use crate::config::location::Location;
use crate::ids::CheckpointId;
use crate::jobs::control::{Operation, Refused, SavepointRequest};

pub fn router(app: &Shared) -> Router<Shared> {
    let changing = Router::new()
        .route("/lineage/savepoint", post(savepoint))
        .route("/lineage/stop", post(stop))
        .route("/lineage/cancel", post(cancel))
        .route("/lineage/resume", post(resume))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard::changing));
    Router::new()
        .route("/lineage/view", get(view))
        .route("/lineage/events", get(events))
        .route("/lineage/history", get(history))
        .route("/lineage/checkpoints/{id}/files", get(files))
        .route("/lineage/operations/{trigger}", get(operation))
        .merge(changing)
}

async fn view(State(app): State<Shared>) -> Answer {
    answer::ok(app.control.view())
}

async fn history(State(app): State<Shared>) -> Answer {
    let interval = app.sampler.interval().as_millis();
    answer::ok(json!({
        "interval_ms": u64::try_from(interval).unwrap_or(u64::MAX),
        "samples": app.sampler.samples(),
    }))
}

/// The view about once a second, as event `view`. A client that is too slow misses some.
async fn events(State(app): State<Shared>) -> Response {
    let Some(listener) = app.sampler.listen() else {
        return Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "as many clients listen to events as may: close a page, or ask for /lineage/view",
        )
        .into_response();
    };
    let events = stream::unfold(listener, async |mut listener| {
        let view = listener.next().await?;
        let event = Event::default().event("view").data(&*view);
        Some((Ok::<_, Infallible>(event), listener))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

async fn files(State(app): State<Shared>, Path(id): Path<String>) -> Answer {
    let number = id.strip_prefix("chk-").unwrap_or(&id).parse();
    let number = number
        .map_err(|_| Refusal::bad_request(format!("'{id}' is no checkpoint: give its number")))?;
    let lines = app.control.commit_log(CheckpointId(number)).await;
    let lines = lines.map_err(|error| {
        Refusal::new(
            StatusCode::BAD_GATEWAY,
            format!("the commit log of checkpoint {number} cannot be read: {error}"),
        )
    })?;
    answer::ok(json!({"checkpoint": number, "files": lines}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Savepoint {
    target: Option<String>,
    stop: bool,
}

async fn savepoint(State(app): State<Shared>, body: Body) -> Answer {
    let asked: Savepoint = body::parse(body)?;
    let target: Option<Location> = asked
        .target
        .map(|target| target.parse())
        .transpose()
        .map_err(|e| Refusal::bad_request(format!("target: {e}")))?;
    let trigger = app.control.savepoint(SavepointRequest {
        target,
        then_stop: asked.stop,
    })?;
    answer::accepted(json!({"accepted": "savepoint", "trigger": trigger}))
}

async fn stop(State(app): State<Shared>) -> Answer {
    begun("stop", app.control.stop())
}

async fn cancel(State(app): State<Shared>) -> Answer {
    begun("cancel", app.control.cancel())
}

async fn resume(State(app): State<Shared>) -> Answer {
    begun("resume", app.control.resume())
}

fn begun(what: &str, result: Result<(), Refused>) -> Answer {
    result?;
    answer::accepted(json!({"accepted": what}))
}

async fn operation(State(app): State<Shared>, Path(id): Path<String>) -> Answer {
    let id = trigger::id_of(&id).ok_or_else(|| {
        Refusal::bad_request(format!(
            "'{id}' is no trigger: it has 32 hexadecimal digits"
        ))
    })?;
    let operation = app.given.operation(app.control.as_ref(), &id);
    let operation = operation
        .ok_or_else(|| Refusal::not_found(format!("this process knows no trigger {id}")))?;
    answer::ok(shown(&operation))
}

fn shown(operation: &Operation) -> Value {
    match operation {
        Operation::InProgress => json!({"status": "in progress"}),
        Operation::Savepoint { location } => json!({"status": "completed", "location": location}),
        Operation::Checkpoint { id } => json!({"status": "completed", "checkpoint": id}),
        Operation::Failed { cause } => json!({"status": "failed", "cause": cause}),
    }
}
