//! How S3 is reached: where, trusting whom, as whom, and how what is written there is kept.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider, Checksum,
};
use object_store::client::ClientOptions;
use object_store::{Certificate, RetryConfig};

use super::credentials::Credentials;
use super::requests::{CountingConnector, Requests};
use crate::store::StoreError;

/// Long enough for one part of 5 MiB on a slow line; a server that hangs costs no more.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The usual `AWS_*` settings, and some of our own. What it shows of itself has no secret in it.
#[derive(Debug, Clone, Default)]
pub struct S3Access {
    /// `None`: Amazon's.
    pub endpoint: Option<String>,
    pub region: String,
    /// In place of the system's.
    pub trusted: Option<Vec<Certificate>>,
    pub credentials: Credentials,
    pub encryption: Encryption,
    pub checksums: Checksums,
}

/// How the store encrypts an object that is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Encryption {
    #[default]
    AsTheBucketSays,
    /// SSE-S3: keys of the store.
    S3,
    /// SSE-KMS; what is not given is as the S3 bucket says.
    Kms {
        key_id: Option<String>,
        bucket_key: Option<bool>,
    },
}

impl Encryption {
    /// As `S3_SSE` names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AsTheBucketSays => "none",
            Self::S3 => "AES256",
            Self::Kms { .. } => "aws:kms",
        }
    }

    fn apply(&self, mut builder: AmazonS3Builder) -> object_store::Result<AmazonS3Builder> {
        // The type of these keys is not public, their names are.
        let mut set = |name: &str, value: &str| -> object_store::Result<()> {
            let key: AmazonS3ConfigKey = name.parse()?;
            builder = std::mem::take(&mut builder).with_config(key, value);
            Ok(())
        };
        if *self != Self::AsTheBucketSays {
            set("aws_server_side_encryption", self.name())?;
        }
        if let Self::Kms { key_id, bucket_key } = self {
            if let Some(id) = key_id {
                set("aws_sse_kms_key_id", id)?;
            }
            if let Some(enabled) = bucket_key {
                set("aws_sse_bucket_key_enabled", &enabled.to_string())?;
            }
        }
        Ok(builder)
    }
}

/// What is sent with a body, so that the store refuses one that has changed on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Checksums {
    /// In a header that is signed: a tenth of what a SHA-256 of the body costs.
    #[default]
    Crc64nvme,
    /// For servers that do not know it.
    Sha256,
    /// For servers that know no checksums: the body itself is signed.
    None,
}

impl Checksums {
    fn apply(self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self {
            Self::Crc64nvme => builder
                .with_unsigned_payload(true)
                .with_checksum_algorithm(Checksum::CRC64NVME),
            Self::Sha256 => builder
                .with_unsigned_payload(true)
                .with_checksum_algorithm(Checksum::SHA256),
            Self::None => builder,
        }
    }
}

impl S3Access {
    pub(super) fn options(&self) -> ClientOptions {
        trusting(self.trusted.as_deref())
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(Duration::from_secs(5))
    }

    /// `http(s)://host[:port]/s3_bucket`
    pub(super) fn bucket_url(&self, s3_bucket: &str) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{}/{s3_bucket}", endpoint.trim_end_matches('/')),
            None => format!("https://s3.{}.amazonaws.com/{s3_bucket}", self.region),
        }
    }

    pub(super) fn credentials(
        &self,
        requests: &Requests,
    ) -> object_store::Result<AwsCredentialProvider> {
        requests.credentials(|| {
            let options = trusting(self.trusted.as_deref());
            self.credentials.provider(&self.region, options)
        })
    }

    /// A client of one S3 bucket; `prefix` is for its errors only.
    pub fn client(
        &self,
        s3_bucket: &str,
        prefix: &str,
        requests: &Arc<Requests>,
    ) -> Result<AmazonS3, StoreError> {
        let built = self.build(&self.encryption, s3_bucket, requests);
        built.map_err(|e| not_configured(s3_bucket, prefix, e))
    }

    pub(super) fn build(
        &self,
        encryption: &Encryption,
        s3_bucket: &str,
        requests: &Arc<Requests>,
    ) -> object_store::Result<AmazonS3> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(s3_bucket)
            .with_region(&self.region)
            .with_client_options(self.options())
            .with_credentials(self.credentials(requests)?)
            .with_http_connector(CountingConnector(requests.clone()))
            // One object a request: what every server has, and its refusals have a status.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                max_retries: 2,
                retry_timeout: Duration::from_secs(5),
                ..RetryConfig::default()
            });
        builder = encryption.apply(self.checksums.apply(builder))?;
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder.build()
    }
}

/// As AWS's own tools have it: a bundle of certificates takes the place of the system's.
fn trusting(certificates: Option<&[Certificate]>) -> ClientOptions {
    let options = ClientOptions::new().with_allow_http(true);
    let Some(certificates) = certificates else {
        return options;
    };
    let options = options.with_no_system_certificates(true);
    certificates
        .iter()
        .cloned()
        .fold(options, ClientOptions::with_root_certificate)
}

pub(super) fn not_configured(
    s3_bucket: &str,
    prefix: &str,
    error: object_store::Error,
) -> StoreError {
    StoreError::Denied {
        action: "configuring",
        url: format!("s3://{s3_bucket}/{prefix}"),
        source: error.into(),
    }
}
