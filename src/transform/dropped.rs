//! Rows of the records that could not be decoded: nothing is lost, each says why it is here.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::Rows;
use super::enrich::{checkpoint_column, checkpoint_field, origin_columns, origin_fields};
use crate::ids::{CheckpointId, Split};
use crate::runtime::progress::dropped::{Sample, kind};
use crate::source::RawBatch;
use crate::store::Root;

/// Columns of the dropped output.
pub static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = origin_fields().to_vec();
    fields.extend([
        Field::new("kafka_timestamp", time, true),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("error", DataType::Utf8, false),
        checkpoint_field(),
    ]);
    Arc::new(Schema::new(fields))
});

/// How many there are of each kind of reason, with the last record of each.
pub fn tally<'a>(
    batch: &impl RawBatch,
    bad: &'a [(usize, String)],
    splits: &[Split],
) -> BTreeMap<&'a str, (u64, Sample)> {
    let mut last: BTreeMap<&str, (u64, usize, &str)> = BTreeMap::new();
    for (place, reason) in bad {
        let (count, ..) = last.get(kind(reason)).copied().unwrap_or_default();
        last.insert(kind(reason), (count + 1, *place, reason));
    }
    let kinds = last.into_iter().map(|(kind, (count, place, reason))| {
        let record = batch.record(place);
        let split = splits[record.origin.split.0 as usize].clone();
        let sample = Sample::new(split, record.origin.offset, reason, record.value);
        (kind, (count, sample))
    });
    kinds.collect()
}

/// One row for each bad record: its place in the batch and the reason.
pub fn rows(
    batch: &impl RawBatch,
    bad: &[(usize, String)],
    splits: &[Split],
    checkpoint: CheckpointId,
) -> Result<Rows, ArrowError> {
    let records = || bad.iter().map(|(place, _)| batch.record(*place));
    let origins: Vec<_> = records().map(|record| record.origin).collect();
    let mut keys = BinaryBuilder::new();
    let mut values = BinaryBuilder::new();
    for record in records() {
        keys.append_option(record.key);
        values.append_option(record.value);
    }
    let mut errors = StringBuilder::new();
    for (_, reason) in bad {
        errors.append_value(reason);
    }
    let times: TimestampMillisecondArray = records().map(|record| record.timestamp).collect();
    let mut columns: Vec<ArrayRef> = origin_columns(&origins, splits).to_vec();
    columns.extend([
        Arc::new(times.with_timezone("UTC")) as ArrayRef,
        Arc::new(keys.finish()),
        Arc::new(values.finish()),
        Arc::new(errors.finish()),
        checkpoint_column(checkpoint, bad.len()),
    ]);
    Ok(Rows {
        root: Root::Dropped,
        batch: RecordBatch::try_new(SCHEMA.clone(), columns)?,
        origins,
        times: None,
    })
}
