//! How to reach S3.

use clap::Args;

#[derive(Debug, Args)]
pub struct S3Args {
    /// S3 service, such as http://minio:9000 [default: Amazon's]
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    pub aws_endpoint_url: Option<String>,

    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub aws_region: String,

    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    pub aws_access_key_id: Option<String>,

    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub aws_secret_access_key: Option<String>,

    #[arg(long, env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    pub aws_session_token: Option<String>,
}
