//! Settings of one run, checked against each other: what can be wrong is wrong before anything is
//! written.

mod kafka;
mod kafka_security;
mod parquet;
mod paths;
mod registry;
mod s3;
mod schema;

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::args::{ArchiveArgs, MarkerArgs, RunArgs};
use super::location::Location;
use super::secret::SecretError;
use crate::checkpoint::coordinator::{RETAINED_SLOTS, Rhythm};
use crate::registry::RegistrySettings;
use crate::registry::client::RegistryError;
use crate::rest::settings::{RestSettings, RestSettingsError};
use crate::runtime::budget;
use crate::runtime::watermark::Rule;
use crate::sink::bucket::Bucketing;
use crate::sink::parquet::ParquetOptions;
use crate::source::kafka::{KafkaSettings, Topics};
use crate::source::start_from::StartFrom;
use crate::store::s3::S3Access;
use crate::transform::ValueFormat;
use crate::transform::avro_schema::{InputSchema, SchemaError};
use crate::transform::event_time::{BucketBy, EventTime, EventTimeError};
use crate::transform::framing::AvroFormat;
use crate::transform::kafka_columns::KafkaColumn;

pub use kafka::kafka;
use kafka_security::SecurityError;
use parquet::{check_bloom_columns, parquet};
pub use paths::Paths;
pub use s3::S3SettingsError;
pub use schema::ReaderSchema;
use schema::schema;

const DEFAULT_MIN_PAUSE: Duration = Duration::from_secs(10);

/// Everything that the lineage job needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    pub kafka: KafkaSettings,
    pub topics: Topics,
    /// Where a new job begins.
    pub start_from: StartFrom,
    pub discovery_interval: Duration,
    pub paths: Paths,
    /// Where savepoints are copied to, unless another place is named.
    pub savepoints: Location,
    /// The folder of a savepoint that a new job shall begin from.
    pub from_savepoint: Option<Location>,
    pub s3: S3Access,
    pub rhythm: Rhythm,
    pub stop_timeout: Duration,
    pub parallelism: u32,
    pub schema: ReaderSchema,
    pub value_format: ValueFormat,
    pub avro_format: AvroFormat,
    /// Further columns.
    pub kafka_columns: Vec<KafkaColumn>,
    /// Where the writers' schemas are; none unless the records name them.
    pub registry: Option<RegistrySettings>,
    /// Bytes.
    pub max_file_size: usize,
    pub parquet: ParquetOptions,
    pub bucket_by: BucketBy,
    pub bucketing: Bucketing,
    /// Buckets are marked as complete, by this rule.
    pub markers: Option<Rule>,
    /// Bytes that open files and uploads may take.
    pub file_memory: usize,
    pub bounded: bool,
    pub allow_lost_offsets: bool,
    pub reread_lost_files: bool,
    /// None: no control plane.
    pub rest: Option<RestSettings>,
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("--kafka-property {key}: this property is not yours to set: {reason}")]
    OwnedProperty { key: String, reason: &'static str },
    #[error(
        "--kafka-property: the one of number {number} (line {number} of KAFKA_PROPERTIES) is not KEY=VALUE. A \
         value cannot have several lines: name a file that holds it"
    )]
    NoProperty { number: usize },
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
        "START_FROM and FROM_SAVEPOINT are both set: a job that begins from a savepoint begins where that \
         ends. Set one"
    )]
    TwoBegins,
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

impl TryFrom<RunArgs> for Settings {
    type Error = SettingsError;

    fn try_from(args: RunArgs) -> Result<Self, SettingsError> {
        let paths = Paths::try_from(args.paths)?;
        paths.apart_from("SAVEPOINTS_PATH", &args.savepoints_path)?;
        not_empty("KAFKA_GROUP_ID", &args.kafka_group_id)?;
        let subtasks = args.parallelism as usize;
        let least = subtasks * budget::LEAST_PER_SUBTASK;
        if args.memory_budget < least {
            return Err(SettingsError::SmallBudget {
                given: ByteSize(args.memory_budget as u64),
                parallelism: args.parallelism,
                least: ByteSize(least as u64),
            });
        }
        let queues = budget::of_queues(args.memory_budget);
        let file_memory = args.memory_budget - queues;
        let parquet = parquet(args.parquet, file_memory / subtasks)?;
        let pause = DEFAULT_MIN_PAUSE.min(args.checkpoint_interval);
        let (schema, registry) = schema(
            args.value_format,
            args.avro_schema,
            args.avro_format,
            args.registry,
            &args.kafka_topic,
        )?;
        let settings = Self {
            kafka: kafka(args.brokers, args.kafka_group_id, queues / subtasks)?,
            topics: args.kafka_topic,
            start_from: start_from(args.start_from, args.from_savepoint.as_ref())?,
            discovery_interval: args.partition_discovery_interval,
            paths,
            savepoints: args.savepoints_path,
            from_savepoint: args.from_savepoint,
            s3: S3Access::try_from(args.s3)?,
            rhythm: Rhythm {
                interval: args.checkpoint_interval,
                min_pause: args.checkpoint_min_pause.unwrap_or(pause),
                timeout: args.checkpoint_timeout,
                retained: RETAINED_SLOTS,
            },
            stop_timeout: args.stop_timeout,
            parallelism: args.parallelism,
            schema,
            value_format: args.value_format,
            avro_format: args.avro_format,
            kafka_columns: distinct(args.kafka_columns),
            registry,
            max_file_size: args.max_file_size,
            parquet,
            bucket_by: args.buckets.bucket_by.clone(),
            markers: markers(args.markers, &args.buckets.bucket_by),
            bucketing: args.buckets.into(),
            file_memory,
            bounded: args.bounded,
            allow_lost_offsets: args.allow_lost_offsets,
            reread_lost_files: args.reread_lost_files,
            rest: RestSettings::resolve(args.rest)?,
        };
        if let ReaderSchema::Given(schema) = &settings.schema {
            settings.columns(schema)?;
        }
        Ok(settings)
    }
}

impl Settings {
    /// How the times of rows are known that have this reader's schema.
    ///
    /// # Errors
    /// If a setting names a field that the schema does not have, or that does not serve.
    pub fn columns(&self, schema: &InputSchema) -> Result<EventTime, SettingsError> {
        check_bloom_columns(&self.parquet, schema)?;
        for column in &self.kafka_columns {
            let mut fields = schema.arrow().fields().iter();
            if fields.any(|field| field.name().eq_ignore_ascii_case(column.name())) {
                return Err(SettingsError::KafkaColumn(column.name()));
            }
        }
        Ok(EventTime::new(&self.bucket_by, schema.arrow())?)
    }
}

fn markers(args: MarkerArgs, by: &BucketBy) -> Option<Rule> {
    let rule = match by {
        BucketBy::ProcessingTime => Rule::Processing,
        BucketBy::KafkaTimestamp | BucketBy::Field(_) => Rule::Event {
            lateness: args.allowed_lateness,
            idle: args.idle_partition_timeout,
        },
    };
    args.success_markers.then_some(rule)
}

fn distinct(columns: Vec<KafkaColumn>) -> Vec<KafkaColumn> {
    let mut distinct = Vec::new();
    for column in columns {
        if !distinct.contains(&column) {
            distinct.push(column);
        }
    }
    distinct
}

fn start_from(
    given: Option<StartFrom>,
    savepoint: Option<&Location>,
) -> Result<StartFrom, SettingsError> {
    match (given, savepoint) {
        (Some(_), Some(_)) => Err(SettingsError::TwoBegins),
        (given, _) => Ok(given.unwrap_or_default()),
    }
}

/// Where an archive is, for who looks at it.
#[derive(Debug, Clone)]
pub struct Archive {
    pub paths: Paths,
    pub s3: S3Access,
}

impl TryFrom<ArchiveArgs> for Archive {
    type Error = SettingsError;

    fn try_from(args: ArchiveArgs) -> Result<Self, SettingsError> {
        Ok(Self {
            paths: Paths::try_from(args.paths)?,
            s3: S3Access::try_from(args.s3)?,
        })
    }
}

fn not_empty(name: &'static str, value: &str) -> Result<(), SettingsError> {
    if value.trim().is_empty() {
        return Err(SettingsError::Empty(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::args::{Cli, Command};
    use crate::source::kafka::owned_properties;

    fn resolve(flags: &[&str]) -> Result<Settings, String> {
        let args = ["lineage", "run"].iter().chain(flags);
        let cli = Cli::try_parse_from(args).map_err(|e| e.to_string())?;
        let Command::Run(run) = cli.command else {
            return Err("not run".into());
        };
        Settings::try_from(*run).map_err(|e| e.to_string())
    }

    fn refusal(flags: &[&str]) -> String {
        resolve(flags).map(|_| ()).unwrap_err()
    }

    #[test]
    fn the_defaults_are_those_of_the_readme() {
        let settings = resolve(&[]).unwrap();
        assert_eq!(settings.paths.output.to_string(), "s3://flink-data/output");
        assert_eq!(settings.rhythm.interval, Duration::from_secs(60));
        assert_eq!(settings.rhythm.min_pause, Duration::from_secs(10));
        assert_eq!(settings.parallelism, 2);
    }

    #[test]
    fn a_short_interval_shortens_the_pause_unless_it_was_given() {
        let settings = resolve(&["--checkpoint-interval", "2s"]).unwrap();
        assert_eq!(settings.rhythm.min_pause, Duration::from_secs(2));
        let flags = [
            "--checkpoint-interval",
            "2s",
            "--checkpoint-min-pause",
            "9s",
        ];
        assert_eq!(
            resolve(&flags).unwrap().rhythm.min_pause,
            Duration::from_secs(9)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_setting_panic(text in "\\PC{0,40}|[0-9]{1,25}[a-zA-Z]{0,4}", place in 0..13usize) {
            let flags = [
                "--checkpoint-interval",
                "--checkpoint-min-pause",
                "--stop-timeout",
                "--parallelism",
                "--max-file-size",
                "--memory-budget",
                "--parquet-compression",
                "--output-path",
                "--kafka-topic",
                "--kafka-property",
                "--kafka-bootstrap-servers",
                "--aws-endpoint-url",
                "--avro-schema",
            ];
            let _ = resolve(&[&format!("{}={text}", flags[place])]);
        }
    }

    #[test]
    fn what_the_protocol_owns_cannot_be_set_and_the_reason_is_given() {
        for (key, _) in owned_properties() {
            let text = refusal(&["--kafka-property", &format!("{key}=x")]);
            assert!(
                text.contains(key) && text.contains("not yours to set"),
                "{text}"
            );
        }
        let settings = resolve(&["--kafka-property", "fetch.wait.max.ms=50"]).unwrap();
        assert_eq!(settings.kafka.properties["fetch.wait.max.ms"], "50");
    }

    #[test]
    fn what_is_shown_has_no_secret_in_it() {
        let settings = resolve(&[
            "--aws-access-key-id=geheim-1",
            "--aws-secret-access-key=geheim-2",
            "--aws-session-token=geheim-3",
            "--aws-endpoint-url=http://minio:9000",
            "--kafka-property=ssl.keystore.password=geheim-6",
            "--kafka-property=ssl.key.pem=geheim-7",
            "--kafka-property=sasl.jaas.config=geheim-8",
            "--kafka-property=fetch.wait.max.ms=50",
            "--avro-format=confluent",
            "--schema-registry-url=http://registry:8081,http://second",
            "--schema-registry-username=me",
            "--schema-registry-password=geheim-9",
        ]);
        assert!(!format!("{settings:?}").contains("geheim-9"));
        let shown = settings.unwrap().shown();
        assert!(!format!("{shown:?}").contains("geheim"), "{shown:?}");
        assert_eq!(shown["AWS_ENDPOINT_URL"], "http://minio:9000");
        assert!(shown["KAFKA_PROPERTIES"].contains("fetch.wait.max.ms=50"));
        assert_eq!(shown["MEMORY_BUDGET"], "128.0 MiB");
        assert_eq!(shown["AVRO_SCHEMA"], "the latest of lineage-input-value");
        assert_eq!(
            shown["SCHEMA_REGISTRY_URL"],
            "http://registry:8081,http://second"
        );
    }

    fn confluent<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let own = [
            "--avro-format=confluent",
            "--schema-registry-url=http://r:8081",
        ];
        [&own, more].concat()
    }

    #[test]
    fn the_readers_schema_is_the_latest_of_the_topics_subject_unless_it_is_given() {
        let shown = |flags: &[&str]| resolve(&confluent(flags)).unwrap().shown();
        let settings = shown(&["--kafka-topic=t"]);
        assert_eq!(settings["AVRO_SCHEMA"], "the latest of t-value");
        let settings = shown(&["--schema-registry-subject=s"]);
        assert_eq!(settings["AVRO_SCHEMA"], "the latest of s");
        let settings = shown(&["--avro-schema=avro/input_event.avsc"]);
        assert_eq!(settings["AVRO_SCHEMA"], "com.lineage.InputEvent");
        assert_eq!(settings["AVRO_FORMAT"], "confluent");
    }

    #[test]
    fn a_user_in_a_url_and_keys_that_no_header_can_hold_are_refused_and_not_shown() {
        for (flags, named) in [
            (
                &["--aws-endpoint-url", "http://geheim:geheim@minio:9000"][..],
                "AWS_ENDPOINT_URL",
            ),
            (
                &["--aws-endpoint-url", "geheim@minio:9000"],
                "AWS_ENDPOINT_URL",
            ),
            (
                &[
                    "--aws-endpoint-url-sts",
                    "http://x/?token=geheim",
                    "--aws-role-arn",
                    "r",
                    "--aws-web-identity-token-file",
                    "/f",
                ],
                "AWS_ENDPOINT_URL_STS",
            ),
            (
                &[
                    "--aws-container-credentials-full-uri",
                    "http://me:geheim@x/",
                ],
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            ),
            (&["--aws-access-key-id", "ge heim"], "AWS_ACCESS_KEY_ID"),
            (
                &["--aws-secret-access-key", "geheim\nx"],
                "AWS_SECRET_ACCESS_KEY",
            ),
        ] {
            let text = refusal(flags);
            assert!(text.contains(named), "{flags:?}: {text}");
            assert!(!text.contains("heim"), "{text}");
        }
    }

    #[test]
    fn only_whom_s3_is_asked_as_is_looked_at() {
        let keys = ["--aws-access-key-id", "id", "--aws-secret-access-key", "s"];
        for others in [
            ["--aws-web-identity-token-file", "/f"],
            ["--aws-container-credentials-full-uri", "no-url"],
            ["--aws-endpoint-url-sts", "no-url"],
        ] {
            assert!(
                resolve(&[&keys[..], &others].concat()).is_ok(),
                "{others:?}"
            );
        }
        let agent = [
            "--aws-container-credentials-full-uri",
            "http://[fd00:ec2::23]/v1",
        ];
        assert!(resolve(&agent).is_ok(), "it may want no token");
    }

    #[test]
    fn bad_values_are_refused_with_the_name_of_their_setting() {
        for (flags, named) in [
            (vec!["--parallelism", "0"], "--parallelism"),
            (
                vec!["--checkpoint-interval", "soon"],
                "--checkpoint-interval",
            ),
            (vec!["--checkpoint-interval", "0s"], "--checkpoint-interval"),
            (vec!["--output-path", "flink-data/output"], "--output-path"),
            (
                vec!["--output-path", "s3://flink-data/dropped/x"],
                "DROPPED_PATH",
            ),
            (
                vec!["--savepoints-path", "s3://flink-data/checkpoints/x"],
                "SAVEPOINTS_PATH",
            ),
            (vec!["--from-savepoint", "savepoint-1"], "--from-savepoint"),
            (vec!["--kafka-topic", " "], "--kafka-topic"),
            (vec!["--kafka-topic", "^("], "--kafka-topic"),
            (vec!["--start-from", "soon"], "--start-from"),
            (
                vec!["--start-from=latest", "--from-savepoint=file:///s"],
                "START_FROM",
            ),
            (vec!["--kafka-property", "nonsense"], "--kafka-property"),
            (vec!["--aws-access-key-id", "only"], "AWS_SECRET_ACCESS_KEY"),
            (vec!["--aws-endpoint-url", "minio:9000"], "AWS_ENDPOINT_URL"),
            (vec!["--avro-schema", "/does/not/exist"], "AVRO_SCHEMA"),
            (vec!["--max-file-size", "big"], "--max-file-size"),
            (
                vec!["--parquet-row-group-rows", "0"],
                "--parquet-row-group-rows",
            ),
            (
                vec!["--parquet-row-group-size", "64MiB"],
                "PARQUET_ROW_GROUP_SIZE",
            ),
            (
                vec!["--parquet-bloom-columns", "uuid,id"],
                "PARQUET_BLOOM_COLUMNS: 'id'",
            ),
            (
                vec!["--parquet-bloom-columns", "timestamp"],
                "PARQUET_BLOOM_COLUMNS: 'timestamp'",
            ),
            (vec!["--bucket-by", "time"], "--bucket-by"),
            (vec!["--bucket-by", "field:uuid"], "BUCKET_BY"),
            (vec!["--bucket-zone", "Mars"], "--bucket-zone"),
            (vec!["--bucket-pattern", "%S"], "--bucket-pattern"),
            (vec!["--memory-budget", "31MiB"], "MEMORY_BUDGET"),
            (vec!["--parallelism", "200"], "MEMORY_BUDGET"),
            (vec!["--rest-port", "80810"], "--rest-port"),
            (vec!["--rest-token", ""], "--rest-token"),
            (
                vec!["--rest-token-file", "/does/not/exist"],
                "REST_TOKEN_FILE",
            ),
            (
                vec!["--rest-token", "a", "--rest-token-file", "/b"],
                "REST_TOKEN_FILE",
            ),
            (vec!["--aws-ca-bundle", "/does/not/exist"], "AWS_CA_BUNDLE"),
            (vec!["--s3-sse", "des"], "--s3-sse"),
            (vec!["--s3-sse-kms-key-id", "k"], "S3_SSE_KMS_KEY_ID"),
            (vec!["--aws-region", "eu\n1"], "AWS_REGION"),
            (vec!["--aws-session-token", "t"], "AWS_ACCESS_KEY_ID"),
            (
                vec!["--aws-secret-access-key-file", "/does/not/exist"],
                "AWS_SECRET_ACCESS_KEY_FILE",
            ),
            (vec!["--aws-web-identity-token-file", "/t"], "AWS_ROLE_ARN"),
            (vec!["--unknown"], "--unknown"),
            (vec!["--avro-format", "confluent"], "SCHEMA_REGISTRY_URL"),
            (
                vec!["--schema-registry-url", "http://r:8081"],
                "AVRO_FORMAT=confluent",
            ),
            (
                confluent(&["--schema-registry-url", "r:8081"]),
                "SCHEMA_REGISTRY_URL",
            ),
            (
                confluent(&["--schema-registry-url", "http://me:geheim@r"]),
                "SCHEMA_REGISTRY_USERNAME",
            ),
            (
                confluent(&["--schema-registry-username", "me"]),
                "SCHEMA_REGISTRY_PASSWORD",
            ),
            (
                confluent(&["--schema-registry-ca-file", "/does/not/exist"]),
                "SCHEMA_REGISTRY_CA_FILE",
            ),
            (
                confluent(&["--schema-registry-ca-file", "Cargo.toml"]),
                "SCHEMA_REGISTRY_CA_FILE",
            ),
            (
                confluent(&[
                    "--avro-schema=avro/input_event.avsc",
                    "--schema-registry-subject=s",
                ]),
                "SCHEMA_REGISTRY_SUBJECT",
            ),
        ] {
            let text = refusal(&flags);
            assert!(text.contains(named), "{flags:?}: {text}");
        }
    }
}
