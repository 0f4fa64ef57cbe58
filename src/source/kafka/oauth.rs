//! Tokens for OAUTHBEARER: from a file that the platform keeps fresh, or from a token endpoint by client
//! credentials (`token_endpoint.rs`).
//!
//! All clients of the process share a source, so that one request serves them all. Librdkafka asks for
//! tokens on threads that have records to read: so a thread of the source's own asks the endpoint, long
//! before the last token ends, and nobody waits for an answer but who needs the first one.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use rdkafka::client::OAuthToken;

use super::token::{LONGEST_LIFETIME, Token, TokenError};
use super::token_endpoint::{self, ClientCredentials, ORIGIN};
use crate::clock::Clock;
use crate::runtime::health::Health;

/// Of the life of an endpoint's token, after which another one is asked for: librdkafka wants a new one
/// after four fifths.
const USED: f64 = 0.6;
/// No endpoint is asked more often, however soon its tokens end, and one that gave none again after it.
const PAUSE: Duration = Duration::from_secs(5);

/// Concern of the tokens in the health.
const TOKENS: &str = "kafka token";

#[derive(Debug, Clone)]
pub enum Origin {
    File(PathBuf),
    Endpoint(ClientCredentials),
}

#[derive(Debug)]
pub struct TokenSource {
    origin: Origin,
    /// What the endpoint has given.
    given: Mutex<Given>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct Given {
    last: Option<Token>,
    /// Why the last try gave none.
    failed: Option<TokenError>,
    /// Whether somebody asks for the next ones.
    kept: bool,
}

impl TokenSource {
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            given: Mutex::default(),
            answered: Condvar::new(),
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A token that has not expired. Waits only for the first answer of an endpoint.
    ///
    /// # Errors
    /// If there is none; it says whether waiting helps.
    pub fn token(
        self: &Arc<Self>,
        health: &Arc<Health>,
        clock: &Arc<dyn Clock>,
    ) -> Result<OAuthToken, TokenError> {
        let token = match &self.origin {
            Origin::File(path) => of_file(path, SystemTime::now())?,
            Origin::Endpoint(credentials) => {
                self.keep(credentials, health, clock)?;
                let unanswered = |given: &mut Given| given.last.is_none() && given.failed.is_none();
                let given = self.answered.wait_while(self.given(), unanswered);
                let given = given.unwrap_or_else(PoisonError::into_inner);
                given.good(SystemTime::now())?
            }
        };
        Ok(token.for_librdkafka())
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the endpoint asked for tokens from now on, as long as the source is there.
    fn keep(
        self: &Arc<Self>,
        credentials: &ClientCredentials,
        health: &Arc<Health>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), TokenError> {
        let mut given = self.given();
        if given.kept {
            return Ok(());
        }
        let source = Arc::downgrade(self);
        let (credentials, health) = (credentials.clone(), health.clone());
        let (url, clock) = (credentials.shown(), clock.clone());
        let keep = move || keep(&source, &credentials, &health, &*clock);
        let started = std::thread::Builder::new().spawn(keep);
        started.map_err(|e| TokenError::NoAnswer {
            url,
            why: e.to_string(),
        })?;
        given.kept = true;
        Ok(())
    }

    /// Takes an answer of the endpoint. Says when it is to be asked again.
    fn take(&self, answer: Result<Token, TokenError>, now: SystemTime) -> Duration {
        let mut given = self.given();
        let wait = match answer {
            Ok(token) => {
                let left = token.expires.duration_since(now).unwrap_or_default();
                let wait = left.mul_f64(USED).clamp(PAUSE, LONGEST_LIFETIME);
                (given.last, given.failed) = (Some(token), None);
                wait
            }
            Err(error) => {
                given.failed = Some(error);
                PAUSE
            }
        };
        self.answered.notify_all();
        wait
    }
}

/// Asks for one token after the other.
fn keep(
    source: &Weak<TokenSource>,
    credentials: &ClientCredentials,
    health: &Health,
    clock: &dyn Clock,
) {
    loop {
        let answer = token_endpoint::token(credentials);
        let now = clock.monotonic();
        match &answer {
            Ok(_) => health.well(TOKENS, now),
            Err(error) => health.failing(TOKENS, now, error.to_string()),
        }
        let Some(source) = source.upgrade() else {
            return;
        };
        let wait = source.take(answer, SystemTime::now());
        drop(source);
        std::thread::sleep(wait);
    }
}

impl Given {
    /// The last token while it is good; else why there is none.
    fn good(&self, now: SystemTime) -> Result<Token, TokenError> {
        match (&self.last, &self.failed) {
            (Some(last), _) if last.expires > now => Ok(last.clone()),
            (_, Some(error)) => Err(error.clone()),
            (Some(last), None) => Err(last.expired(ORIGIN)),
            (None, None) => unreachable!("the first answer was waited for"),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::UNIX_EPOCH;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::clock::SystemClock;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims))
    }

    fn of(text: &str) -> Result<OAuthToken, TokenError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, text).unwrap();
        token(&Arc::new(TokenSource::new(Origin::File(path))))
    }

    fn token(source: &Arc<TokenSource>) -> Result<OAuthToken, TokenError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        source.token(&Arc::default(), &clock)
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

    fn issued(seconds: f64, now: SystemTime) -> Result<Token, TokenError> {
        let lifetime = Duration::try_from_secs_f64(seconds).ok();
        Token::new("opaque".into(), lifetime, "me", now, ORIGIN)
    }

    fn source() -> TokenSource {
        let credentials = ClientCredentials {
            url: url::Url::parse("http://login.example.com/token").unwrap(),
            client_id: "me".into(),
            client_secret: "secret".parse().unwrap(),
            scope: None,
            ca_file: None,
        };
        TokenSource::new(Origin::Endpoint(credentials))
    }

    fn no_answer() -> TokenError {
        TokenError::NoAnswer {
            url: "url".into(),
            why: "it hangs".into(),
        }
    }

    #[test]
    fn the_last_token_is_handed_out_while_it_is_good_whatever_the_endpoint_does() {
        let (source, now) = (source(), SystemTime::now());
        let next = source.take(issued(100.0, now), now);
        assert_eq!(next, Duration::from_secs(60), "well before it ends");
        assert_eq!(source.take(Err(no_answer()), now), PAUSE);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(source.given().good(later(99)).is_ok());
        let error = source.given().good(later(100)).unwrap_err();
        assert!(error.to_string().contains("it hangs"), "{error}");
        source.take(issued(100.0, later(200)), later(200));
        assert!(source.given().good(later(200)).is_ok());
    }

    #[test]
    fn an_endpoint_is_asked_once_and_then_again_only_after_a_pause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut broken = source();
        if let Origin::Endpoint(credentials) = &mut broken.origin {
            let address = listener.local_addr().unwrap();
            credentials.url = url::Url::parse(&format!("http://{address}")).unwrap();
        }
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let broken = Arc::new(broken);
        for _ in 0..100 {
            assert!(token(&broken).err().unwrap().waiting_helps());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
