//! How to reach a schema registry.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::StringValueParser;

use super::forgiving::Trimmed;
use super::parse_duration;
use crate::config::secret::Secret;

#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// Schema registry, in Confluent's API; several are tried in turn. For AVRO_FORMAT=confluent
    #[arg(
        long,
        env = "SCHEMA_REGISTRY_URL",
        value_parser = Trimmed(StringValueParser::new()),
        value_delimiter = ',',
        value_name = "URL,…",
        hide_env_values = true
    )]
    pub schema_registry_url: Vec<String>,

    /// Subject whose latest schema is the reader's, where AVRO_SCHEMA is not given [default: TOPIC-value]
    #[arg(long, env = "SCHEMA_REGISTRY_SUBJECT")]
    pub schema_registry_subject: Option<String>,

    #[arg(long, env = "SCHEMA_REGISTRY_USERNAME")]
    pub schema_registry_username: Option<String>,

    #[arg(long, env = "SCHEMA_REGISTRY_PASSWORD", hide_env_values = true)]
    pub schema_registry_password: Option<Secret>,

    /// File with that password
    #[arg(long, env = "SCHEMA_REGISTRY_PASSWORD_FILE")]
    pub schema_registry_password_file: Option<PathBuf>,

    /// Sent as `Authorization: Bearer TOKEN`, instead of a name and a password
    #[arg(long, env = "SCHEMA_REGISTRY_TOKEN", hide_env_values = true)]
    pub schema_registry_token: Option<Secret>,

    /// File with that token
    #[arg(long, env = "SCHEMA_REGISTRY_TOKEN_FILE")]
    pub schema_registry_token_file: Option<PathBuf>,

    /// Certificates in PEM that are trusted beside those of the system
    #[arg(long, env = "SCHEMA_REGISTRY_CA_FILE")]
    pub schema_registry_ca_file: Option<PathBuf>,

    /// How long an id that the registry does not know is asked for before its records are dropped
    #[arg(long, env = "SCHEMA_REGISTRY_RETRY", default_value = "30s", value_parser = parse_duration)]
    pub schema_registry_retry: Duration,
}
