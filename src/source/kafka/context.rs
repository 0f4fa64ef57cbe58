//! What librdkafka says beside records: its log lines and errors, as log lines and health.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::clock::Clock;
use crate::runtime::health::Health;

/// Concern of the brokers in the health.
pub const BROKERS: &str = "kafka brokers";

pub struct Context {
    pub health: Arc<Health>,
    pub clock: Arc<dyn Clock>,
    /// What the client said last of a connection that failed: why it did, as a rule.
    last_error: Mutex<Option<String>>,
}

impl Context {
    pub fn new(health: Arc<Health>, clock: Arc<dyn Clock>) -> Self {
        Self {
            health,
            clock,
            last_error: Mutex::new(None),
        }
    }

    /// For another client in place of this one's.
    pub fn again(&self) -> Self {
        Self::new(self.health.clone(), self.clock.clone())
    }

    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn note(&self, error: &str) {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(error.to_owned());
    }

    pub fn last_error(&self) -> Option<String> {
        let last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    pub fn failing(&self, concern: &str, message: String) {
        self.health.failing(concern, self.now(), message);
    }

    pub fn well(&self, concern: &str) {
        self.health.well(concern, self.now());
    }
}

impl ClientContext for Context {
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
            self.failing(BROKERS, reason.to_owned());
        } else {
            self.note(reason);
            tracing::debug!(%error, reason, "librdkafka");
        }
    }
}

impl ConsumerContext for Context {}
