//! All objects below one root, read only. Nothing is made, not even a folder.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use crate::config::location::Location;
use crate::store::StoreError;
use crate::store::s3::refusal::Request;
use crate::store::s3::{Encryption, LISTING, READING, S3Access};

#[derive(Clone)]
pub struct Tree {
    store: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    location: Location,
    encryption: Encryption,
    /// What the archive's own URLs begin with: where it was written, which a copy is not.
    written_at: String,
}

#[derive(Debug, Clone)]
pub struct Entry {
    /// Below the root.
    pub key: String,
    pub size: u64,
    path: Path,
}

impl Entry {
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }
}

impl Tree {
    pub fn open(location: &Location, access: &S3Access) -> Result<Self, StoreError> {
        let (store, prefix): (Arc<dyn ObjectStore>, _) = match location {
            Location::S3 { s3_bucket, prefix } => {
                let client = access.client(s3_bucket, prefix, &Arc::default())?;
                (Arc::new(client), Some(Path::from(prefix.as_str())))
            }
            Location::Folder(path) => {
                let folder = LocalFileSystem::new_with_prefix(path)
                    .map_err(|e| StoreError::unavailable("opening", location.to_string(), e))?;
                (Arc::new(folder), None)
            }
        };
        Ok(Self {
            store,
            prefix,
            location: location.clone(),
            encryption: access.encryption.clone(),
            written_at: location.to_string(),
        })
    }

    pub fn written_at(self, url: &str) -> Self {
        Self {
            written_at: url.to_owned(),
            ..self
        }
    }

    /// As the commit log names it.
    pub fn url(&self, key: &str) -> String {
        format!("{}/{key}", self.written_at)
    }

    /// Every object below the root.
    pub async fn list(&self) -> Result<Vec<Entry>, StoreError> {
        self.list_at(self.prefix.as_ref()).await
    }

    /// Every object below a folder of the root; none when it is not there.
    pub async fn list_folder(&self, folder: &str) -> Result<Vec<Entry>, StoreError> {
        self.list_at(Some(&self.path(folder))).await
    }

    async fn list_at(&self, place: Option<&Path>) -> Result<Vec<Entry>, StoreError> {
        let listed = self.store.list(place);
        let entries = listed.try_filter_map(async |object| {
            let key = match &self.prefix {
                Some(prefix) => object.location.as_ref().strip_prefix(prefix.as_ref()),
                None => Some(object.location.as_ref()),
            };
            let key = key.map(|key| key.trim_start_matches('/').to_owned());
            Ok(key.map(|key| Entry {
                key,
                size: object.size,
                path: object.location,
            }))
        });
        let all = entries.try_collect().await;
        all.map_err(|e| self.failed(LISTING, self.location.to_string(), e))
    }

    /// Whether the object is there that the archive names by this URL.
    pub async fn has(&self, url: &str) -> Result<bool, StoreError> {
        let Some(key) = self.key(url) else {
            return Ok(false);
        };
        match self.store.head(&self.path(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(self.failed(READING, url.to_owned(), e)),
        }
    }

    /// The object that the archive names by this URL, with its last bytes, `length` or all; `None` when
    /// it is not there.
    pub async fn tail(&self, url: &str, length: u64) -> Result<Option<(Entry, Bytes)>, StoreError> {
        let Some(key) = self.key(url) else {
            return Ok(None);
        };
        let path = self.path(key);
        let range = GetOptions::new().with_range(Some(GetRange::Suffix(length)));
        let failed = |e| self.failed(READING, url.to_owned(), e);
        let found = match self.store.get_opts(&path, range).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let entry = Entry {
            key: key.to_owned(),
            size: found.meta.size,
            path,
        };
        Ok(Some((entry, found.bytes().await.map_err(failed)?)))
    }

    fn key<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(&self.written_at)?.strip_prefix('/')
    }

    fn path(&self, key: &str) -> Path {
        match &self.prefix {
            Some(prefix) => Path::from(format!("{prefix}/{key}")),
            None => Path::from(key),
        }
    }

    pub async fn get(&self, entry: &Entry) -> Result<Bytes, StoreError> {
        let failed = |e| self.not_read(entry, e);
        let found = self.store.get(&entry.path).await.map_err(failed)?;
        found.bytes().await.map_err(failed)
    }

    pub async fn ranges(
        &self,
        entry: &Entry,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StoreError> {
        let got = self.store.get_ranges(&entry.path, ranges).await;
        got.map_err(|e| self.not_read(entry, e))
    }

    fn not_read(&self, entry: &Entry, error: object_store::Error) -> StoreError {
        let url = format!("{}/{}", self.location, entry.key);
        self.failed(READING, url, error)
    }

    /// As the stores of a run say it.
    fn failed(&self, action: &'static str, url: String, error: object_store::Error) -> StoreError {
        match &self.location {
            Location::Folder(_) => StoreError::unavailable(action, url, error),
            Location::S3 { s3_bucket, .. } => {
                let encryption = &self.encryption;
                let request = Request {
                    action,
                    s3_bucket,
                    encryption,
                };
                request.failed(url, error.into())
            }
        }
    }
}
