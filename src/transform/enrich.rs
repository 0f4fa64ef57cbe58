//! Adds to each row where it comes from.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use super::kafka_columns::KafkaColumn;
use crate::ids::{CheckpointId, Split};
use crate::source::Origin;

pub const TOPIC: &str = "kafka_topic";
pub const PARTITION: &str = "kafka_partition";
pub const OFFSET: &str = "kafka_offset";
pub const CHECKPOINT: &str = "checkpoint_id";

/// Names of the lineage columns, in their order behind the input's fields.
pub const COLUMNS: [&str; 4] = [TOPIC, PARTITION, OFFSET, CHECKPOINT];

pub struct Enricher {
    schema: SchemaRef,
}

impl Enricher {
    /// `further` columns come behind the lineage columns.
    pub fn new(input: &SchemaRef, further: &[KafkaColumn]) -> Self {
        Self {
            schema: output_schema(input, further),
        }
    }

    /// `origins` has one entry for each row, as each of the `further` columns; `checkpoint` is the one that
    /// will close the file.
    pub fn enrich(
        &self,
        rows: &RecordBatch,
        origins: &[Origin],
        splits: &[Split],
        checkpoint: CheckpointId,
        further: impl Iterator<Item = ArrayRef>,
    ) -> Result<RecordBatch, ArrowError> {
        let mut columns = rows.columns().to_vec();
        columns.extend(origin_columns(origins, splits));
        columns.push(checkpoint_column(checkpoint, origins.len()));
        columns.extend(further);
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

/// The input's fields, then the lineage columns, then what else of Kafka was asked for.
fn output_schema(input: &SchemaRef, further: &[KafkaColumn]) -> SchemaRef {
    let mut fields: Vec<_> = input.fields().iter().cloned().collect();
    fields.extend(origin_fields().into_iter().map(Arc::new));
    fields.push(Arc::new(checkpoint_field()));
    fields.extend(further.iter().map(|column| Arc::new(column.field())));
    Arc::new(Schema::new(fields))
}

/// Topic, partition and offset; in the output and in the dropped output alike.
pub fn origin_fields() -> [Field; 3] {
    // A dictionary in memory only: the text of the topic is not copied for every row.
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    [
        Field::new(TOPIC, text, false),
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(OFFSET, DataType::Int64, false),
    ]
}

pub fn checkpoint_field() -> Field {
    Field::new(CHECKPOINT, DataType::Int64, false)
}

pub fn origin_columns(origins: &[Origin], splits: &[Split]) -> [ArrayRef; 3] {
    let mut topics = StringDictionaryBuilder::<Int32Type>::new();
    let mut partitions = Int32Builder::with_capacity(origins.len());
    // Origins come in runs of one split.
    for run in origins.chunk_by(|a, b| a.split == b.split) {
        let split = &splits[run[0].split.0 as usize];
        topics.append_values(&*split.topic, run.len());
        partitions.append_value_n(split.partition, run.len());
    }
    let offsets = Int64Array::from_iter_values(origins.iter().map(|o| o.offset.0));
    [
        Arc::new(topics.finish()),
        Arc::new(partitions.finish()),
        Arc::new(offsets),
    ]
}

pub fn checkpoint_column(checkpoint: CheckpointId, rows: usize) -> ArrayRef {
    // Ids are dense from 0: the range of i64 lasts for ever.
    let id = i64::try_from(checkpoint.0).unwrap_or(i64::MAX);
    Arc::new(Int64Array::from_value(id, rows))
}
