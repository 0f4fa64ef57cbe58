//! The endpoint that gives tokens to client credentials, as RFC 6749 has it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use super::blocking::wait_for;
use super::token::{Token, TokenError};
use crate::causes::{TlsFault, tls_fault};
use crate::config::secret::{Secret, without_user};
use crate::runtime::retry::with_causes;

/// The setting that names it.
pub const ORIGIN: &str = "KAFKA_OAUTH_TOKEN_URL";
/// An endpoint that takes longer is asked again.
const ANSWER: Duration = Duration::from_secs(5);
/// Characters of an endpoint's error code that are shown.
const CODE: usize = 40;

#[derive(Debug, Clone)]
pub struct ClientCredentials {
    pub url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: Option<String>,
    /// Vouches for the endpoint, beside the system's certificates.
    pub ca_file: Option<PathBuf>,
}

impl ClientCredentials {
    /// For messages: a query may hold a secret.
    pub fn shown(&self) -> String {
        without_user(self.url.as_str())
    }
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    expires_in: Option<f64>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    error: Option<String>,
}

/// Asks for a token. Blocks for as long as the endpoint may take.
///
/// # Errors
/// If there is none; it says whether waiting helps.
pub fn token(credentials: &ClientCredentials) -> Result<Token, TokenError> {
    let issued = wait_for(ask(credentials.clone())).unwrap_or_else(|e| {
        Err(TokenError::NoAnswer {
            url: credentials.shown(),
            why: e.to_string(),
        })
    })?;
    let lifetime = issued.expires_in;
    let lifetime = lifetime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Token::new(
        issued.access_token,
        lifetime,
        &credentials.client_id,
        SystemTime::now(),
        ORIGIN,
    )
}

async fn ask(credentials: ClientCredentials) -> Result<Issued, TokenError> {
    let no_answer = |why: String| TokenError::NoAnswer {
        url: credentials.shown(),
        why,
    };
    let failed = |e: reqwest::Error| {
        // What it was sent is no part of it.
        let e = e.without_url();
        let url = credentials.shown();
        match tls_fault(&e) {
            Some(TlsFault::Untrusted(why)) => {
                let why = why.to_string();
                TokenError::Untrusted { url, why }
            }
            Some(TlsFault::NoTls(why)) => {
                let why = why.to_string();
                TokenError::NoTls { url, why }
            }
            Some(TlsFault::Refused(why)) => {
                let why = why.to_string();
                TokenError::TlsRefused { url, why }
            }
            None => no_answer(with_causes(&e)),
        }
    };
    let mut client = reqwest::Client::builder()
        .timeout(ANSWER)
        // A redirect would take the secret along.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = &credentials.ca_file {
        let unusable = |why: String| no_answer(format!("KAFKA_SSL_CA_FILE: {why}"));
        let pem = std::fs::read(path).map_err(|e| unusable(e.to_string()))?;
        let own = reqwest::Certificate::from_pem_bundle(&pem);
        client = client.tls_certs_merge(own.map_err(|e| unusable(e.to_string()))?);
    }
    let request = client
        .build()
        .map_err(failed)?
        .post(credentials.url.clone())
        .basic_auth(
            &credentials.client_id,
            Some(credentials.client_secret.expose()),
        )
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Accept", "application/json")
        .body(form(credentials.scope.as_deref()));
    let answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    if status.is_success() {
        let issued = answer.json::<Issued>().await;
        return issued.map_err(|_| no_answer("its answer has no access_token".to_owned()));
    }
    let body = answer.json::<Refusal>().await.unwrap_or_default();
    let why = match body.error.as_deref().map(code) {
        Some(code) if !code.is_empty() => format!("{status}, {code}"),
        _ => status.to_string(),
    };
    let url = credentials.shown();
    Err(match status {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            TokenError::Refused { url, why }
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => TokenError::NoEndpoint {
            url,
            why,
            may_pass: status == StatusCode::NOT_FOUND,
        },
        _ if status.is_redirection() => TokenError::NoEndpoint {
            url,
            why,
            may_pass: false,
        },
        _ => no_answer(why),
    })
}

fn form(scope: Option<&str>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    form.finish()
}

/// An error code of RFC 6749, such as `invalid_client`; anything else that an endpoint may say is not
/// shown, since it may repeat what it was sent.
fn code(text: &str) -> String {
    let known = |c: &char| c.is_ascii_lowercase() || *c == '_';
    text.chars().take_while(known).take(CODE).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// What becomes of an endpoint that answers so. Whatever it is, the query is not shown.
    fn of(answer: &'static str) -> Result<Token, TokenError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token?key=GEHEIM", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 1024]);
            let head = "content-length: 0\r\nconnection: close";
            let _ = write!(client, "HTTP/1.1 {answer}\r\n{head}\r\n\r\n");
        });
        let token = token(&ClientCredentials {
            url: Url::parse(&url).unwrap(),
            client_id: "me".into(),
            client_secret: "GEHEIM".parse().unwrap(),
            scope: None,
            ca_file: None,
        });
        token.inspect_err(|error| {
            let said = error.to_string();
            assert!(!said.contains("GEHEIM"), "{said}");
            assert!(said.contains("KAFKA_OAUTH_TOKEN_URL=http://127"), "{said}");
        })
    }

    #[test]
    fn a_refusal_is_what_waiting_does_not_cure() {
        for (answer, waiting_helps, said) in [
            ("400 Bad Request", false, "KAFKA_OAUTH_CLIENT_SECRET"),
            ("401 Unauthorized", false, "KAFKA_OAUTH_CLIENT_SECRET"),
            ("403 Forbidden", false, "KAFKA_OAUTH_CLIENT_SECRET"),
            ("302 Found", false, "not where tokens are asked for"),
            ("404 Not Found", true, "not where tokens are asked for"),
            (
                "405 Method Not Allowed",
                false,
                "not where tokens are asked for",
            ),
            ("408 Request Timeout", true, "gives no token"),
            ("425 Too Early", true, "gives no token"),
            ("429 Too Many Requests", true, "gives no token"),
            ("503 Service Unavailable", true, "gives no token"),
        ] {
            let error = of(answer).err().unwrap();
            assert_eq!(error.waiting_helps(), waiting_helps, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn an_endpoint_cannot_have_a_secret_repeated() {
        assert_eq!(code("invalid_client"), "invalid_client");
        assert_eq!(code("no GEHEIM here"), "no");
        assert_eq!(code("GEHEIM"), "");
    }
}
