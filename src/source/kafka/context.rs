//! What librdkafka says beside records: its log lines and errors, as log lines and health. And what it
//! asks for: tokens.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::KafkaSettings;
use super::oauth::TokenSource;
use super::permission::is_about_the_group;
use super::refusal::{Refusal, Sign, broker_of};
use super::security::Security;
use super::token::TokenError;
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
    /// What was said last of the connections to each broker, by host and port.
    brokers: BTreeMap<String, Heard>,
    /// Why there is no token just now.
    no_token: Option<TokenError>,
    /// Why the group may not be used, until a commit succeeds. It is said once.
    group: Option<KafkaError>,
}

struct Heard {
    at: Duration,
    /// `None`: it has gone away, which may pass.
    sign: Option<Sign>,
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

    /// Notes why a connection has failed.
    fn note_connection(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let Some(broker) = broker_of(reason) else {
            return;
        };
        let heard = Heard {
            at: self.now(),
            sign: Sign::read(code, reason),
        };
        self.said().brokers.insert(broker, heard);
    }

    /// Why the client is not let in, if that is why it has no answer. May ask brokers, and blocks.
    pub fn refusal(&self, settings: &KafkaSettings) -> Option<Refusal> {
        let signs = {
            let said = self.said();
            if let Some(error) = &said.no_token
                && !error.waiting_helps()
            {
                return Some(Refusal::from(error));
            }
            said.signs(self.now(), &settings.bootstrap_servers)?
        };
        // One that turns out to be none is of a broker that has only gone away.
        let refusals = signs.iter().map(|s| Refusal::of(s, &settings.security));
        let refusals = refusals.collect::<Option<Vec<_>>>()?;
        refusals.into_iter().next()
    }

    /// A commit has succeeded.
    pub fn group_is_well(&self) {
        self.said().group = None;
    }

    /// Why the group may not be used, as far as is known.
    pub fn group_refused(&self) -> Option<KafkaError> {
        self.said().group.clone()
    }

    pub fn failing(&self, concern: &str, message: String) {
        self.health.failing(concern, self.now(), message);
    }

    pub fn well(&self, concern: &str) {
        self.health.well(concern, self.now());
    }
}

impl Said {
    /// One of each broker, if none of those to begin with is known to be well or only away: another one
    /// may let us in when it is back.
    fn signs(&self, now: Duration, bootstrap_servers: &str) -> Option<Vec<Sign>> {
        let fresh = self.brokers.iter().filter(|(_, h)| now < h.at + STAYS);
        let signs = fresh.map(|(broker, heard)| Some((broker.as_str(), heard.sign.clone()?)));
        let signs = signs.collect::<Option<BTreeMap<_, _>>>()?;
        let first = brokers_named(bootstrap_servers);
        // Of others one knows from brokers that have answered.
        let others = signs
            .keys()
            .any(|broker| !first.iter().any(|f| f == broker));
        let all = first
            .iter()
            .all(|broker| signs.contains_key(broker.as_str()));
        (!signs.is_empty() && (others || all)).then(|| signs.into_values().collect())
    }
}

/// Host and port of each, as librdkafka names them.
fn brokers_named(bootstrap_servers: &str) -> Vec<String> {
    let named = bootstrap_servers.split(',').map(str::trim);
    let named = named.filter(|server| !server.is_empty()).map(|server| {
        let server = server.split_once("://").map_or(server, |(_, rest)| rest);
        let port = server.rsplit(']').next().unwrap_or(server).contains(':');
        match port {
            true => server.to_owned(),
            false => format!("{server}:9092"),
        }
    });
    named.collect()
}

/// A line of librdkafka's log without the name of its thread.
fn without_thread(message: &str) -> &str {
    match message.strip_prefix("[thrd:") {
        Some(rest) => rest.split_once("]: ").map_or(message, |(_, said)| said),
        None => message,
    }
}

/// How librdkafka's log calls connections that have failed.
const FAILED: &str = "FAIL";

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        // Most connections that fail come as errors too. Those that the broker closes do not, also when
        // that is its way to say no.
        let said = without_thread(message);
        if matches!(level, Warning | Notice | Info) && facility == FAILED {
            self.note(said);
            self.note_connection(None, said);
        }
        // The client mends them; what stays is reported by `error` below.
        match level {
            Emerg | Alert | Critical => tracing::error!(facility, message, "librdkafka"),
            Error => {
                self.note(said);
                tracing::debug!(facility, message, "librdkafka");
            }
            Warning => tracing::debug!(facility, message, "librdkafka"),
            Notice | Info | Debug => tracing::trace!(facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::AllBrokersDown;
        if is_about_the_group(&error) {
            self.said().group = Some(error);
        } else if error.rdkafka_error_code() == Some(AllBrokersDown) {
            let why = self.last_error();
            let why = why.map(|why| format!("; {why}")).unwrap_or_default();
            self.failing(BROKERS, format!("{reason}{why}"));
        } else {
            self.note(reason);
            self.note_connection(error.rdkafka_error_code(), reason);
            tracing::debug!(%error, reason, "librdkafka");
        }
    }

    /// Librdkafka asks before a token ends, and again 10 s after it got none.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let Some(tokens) = &self.tokens else {
            return Err("no token is to be had".into());
        };
        let token = tokens.token(&self.health, &self.clock);
        self.said().no_token = token.as_ref().err().cloned();
        Ok(token?)
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    const BAD: &str = "sasl_plaintext://a:9092/bootstrap: SASL authentication error: no";

    fn context() -> Context {
        let (health, clock) = (Arc::default(), Arc::new(SystemClock::new()));
        Context::new(health, clock, &Security::default())
    }

    fn signs(context: &Context, bootstrap_servers: &str) -> usize {
        let signs = context.said().signs(context.now(), bootstrap_servers);
        signs.map_or(0, |signs| signs.len())
    }

    fn failed(context: &Context, code: RDKafkaErrorCode, reason: &str) {
        context.error(KafkaError::Global(code), reason);
    }

    #[test]
    fn one_broker_that_refuses_is_no_refusal_while_others_are_only_away_or_silent() {
        let context = context();
        failed(&context, RDKafkaErrorCode::Authentication, BAD);
        assert_eq!(signs(&context, "a:9092"), 1);
        assert_eq!(signs(&context, "a"), 1, "the port is Kafka's");
        assert_eq!(signs(&context, "a:9092, b:9092"), 0, "b has said nothing");
        let away =
            "sasl_plaintext://b:9092/bootstrap: Connect to ipv4#1.2.3.4:9092 failed: refused";
        failed(&context, RDKafkaErrorCode::BrokerTransportFailure, away);
        assert_eq!(signs(&context, "a:9092,b:9092"), 0, "b is away");
        let bad = BAD.replace("a:", "b:");
        failed(&context, RDKafkaErrorCode::Authentication, &bad);
        assert_eq!(signs(&context, "a:9092,b:9092"), 2);
    }

    #[test]
    fn a_broker_that_others_have_named_may_refuse_too() {
        let context = context();
        failed(&context, RDKafkaErrorCode::Authentication, BAD);
        assert_eq!(signs(&context, "first:9092"), 1);
    }

    #[test]
    fn a_connection_that_the_broker_closes_is_read_from_the_log() {
        let context = context();
        let line = "[thrd:b:9092/bootstrap]: b:9092/bootstrap: Disconnected: connection closed by peer: \
                    receive 0 after POLLIN (after 0ms in state APIVERSION_QUERY)";
        context.log(RDKafkaLogLevel::Info, FAILED, line);
        assert_eq!(signs(&context, "b:9092"), 1);
        let said = context.last_error().unwrap();
        assert!(said.starts_with("b:9092/bootstrap: Disconnected"), "{said}");
    }

    #[test]
    fn a_group_that_is_refused_is_kept_until_a_commit_succeeds() {
        let context = context();
        let refused = RDKafkaErrorCode::GroupAuthorizationFailed;
        failed(&context, refused, "FindCoordinator response error");
        assert!(context.group_refused().is_some());
        context.group_is_well();
        assert!(context.group_refused().is_none());
    }
}
