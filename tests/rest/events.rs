//! Server-sent events and the history.

use std::time::Duration;

use lineage::rest::settings::{Limits, RestSettings, Rhythm};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::server::{self, Server, error};

async fn listen(server: &Server) -> Response {
    let response = server.request(Method::GET, "/lineage/events").send().await;
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}

/// The next event's data; `None` at the end of the stream.
async fn next(response: &mut Response) -> Option<Value> {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap()?).unwrap());
    }
    let event = text.strip_prefix("event: view\ndata: ").expect(&text);
    Some(serde_json::from_str(event.trim_end()).unwrap())
}

#[tokio::test]
async fn events_are_views_of_the_job_as_it_goes_on() {
    let server = server::start().await;
    let mut stream = listen(&server).await;
    let first = next(&mut stream).await.unwrap();
    let second = next(&mut stream).await.unwrap();
    assert_eq!(first["topic"], "orders");
    assert!(second["now"].as_i64() > first["now"].as_i64());
}

#[tokio::test]
async fn nobody_looks_at_the_job_while_nobody_listens_and_all_listeners_share_one_look() {
    let server = server::start_with(RestSettings {
        rhythm: Rhythm {
            events: Duration::from_millis(20),
            history: Duration::from_secs(3600),
        },
        ..server::settings()
    })
    .await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(listen(&server).await);
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        for stream in &mut streams {
            seen.push(next(stream).await.unwrap()["now"].as_i64().unwrap());
        }
    }
    seen.sort_unstable();
    seen.dedup();
    // Forty events of hardly more looks than one stream had: those that came late saw fewer.
    assert!(seen.len() < 20, "{seen:?}");
    drop(streams);
    // The stream ends with the next event that it cannot deliver; then the looks end too.
    let mut before = server.control.looks();
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let after = server.control.looks();
        if after == before {
            break;
        }
        before = after;
    }
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_until_one_ends() {
    let server = server::start_with(RestSettings {
        limits: Limits {
            streams: 1,
            ..Limits::default()
        },
        ..server::settings()
    })
    .await;
    let first = listen(&server).await;
    let (status, body) = server.get("/lineage/events").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(error(&body).contains("/lineage/view"), "{body}");
    drop(first);
    let again = || server.request(Method::GET, "/lineage/events").send();
    while again().await.unwrap().status() != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_stream_loses_it() {
    let server = server::start_with(RestSettings {
        limits: Limits {
            streams: 1,
            write: Duration::from_millis(200),
            ..Limits::default()
        },
        rhythm: Rhythm {
            events: Duration::from_millis(1),
            ..Rhythm::default()
        },
        ..server::settings()
    })
    .await;
    let silent = listen(&server).await;
    // Its buffers fill up with views first.
    let again = || server.request(Method::GET, "/lineage/events").send();
    while again().await.unwrap().status() != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(silent);
}

#[tokio::test]
async fn streams_end_with_the_process() {
    let server = server::start().await;
    let mut stream = listen(&server).await;
    next(&mut stream).await.unwrap();
    let ended = tokio::spawn(async move { while next(&mut stream).await.is_some() {} });
    server.end().await;
    ended.await.unwrap();
}

#[tokio::test]
async fn the_history_has_throughput_and_lag() {
    let server = server::start().await.warm().await;
    let (status, body) = server.get("/lineage/history").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["interval_ms"], 10);
    let samples = body["samples"].as_array().unwrap();
    // At the first look nothing is known of what was before.
    assert_eq!(samples[0]["records_per_second"], Value::Null);
    assert_eq!(samples[1]["records_per_second"], 2_000.0);
    assert_eq!(samples[1]["lag"], 70);
}

#[tokio::test]
async fn a_lag_that_is_not_known_of_every_split_is_not_known() {
    let server = server::start().await;
    server.control.change(|view| view.splits[3].end = None);
    let seen = server.control.looks();
    while server.control.looks() < seen + 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (_, body) = server.get("/lineage/history").await;
    let newest = body["samples"].as_array().unwrap().last().unwrap();
    assert_eq!(newest["lag"], Value::Null);
}
