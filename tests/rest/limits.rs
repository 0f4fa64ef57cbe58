//! Clients that send too much, too slowly, or too many at a time; and a port that is taken.

use std::time::Duration;

use lineage::rest::settings::{Limits, RestSettings};
use lineage::rest::{self, logs::LogRing};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::server::{self, Server, error};

fn with_limits(limits: Limits) -> RestSettings {
    RestSettings {
        limits,
        ..server::settings()
    }
}

/// All that the server sends until it closes the connection.
async fn sent_to(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    // Half of what the limits are without these settings.
    let closed = tokio::time::timeout(Duration::from_secs(15), stream.read_to_string(&mut answer));
    closed.await.expect("the connection is closed").unwrap();
    answer
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unread() {
    let server = server::start().await;
    let body = format!("{{\"target-directory\": \"{}\"}}", "x".repeat(70_000));
    for path in ["/jobs/{job}/savepoints", "/lineage/savepoint"] {
        let (status, answer) = server.post(path, &body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        error(&answer);
    }
    assert!(server.control.calls().is_empty());
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_or_its_body_is_cut_off() {
    let server = server::start_with(with_limits(Limits {
        head: Duration::from_millis(100),
        request: Duration::from_millis(100),
        ..Limits::default()
    }))
    .await;
    // Each of these would wait for ever.
    let head = sent_to(
        &server,
        b"GET /jobs HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
    )
    .await;
    assert!(!head.contains("200"), "{head}");
    let body = "POST /lineage/savepoint HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{";
    let answer = sent_to(&server, body.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        answer.contains("{\"errors\":[\"no answer within 100ms"),
        "{answer}"
    );
    assert!(server.control.calls().is_empty());
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let server = server::start_with(with_limits(Limits {
        connections: 1,
        head: Duration::from_millis(300),
        ..Limits::default()
    }))
    .await;
    // Holds the only place until its head is too late.
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /").await.unwrap();
    let (status, _) = server.get("/jobs").await;
    assert_eq!(status, StatusCode::OK);
    // The place was free only because the first one was cut off.
    let mut rest = Vec::new();
    let cut_off = tokio::time::timeout(Duration::from_secs(10), first.read_to_end(&mut rest));
    cut_off.await.expect("the first connection is closed").ok();
}

#[tokio::test]
async fn what_is_no_http_harms_nothing() {
    let server = server::start().await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"\0\0\0\0\r\n\r\n",
        b"HELO\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"));
    }
    assert_eq!(server.get("/jobs").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it_and_its_setting() {
    let server = server::start().await;
    let port = server.address.port();
    let (_stop, stopped) = watch::channel(false);
    let second = rest::serve(
        RestSettings {
            port,
            ..server::settings()
        },
        server.control.clone(),
        LogRing::default(),
        stopped,
    );
    let error = second.await.unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.contains("REST_PORT"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_not_of_this_machine_is_an_error_that_names_its_setting() {
    let server = server::start().await;
    let (_stop, stopped) = watch::channel(false);
    let settings = RestSettings {
        // Of a range that is for documentation only.
        address: "192.0.2.1".into(),
        ..server::settings()
    };
    let elsewhere = rest::serve(
        settings,
        server.control.clone(),
        LogRing::default(),
        stopped,
    );
    let error = elsewhere.await.unwrap_err().to_string();
    assert!(error.contains("REST_ADDRESS=192.0.2.1"), "{error}");
}

#[tokio::test]
async fn after_the_end_nobody_is_answered() {
    let server = server::start().await;
    let address = server.address;
    server.end().await;
    assert!(TcpStream::connect(address).await.is_err());
}
