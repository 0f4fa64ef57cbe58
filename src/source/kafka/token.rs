//! One token: whose it is, and until when; and why there may be none.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

/// What a token lasts that does not say it: it is got again before that.
const UNSAID_LIFETIME: Duration = Duration::from_secs(300);
/// A token is not believed to last longer if only the endpoint says so, and not itself.
pub const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// Librdkafka counts in microseconds.
const LAST_MS: i64 = i64::MAX / 1_000;

#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    #[error("KAFKA_OAUTH_TOKEN_FILE: {path} cannot be read: {why}")]
    File { path: PathBuf, why: String },
    #[error("KAFKA_OAUTH_TOKEN_FILE: {path} is empty")]
    Empty { path: PathBuf },
    #[error(
        "{origin}: what it gives is no token: these are of visible ASCII characters, without blanks"
    )]
    NoToken { origin: &'static str },
    #[error("{origin}: the token has expired at {at}; whoever issues it has to renew it")]
    Expired { origin: &'static str, at: String },
    #[error(
        "KAFKA_OAUTH_TOKEN_URL={url} refuses KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET: {why}"
    )]
    Refused { url: String, why: String },
    #[error(
        "KAFKA_OAUTH_TOKEN_URL={url}: its certificate is not trusted: {why}. If it is of an authority of \
         your own, add that one's certificate to KAFKA_SSL_CA_FILE"
    )]
    Untrusted { url: String, why: String },
    #[error("there is no TLS at KAFKA_OAUTH_TOKEN_URL={url}: {why}. Check its scheme and its port")]
    NoTls { url: String, why: String },
    #[error(
        "KAFKA_OAUTH_TOKEN_URL={url} ends the connection by TLS: {why}. Check its host name; certificates of \
         clients are not supported there"
    )]
    TlsRefused { url: String, why: String },
    #[error(
        "KAFKA_OAUTH_TOKEN_URL={url} is not where tokens are asked for: it answers {why}. Set it to the \
         token endpoint"
    )]
    NoEndpoint {
        url: String,
        why: String,
        /// A gateway may not have found it yet.
        may_pass: bool,
    },
    #[error("KAFKA_OAUTH_TOKEN_URL={url} gives no token: {why}")]
    NoAnswer { url: String, why: String },
}

impl TokenError {
    pub fn waiting_helps(&self) -> bool {
        match self {
            // A file may be on its way to be replaced.
            Self::NoAnswer { .. } | Self::File { .. } | Self::Empty { .. } => true,
            Self::NoEndpoint { may_pass, .. } => *may_pass,
            Self::NoToken { .. }
            | Self::Expired { .. }
            | Self::Refused { .. }
            | Self::Untrusted { .. }
            | Self::NoTls { .. }
            | Self::TlsRefused { .. } => false,
        }
    }
}

#[derive(Clone)]
pub struct Token {
    value: String,
    principal: String,
    pub expires: SystemTime,
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

impl Token {
    /// # Errors
    /// If it has expired, or cannot be one: librdkafka would refuse that with all of it in the message.
    pub fn new(
        value: String,
        lifetime: Option<Duration>,
        principal: &str,
        now: SystemTime,
        origin: &'static str,
    ) -> Result<Self, TokenError> {
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::NoToken { origin });
        }
        let claims = claims(&value);
        let at = |seconds: f64| {
            let since = Duration::try_from_secs_f64(seconds).ok()?;
            UNIX_EPOCH.checked_add(since)
        };
        let lifetime = lifetime.unwrap_or(UNSAID_LIFETIME).min(LONGEST_LIFETIME);
        let said = claims.exp.and_then(at);
        let token = Self {
            value,
            principal: claims.sub.unwrap_or_else(|| principal.to_owned()),
            expires: said.or_else(|| now.checked_add(lifetime)).unwrap_or(now),
        };
        match token.expires <= now {
            true => Err(token.expired(origin)),
            false => Ok(token),
        }
    }

    pub fn expired(&self, origin: &'static str) -> TokenError {
        let at = humantime::format_rfc3339_seconds(self.expires).to_string();
        TokenError::Expired { origin, at }
    }

    pub fn for_librdkafka(self) -> OAuthToken {
        let since = self.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        let lifetime_ms = i64::try_from(since.as_millis()).unwrap_or(LAST_MS);
        OAuthToken {
            token: self.value,
            principal_name: self.principal,
            lifetime_ms: lifetime_ms.min(LAST_MS),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_librdkafka_would_show_in_its_refusal_is_refused_before_and_not_shown() {
        for value in [
            "",
            "\u{feff}geheim",
            "ge heim",
            "geheim\u{7f}",
            "ge\0heim",
            "gehéim",
        ] {
            let token = Token::new(value.into(), None, "me", SystemTime::now(), "SOMEWHERE");
            let error = token.err().unwrap();
            assert!(!error.waiting_helps());
            assert!(error.to_string().starts_with("SOMEWHERE: "), "{error}");
            assert!(!format!("{error} {error:?}").contains("heim"), "{error:?}");
        }
    }

    #[test]
    fn a_lifetime_beyond_all_clocks_is_a_day() {
        let now = SystemTime::now();
        let lifetime = Some(Duration::from_secs(i64::MAX as u64));
        let token = Token::new("opaque".into(), lifetime, "me", now, "x").unwrap();
        assert_eq!(token.expires, now + LONGEST_LIFETIME);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":9223372036854775807}"#);
        let token = Token::new(format!("e30.{claims}."), None, "me", now, "x").unwrap();
        assert!(token.for_librdkafka().lifetime_ms <= LAST_MS);
    }
}
