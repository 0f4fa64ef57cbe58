//! What librdkafka says beside records: its log lines and errors, as log lines and health.

use std::sync::Arc;

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
}

impl Context {
    pub fn failing(&self, concern: &str, message: String) {
        self.health
            .failing(concern, self.clock.monotonic(), message);
    }

    pub fn well(&self, concern: &str) {
        self.health.well(concern, self.clock.monotonic());
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        // Lost connections come as errors too, and the client mends them; what stays is reported
        // by `error` below.
        match level {
            Emerg | Alert | Critical => tracing::error!(facility, message, "librdkafka"),
            Error | Warning => tracing::debug!(facility, message, "librdkafka"),
            Notice | Info | Debug => tracing::trace!(facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use rdkafka::types::RDKafkaErrorCode::AllBrokersDown;
        if error.rdkafka_error_code() == Some(AllBrokersDown) {
            self.failing(BROKERS, reason.to_owned());
        } else {
            tracing::debug!(%error, reason, "librdkafka");
        }
    }
}

impl ConsumerContext for Context {}
