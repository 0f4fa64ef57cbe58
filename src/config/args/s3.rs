//! How to reach S3.

use std::path::PathBuf;

use clap::Args;

use crate::config::secret::Secret;
use crate::store::s3::Checksums;

#[derive(Debug, Args)]
pub struct S3Args {
    /// S3 service, such as http://minio:9000 [default: Amazon's]
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    pub aws_endpoint_url: Option<String>,

    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub aws_region: String,

    /// File with the certificates that are trusted, in PEM [default: those of the system]
    #[arg(long, env = "AWS_CA_BUNDLE")]
    pub aws_ca_bundle: Option<PathBuf>,

    /// How the store encrypts what is written to it [default: as the S3 bucket says]
    #[arg(long, env = "S3_SSE", value_enum, default_value = "none")]
    pub s3_sse: Sse,

    /// Key of aws:kms [default: the S3 bucket's, or the account's]
    #[arg(long, env = "S3_SSE_KMS_KEY_ID")]
    pub s3_sse_kms_key_id: Option<String>,

    /// Whether aws:kms goes through an S3 bucket key, which costs fewer requests [default: as the S3
    /// bucket says]
    #[arg(long, env = "S3_SSE_BUCKET_KEY", value_name = "true|false")]
    pub s3_sse_bucket_key: Option<bool>,

    /// Checksum by which the store finds out that something has changed on its way
    #[arg(long, env = "S3_CHECKSUM", value_enum, default_value = "crc64nvme")]
    pub s3_checksum: Checksums,

    #[command(flatten)]
    pub credentials: CredentialArgs,
}

/// Server-side encryption, as S3's header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sse {
    None,
    #[value(name = "AES256")]
    Aes256,
    #[value(name = "aws:kms")]
    Kms,
}

/// Where credentials come from: all names are those of AWS's own tools, but for the `*_FILE` ones.
#[derive(Debug, Args)]
pub struct CredentialArgs {
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    pub aws_access_key_id: Option<Secret>,

    #[arg(long, env = "AWS_ACCESS_KEY_ID_FILE")]
    pub aws_access_key_id_file: Option<PathBuf>,

    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub aws_secret_access_key: Option<Secret>,

    #[arg(long, env = "AWS_SECRET_ACCESS_KEY_FILE")]
    pub aws_secret_access_key_file: Option<PathBuf>,

    #[arg(long, env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    pub aws_session_token: Option<Secret>,

    #[arg(long, env = "AWS_SESSION_TOKEN_FILE")]
    pub aws_session_token_file: Option<PathBuf>,

    /// Token of an identity provider, for the role AWS_ROLE_ARN
    #[arg(long, env = "AWS_WEB_IDENTITY_TOKEN_FILE")]
    pub aws_web_identity_token_file: Option<PathBuf>,

    #[arg(long, env = "AWS_ROLE_ARN")]
    pub aws_role_arn: Option<String>,

    #[arg(long, env = "AWS_ROLE_SESSION_NAME", default_value = "lineage")]
    pub aws_role_session_name: String,

    /// Security token service for the role [default: Amazon's of AWS_REGION]
    #[arg(long, env = "AWS_ENDPOINT_URL_STS")]
    pub aws_endpoint_url_sts: Option<String>,

    /// Section of the shared credentials files [default: default, if it is there]
    #[arg(long, env = "AWS_PROFILE")]
    pub aws_profile: Option<String>,

    #[arg(
        long,
        env = "AWS_SHARED_CREDENTIALS_FILE",
        default_value = "~/.aws/credentials"
    )]
    pub aws_shared_credentials_file: PathBuf,

    #[arg(long, env = "AWS_CONFIG_FILE", default_value = "~/.aws/config")]
    pub aws_config_file: PathBuf,

    /// Credentials of an ECS task
    #[arg(long, env = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")]
    pub aws_container_credentials_relative_uri: Option<String>,

    /// Credentials of an EKS pod, or of an agent elsewhere
    #[arg(long, env = "AWS_CONTAINER_CREDENTIALS_FULL_URI")]
    pub aws_container_credentials_full_uri: Option<String>,

    /// What its agent wants to be shown, if anything
    #[arg(
        long,
        env = "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        hide_env_values = true
    )]
    pub aws_container_authorization_token: Option<Secret>,

    #[arg(long, env = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")]
    pub aws_container_authorization_token_file: Option<PathBuf>,

    /// Whether this machine's instance metadata is not asked for credentials
    #[arg(long, env = "AWS_EC2_METADATA_DISABLED", default_value_t = false, action = clap::ArgAction::Set, value_name = "true|false")]
    pub aws_ec2_metadata_disabled: bool,

    #[arg(
        long,
        env = "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        default_value = "http://169.254.169.254"
    )]
    pub aws_ec2_metadata_service_endpoint: String,
}
