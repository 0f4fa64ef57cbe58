//! Why a job did not start, or ended.

use std::time::Duration;

use crate::checkpoint::driver::DriverError;
use crate::checkpoint::log::LogError;
use crate::config::location::Location;
use crate::config::settings::SettingsError;
use crate::recovery::execute::RecoveryError;
use crate::registry::client::RegistryError;
use crate::source::kafka::{ClusterError, ReaderError, without_values};
use crate::store::StoreError;
use crate::transform::avro_schema::SchemaError;
use crate::transform::framing::SchemaId;

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("{setting}={location} cannot be used: {source}")]
    Path {
        setting: &'static str,
        location: Location,
        source: StoreError,
    },

    #[error("librdkafka refuses its settings (see KAFKA_SSL_… and --kafka-property): {0}")]
    KafkaSettings(String),

    #[error(transparent)]
    Reader(ReaderError),

    #[error("SCHEMA_REGISTRY_URL: {0}")]
    Registry(#[from] RegistryError),

    #[error(
        "the schema registry has no subject '{subject}' ({urls}): name another one with \
         SCHEMA_REGISTRY_SUBJECT, or give the reader's schema as a file with AVRO_SCHEMA"
    )]
    NoSubject { subject: String, urls: String },

    #[error("the latest schema of '{subject}' in the schema registry cannot be used: {why}")]
    RegistryAnswer { subject: String, why: String },

    #[error(
        "the latest schema of '{subject}' in the schema registry, id {id}, cannot be archived: {source}"
    )]
    RegistrySchema {
        subject: String,
        id: SchemaId,
        source: SchemaError,
    },

    #[error(transparent)]
    Schema(#[from] SchemaError),

    #[error(transparent)]
    Cluster(#[from] ClusterError),

    #[error("recovery: {0}")]
    Recovery(#[from] RecoveryError),

    /// Of a schema that a registry has.
    #[error(transparent)]
    Settings(#[from] SettingsError),

    #[error(transparent)]
    Driver(#[from] DriverError),

    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),

    #[error("a task of the start ended too early: {0}")]
    Task(#[from] tokio::task::JoinError),

    #[error(
        "no last checkpoint within STOP_TIMEOUT ({}): stopped without it. Nothing is lost: the next \
         start goes on from the last complete checkpoint, clears away the files after it and reads \
         their records again",
        humantime::format_duration(*.0)
    )]
    StopTimeout(Duration),
}

impl JobError {
    /// A client that could not be made.
    pub fn kafka_settings(error: rdkafka::error::KafkaError) -> Self {
        Self::KafkaSettings(without_values(&error))
    }

    /// A reader that there cannot be.
    pub fn reader(error: ReaderError) -> Self {
        match error {
            ReaderError::Librdkafka(error) => Self::kafka_settings(error),
            error => Self::Reader(error),
        }
    }

    pub fn is_fencing(&self) -> bool {
        matches!(
            self,
            Self::Recovery(RecoveryError::Log(LogError::Fenced { .. }))
                | Self::Driver(DriverError::Log(LogError::Fenced { .. }))
        )
    }

    /// Process exit code; the README has the table.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Path { .. }
            | Self::KafkaSettings(_)
            | Self::Reader(_)
            | Self::Registry(_)
            | Self::NoSubject { .. }
            | Self::RegistryAnswer { .. }
            | Self::RegistrySchema { .. }
            | Self::Settings(_)
            | Self::Schema(_) => 2,
            _ if self.is_fencing() => 3,
            Self::Recovery(_) => 4,
            Self::Cluster(error) if error.is_refusal() => 4,
            Self::StopTimeout(_) => 5,
            Self::Cluster(_) | Self::Driver(_) | Self::Thread(_) | Self::Task(_) => 1,
        }
    }
}
