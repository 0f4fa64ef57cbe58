//! Who may ask what: the host that was asked for, the token, requests that change the job, and time.
//!
//! - The `Host` must be one that no foreign page can have made to point here (DNS rebinding): a local
//!   name on a loopback address, elsewhere an address or a name without a dot, or one of `REST_HOSTS`.
//!   With a token any will do elsewhere, for a foreign page does not have it.
//! - What changes the job must come from no page, or from our own: `Origin`, `Referer` and
//!   `Sec-Fetch-Site` tell. No answer has a CORS header, so no foreign page reads one.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use url::{Host, Url};

use super::Shared;
use super::answer::Refusal;
use super::page;

/// The path as the client sent it.
#[derive(Debug, Clone)]
pub struct AskedPath(pub String);

/// Without slashes at the end or in a row: clients put them there, and Flink does not mind.
pub fn plain_path<B>(mut request: http::Request<B>) -> http::Request<B> {
    let asked = request.uri().path().to_owned();
    let plain: String = asked
        .split('/')
        .filter(|part| !part.is_empty())
        .flat_map(|part| ["/", part])
        .collect();
    let plain = if plain.is_empty() { "/" } else { &plain };
    if plain != asked {
        let query = request.uri().query();
        let path = query.map_or_else(|| plain.to_owned(), |query| format!("{plain}?{query}"));
        if let Ok(uri) = path.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request.extensions_mut().insert(AskedPath(asked));
    request
}

/// For every request.
pub async fn every(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let within = app.settings.limits.request;
    let answer = match admitted(&app, &request) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => match tokio::time::timeout(within, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "no answer within {}: the request did not arrive whole, or the store did not answer",
                    humantime::format_duration(within)
                ),
            )
            .into_response(),
        },
    };
    hardened(answer)
}

fn admitted(app: &Shared, request: &Request) -> Result<(), Refusal> {
    let path = request.uri().path();
    if matches!(path, "/healthz" | "/readyz") {
        return Ok(());
    }
    let loopback = app.here.address.ip().is_loopback();
    if loopback || app.settings.token.is_none() {
        own_host(request.headers(), loopback, &app.settings.hosts)?;
    }
    let Some(token) = &app.settings.token else {
        return Ok(());
    };
    let given = text(request.headers(), header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    if page::is_asset(path) || given.is_some_and(|given| token.is(given)) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNAUTHORIZED,
        "this control plane has a REST_TOKEN: send it as 'Authorization: Bearer TOKEN'",
    ))
}

fn own_host(headers: &HeaderMap, loopback: bool, own: &[String]) -> Result<(), Refusal> {
    let host = text(headers, header::HOST);
    let url = host.and_then(|host| Url::parse(&format!("http://{host}")).ok());
    let known = match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => {
            // A name without a dot is one of the own network, as those of containers are.
            name.eq_ignore_ascii_case("localhost")
                || own.iter().any(|own| own.eq_ignore_ascii_case(name))
                || !loopback && !name.contains('.')
        }
        Some(Host::Ipv4(address)) => !loopback || address.is_loopback(),
        Some(Host::Ipv6(address)) => !loopback || address.is_loopback(),
        None => false,
    };
    if known {
        return Ok(());
    }
    let instead = if loopback {
        "ask for localhost"
    } else {
        "ask for its address"
    };
    Err(Refusal::forbidden(format!(
        "Host '{}' is not known to be this control plane: {instead}, or name it in REST_HOSTS",
        host.unwrap_or_default()
    )))
}

/// For requests that change the job.
pub async fn changing(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let allowed = if app.settings.read_only {
        Err(Refusal::forbidden(
            "this control plane is read-only (REST_READ_ONLY)",
        ))
    } else {
        own_origin(request.headers())
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn own_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let host = text(headers, header::HOST);
    for name in [header::ORIGIN, header::REFERER] {
        if let Some(origin) = headers.get(&name) {
            let origin = origin.to_str().unwrap_or_default();
            if !is_of(origin, host) {
                return Err(Refusal::forbidden(format!(
                    "the request comes from a page of '{origin}', not of this control plane"
                )));
            }
        }
    }
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    match site {
        None | Some("same-origin" | "none") => Ok(()),
        Some(other) => Err(Refusal::forbidden(format!(
            "the request comes from another page ({other}), not from this control plane"
        ))),
    }
}

/// Whether a page of `origin` was served by `host`; behind a proxy the scheme may be another.
fn is_of(origin: &str, host: Option<&str>) -> bool {
    let (Ok(origin), Some(host)) = (Url::parse(origin), host) else {
        return false;
    };
    let Ok(host) = Url::parse(&format!("{}://{host}", origin.scheme())) else {
        return false;
    };
    origin.has_host()
        && origin.host() == host.host()
        && origin.port_or_known_default() == host.port_or_known_default()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn hardened(mut response: Response) -> Response {
    let refused = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::CACHE_CONTROL, "no-store");
    set(header::CONTENT_SECURITY_POLICY, page::POLICY);
    if refused {
        set(header::WWW_AUTHENTICATE, "Bearer");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_ours_if_it_is_what_the_client_asked_for() {
        for (origin, host, own) in [
            ("http://localhost:8081", "localhost:8081", true),
            ("http://localhost:8081", "LOCALHOST:8081", true),
            ("https://flink.example", "flink.example", true),
            ("http://flink.example:80", "flink.example", true),
            ("http://localhost:8081", "localhost:8082", false),
            ("http://evil.example", "localhost:8081", false),
            (
                "http://localhost.evil.example:8081",
                "localhost:8081",
                false,
            ),
            ("null", "localhost:8081", false),
            ("", "localhost:8081", false),
        ] {
            assert_eq!(is_of(origin, Some(host)), own, "{origin} at {host}");
        }
        assert!(!is_of("http://localhost:8081", None));
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        for (host, local) in [
            ("localhost", true),
            ("localhost:9000", true),
            ("127.0.0.1:8081", true),
            ("127.1.2.3", true),
            ("[::1]:8081", true),
            ("evil.example:8081", false),
            ("localhost.evil.example", false),
            ("192.168.0.7:8081", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(own_host(&headers, true, &[]).is_ok(), local, "{host}");
        }
        assert!(own_host(&HeaderMap::new(), true, &[]).is_err());
    }

    #[test]
    fn slashes_too_many_change_nothing() {
        for (asked, plain) in [
            ("/v1/jobs/", "/v1/jobs"),
            ("//jobs///overview?a=/b/", "/jobs/overview?a=/b/"),
            ("/", "/"),
            ("/jobs", "/jobs"),
        ] {
            let request = http::Request::get(asked).body(()).unwrap();
            assert_eq!(plain_path(request).uri().to_string(), plain);
        }
    }
}
