//! Settings as a person types them: each is a flag and an environment variable.

mod buckets;
mod forgiving;
mod kafka;
mod kafka_security;
mod markers;
mod parquet;
mod registry;
mod rest;
mod s3;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, EnumValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::bound::Bound;
use super::location::Location;
use crate::source::kafka::{ReaderChoice, Topics};
use crate::source::start_from::StartFrom;
use crate::transform::ValueFormat;
use crate::transform::framing::AvroFormat;
use crate::transform::kafka_columns::KafkaColumn;
use forgiving::Trimmed;

pub use buckets::BucketArgs;
pub use kafka::BrokerArgs;
pub use kafka_security::KafkaSecurityArgs;
pub use markers::MarkerArgs;
pub use parquet::ParquetArgs;
pub use registry::RegistryArgs;
pub use rest::{RemoteArgs, RemoteCommand, RestArgs};
pub use s3::{CredentialArgs, S3Args, Sse};

#[derive(Debug, Parser)]
#[command(name = "lineage", version, about, long_about = None)]
pub struct Cli {
    /// How log lines look
    #[arg(
        long,
        env = "LOG_FORMAT",
        value_enum,
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,

    /// Which log lines are written: error, warn, info, debug, or filters like lineage=debug [default: info; demo: warn]
    #[arg(long, env = "LOG_LEVEL", global = true)]
    pub log_level: Option<String>,

    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What this process was started with; ends it when that cannot be understood, or only help was asked for.
    pub fn of_process() -> Self {
        let command = forgiving::without_empty_variables(Self::command());
        let matches = command.try_get_matches().unwrap_or_else(|error| {
            match error.kind() {
                // Help names all variables, the empty ones too.
                ErrorKind::DisplayHelp => Self::command().get_matches(),
                _ => forgiving::without_secret(error).exit(),
            }
        });
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people at a terminal
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Archive a Kafka topic as Parquet files, exactly once
    Run(Box<RunArgs>),
    /// Try it with nothing installed: a broker in the process, a generator, files in this folder
    Demo(DemoArgs),
    /// Prove what an archive holds: every offset once, or which are missing or there twice
    Verify(Box<VerifyArgs>),
    /// Say where one record is: checkpoint, file, row group and row; or what was written at a moment
    Find(Box<FindArgs>),
    /// Read the checkpoint log, also when nothing runs
    #[command(subcommand)]
    Checkpoints(CheckpointsCommand),
    /// Uploads and files in progress that no checkpoint references
    #[command(subcommand)]
    Orphans(OrphansCommand),
    #[command(flatten)]
    Remote(RemoteCommand),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub brokers: BrokerArgs,

    /// Topic to archive; several with commas between them, or a regular expression that begins with ^
    #[arg(long, env = "KAFKA_TOPIC", default_value = "lineage-input")]
    pub kafka_topic: Topics,

    /// Where a new job begins: earliest, latest, a time in UTC such as 2026-11-21T07:00:00, or an offset
    /// for each partition such as 0=17,1=0 [default: earliest]
    #[arg(long, env = "START_FROM")]
    pub start_from: Option<StartFrom>,

    /// Consumer group whose offsets are committed, for lag monitors
    #[arg(long, env = "KAFKA_GROUP_ID", default_value = "flink-lineage-consumer")]
    pub kafka_group_id: String,

    /// What reads the records
    #[arg(long, env = "KAFKA_READER", value_enum, default_value = "auto")]
    pub kafka_reader: ReaderChoice,

    /// How often new partitions are looked for
    #[arg(long, env = "PARTITION_DISCOVERY_INTERVAL", default_value = "60s", value_parser = parse_duration)]
    pub partition_discovery_interval: Duration,

    #[command(flatten)]
    pub paths: PathArgs,

    /// From one checkpoint to the next
    #[arg(long, env = "CHECKPOINT_INTERVAL", default_value = "60s", value_parser = parse_duration)]
    pub checkpoint_interval: Duration,

    /// Least time between the end of a checkpoint and the next one [default: 10s, or the interval if that is shorter]
    #[arg(long, env = "CHECKPOINT_MIN_PAUSE", value_parser = parse_duration)]
    pub checkpoint_min_pause: Option<Duration>,

    /// A checkpoint that takes longer is late: the service is degraded, and goes on
    #[arg(long, env = "CHECKPOINT_TIMEOUT", default_value = "300s", value_parser = parse_duration)]
    pub checkpoint_timeout: Duration,

    /// How long a stop may take for its last checkpoint
    #[arg(long, env = "STOP_TIMEOUT", default_value = "30s", value_parser = parse_duration)]
    pub stop_timeout: Duration,

    /// Chains that work side by side
    #[arg(long, env = "PARALLELISM", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub parallelism: u32,

    /// File with the Avro schema of the records [default: com.lineage.InputEvent; with
    /// AVRO_FORMAT=confluent the latest one of SCHEMA_REGISTRY_SUBJECT]
    #[arg(long, env = "AVRO_SCHEMA")]
    pub avro_schema: Option<PathBuf>,

    /// What the value of a record is
    #[arg(long, env = "VALUE_FORMAT", value_enum, default_value = "avro")]
    pub value_format: ValueFormat,

    /// Further columns of what Kafka has of a record, with commas between them
    #[arg(
        long,
        env = "KAFKA_COLUMNS",
        value_parser = Trimmed(EnumValueParser::<KafkaColumn>::new()),
        value_delimiter = ',',
        value_name = "key,headers,timestamp"
    )]
    pub kafka_columns: Vec<KafkaColumn>,

    /// What stands around the Avro datum in a record's value
    #[arg(long, env = "AVRO_FORMAT", value_enum, default_value = "raw")]
    pub avro_format: AvroFormat,

    #[command(flatten)]
    pub registry: RegistryArgs,

    /// A file that reaches this size is closed before its checkpoint
    #[arg(long, env = "MAX_FILE_SIZE", default_value = "128MiB", value_parser = parse_size)]
    pub max_file_size: usize,

    #[command(flatten)]
    pub buckets: BucketArgs,

    #[command(flatten)]
    pub markers: MarkerArgs,

    #[command(flatten)]
    pub parquet: ParquetArgs,

    /// Memory for queues, open files and uploads; over it reading pauses. The process itself needs some
    /// 40 MiB more
    #[arg(long, env = "MEMORY_BUDGET", default_value = "128MiB", value_parser = parse_size)]
    pub memory_budget: usize,

    /// Where savepoints are copied to, unless another place is named
    #[arg(
        long,
        env = "SAVEPOINTS_PATH",
        default_value = "s3://flink-data/savepoints"
    )]
    pub savepoints_path: Location,

    /// Begin a new job, with new paths, where a savepoint of another one ends: the savepoint's folder
    #[arg(long, env = "FROM_SAVEPOINT")]
    pub from_savepoint: Option<Location>,

    /// Read up to the offsets that the topic ends at now, then take a last checkpoint and exit
    #[arg(long, env = "BOUNDED", value_parser = BoolishValueParser::new())]
    pub bounded: bool,

    /// Go on where saved offsets are gone from Kafka, from the earliest record that is left
    #[arg(long, env = "ALLOW_LOST_OFFSETS", value_parser = BoolishValueParser::new())]
    pub allow_lost_offsets: bool,

    /// Where the store has lost a closed file before it was visible, read its records again from Kafka
    #[arg(long, env = "REREAD_LOST_FILES", value_parser = BoolishValueParser::new())]
    pub reread_lost_files: bool,

    #[command(flatten)]
    pub s3: S3Args,

    #[command(flatten)]
    pub rest: RestArgs,
}

#[derive(Debug, Args)]
pub struct PathArgs {
    /// Where Parquet files go: s3://BUCKET/PREFIX or file:///FOLDER
    #[arg(long, env = "OUTPUT_PATH", default_value = "s3://flink-data/output")]
    pub output_path: Location,

    /// Where the commit log goes
    #[arg(
        long,
        env = "WRITE_AHEAD_COMMIT_LOG_PATH",
        default_value = "s3://flink-data/write-ahead-commit-log"
    )]
    pub write_ahead_commit_log_path: Location,

    /// Where records go that cannot be decoded
    #[arg(long, env = "DROPPED_PATH", default_value = "s3://flink-data/dropped")]
    pub dropped_path: Location,

    /// Where checkpoints are kept; belongs to one job for ever
    #[arg(
        long,
        env = "CHECKPOINTS_PATH",
        default_value = "s3://flink-data/checkpoints"
    )]
    pub checkpoints_path: Location,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Read the rows too, and hold the footers against them
    #[arg(long)]
    pub deep: bool,

    /// Ask Kafka which of the missing offsets it delivers, which are gaps of its own, and which it does
    /// not hold any more
    #[arg(long)]
    pub check_kafka: bool,

    /// First checkpoint to look at, by number or by time in UTC, such as 2026-11-21T07:00:00
    #[arg(long)]
    pub from: Option<Bound>,

    /// Last checkpoint to look at, likewise
    #[arg(long)]
    pub to: Option<Bound>,

    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub archive: ArchiveArgs,

    #[command(flatten)]
    pub brokers: BrokerArgs,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("sought").required(true).args(["offset", "time", "uuid"])))]
pub struct FindArgs {
    /// Partition of the record; with --time: only files that hold records of it
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "uuid")]
    pub partition: Option<i32>,

    /// Topic of the record, where the archive holds several
    #[arg(long, requires = "partition")]
    pub topic: Option<String>,

    /// Offset of the record
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..), requires = "partition")]
    pub offset: Option<i64>,

    /// Moment in UTC, such as 2026-11-21T07:00:00: which files hold what was processed then
    #[arg(long, value_parser = crate::clock::parse_time)]
    pub time: Option<i64>,

    /// Value of the field `uuid`, which is read in the files of --from to --to
    #[arg(long, requires = "from", requires = "to")]
    pub uuid: Option<String>,

    /// First checkpoint to look at, by number, or the time from which on the record was processed
    #[arg(long, requires = "uuid")]
    pub from: Option<Bound>,

    /// Last checkpoint to look at, by number, or the time until which the record was processed
    #[arg(long, requires = "uuid")]
    pub to: Option<Bound>,

    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub buckets: BucketArgs,

    #[command(flatten)]
    pub archive: ArchiveArgs,
}

#[derive(Debug, Subcommand)]
pub enum CheckpointsCommand {
    /// All slots of the log: checkpoints and starts, the newest last
    List {
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        archive: ArchiveArgs,
    },
    /// One slot as it stands in the log, in JSON
    Show {
        /// Its number, or `latest`
        #[arg(value_parser = parse_slot)]
        id: SlotChoice,
        #[command(flatten)]
        archive: ArchiveArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum OrphansCommand {
    /// Say which there are
    List {
        #[command(flatten)]
        archive: ArchiveArgs,
    },
    /// Give them up and free their space; every start of the service does that too
    Abort {
        #[command(flatten)]
        archive: ArchiveArgs,
    },
}

/// Where an archive is.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    #[command(flatten)]
    pub paths: PathArgs,

    #[command(flatten)]
    pub s3: S3Args,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End by itself after this time
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// Where the demo keeps its files
    #[arg(long, default_value = "lineage-data")]
    pub folder: PathBuf,

    /// Messages a second
    #[arg(long, env = "RATE_PER_SEC", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub rate: u64,

    #[command(flatten)]
    pub rest: RestArgs,
}

impl Cli {
    pub fn log_level(&self) -> &str {
        match (&self.log_level, &self.command) {
            (Some(level), _) => level,
            (None, Command::Run(_)) => "info",
            // The demo has a screen of its own.
            (None, Command::Demo(_)) => "warn",
            // What they say is their output.
            (None, _) => "warn",
        }
    }
}

/// A slot of the log.
#[derive(Debug, Clone, Copy)]
pub enum SlotChoice {
    Latest,
    Number(u64),
}

fn parse_slot(text: &str) -> Result<SlotChoice, String> {
    if text == "latest" {
        return Ok(SlotChoice::Latest);
    }
    let number = text.strip_prefix("chk-").unwrap_or(text).parse();
    number
        .map(SlotChoice::Number)
        .map_err(|_| format!("'{text}' is no slot: give its number, or latest"))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|e| format!("{e}; give a number with a unit, such as 500ms, 60s or 5m"))?;
    if duration.is_zero() {
        return Err("it must be longer than nothing".into());
    }
    Ok(duration)
}

fn parse_size(text: &str) -> Result<usize, String> {
    let size: bytesize::ByteSize = text
        .parse()
        .map_err(|e| format!("{e}; give a number with a unit, such as 64MiB"))?;
    match usize::try_from(size.as_u64()) {
        Ok(0) | Err(_) => Err("it must be more than nothing, and fit into memory".into()),
        Ok(size) => Ok(size),
    }
}
