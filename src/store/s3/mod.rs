//! S3 and what speaks like it.
//!
//! A part file is a multipart upload: its bytes are durable once every part is put, and nobody sees
//! them before the upload is completed. Requests are retried here for a few seconds only; who calls
//! retries for as long as it takes, and says so.

pub mod requests;
mod signed;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, RetryConfig,
};

use self::requests::{CountingConnector, Requests};
use super::{Committable, Key, Objects, PartFiles, Proof, Put, StoreError, Upload};

/// Metadata key of a finished file that names the upload it came from.
const TOKEN: &str = "lineage-upload";

/// Long enough for one part of 5 MiB on a slow line; a server that hangs costs no more.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How to reach S3; the usual `AWS_*` settings.
#[derive(Clone)]
pub struct S3Access {
    pub endpoint: Option<String>,
    pub region: String,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
}

impl std::fmt::Debug for S3Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Access")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// All keys below one prefix of one S3 bucket.
pub struct S3Store {
    client: AmazonS3,
    http: HttpClient,
    region: String,
    /// `http(s)://host[:port]/s3_bucket`
    bucket_url: String,
    s3_bucket: String,
    /// Without slashes at its ends; may be empty.
    prefix: String,
}

fn options() -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(true)
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(Duration::from_secs(5))
}

fn not_configured(s3_bucket: &str, prefix: &str, error: object_store::Error) -> StoreError {
    StoreError::Denied {
        action: "configuring",
        url: format!("s3://{s3_bucket}/{prefix}"),
        source: error.into(),
    }
}

/// A client of one S3 bucket; `prefix` is for its errors only.
pub fn client(
    access: &S3Access,
    s3_bucket: &str,
    prefix: &str,
    requests: &Arc<Requests>,
) -> Result<AmazonS3, StoreError> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(s3_bucket)
        .with_region(&access.region)
        .with_client_options(options())
        .with_http_connector(CountingConnector(requests.clone()))
        // The checksum of the body is in a header, and the headers are signed: a body that changes on
        // its way is refused, at a tenth of what a SHA-256 of it costs.
        .with_unsigned_payload(true)
        .with_checksum_algorithm(Checksum::CRC64NVME)
        .with_retry(RetryConfig {
            max_retries: 2,
            retry_timeout: Duration::from_secs(5),
            ..RetryConfig::default()
        });
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let (Some(id), Some(secret)) = (&access.access_key_id, &access.secret_access_key) {
        builder = builder
            .with_access_key_id(id)
            .with_secret_access_key(secret);
    }
    if let Some(token) = &access.session_token {
        builder = builder.with_token(token);
    }
    builder
        .build()
        .map_err(|e| not_configured(s3_bucket, prefix, e))
}

impl S3Store {
    /// All that it asks is counted in `requests`.
    pub fn open(
        access: &S3Access,
        s3_bucket: &str,
        prefix: &str,
        requests: &Arc<Requests>,
    ) -> Result<Self, StoreError> {
        let bucket_url = match &access.endpoint {
            Some(endpoint) => format!("{}/{s3_bucket}", endpoint.trim_end_matches('/')),
            None => format!("https://s3.{}.amazonaws.com/{s3_bucket}", access.region),
        };
        Ok(Self {
            client: client(access, s3_bucket, prefix, requests)?,
            http: CountingConnector(requests.clone())
                .connect(&options())
                .map_err(|e| not_configured(s3_bucket, prefix, e))?,
            region: access.region.clone(),
            bucket_url,
            s3_bucket: s3_bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }

    /// The key in the S3 bucket.
    fn full(&self, key: &str) -> String {
        match self.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    fn path(&self, key: &Key) -> Path {
        Path::from(self.full(&key.0))
    }

    fn url_of(&self, key: &str) -> String {
        format!("s3://{}/{}", self.s3_bucket, self.full(key))
    }

    fn error(&self, action: &'static str, key: &str, error: object_store::Error) -> StoreError {
        use object_store::Error;
        let url = self.url_of(key);
        match error {
            Error::NotFound { source, .. } => {
                let text = source.to_string();
                if text.contains("NoSuchUpload") {
                    StoreError::UploadGone { url }
                } else if text.contains("NoSuchBucket") || action != READING {
                    StoreError::Denied {
                        action,
                        url,
                        source,
                    }
                } else {
                    StoreError::NotFound { url }
                }
            }
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StoreError::Denied {
                action,
                url,
                source: error.into(),
            },
            other => StoreError::unavailable(action, url, other),
        }
    }

    /// The object found at the key counts if it is provably this one.
    fn proven(
        &self,
        committable: &Committable,
        (size, token): (u64, Option<String>),
    ) -> Result<(), StoreError> {
        let upload = &committable.upload;
        if size == committable.size && token.as_deref() == Some(&upload.token) {
            return Ok(());
        }
        Err(StoreError::Foreign {
            url: self.url_of(&upload.key.0),
        })
    }

    /// Size and upload token of the object at the key; `None` when nothing is there.
    async fn identify(&self, key: &Key) -> Result<Option<(u64, Option<String>)>, StoreError> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.client.get_opts(&self.path(key), options).await {
            Ok(found) => {
                let token = found.attributes.get(&Attribute::Metadata(TOKEN.into()));
                Ok(Some((
                    found.meta.size,
                    token.map(|t| t.as_ref().to_owned()),
                )))
            }
            Err(e) => match self.error(READING, &key.0, e) {
                StoreError::NotFound { .. } => Ok(None),
                e => Err(e),
            },
        }
    }
}

/// S3's answer to a completion that names parts which it does not have. MinIO gives it for ever once
/// a connection has ended between its removal of the parts' metadata and its renaming of the data.
fn parts_are_lost(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Generic { source, .. }
        if source.to_string().contains("<Code>InvalidPart</Code>"))
}

/// The one action for which 'not found' speaks of the object.
const READING: &str = "reading";

#[async_trait]
impl Objects for S3Store {
    fn url(&self, key: &Key) -> String {
        self.url_of(&key.0)
    }

    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Put, StoreError> {
        let options = PutOptions::from(PutMode::Create);
        match self
            .client
            .put_opts(&self.path(key), body.into(), options)
            .await
        {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
            Err(e) => Err(self.error("writing", &key.0, e)),
        }
    }

    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let put = self.client.put(&self.path(key), body.into()).await;
        put.map(drop).map_err(|e| self.error("writing", &key.0, e))
    }

    async fn get(&self, key: &Key) -> Result<Bytes, StoreError> {
        let failed = |e| self.error(READING, &key.0, e);
        let found = self.client.get(&self.path(key)).await.map_err(failed)?;
        found.bytes().await.map_err(failed)
    }

    async fn list(&self, folder: &str, beginning: &str) -> Result<Vec<String>, StoreError> {
        let folder = match folder {
            "" => self.full(""),
            folder => self.full(&format!("{folder}/")),
        };
        let prefix = format!("{folder}{beginning}");
        let mut names = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions {
                delimiter: Some("/".into()),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = self.client.list_paginated(Some(&prefix), options).await;
            let page = page.map_err(|e| self.error("listing", &prefix, e))?;
            let folders = page.result.common_prefixes.iter();
            let objects = page.result.objects.iter().map(|o| &o.location);
            for path in folders.chain(objects) {
                names.extend(path.filename().map(str::to_owned));
            }
            page_token = page.page_token;
            if page_token.is_none() {
                return Ok(names);
            }
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        match self.client.delete(&self.path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.error("deleting", &key.0, e)),
        }
    }
}

#[async_trait]
impl PartFiles for S3Store {
    fn url(&self, key: &Key) -> String {
        self.url_of(&key.0)
    }

    async fn begin(&self, key: &Key) -> Result<Upload, StoreError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let attributes =
            Attributes::from_iter([(Attribute::Metadata(TOKEN.into()), token.clone())]);
        let options = PutMultipartOptions {
            attributes,
            ..PutMultipartOptions::default()
        };
        let id = self
            .client
            .create_multipart_opts(&self.path(key), options)
            .await;
        Ok(Upload {
            key: key.clone(),
            id: id.map_err(|e| self.error("opening an upload of", &key.0, e))?,
            token,
        })
    }

    async fn put_part(
        &self,
        upload: &Upload,
        index: usize,
        _offset: u64,
        data: Bytes,
    ) -> Result<String, StoreError> {
        let path = self.path(&upload.key);
        let part = self
            .client
            .put_part(&path, &upload.id, index, data.into())
            .await;
        part.map(|part| part.content_id)
            .map_err(|e| self.error("uploading a part of", &upload.key.0, e))
    }

    async fn seal(
        &self,
        upload: &Upload,
        parts: Vec<String>,
        size: u64,
    ) -> Result<Committable, StoreError> {
        Ok(Committable {
            upload: upload.clone(),
            size,
            proof: Proof::S3 { parts },
        })
    }

    async fn finalize(&self, committable: &Committable) -> Result<(), StoreError> {
        let upload = &committable.upload;
        let Proof::S3 { parts } = &committable.proof else {
            return Err(StoreError::Foreign {
                url: self.url_of(&upload.key.0),
            });
        };
        // A completion would overwrite what is there.
        if let Some(found) = self.identify(&upload.key).await? {
            return self.proven(committable, found);
        }
        let parts = parts.iter().map(|tag| PartId {
            content_id: tag.clone(),
        });
        let path = self.path(&upload.key);
        let completed = self
            .client
            .complete_multipart(&path, &upload.id, parts.collect())
            .await;
        let Err(error) = completed else {
            return Ok(());
        };
        // It may have been done just now, with its answer lost: look at the key.
        match self.identify(&upload.key).await? {
            Some(found) => self.proven(committable, found),
            None if parts_are_lost(&error) => Err(StoreError::UploadBroken {
                url: self.url_of(&upload.key.0),
            }),
            None => Err(self.error("completing the upload of", &upload.key.0, error)),
        }
    }

    async fn is_visible(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(self.identify(key).await?.is_some())
    }

    async fn open_uploads(&self) -> Result<Vec<Upload>, StoreError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.list_uploads(after.as_ref()).await?;
            for upload in page.uploads {
                if let Some(key) = upload.key.strip_prefix(&self.full("")) {
                    found.push(Upload {
                        key: Key::new(key),
                        id: upload.upload_id,
                        token: String::new(),
                    });
                }
            }
            if !page.is_truncated || page.next_key_marker.is_empty() {
                return Ok(found);
            }
            after = Some((page.next_key_marker, page.next_upload_id_marker));
        }
    }

    async fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        let path = self.path(&upload.key);
        match self.client.abort_multipart(&path, &upload.id).await {
            Ok(()) => Ok(()),
            Err(e) => match self.error("aborting the upload of", &upload.key.0, e) {
                StoreError::UploadGone { .. } => Ok(()),
                e => Err(e),
            },
        }
    }
}
