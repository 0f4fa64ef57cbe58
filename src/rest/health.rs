//! `/healthz`: the process answers. `/readyz`: the job consumes, and its checkpoints complete. Both
//! with the reason, and without a token: where there is one, without what only its holders may read.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use serde_json::json;

use super::Shared;
use super::answer::{self, Answer};
use crate::jobs::view::{JobState, JobView};

/// A checkpoint older than so many intervals is no longer recent.
const INTERVALS: u64 = 3;

pub fn router() -> Router<Shared> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
}

async fn healthz(State(app): State<Shared>) -> Answer {
    let state = app.control.view().state;
    answer::ok(json!({"status": "alive", "reason": "the process answers", "job": state}))
}

async fn readyz(State(app): State<Shared>) -> Answer {
    let in_full = app.settings.token.is_none();
    match readiness(&app.control.view(), in_full) {
        Ok(reason) => answer::ok(json!({"status": "ready", "reason": reason})),
        Err(reason) => answer::with_status(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "not ready", "reason": reason}),
        ),
    }
}

/// Why it is ready, or why not. Messages of errors name places and servers: only `in_full`.
fn readiness(view: &JobView, in_full: bool) -> Result<String, String> {
    match view.state {
        JobState::Running => {}
        JobState::Created => return Err("the job is starting: recovery is at work".into()),
        JobState::Stopping => return Err("the job is stopping: a last checkpoint is taken".into()),
        JobState::Cancelling => return Err("the job is being cancelled".into()),
        JobState::Finished => return Err("the job was stopped on purpose; resume it".into()),
        JobState::Canceled => return Err("the job was cancelled on purpose; resume it".into()),
        JobState::Failed => {
            let newest = view.exceptions.first().filter(|_| in_full);
            let why = newest.map(|e| e.message.as_str());
            let why = why.unwrap_or("its log says why");
            return Err(format!("the job has failed: {why}"));
        }
    }
    let (since, what) = match view.last_complete_at() {
        Some(newest) => (newest, "the newest complete checkpoint is of"),
        None => (
            view.running_since(),
            "no checkpoint is complete yet, it runs since",
        ),
    };
    let age = u64::try_from(view.now - since).unwrap_or(0);
    let limit = INTERVALS * view.rhythm.between_ms();
    let mut reason =
        format!("the job is running; {what} {age} ms ago, {INTERVALS} intervals are {limit} ms");
    for (concern, trouble) in &view.troubles {
        let what = if in_full { &trouble.message } else { concern };
        reason = format!("{reason}; degraded: {what}");
    }
    if age <= limit {
        Ok(reason)
    } else {
        Err(reason)
    }
}
