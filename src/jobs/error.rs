//! Why a job did not start, or ended.

use std::time::Duration;

use crate::checkpoint::driver::DriverError;
use crate::checkpoint::log::LogError;
use crate::config::location::Location;
use crate::recovery::execute::RecoveryError;
use crate::source::kafka::ClusterError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("{setting}={location} cannot be used: {source}")]
    Path {
        setting: &'static str,
        location: Location,
        source: StoreError,
    },

    #[error("librdkafka refuses its settings (see --kafka-property): {0}")]
    KafkaSettings(rdkafka::error::KafkaError),

    #[error(transparent)]
    Schema(#[from] crate::transform::avro_schema::SchemaError),

    #[error(transparent)]
    Cluster(#[from] ClusterError),

    #[error("recovery: {0}")]
    Recovery(#[from] RecoveryError),

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
            Self::Path { .. } | Self::KafkaSettings(_) | Self::Schema(_) => 2,
            _ if self.is_fencing() => 3,
            Self::Recovery(_) => 4,
            Self::StopTimeout(_) => 5,
            Self::Cluster(_) | Self::Driver(_) | Self::Thread(_) | Self::Task(_) => 1,
        }
    }
}
