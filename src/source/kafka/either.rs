//! Which of the two readers reads: [`DirectReader`] wherever it can, and else librdkafka.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;

use super::batch::KafkaBatch;
use super::direct::DirectReader;
use super::{KafkaReader, KafkaSettings};
use crate::clock::Clock;
use crate::ids::{NextOffset, Split};
use crate::runtime::health::Health;
use crate::runtime::progress::subtask::Position;
use crate::source::{SourceError, SourceReader, SplitStart, Wake};

/// What somebody wants to read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ReaderChoice {
    /// Directly where that is possible, else by librdkafka; the log says why
    #[default]
    Auto,
    /// Record batches straight from the brokers' answers
    Direct,
    /// librdkafka
    Librdkafka,
}

/// What reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBy {
    Direct,
    Librdkafka,
}

impl ReaderChoice {
    /// To be asked when librdkafka has been let in: so what keeps others from reading is no fault of the settings.
    pub async fn decide(
        self,
        settings: &KafkaSettings,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
    ) -> Result<ReadBy, ReaderError> {
        if self == Self::Librdkafka {
            return Ok(ReadBy::Librdkafka);
        }
        match DirectReader::try_out(settings, health, clock).await {
            Ok(()) => Ok(ReadBy::Direct),
            Err(why) if self == Self::Direct => Err(ReaderError::NotDirectly(why)),
            Err(why) => {
                tracing::info!(why, "librdkafka reads, instead of lineage directly");
                Ok(ReadBy::Librdkafka)
            }
        }
    }
}

impl fmt::Display for ReaderChoice {
    /// As the setting has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
            Self::Librdkafka => "librdkafka",
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    #[error(transparent)]
    Librdkafka(#[from] KafkaError),
    #[error("KAFKA_READER=direct: {0}. With KAFKA_READER=auto librdkafka reads")]
    NotDirectly(String),
}

pub enum Reader {
    Direct(Box<DirectReader>),
    Librdkafka(Box<KafkaReader>),
}

impl Reader {
    /// To be called in the runtime that its tasks are to run on.
    pub fn new(
        by: ReadBy,
        settings: &KafkaSettings,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ReaderError> {
        match by {
            ReadBy::Direct => {
                let reader = DirectReader::new(settings, health, clock);
                let reader = reader.map_err(ReaderError::NotDirectly)?;
                Ok(Self::Direct(Box::new(reader)))
            }
            ReadBy::Librdkafka => {
                let reader = KafkaReader::new(settings, health, clock)?;
                Ok(Self::Librdkafka(Box::new(reader)))
            }
        }
    }

    /// From now on records have their headers.
    pub fn keep_headers(&mut self) {
        match self {
            Self::Direct(reader) => reader.keep_headers(),
            Self::Librdkafka(reader) => reader.keep_headers(),
        }
    }
}

/// Once for each batch: no record passes here.
macro_rules! of_either {
    ($self:ident, $reader:ident => $call:expr) => {
        match $self {
            Reader::Direct($reader) => $call,
            Reader::Librdkafka($reader) => $call,
        }
    };
}

impl SourceReader for Reader {
    type Batch = KafkaBatch;

    fn fetch(&mut self, timeout: Duration) -> Result<KafkaBatch, SourceError> {
        of_either!(self, reader => reader.fetch(timeout))
    }

    fn waker(&self) -> Arc<dyn Wake> {
        of_either!(self, reader => reader.waker())
    }

    fn add_splits(&mut self, splits: Vec<SplitStart>) -> Result<(), SourceError> {
        of_either!(self, reader => reader.add_splits(splits))
    }

    fn splits(&self) -> &[Split] {
        of_either!(self, reader => reader.splits())
    }

    fn positions(&self) -> Vec<(Split, NextOffset)> {
        of_either!(self, reader => reader.positions())
    }

    fn places(&self) -> Vec<Position> {
        of_either!(self, reader => reader.places())
    }

    fn queued(&self) -> usize {
        of_either!(self, reader => reader.queued())
    }

    fn waited(&self) -> Duration {
        of_either!(self, reader => reader.waited())
    }

    fn rereading(&self) -> bool {
        of_either!(self, reader => reader.rereading())
    }

    fn at_end(&self) -> bool {
        of_either!(self, reader => reader.at_end())
    }
}
