//! Who may ask what.

use lineage::rest::settings::{RestSettings, token};
use reqwest::{Method, StatusCode};

use super::server::{self, answer, error};

/// Everything that changes the job, with Flink's paths and ours.
const CHANGES: &[(&str, &str)] = &[
    ("POST", "/jobs/{job}/savepoints"),
    ("POST", "/v1/jobs/{job}/savepoints"),
    ("POST", "/jobs/{job}/checkpoints"),
    ("POST", "/jobs/{job}/stop"),
    ("PATCH", "/jobs/{job}?mode=cancel"),
    ("PATCH", "/v1/jobs/{job}"),
    ("GET", "/jobs/{job}/yarn-cancel"),
    ("GET", "/v1/jobs/{job}/yarn-cancel"),
    ("POST", "/lineage/savepoint"),
    ("POST", "/lineage/stop"),
    ("POST", "/lineage/cancel"),
    ("POST", "/lineage/resume"),
];

const DATA: &[&str] = &[
    "/jobs/overview",
    "/v1/jobs/{job}",
    "/jobmanager/log",
    "/lineage/view",
    "/lineage/events",
    "/lineage/history",
    "/metrics",
    "/nothing/there",
];

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

fn with_token() -> RestSettings {
    RestSettings {
        token: token(Some("open-sesame".parse().unwrap()), None).unwrap(),
        ..server::settings()
    }
}

#[tokio::test]
async fn what_changes_the_job_is_accepted_from_a_client_and_from_our_own_page() {
    let server = server::start().await;
    let ours = format!("http://{}", server.address);
    for (name, path) in CHANGES {
        let (status, body) = answer(server.request(method(name), path)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{name} {path}: {body}");
        let from_page = server
            .request(method(name), path)
            .header("origin", &ours)
            .header("referer", format!("{ours}/"))
            .header("sec-fetch-site", "same-origin");
        assert_eq!(answer(from_page).await.0, StatusCode::ACCEPTED);
    }
    assert_eq!(server.control.calls().len(), 2 * CHANGES.len());
}

#[tokio::test]
async fn a_read_only_control_plane_changes_nothing_and_shows_everything() {
    let server = server::start_with(RestSettings {
        read_only: true,
        ..server::settings()
    })
    .await;
    for (name, path) in CHANGES {
        let (status, body) = answer(server.request(method(name), path)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name} {path}");
        assert!(error(&body).contains("REST_READ_ONLY"), "{body}");
    }
    assert!(server.control.calls().is_empty());
    assert_eq!(server.get("/jobs/overview").await.0, StatusCode::OK);
    let (_, config) = server.get("/config").await;
    assert_eq!(config["features"]["web-cancel"], false);
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let server = server::start().await;
    for (name, path) in CHANGES {
        for (header, value) in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:1"),
            ("referer", "http://evil.example/page"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let request = server.request(method(name), path).header(header, value);
            let (status, body) = answer(request).await;
            assert_eq!(
                status,
                StatusCode::FORBIDDEN,
                "{name} {path} {header}: {value}"
            );
            assert!(error(&body).contains("page"), "{body}");
        }
    }
    assert!(server.control.calls().is_empty());
}

#[tokio::test]
async fn no_answer_lets_another_origin_read_it() {
    let server = server::start().await;
    for request in [
        server
            .request(Method::GET, "/jobs")
            .header("origin", "http://evil.example"),
        server
            .request(Method::OPTIONS, "/lineage/stop")
            .header("origin", "http://evil.example")
            .header("access-control-request-method", "POST"),
    ] {
        let response = request.send().await.unwrap();
        let headers = response.headers();
        let mut names = headers.keys().map(reqwest::header::HeaderName::as_str);
        assert!(!names.any(|name| name.starts_with("access-control")));
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn a_name_that_was_made_to_point_here_reads_nothing() {
    let server = server::start().await;
    for path in DATA {
        let request = server
            .request(Method::GET, path)
            .header("host", "evil.example:8081");
        let (status, body) = answer(request).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert!(error(&body).contains("evil.example"), "{body}");
    }
    let named = server
        .request(Method::GET, "/jobs")
        .header("host", "localhost:9999");
    assert_eq!(answer(named).await.0, StatusCode::OK);
}

#[tokio::test]
async fn on_all_addresses_it_answers_for_addresses_for_names_without_a_dot_and_for_those_it_was_given()
 {
    let settings = RestSettings {
        address: "0.0.0.0".into(),
        hosts: vec!["lineage.example".into()],
        ..server::settings()
    };
    let server = server::start_with(settings).await;
    for (host, status) in [
        ("evil.example:8081", StatusCode::FORBIDDEN),
        ("lineage.example", StatusCode::OK),
        ("LINEAGE.example:443", StatusCode::OK),
        ("lineage:8081", StatusCode::OK),
        ("192.0.2.1:8081", StatusCode::OK),
        ("[2001:db8::1]:8081", StatusCode::OK),
    ] {
        let request = server.request(Method::GET, "/jobs").header("host", host);
        assert_eq!(answer(request).await.0, status, "{host}");
    }
    // A page that is served through a proxy under such a name may change the job.
    let stop = server
        .request(Method::POST, "/lineage/stop")
        .header("host", "lineage.example")
        .header("origin", "https://lineage.example");
    assert_eq!(answer(stop).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn with_a_token_all_data_needs_it() {
    let server = server::start_with(with_token()).await;
    for given in [
        None,
        Some("Bearer wrong"),
        Some("Bearer open-sesam"),
        Some("Bearer open-sesame2"),
        Some("Bearer "),
        Some("Basic open-sesame"),
        Some("open-sesame"),
    ] {
        for path in DATA {
            let mut request = server.request(Method::GET, path);
            if let Some(given) = given {
                request = request.header("authorization", given);
            }
            let (status, body) = answer(request).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {given:?}");
            assert!(error(&body).contains("REST_TOKEN"), "{body}");
        }
    }
    for (name, path) in CHANGES {
        let (status, _) = answer(server.request(method(name), path)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name} {path}");
    }
    assert!(server.control.calls().is_empty());

    for given in ["Bearer open-sesame", "bearer open-sesame"] {
        let request = server.request(Method::GET, "/jobs");
        let (status, _) = answer(request.header("authorization", given)).await;
        assert_eq!(status, StatusCode::OK);
    }
    let request = server.request(Method::POST, "/lineage/stop");
    let (status, _) = answer(request.bearer_auth("open-sesame")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_page_and_the_health_checks_need_no_token() {
    let server = server::start_with(with_token()).await;
    for path in ["/", "/healthz", "/readyz"] {
        let response = server.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    let (_, ready) = answer(server.request(Method::GET, "/readyz")).await;
    let reason = ready["reason"].as_str().unwrap();
    assert!(reason.contains("degraded: "), "{reason}");
    let told = reason.contains("does not answer");
    assert!(!told, "what failed is for holders of the token: {reason}");
    // With a name that is not this machine's, as a health check from outside has it.
    let request = server
        .request(Method::GET, "/healthz")
        .header("host", "lineage.example");
    assert_eq!(answer(request).await.0, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_has_the_token() {
    let server = server::start_with(with_token()).await;
    for path in DATA.iter().chain(&[
        "/config",
        "/jobmanager/config",
        "/jobs/{job}/config",
        "/jobs/{job}/jobmanager/config",
    ]) {
        if path.ends_with("/events") {
            continue;
        }
        let request = server.request(Method::GET, path).bearer_auth("open-sesame");
        let text = request.send().await.unwrap().text().await.unwrap();
        assert!(!text.contains("sesame"), "{path}: {text}");
    }
    assert!(!format!("{:?}", with_token()).contains("sesame"));
}
