//! Where bytes are kept: S3 or a folder, behind two small traits.
//!
//! [`Objects`] holds the two logs: small objects that are written once, whole. [`PartFiles`] holds
//! the output: files that are uploaded in pieces, become durable while still invisible, and become
//! visible in one step. Both say what they guarantee; every implementation must pass the same
//! suite (`conformance.rs`).

#[cfg(test)]
mod conformance;
pub mod error;
pub mod local;
pub mod s3;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use error::StoreError;

/// Path below the root of a store, with `/` between its segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub String);

impl Key {
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How a put-if-absent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Created,
    /// Something is at the key already. It may be one's own: the answer to an earlier try was lost.
    Exists,
}

/// Small objects, each written once and whole.
#[async_trait]
pub trait Objects: Send + Sync {
    /// `s3://…` or `file://…` of a key, as people write it.
    fn url(&self, key: &Key) -> String;

    /// Writes the object if nothing is at the key; atomic, and durable when it returns.
    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Put, StoreError>;

    /// Writes the object whatever is at the key; atomic. For what is not part of the protocol, which
    /// never overwrites.
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError>;

    /// The whole object; [`StoreError::NotFound`] when nothing is there.
    async fn get(&self, key: &Key) -> Result<Bytes, StoreError>;

    /// Names of the direct children (objects and folders) of `folder` that begin with
    /// `beginning`, in no order. The empty `folder` is the root; a missing one has no children.
    /// Sees every object whose put has returned.
    async fn list(&self, folder: &str, beginning: &str) -> Result<Vec<String>, StoreError>;

    /// Removes the object; fine when it is gone already.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;
}

/// A file that is being uploaded and that no reader sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub key: Key,
    /// S3: the multipart upload's id. Local: empty, the key suffices.
    pub id: String,
    /// Names this upload in the finished file, where the store can keep it there.
    pub token: String,
}

/// What suffices to finalize a pending file after a crash, by any later process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committable {
    #[serde(flatten)]
    pub upload: Upload,
    /// Bytes of the whole file.
    pub size: u64,
    pub proof: Proof,
}

/// How a file found at the key is recognized as the one of this committable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// ETags of the uploaded parts, in order; they complete the upload. The object carries the
    /// upload's token in its metadata. (The ETag of the object cannot serve: with some kinds of
    /// server-side encryption it cannot be known before.)
    S3 { parts: Vec<String> },
    /// An inode is used again once its file is gone, so it does not suffice.
    Local {
        inode: u64,
        /// Time of the last write, nanoseconds since 1970.
        modified_ns: i128,
    },
}

/// Files that become visible in one step, long after their bytes are durable.
#[async_trait]
pub trait PartFiles: Send + Sync {
    /// `s3://…` or `file://…` of a key, as people and the commit log write it.
    fn url(&self, key: &Key) -> String;

    /// Opens an upload. Keys are never reused; a second upload of one key is a mistake.
    async fn begin(&self, key: &Key) -> Result<Upload, StoreError>;

    /// Puts piece `index` (from 0), which begins at byte `offset`; returns what stands for it.
    /// All pieces but the last have [`PART_SIZE`] bytes. Putting the same piece again is fine.
    async fn put_part(
        &self,
        upload: &Upload,
        index: usize,
        offset: u64,
        data: Bytes,
    ) -> Result<String, StoreError>;

    /// All pieces are put: makes them durable. The file stays invisible.
    async fn seal(
        &self,
        upload: &Upload,
        parts: Vec<String>,
        size: u64,
    ) -> Result<Committable, StoreError>;

    /// Makes the file visible. Idempotent: a file that is at the key already counts if it is
    /// provably this one, otherwise it is [`StoreError::Foreign`] and stays untouched.
    /// [`StoreError::UploadGone`] when neither the upload nor the file is there,
    /// [`StoreError::UploadBroken`] when the upload is there and can never become the file.
    async fn finalize(&self, committable: &Committable) -> Result<(), StoreError>;

    /// Whether a file, any file, is at the key.
    async fn is_visible(&self, key: &Key) -> Result<bool, StoreError>;

    /// Uploads below the root that are open: neither finalized nor aborted.
    async fn open_uploads(&self) -> Result<Vec<Upload>, StoreError>;

    /// Gives up an open upload and frees its bytes; fine when it is gone already.
    async fn abort(&self, upload: &Upload) -> Result<(), StoreError>;
}

/// Bytes of every piece of an upload but the last. S3 wants at least 5 MiB, and some of its
/// relatives want all pieces equal; more would only cost memory.
pub const PART_SIZE: usize = 5 * 1024 * 1024;

/// The stores of one job, one per path in its settings.
#[derive(Clone)]
pub struct Stores {
    pub output: Arc<dyn PartFiles>,
    pub dropped: Arc<dyn PartFiles>,
    pub commit_log: Arc<dyn Objects>,
    pub checkpoints: Arc<dyn Objects>,
}

/// Which of the two kinds of files, each with a root of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// Decoded rows.
    Output,
    /// Records that could not be decoded.
    Dropped,
}

impl Stores {
    pub fn part_files(&self, root: Root) -> &Arc<dyn PartFiles> {
        match root {
            Root::Output => &self.output,
            Root::Dropped => &self.dropped,
        }
    }
}
