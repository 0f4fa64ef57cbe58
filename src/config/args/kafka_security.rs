//! Who one is to the brokers, and how they are known.

use std::path::PathBuf;

use clap::Args;

use crate::config::secret::Secret;
use crate::source::kafka::security::{Mechanism, Protocol};

#[derive(Debug, Args)]
pub struct KafkaSecurityArgs {
    /// How the brokers are spoken to
    #[arg(
        long,
        env = "KAFKA_SECURITY_PROTOCOL",
        value_enum,
        ignore_case = true,
        default_value = "PLAINTEXT"
    )]
    pub kafka_security_protocol: Protocol,

    /// How one says who one is, with SASL
    #[arg(long, env = "KAFKA_SASL_MECHANISM", value_enum, ignore_case = true)]
    pub kafka_sasl_mechanism: Option<Mechanism>,

    /// User of PLAIN and SCRAM
    #[arg(long, env = "KAFKA_SASL_USERNAME")]
    pub kafka_sasl_username: Option<String>,

    /// Password of that user
    #[arg(long, env = "KAFKA_SASL_PASSWORD", hide_env_values = true)]
    pub kafka_sasl_password: Option<Secret>,

    /// File with that password
    #[arg(long, env = "KAFKA_SASL_PASSWORD_FILE")]
    pub kafka_sasl_password_file: Option<PathBuf>,

    /// PEM file with the certificates that vouch for the brokers [default: the system's]
    #[arg(long, env = "KAFKA_SSL_CA_FILE")]
    pub kafka_ssl_ca_file: Option<PathBuf>,

    /// PEM file with a certificate of our own, and those between it and its authority
    #[arg(long, env = "KAFKA_SSL_CERTIFICATE_FILE")]
    pub kafka_ssl_certificate_file: Option<PathBuf>,

    /// PEM file with the private key of that certificate
    #[arg(long, env = "KAFKA_SSL_KEY_FILE")]
    pub kafka_ssl_key_file: Option<PathBuf>,

    /// Password of that key
    #[arg(long, env = "KAFKA_SSL_KEY_PASSWORD", hide_env_values = true)]
    pub kafka_ssl_key_password: Option<Secret>,

    /// File with that password
    #[arg(long, env = "KAFKA_SSL_KEY_PASSWORD_FILE")]
    pub kafka_ssl_key_password_file: Option<PathBuf>,

    /// OAUTHBEARER: file with a token, read again whenever one is needed
    #[arg(long, env = "KAFKA_OAUTH_TOKEN_FILE")]
    pub kafka_oauth_token_file: Option<PathBuf>,

    /// OAUTHBEARER: where tokens are asked for, by client credentials
    #[arg(long, env = "KAFKA_OAUTH_TOKEN_URL", hide_env_values = true)]
    pub kafka_oauth_token_url: Option<String>,

    /// Client that asks for tokens
    #[arg(long, env = "KAFKA_OAUTH_CLIENT_ID")]
    pub kafka_oauth_client_id: Option<String>,

    /// Secret of that client
    #[arg(long, env = "KAFKA_OAUTH_CLIENT_SECRET", hide_env_values = true)]
    pub kafka_oauth_client_secret: Option<Secret>,

    /// File with that secret
    #[arg(long, env = "KAFKA_OAUTH_CLIENT_SECRET_FILE")]
    pub kafka_oauth_client_secret_file: Option<PathBuf>,

    /// Scope to ask for
    #[arg(long, env = "KAFKA_OAUTH_SCOPE")]
    pub kafka_oauth_scope: Option<String>,
}
