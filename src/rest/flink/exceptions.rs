//! What has gone wrong, of this start and of earlier ones.

use axum::response::Response;
use http::Uri;
use serde_json::{Value, json};

use super::path::{self, Job};
use crate::jobs::view::ExceptionView;
use crate::rest::answer::{self, Refusal};

/// Unless `maxExceptions` says otherwise, as with Flink.
const SHOWN: usize = 20;

pub async fn exceptions(job: Job, uri: Uri) -> Result<Response, Refusal> {
    let most = match path::query(&uri, "maxExceptions").as_deref() {
        None | Some([]) => SHOWN,
        Some([most, ..]) => most
            .parse()
            .map_err(|_| Refusal::bad_request(format!("maxExceptions: '{most}' is no number")))?,
    };
    let all = &job.view.exceptions;
    let entries: Vec<_> = all.iter().take(most).map(entry).collect();
    let newest = all.first();
    answer::ok(json!({
        "root-exception": newest.map(text),
        "timestamp": newest.map(|newest| newest.at),
        "all-exceptions": [],
        "truncated": false,
        "exceptionHistory": {
            "truncated": entries.len() < all.len(),
            "entries": entries,
        },
    }))
}

fn entry(exception: &ExceptionView) -> Value {
    json!({
        "exceptionName": exception.concern,
        "stacktrace": text(exception),
        "timestamp": exception.at,
        "failureLabels": {},
        "concurrentExceptions": [],
    })
}

fn text(exception: &ExceptionView) -> String {
    format!("{}: {}", exception.concern, exception.message)
}
