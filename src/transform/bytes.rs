//! Values as they are, for topics that are not Avro: one column, which no value fails to fit.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::BinaryBuilder;
use arrow_schema::{ArrowError, SchemaRef};

use super::decode::Decoded;
use crate::source::RawBatch;

/// The same in the terms of Avro, as which the job states it.
pub const SCHEMA: &str = r#"{"type":"record","name":"Value","namespace":"lineage",
    "fields":[{"name":"value","type":["null","bytes"]}]}"#;

/// A row for every record; a tombstone's value is null.
pub fn rows(batch: &impl RawBatch, schema: &SchemaRef) -> Result<Decoded, ArrowError> {
    let mut values = BinaryBuilder::with_capacity(batch.len(), batch.bytes());
    for place in 0..batch.len() {
        values.append_option(batch.record(place).value);
    }
    let rows = match batch.is_empty() {
        true => None,
        false => Some(RecordBatch::try_new(
            schema.clone(),
            vec![Arc::new(values.finish())],
        )?),
    };
    Ok(Decoded {
        rows,
        good: (0..batch.len()).collect(),
        bad: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

    use super::*;
    use crate::source::tests::VecBatch;
    use crate::transform::avro_schema::InputSchema;

    #[test]
    fn every_value_is_a_row_and_a_tombstone_is_null() {
        let schema = InputSchema::parse(SCHEMA).unwrap();
        let values = [Some(b"\0\xff".to_vec()), None, Some(Vec::new())];
        let decoded = rows(&VecBatch::new(values.clone()), schema.arrow()).unwrap();
        assert_eq!(decoded.good, [0, 1, 2]);
        let rows = decoded.rows.unwrap();
        let found: Vec<_> = rows.column(0).as_binary::<i32>().iter().collect();
        assert_eq!(found, values.each_ref().map(|value| value.as_deref()));
    }
}
