//! The command line and the environment.

use clap::Parser;
use data_generator::Settings;

/// Produces Avro events to a Kafka topic, for trying, testing and measuring lineage.
///
/// Every event has a uuid of its own and the time at which it was made. Ctrl-C and SIGTERM deliver
/// what is under way and end it.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Args {
    /// Kafka brokers, host:port, several separated by commas
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "kafka:9092")]
    bootstrap_servers: String,

    /// Topic to produce to
    #[arg(long, env = "KAFKA_TOPIC", default_value = "lineage-input")]
    topic: String,

    /// Records a second over all partitions; 0 is as fast as it goes
    #[arg(
        long,
        env = "RATE_PER_SEC",
        default_value = "10",
        value_name = "RECORDS"
    )]
    rate_per_sec: u64,

    /// Stop after so many records [default: go on until stopped]
    #[arg(long, value_name = "RECORDS")]
    count: Option<u64>,

    /// Partitions of the topic, if it has to be created
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,

    /// Part of the records to break, 0 to 1, in every way that a decoder has to survive
    #[arg(long, default_value = "0", value_name = "RATIO", value_parser = ratio)]
    malformed: f64,

    /// Anything for librdkafka, such as --kafka-property security.protocol=SSL (repeatable; in the
    /// variable one a line)
    #[arg(long, env = "KAFKA_PROPERTIES", value_name = "KEY=VALUE", value_delimiter = '\n', hide_env_values = true, value_parser = property)]
    kafka_property: Vec<(String, String)>,
    /// Write Confluent's wire format, with this id of avro/input_event.avsc in a schema registry [default:
    /// the datum alone]
    #[arg(long, value_name = "ID")]
    schema_id: Option<u32>,
}

impl From<Args> for Settings {
    fn from(args: Args) -> Self {
        Self {
            bootstrap_servers: args.bootstrap_servers,
            topic: args.topic,
            rate_per_sec: args.rate_per_sec,
            count: args.count,
            partitions: args.partitions,
            malformed: args.malformed,
            properties: args.kafka_property,
            schema_id: args.schema_id,
        }
    }
}

fn property(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
    match key.trim() {
        "" => Err("KEY=VALUE is wanted"),
        key => Ok((key.to_owned(), value.to_owned())),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| "a number from 0 to 1 is wanted, as 0.01 for one record in a hundred".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn settings(args: &[&str]) -> Result<Settings, clap::Error> {
        Args::try_parse_from([&["data-generator"], args].concat()).map(Settings::from)
    }

    fn refused(args: &[&str]) -> String {
        let error = settings(args).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{error}");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn bad_settings_are_refused_by_name_with_exit_code_2() {
        assert!(refused(&["--rate-per-sec", "fast"]).contains("--rate-per-sec"));
        assert!(refused(&["--malformed", "1.5"]).contains("from 0 to 1"));
        assert!(refused(&["--malformed=-0.5"]).contains("from 0 to 1"));
        assert!(refused(&["--malformed", "NaN"]).contains("from 0 to 1"));
        assert!(refused(&["--partitions", "0"]).contains("--partitions"));
        assert!(refused(&["--count", "many"]).contains("--count"));
        assert!(refused(&["--kafka-property", "=b"]).contains("--kafka-property"));
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let given = settings(&[
            "--bootstrap-servers=b:1",
            "--topic=t",
            "--rate-per-sec=0",
            "--count=5",
            "--partitions=3",
            "--malformed=0.25",
            "--kafka-property=sasl.password=a=b",
            "--schema-id=7",
        ]);
        let expected = Settings {
            bootstrap_servers: "b:1".into(),
            topic: "t".into(),
            rate_per_sec: 0,
            count: Some(5),
            partitions: 3,
            malformed: 0.25,
            properties: vec![("sasl.password".into(), "a=b".into())],
            schema_id: Some(7),
        };
        assert_eq!(given.unwrap(), expected);
    }
}
