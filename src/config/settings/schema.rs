//! What the records of the topic are.

use std::path::PathBuf;

use super::SettingsError;
use crate::config::DEFAULT_SCHEMA;
use crate::transform::avro_schema::InputSchema;
use crate::transform::framing::AvroFormat;

pub fn schema(path: Option<PathBuf>, format: AvroFormat) -> Result<InputSchema, SettingsError> {
    let (path, text) = match path {
        None => (
            PathBuf::from("avro/input_event.avsc"),
            DEFAULT_SCHEMA.to_owned(),
        ),
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => (path, text),
            Err(source) => return Err(SettingsError::SchemaFile { path, source }),
        },
    };
    InputSchema::parse(&text)
        .and_then(|schema| schema.framed(format))
        .map_err(|source| SettingsError::Schema { path, source })
}
