//! What the records of the topic are.

use std::path::PathBuf;

use super::SettingsError;
use super::registry::registry;
use crate::config::DEFAULT_SCHEMA;
use crate::config::args::RegistryArgs;
use crate::registry::RegistrySettings;
use crate::source::kafka::Topics;
use crate::transform::avro_schema::InputSchema;
use crate::transform::framing::AvroFormat;
use crate::transform::{ValueFormat, bytes};

/// The reader's schema, which all rows of a run have.
#[derive(Debug, Clone)]
pub enum ReaderSchema {
    Given(InputSchema),
    /// The newest one that a subject of the registry has when a run starts.
    Latest {
        subject: String,
    },
}

pub fn schema(
    values: ValueFormat,
    path: Option<PathBuf>,
    format: AvroFormat,
    args: RegistryArgs,
    topics: &Topics,
) -> Result<(ReaderSchema, Option<RegistrySettings>), SettingsError> {
    let subject = args.schema_registry_subject.clone();
    if (values == ValueFormat::Bytes || format != AvroFormat::Confluent)
        && let Some(setting) = of_the_registry(&args)
    {
        return Err(SettingsError::NeedlessRegistry(setting));
    }
    if values == ValueFormat::Bytes {
        if path.is_some() {
            return Err(SettingsError::NotAvro("AVRO_SCHEMA"));
        }
        if format != AvroFormat::Raw {
            return Err(SettingsError::NotAvro("AVRO_FORMAT"));
        }
        let schema = InputSchema::parse(bytes::SCHEMA);
        let schema = schema.map_err(|source| SettingsError::Schema {
            path: "VALUE_FORMAT=bytes".into(),
            source,
        })?;
        return Ok((ReaderSchema::Given(schema), None));
    }
    if format != AvroFormat::Confluent {
        return Ok((ReaderSchema::Given(given(path, format)?), None));
    }
    let registry = Some(registry(args)?);
    let reader = match (path, subject) {
        (Some(_), Some(_)) => return Err(SettingsError::SchemaAndSubject),
        (Some(path), None) => ReaderSchema::Given(given(Some(path), format)?),
        (None, Some(subject)) => ReaderSchema::Latest { subject },
        (None, None) => match topics.only() {
            Some(topic) => ReaderSchema::Latest {
                subject: format!("{topic}-value"),
            },
            None => return Err(SettingsError::WhichSubject(topics.to_string())),
        },
    };
    Ok((reader, registry))
}

/// One of its settings that is given.
fn of_the_registry(args: &RegistryArgs) -> Option<&'static str> {
    let given = [
        (!args.schema_registry_url.is_empty(), "SCHEMA_REGISTRY_URL"),
        (
            args.schema_registry_subject.is_some(),
            "SCHEMA_REGISTRY_SUBJECT",
        ),
        (
            args.schema_registry_username.is_some(),
            "SCHEMA_REGISTRY_USERNAME",
        ),
        (
            args.schema_registry_password.is_some(),
            "SCHEMA_REGISTRY_PASSWORD",
        ),
        (
            args.schema_registry_password_file.is_some(),
            "SCHEMA_REGISTRY_PASSWORD_FILE",
        ),
        (
            args.schema_registry_token.is_some(),
            "SCHEMA_REGISTRY_TOKEN",
        ),
        (
            args.schema_registry_token_file.is_some(),
            "SCHEMA_REGISTRY_TOKEN_FILE",
        ),
        (
            args.schema_registry_ca_file.is_some(),
            "SCHEMA_REGISTRY_CA_FILE",
        ),
    ];
    given
        .into_iter()
        .find_map(|(is_given, name)| is_given.then_some(name))
}

fn given(path: Option<PathBuf>, format: AvroFormat) -> Result<InputSchema, SettingsError> {
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
