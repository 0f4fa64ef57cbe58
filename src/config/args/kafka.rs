//! How to reach the brokers.

use clap::Args;

use super::KafkaSecurityArgs;

#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// Brokers to begin with, HOST:PORT, separated by commas
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "kafka:9092")]
    pub kafka_bootstrap_servers: String,

    /// Anything for librdkafka, such as --kafka-property fetch.wait.max.ms=50 (repeatable; in the
    /// variable one a line)
    #[arg(
        long,
        env = "KAFKA_PROPERTIES",
        value_name = "KEY=VALUE",
        value_delimiter = '\n',
        hide_env_values = true
    )]
    pub kafka_property: Vec<String>,

    #[command(flatten)]
    pub security: KafkaSecurityArgs,
}
