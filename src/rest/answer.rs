//! How answers look: JSON with the header that Flink sends, and its form of errors.

use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::jobs::control::Refused;

pub type Answer = Result<Response, Refusal>;

/// A value with status 200.
pub fn ok(value: impl Serialize) -> Answer {
    with_status(StatusCode::OK, value)
}

/// A request that takes its time was begun.
pub fn accepted(value: impl Serialize) -> Answer {
    with_status(StatusCode::ACCEPTED, value)
}

pub fn with_status(status: StatusCode, value: impl Serialize) -> Answer {
    let body = serde_json::to_vec(&value)
        .map_err(|e| Refusal::internal(format!("the answer cannot be written as JSON: {e}")))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=UTF-8"),
    );
    Ok(response)
}

/// An answer that is an error: `{"errors": [...]}`.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// A part of a path that is not of its form, in Flink's words.
    pub fn malformed(parameter: &str, value: &str) -> Self {
        Self::bad_request(format!(
            "Bad request, could not parse parameters: Cannot resolve path parameter ({parameter}) from \
             value \"{value}\"."
        ))
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::NotRunning(_) | Refused::Already(_) | Refused::Ending => StatusCode::CONFLICT,
            Refused::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Refused::BadRequest(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, refused.to_string())
    }
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"errors": [self.message]});
        match with_status(self.status, body) {
            Ok(response) => response,
            Err(_) => self.status.into_response(),
        }
    }
}
