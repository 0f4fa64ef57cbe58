//! Settings of one run, checked against each other: what can be wrong is wrong before anything is
//! written.

mod error;
mod kafka;
mod kafka_security;
mod parquet;
mod paths;
mod registry;
mod s3;
mod schema;

use std::time::Duration;

use bytesize::ByteSize;

use super::args::{ArchiveArgs, BucketArgs, MarkerArgs, RunArgs};
use super::location::Location;
use crate::checkpoint::coordinator::{RETAINED_SLOTS, Rhythm};
use crate::clock::{Clock, SystemClock};
use crate::registry::RegistrySettings;
use crate::rest::settings::RestSettings;
use crate::runtime::budget;
use crate::runtime::watermark::Rule;
use crate::sink::bucket::Bucketing;
use crate::sink::parquet::ParquetOptions;
use crate::source::kafka::{KafkaSettings, ReaderChoice, Topics};
use crate::source::start_from::StartFrom;
use crate::store::s3::S3Access;
use crate::transform::ValueFormat;
use crate::transform::avro_schema::InputSchema;
use crate::transform::event_time::{BucketBy, EventTime};
use crate::transform::framing::AvroFormat;
use crate::transform::kafka_columns::KafkaColumn;

pub use error::SettingsError;
pub use kafka::kafka;
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
    pub reader: ReaderChoice,
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
            reader: args.kafka_reader,
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
            markers: markers(args.markers, &args.buckets)?,
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

fn markers(args: MarkerArgs, buckets: &BucketArgs) -> Result<Option<Rule>, SettingsError> {
    let pattern = &buckets.bucket_pattern;
    if args.success_markers && pattern.repeats() {
        return Err(SettingsError::NeverComplete(pattern.to_string()));
    }
    let rule = match buckets.bucket_by {
        BucketBy::ProcessingTime => Rule::Processing,
        BucketBy::KafkaTimestamp | BucketBy::Field(_) => Rule::Event {
            lateness: args.allowed_lateness,
            idle: args.idle_partition_timeout,
        },
    };
    Ok(args.success_markers.then_some(rule))
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
        (Some(StartFrom::Time(time)), _) if time > SystemClock::new().wall().0 => {
            Err(SettingsError::StartInFuture)
        }
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
mod tests;
