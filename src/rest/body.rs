//! Bodies of requests: JSON objects, or nothing.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::answer::Refusal;

/// As axum hands it over: it may have been too long.
pub type Body = Result<Bytes, BytesRejection>;

/// No body is an object without fields.
pub fn parse<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let body = body?;
    let fields: Result<Map<String, Value>, _> = if body.trim_ascii().is_empty() {
        Ok(Map::new())
    } else {
        serde_json::from_slice(&body)
    };
    fields
        .and_then(|fields| serde_json::from_value(fields.into()))
        .map_err(|e| Refusal::bad_request(format!("Request did not match expected format: {e}")))
}
