//! What can be wrong with settings, with the name of the setting and the cure.

use std::path::PathBuf;

use bytesize::ByteSize;

use super::kafka_security::SecurityError;
use super::s3::S3SettingsError;
use crate::config::location::Location;
use crate::config::secret::SecretError;
use crate::registry::client::RegistryError;
use crate::rest::settings::RestSettingsError;
use crate::transform::avro_schema::SchemaError;
use crate::transform::event_time::EventTimeError;

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("--kafka-property {key}: this property is not yours to set: {reason}")]
    OwnedProperty { key: String, reason: &'static str },
    #[error(
        "--kafka-property: the one of number {number} (line {number} of KAFKA_PROPERTIES) is not KEY=VALUE. A \
         value cannot have several lines: name a file that holds it"
    )]
    NoProperty { number: usize },
    #[error("KAFKA_BOOTSTRAP_SERVERS: '{0}' is no HOST:PORT; several have commas between them")]
    Broker(String),
    #[error("--kafka-property {key} was given twice")]
    PropertyTwice { key: String },
    #[error("{first} and {second} overlap ({location}): give each a folder of its own")]
    Overlap {
        first: &'static str,
        second: &'static str,
        location: Location,
    },
    #[error("AVRO_SCHEMA: {path} cannot be read: {source}")]
    SchemaFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("AVRO_SCHEMA: {path} cannot be archived: {source}")]
    Schema { path: PathBuf, source: SchemaError },
    #[error(
        "MEMORY_BUDGET={given} is too little for PARALLELISM={parallelism}: give at least {least}, or \
         fewer subtasks"
    )]
    SmallBudget {
        given: ByteSize,
        parallelism: u32,
        least: ByteSize,
    },
    #[error(
        "START_FROM is a time that has not come yet, and times are in UTC; to begin at the end, say latest"
    )]
    StartInFuture,
    #[error(
        "START_FROM and FROM_SAVEPOINT are both set: a job that begins from a savepoint begins where that \
         ends. Set one"
    )]
    TwoBegins,
    #[error(
        "SUCCESS_MARKERS: the folders of BUCKET_PATTERN={0} are never complete, because later times have the \
         same names; give a pattern with the year and all between, such as dt=%Y-%m-%d"
    )]
    NeverComplete(String),
    #[error("BUCKET_BY: {0}")]
    BucketBy(#[from] EventTimeError),
    #[error("PARQUET_BLOOM_COLUMNS: '{column}' cannot have a filter: {why}")]
    BloomColumn { column: String, why: String },
    #[error(
        "PARQUET_ROW_GROUP_SIZE={given} is too much for this MEMORY_BUDGET and PARALLELISM: a subtask has \
         {most} for open files"
    )]
    LargeRowGroups { given: ByteSize, most: ByteSize },
    #[error(
        "AVRO_FORMAT=confluent needs SCHEMA_REGISTRY_URL: its records name their schema by an id"
    )]
    NoRegistry,
    #[error(
        "{0} is for AVRO_FORMAT=confluent: records of other formats name no schema. Leave it out"
    )]
    NeedlessRegistry(&'static str),
    #[error(
        "KAFKA_TOPIC={0} is not one topic: say whose schema is the reader's, by SCHEMA_REGISTRY_SUBJECT or \
         AVRO_SCHEMA"
    )]
    WhichSubject(String),
    #[error(
        "SCHEMA_REGISTRY_URL: not all of it are URLs such as http://registry:8081; a login goes into \
         SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD"
    )]
    RegistryUrl,
    #[error(
        "set SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_TOKEN, or none of \
         them"
    )]
    RegistryLogin,
    #[error("SCHEMA_REGISTRY_CA_FILE: {path} cannot be read: {source}")]
    RegistryCa {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(
        "both AVRO_SCHEMA and SCHEMA_REGISTRY_SUBJECT are set: the reader's schema is one of them"
    )]
    SchemaAndSubject,
    #[error("VALUE_FORMAT=bytes takes values as they are: {0} is for Avro, leave it out")]
    NotAvro(&'static str),
    #[error("KAFKA_COLUMNS: the schema has a field of the name of the column '{0}'")]
    KafkaColumn(&'static str),
    #[error("{0} is empty")]
    Empty(&'static str),
    #[error(transparent)]
    S3(#[from] S3SettingsError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    KafkaSecurity(#[from] SecurityError),
    #[error(transparent)]
    Rest(#[from] RestSettingsError),
}
