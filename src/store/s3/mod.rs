//! S3 and what speaks like it.
//!
//! A part file is a multipart upload: its bytes are durable once every part is put, and nobody sees
//! them before the upload is completed. Requests are retried here for a few seconds only; who calls
//! retries for as long as it takes, and says so.

pub mod access;
pub mod container;
pub mod credentials;
pub mod profile;
pub(crate) mod refusal;
pub mod requests;
mod signed;
pub mod trial;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpConnector};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions,
};

pub use self::access::{Checksums, Encryption, S3Access};
use self::requests::{CountingConnector, Requests};
pub use self::trial::Purpose;
use super::{Committable, Key, Objects, PartFiles, Proof, Put, StoreError, Upload};

/// Metadata key of a finished file that names the upload it came from.
const TOKEN: &str = "lineage-upload";

/// All keys below one prefix of one S3 bucket.
pub struct S3Store {
    client: AmazonS3,
    /// Without the headers of encryption, which object_store sends with an abort too, and which S3 takes
    /// only where something is written.
    aborting: AmazonS3,
    http: HttpClient,
    region: String,
    /// `http(s)://host[:port]/s3_bucket`
    bucket_url: String,
    s3_bucket: String,
    /// Without slashes at its ends; may be empty.
    prefix: String,
    encryption: Encryption,
    /// What a start tries with.
    trial: Key,
}

impl S3Store {
    /// All that it asks is counted in `requests`.
    pub fn open(
        access: &S3Access,
        s3_bucket: &str,
        prefix: &str,
        requests: &Arc<Requests>,
    ) -> Result<Self, StoreError> {
        let failed = |e| access::not_configured(s3_bucket, prefix, e);
        let plain = Encryption::AsTheBucketSays;
        Ok(Self {
            client: access.client(s3_bucket, prefix, requests)?,
            aborting: access.build(&plain, s3_bucket, requests).map_err(failed)?,
            http: CountingConnector(requests.clone())
                .connect(&access.options())
                .map_err(failed)?,
            region: access.region.clone(),
            bucket_url: access.bucket_url(s3_bucket),
            s3_bucket: s3_bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            encryption: access.encryption.clone(),
            trial: trial::trial_key(),
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
        let url = self.url_of(key);
        if let object_store::Error::NotFound { source, .. } = &error {
            let text = source.to_string();
            if text.contains("NoSuchUpload") {
                return StoreError::UploadGone { url };
            }
            if action == READING && !text.contains("NoSuchBucket") {
                return StoreError::NotFound { url };
            }
        }
        self.failure(action, key, error.into())
    }

    /// Refused, or not answered.
    fn failure(
        &self,
        action: &'static str,
        key: &str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> StoreError {
        let url = self.url_of(key);
        let request = refusal::Request {
            action,
            s3_bucket: &self.s3_bucket,
            encryption: &self.encryption,
        };
        request.failed(url, source)
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
pub(crate) const READING: &str = "reading";
pub(crate) const LISTING: &str = "listing";
const LISTING_UPLOADS: &str = "listing the open uploads of";
const ABORTING: &str = "aborting the upload of";
const DELETING: &str = "deleting";

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
        let beginning = match folder {
            "" => beginning.to_owned(),
            folder => format!("{folder}/{beginning}"),
        };
        let prefix = self.full(&beginning);
        let mut names = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions {
                delimiter: Some("/".into()),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = self.client.list_paginated(Some(&prefix), options).await;
            let page = page.map_err(|e| self.error(LISTING, &beginning, e))?;
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
            Err(e) => Err(self.error(DELETING, &key.0, e)),
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
            // Of the whole S3 bucket: by a beginning MinIO finds none, and orphans would stay for ever.
            let page = self.list_uploads(None, after.as_ref()).await?;
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
        match self.aborting.abort_multipart(&path, &upload.id).await {
            Ok(()) => Ok(()),
            Err(e) => match self.error(ABORTING, &upload.key.0, e) {
                StoreError::UploadGone { .. } => Ok(()),
                e => Err(e),
            },
        }
    }
}
