//! How files are written.

use arrow_schema::DataType;
use bytesize::ByteSize;

use super::SettingsError;
use crate::config::args::ParquetArgs;
use crate::sink::parquet::{ParquetOptions, can_have_bloom_filter};
use crate::transform::avro_schema::InputSchema;

/// `memory` is what one subtask has for its open files, in bytes.
pub fn parquet(args: ParquetArgs, memory: usize) -> Result<ParquetOptions, SettingsError> {
    if args.parquet_row_group_size > memory {
        return Err(SettingsError::LargeRowGroups {
            given: ByteSize(args.parquet_row_group_size as u64),
            most: ByteSize(memory as u64),
        });
    }
    Ok(ParquetOptions {
        compression: args.parquet_compression,
        row_group_rows: args.parquet_row_group_rows.get(),
        row_group_bytes: args.parquet_row_group_size,
        bloom_columns: args.parquet_bloom_columns,
    })
}

pub fn check_bloom_columns(
    options: &ParquetOptions,
    schema: &InputSchema,
) -> Result<(), SettingsError> {
    for column in &options.bloom_columns {
        let fields = schema.arrow().fields();
        let found = fields.find(column).map(|(_, field)| field.data_type());
        if !found.is_some_and(can_have_bloom_filter) {
            return Err(SettingsError::BloomColumn {
                column: column.clone(),
                why: why_not(found, schema),
            });
        }
    }
    Ok(())
}

fn why_not(found: Option<&DataType>, schema: &InputSchema) -> String {
    match found {
        Some(other) => format!("it is {other}; text, bytes, fixed, int and long can"),
        None => {
            let names = schema
                .arrow()
                .fields()
                .iter()
                .map(|field| field.name().as_str());
            let names: Vec<_> = names.collect();
            format!("the schema has no such field, but {}", names.join(", "))
        }
    }
}
