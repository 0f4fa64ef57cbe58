//! Tokens for OAUTHBEARER: from a file that the platform keeps fresh, or from a token endpoint by client
//! credentials.
//!
//! All clients of the process share a source, so that one request serves them all.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use url::Url;

use super::blocking::wait_for;
use crate::config::secret::Secret;

/// What a token lasts that does not say it: it is got again before that.
const UNSAID_LIFETIME: Duration = Duration::from_secs(300);
/// An endpoint that takes longer is asked again by librdkafka, 10 s later.
const ANSWER: Duration = Duration::from_secs(5);
/// Of a shared token so much must be left: librdkafka gets a new one after four fifths.
const LEFT: f64 = 0.25;
/// Characters of an endpoint's error code that are shown.
const CODE: usize = 40;

#[derive(Debug, Clone)]
pub enum Origin {
    File(PathBuf),
    Endpoint(ClientCredentials),
}

#[derive(Debug, Clone)]
pub struct ClientCredentials {
    pub url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: Option<String>,
    /// Vouches for the endpoint, beside the system's certificates.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    #[error("KAFKA_OAUTH_TOKEN_FILE: {path} cannot be read: {why}")]
    File { path: PathBuf, why: String },
    #[error("KAFKA_OAUTH_TOKEN_FILE: {path} is empty")]
    Empty { path: PathBuf },
    #[error("{origin}: the token has expired at {at}; whoever issues it has to renew it")]
    Expired { origin: &'static str, at: String },
    #[error(
        "KAFKA_OAUTH_TOKEN_URL={url} refuses KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET: {why}"
    )]
    Refused { url: Url, why: String },
    #[error("KAFKA_OAUTH_TOKEN_URL={url} gives no token: {why}")]
    NoAnswer { url: Url, why: String },
}

impl TokenError {
    pub fn waiting_helps(&self) -> bool {
        // A file may be on its way to be replaced.
        matches!(
            self,
            Self::NoAnswer { .. } | Self::File { .. } | Self::Empty { .. }
        )
    }
}

#[derive(Debug)]
pub struct TokenSource {
    origin: Origin,
    /// The last one of an endpoint.
    last: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    value: String,
    principal: String,
    issued: SystemTime,
    expires: SystemTime,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("******")
    }
}

/// Of a JWT, those that a client needs. Nobody checks its signature here: that is the broker's part.
#[derive(Default, Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
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

impl TokenSource {
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            last: Mutex::new(None),
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A token that has not expired. Blocks for as long as the endpoint may take.
    ///
    /// # Errors
    /// If there is none; it says whether waiting helps.
    pub fn token(&self) -> Result<OAuthToken, TokenError> {
        let now = SystemTime::now();
        let token = match &self.origin {
            Origin::File(path) => of_file(path, now)?,
            Origin::Endpoint(credentials) => {
                // Held while it is asked: who comes meanwhile takes the same one.
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                match last.as_ref().filter(|last| last.is_fresh(now)) {
                    Some(last) => last.clone(),
                    None => last.insert(of_endpoint(credentials, now)?).clone(),
                }
            }
        };
        let since = token.expires.duration_since(UNIX_EPOCH);
        Ok(OAuthToken {
            token: token.value,
            principal_name: token.principal,
            lifetime_ms: since.map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }),
        })
    }
}

impl Token {
    fn new(
        value: String,
        lifetime: Option<Duration>,
        principal: &str,
        now: SystemTime,
        origin: &'static str,
    ) -> Result<Self, TokenError> {
        let claims = claims(&value);
        let at = |seconds: f64| {
            let since = Duration::try_from_secs_f64(seconds).ok()?;
            UNIX_EPOCH.checked_add(since)
        };
        let said = claims.exp.and_then(at);
        let expires = said.unwrap_or(now + lifetime.unwrap_or(UNSAID_LIFETIME));
        if expires <= now {
            let at = humantime::format_rfc3339_seconds(expires).to_string();
            return Err(TokenError::Expired { origin, at });
        }
        Ok(Self {
            value,
            principal: claims.sub.unwrap_or_else(|| principal.to_owned()),
            issued: now,
            expires,
        })
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        let span = |until: SystemTime, from| until.duration_since(from).unwrap_or_default();
        span(self.expires, now) > span(self.expires, self.issued).mul_f64(LEFT)
    }
}

fn claims(token: &str) -> Claims {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return Claims::default();
    };
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('='));
    payload.map_or_else(
        |_| Claims::default(),
        |payload| serde_json::from_slice(&payload).unwrap_or_default(),
    )
}

fn of_file(path: &PathBuf, now: SystemTime) -> Result<Token, TokenError> {
    let text = std::fs::read_to_string(path).map_err(|e| TokenError::File {
        path: path.clone(),
        why: e.to_string(),
    })?;
    let value = text.trim();
    if value.is_empty() {
        return Err(TokenError::Empty { path: path.clone() });
    }
    Token::new(
        value.to_owned(),
        None,
        "lineage",
        now,
        "KAFKA_OAUTH_TOKEN_FILE",
    )
}

fn of_endpoint(credentials: &ClientCredentials, now: SystemTime) -> Result<Token, TokenError> {
    let issued = wait_for(ask(credentials.clone())).unwrap_or_else(|e| {
        Err(TokenError::NoAnswer {
            url: credentials.url.clone(),
            why: e.to_string(),
        })
    })?;
    let lifetime = issued.expires_in;
    let lifetime = lifetime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Token::new(
        issued.access_token,
        lifetime,
        &credentials.client_id,
        now,
        "KAFKA_OAUTH_TOKEN_URL",
    )
}

async fn ask(credentials: ClientCredentials) -> Result<Issued, TokenError> {
    let no_answer = |why: String| TokenError::NoAnswer {
        url: credentials.url.clone(),
        why,
    };
    let failed = |e: reqwest::Error| {
        // What it was sent is no part of it.
        no_answer(crate::runtime::retry::with_causes(&e.without_url()))
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
    match status.is_client_error() && status != reqwest::StatusCode::TOO_MANY_REQUESTS {
        true => Err(TokenError::Refused {
            url: credentials.url.clone(),
            why,
        }),
        false => Err(no_answer(why)),
    }
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
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims))
    }

    fn of(text: &str) -> Result<OAuthToken, TokenError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, text).unwrap();
        TokenSource::new(Origin::File(path)).token()
    }

    #[test]
    fn a_jwt_says_who_it_is_for_and_until_when() {
        let text = jwt(r#"{"sub":"archiver","exp":4102444800.5}"#);
        let token = of(&format!("{text}\n")).unwrap();
        assert_eq!(token.token, text);
        assert_eq!(token.principal_name, "archiver");
        assert_eq!(token.lifetime_ms, 4_102_444_800_500);
    }

    #[test]
    fn a_token_that_is_no_jwt_is_got_again_after_minutes() {
        for text in ["opaque", "a.b.c", "..", &jwt(r#"{"exp":-1e300}"#)] {
            let token = of(text).unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let left = token.lifetime_ms - i64::try_from(now.as_millis()).unwrap();
            assert!((200_000..=300_000).contains(&left), "{text}: {left}");
        }
    }

    #[test]
    fn a_token_that_has_expired_is_said_and_not_shown() {
        let text = jwt(r#"{"sub":"archiver","exp":1000}"#);
        let error = of(&text).err().unwrap();
        assert!(!error.waiting_helps());
        let said = error.to_string();
        assert!(said.contains("1970-01-01T00:16:40Z"), "{said}");
        assert!(!said.contains(&text), "{said}");
    }

    #[test]
    fn a_token_is_shared_while_a_quarter_of_its_life_is_left() {
        let now = SystemTime::now();
        let hour = Some(Duration::from_secs(3_600));
        let token = Token::new("opaque".into(), hour, "me", now, "x").unwrap();
        assert!(token.is_fresh(now + Duration::from_secs(2_600)));
        assert!(!token.is_fresh(now + Duration::from_secs(2_800)));
    }

    #[test]
    fn an_endpoint_cannot_have_a_secret_repeated() {
        assert_eq!(code("invalid_client"), "invalid_client");
        assert_eq!(code("no GEHEIM here"), "no");
        assert_eq!(code("GEHEIM"), "");
    }
}
