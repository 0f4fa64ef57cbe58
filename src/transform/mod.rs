//! What is done to records between source and sink, on Arrow batches.
//!
//! The lineage job takes Avro out of its frame ([`framing`]), decodes it ([`decode`]), brings it to the
//! reader's schema ([`resolution`]), adds the lineage columns ([`enrich`]) and makes rows of what could not
//! be decoded ([`dropped`]). Every record of a batch comes out exactly once.

mod avro_decoder;
pub mod avro_schema;
pub mod bytes;
pub mod decode;
pub mod dropped;
pub mod enrich;
pub mod event_time;
pub mod framing;
pub mod kafka_columns;
pub mod resolution;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use crate::clock::EpochMillis;
use crate::ids::{CheckpointId, Split};
use crate::runtime::progress::dropped::Dropped;
use crate::source::{Origin, RawBatch};
use crate::store::Root;
use event_time::{EventTime, RowTimes};
use kafka_columns::KafkaColumn;

/// Rows for one sink, each with where it comes from.
#[derive(Debug, Clone)]
pub struct Rows {
    pub root: Root,
    pub batch: RecordBatch,
    /// One for each row.
    pub origins: Vec<Origin>,
    /// By which their buckets are chosen, one for each row; `None`: when they are processed.
    pub times: Option<RowTimes>,
}

#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// The program is wrong, not the input: bad input is dropped, with its reason.
    #[error("rows could not be built: {0}")]
    Arrow(#[from] ArrowError),
}

/// What an operator has done with a batch.
#[derive(Debug)]
pub enum Applied {
    /// All of it.
    Rows(Vec<Rows>),
    /// Nothing: it waits for something, such as a writer's schema. The same batch is to be handed to it
    /// again, before any other.
    NotYet,
}

/// One step of a chain.
pub trait Operator<B: RawBatch> {
    /// Turns records into rows of the checkpoint that is open. `splits` is the source's table, `now`
    /// the time of the processing. Never waits: barriers go on meanwhile.
    fn apply(
        &mut self,
        batch: &B,
        splits: &[Split],
        checkpoint: CheckpointId,
        now: EpochMillis,
    ) -> Result<Applied, TransformError>;
}

/// What the value of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ValueFormat {
    /// Avro data, whose fields become columns
    Avro,
    /// Anything: the column `value` holds its bytes
    Bytes,
}

/// How records become rows.
#[derive(Debug, Clone)]
pub struct RowOptions {
    pub values: ValueFormat,
    pub event_time: EventTime,
    pub columns: Vec<KafkaColumn>,
}

enum Values {
    Avro(decode::AvroDecoder),
    Bytes(SchemaRef),
}

/// The lineage job's operator.
pub struct DecodeAndEnrich {
    values: Values,
    enricher: enrich::Enricher,
    options: RowOptions,
    tally: Arc<Dropped>,
}

impl DecodeAndEnrich {
    /// What is dropped is counted in `tally`. `schemas` is for a format whose records name their writer's.
    pub fn new(
        schema: &avro_schema::InputSchema,
        schemas: Option<Arc<dyn decode::WriterSchemas>>,
        options: RowOptions,
        tally: Arc<Dropped>,
    ) -> Result<Self, avro_schema::SchemaError> {
        Ok(Self {
            values: match options.values {
                ValueFormat::Avro => Values::Avro(decode::AvroDecoder::new(schema, schemas)?),
                ValueFormat::Bytes => Values::Bytes(schema.arrow().clone()),
            },
            enricher: enrich::Enricher::new(schema.arrow(), &options.columns),
            options,
            tally,
        })
    }
}

impl<B: RawBatch> Operator<B> for DecodeAndEnrich {
    fn apply(
        &mut self,
        batch: &B,
        splits: &[Split],
        checkpoint: CheckpointId,
        now: EpochMillis,
    ) -> Result<Applied, TransformError> {
        let decoded = match &mut self.values {
            Values::Avro(decoder) => decoder.decode(batch)?,
            Values::Bytes(schema) => Some(bytes::rows(batch, schema)?),
        };
        let Some(decoded) = decoded else {
            return Ok(Applied::NotYet);
        };
        let event_time = self.options.event_time;
        let mut out = Vec::with_capacity(2);
        if let Some(rows) = decoded.rows {
            let origins: Vec<_> = decoded
                .good
                .iter()
                .map(|&index| batch.record(index).origin)
                .collect();
            let kafka = decoded.good.iter().map(|&at| batch.record(at).timestamp);
            let times = event_time.of(&rows, kafka, now);
            let columns = self.options.columns.iter();
            let further = columns.map(|column| column.values(batch, &decoded.good));
            let enriched = self
                .enricher
                .enrich(&rows, &origins, splits, checkpoint, further)?;
            out.push(Rows {
                root: Root::Output,
                batch: enriched,
                origins,
                times,
            });
        }
        if !decoded.bad.is_empty() {
            self.tally.add(dropped::tally(batch, &decoded.bad, splits));
            let mut rows = dropped::rows(batch, &decoded.bad, splits, checkpoint)?;
            if event_time != EventTime::Processing {
                let times = decoded
                    .bad
                    .iter()
                    .map(|(at, _)| batch.record(*at).timestamp);
                rows.times = EventTime::Kafka.of(&rows.batch, times, now);
            }
            out.push(rows);
        }
        Ok(Applied::Rows(out))
    }
}
