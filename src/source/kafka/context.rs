//! What librdkafka says beside records: its log lines and errors, as log lines and health. And what it
//! asks for: tokens.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::oauth::{TokenError, TokenSource};
use super::refusal::{Kind, Refusal, Sign};
use super::security::Security;
use crate::clock::Clock;
use crate::runtime::health::Health;

/// Concern of the brokers in the health.
pub const BROKERS: &str = "kafka brokers";

/// Librdkafka repeats an error that stays every 30 s.
const STAYS: Duration = Duration::from_secs(45);

pub struct Context {
    pub health: Arc<Health>,
    pub clock: Arc<dyn Clock>,
    tokens: Option<Arc<TokenSource>>,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    /// What the client said last of a connection that failed: why it did, as a rule.
    last_error: Option<String>,
    /// The last one that waiting may not cure, and when.
    sign: Option<(Duration, Sign)>,
    /// Why there is no token just now.
    no_token: Option<TokenError>,
}

impl Context {
    pub fn new(health: Arc<Health>, clock: Arc<dyn Clock>, security: &Security) -> Self {
        Self {
            health,
            clock,
            tokens: security.tokens().cloned(),
            said: Mutex::default(),
        }
    }

    /// For another client in place of this one's.
    pub fn again(&self) -> Self {
        Self {
            health: self.health.clone(),
            clock: self.clock.clone(),
            tokens: self.tokens.clone(),
            said: Mutex::default(),
        }
    }

    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, error: &str) {
        self.said().last_error = Some(error.to_owned());
    }

    pub fn last_error(&self) -> Option<String> {
        self.said().last_error.clone()
    }

    fn note_sign(&self, error: &KafkaError, reason: &str) {
        let sign = Sign::read(error.rdkafka_error_code(), reason);
        let mut said = self.said();
        match sign {
            Some(sign) => said.sign = Some((self.now(), sign)),
            // Something else has come of it: the broker had only gone away.
            None if matches!(&said.sign, Some((_, sign)) if sign.kind == Kind::SaslBroker) => {
                said.sign = None;
            }
            None => {}
        }
    }

    /// Why the client is not let in, if that is why it has no answer. May ask a broker, and blocks.
    pub fn refusal(&self, security: &Security) -> Option<Refusal> {
        let sign = {
            let said = self.said();
            if let Some(error) = &said.no_token
                && !error.waiting_helps()
            {
                return Some(Refusal::from(error));
            }
            let (at, sign) = said.sign.as_ref()?;
            (self.now() < *at + STAYS).then(|| sign.clone())?
        };
        Refusal::of(&sign, security)
    }

    pub fn failing(&self, concern: &str, message: String) {
        self.health.failing(concern, self.now(), message);
    }

    pub fn well(&self, concern: &str) {
        self.health.well(concern, self.now());
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        // Lost connections come as errors too, and the client mends them; what stays is reported
        // by `error` below.
        match level {
            Emerg | Alert | Critical => tracing::error!(facility, message, "librdkafka"),
            Error => {
                self.note(message);
                tracing::debug!(facility, message, "librdkafka");
            }
            Warning => tracing::debug!(facility, message, "librdkafka"),
            Notice | Info | Debug => tracing::trace!(facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use rdkafka::types::RDKafkaErrorCode::AllBrokersDown;
        if error.rdkafka_error_code() == Some(AllBrokersDown) {
            let why = self.last_error();
            let why = why.map(|why| format!("; {why}")).unwrap_or_default();
            self.failing(BROKERS, format!("{reason}{why}"));
        } else {
            self.note(reason);
            self.note_sign(&error, reason);
            tracing::debug!(%error, reason, "librdkafka");
        }
    }

    /// Librdkafka asks before a token ends, and again 10 s after it got none.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let Some(tokens) = &self.tokens else {
            return Err("no token is to be had".into());
        };
        let token = tokens.token();
        self.said().no_token = token.as_ref().err().cloned();
        Ok(token?)
    }
}

impl ConsumerContext for Context {}
