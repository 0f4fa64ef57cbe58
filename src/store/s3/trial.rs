//! What a start tries at each of its paths, so that what the protocol needs is known to be there, and
//! permitted, before a record is read.
//!
//! What it writes begins with [`TRIAL`], which no reader of the archive takes for data, and is removed
//! again. A process that dies amid it leaves an object of a few bytes; the next start that may delete
//! removes it, once it is old enough to be nobody's any more. Where deleting is not permitted an object
//! stays, and starts that come an hour later or more try with that one instead of leaving another. Each
//! start has a name of its own, so several do not meet.

use bytes::Bytes;
use object_store::list::{PaginatedListOptions, PaginatedListStore};

use super::S3Store;
use super::access::Encryption;
use crate::store::{Key, Objects, PartFiles, Put, StoreError, Upload};

/// How names of the trial begin. Names with a dot are hidden for `lineage verify`, and for Hive and Spark.
pub const TRIAL: &str = ".lineage-trial-";
/// What it writes.
const BODY: &[u8] = b"lineage";
/// What is older is nobody's any more: a trial takes seconds.
const LEFT_AFTER: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// [`PartFiles`].
    Files,
    /// [`Objects`].
    Logs,
}

/// A store that answers, and does not do what the protocol needs.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(
        "the store does not have put-if-absent: it has taken a second put with 'If-None-Match: *' of one \
         key, so two processes could both believe that a checkpoint is theirs. Use a server or a version \
         that has it; docs/s3.md says which were tested"
    )]
    NoPutIfAbsent,
    #[error(
        "the store does not list what was just put, so a start could miss the newest checkpoint"
    )]
    StaleLists,
    #[error("the store answers with something else than what was just put")]
    StaleReads,
    #[error(
        "the store shows a file before its upload is completed, so readers would see files of checkpoints \
         that are not complete"
    )]
    VisibleTooEarly,
    #[error(
        "the store does not keep the metadata of a multipart upload in its file, so a file could not be \
         told from a foreign one"
    )]
    NoMetadata,
    #[error(
        "S3_SSE={asked} is set, and the store says of what was written that it is {found}: use a server that \
         encrypts so, or leave S3_SSE out"
    )]
    NotEncrypted { asked: &'static str, found: String },
}

/// A name that nobody else has.
pub(super) fn trial_key() -> Key {
    Key::new(format!("{TRIAL}{}", uuid::Uuid::new_v4().simple()))
}

impl S3Store {
    /// Tries all that a job does here.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store does not answer; else with what is not permitted, or
    /// missing, and it will be so until somebody changes something.
    pub async fn check(&self, purpose: Purpose) -> Result<(), StoreError> {
        self.check_at(purpose, chrono::Utc::now()).await
    }

    pub(crate) async fn check_at(
        &self,
        purpose: Purpose,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<(), StoreError> {
        let left = self.left_by_others(now - LEFT_AFTER).await?;
        let key = match &left {
            Some(left) => left,
            None => &self.trial,
        };
        let tried = self.try_out(purpose, key, left.is_some()).await;
        if left.is_some() {
            return tried;
        }
        match tried {
            Ok(()) => self.remove(key).await.map(drop),
            Err(error @ StoreError::Denied { .. }) => {
                // What is wrong is more worth saying than that this stays.
                let _ = self.delete(key).await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn try_out(&self, purpose: Purpose, key: &Key, is_there: bool) -> Result<(), StoreError> {
        match purpose {
            Purpose::Logs => self.try_puts(key).await?,
            Purpose::Files => self.try_uploads(key, is_there).await?,
        }
        // What was left behind may be of a start with another setting.
        if !is_there {
            self.try_encryption(key).await?;
        }
        let listed = self.list("", key.name()).await?;
        match listed.iter().any(|name| name == key.name()) {
            true => Ok(()),
            false => Err(self.unfit(super::LISTING, key, Unfit::StaleLists)),
        }
    }

    /// A server that does not know the header may take what is written without a word.
    async fn try_encryption(&self, key: &Key) -> Result<(), StoreError> {
        if self.encryption == Encryption::AsTheBucketSays {
            return Ok(());
        }
        let asked = self.encryption.name();
        let found = match self.encryption_of(key).await? {
            Some(found) if found == asked => return Ok(()),
            Some(found) => format!("encrypted by {found}"),
            None => "not encrypted".to_owned(),
        };
        Err(self.unfit(super::READING, key, Unfit::NotEncrypted { asked, found }))
    }

    /// Clears away what earlier starts have left; one of it, if it may not be removed. Lists at least once.
    async fn left_by_others(
        &self,
        old: chrono::DateTime<chrono::Utc>,
    ) -> Result<Option<Key>, StoreError> {
        let prefix = self.full(TRIAL);
        let failed = |e| self.error(super::LISTING, "", e);
        let options = PaginatedListOptions::default();
        let page = self.client.list_paginated(Some(&prefix), options).await;
        for object in page.map_err(failed)?.result.objects {
            if object.last_modified > old {
                continue;
            }
            let name = object.location.filename().unwrap_or_default();
            let key = Key::new(name);
            match self.delete(&key).await {
                Ok(()) => {}
                Err(StoreError::Denied { .. }) => return Ok(Some(key)),
                Err(error) => return Err(error),
            }
        }
        self.abort_left_uploads(&prefix, old).await?;
        Ok(None)
    }

    /// Where listing them is not permitted they stay: they cost next to nothing, and the store's own rules
    /// for incomplete uploads clear them away. (MinIO does not find them by the beginning of a key, and
    /// aborts them by itself after a day.)
    async fn abort_left_uploads(
        &self,
        prefix: &str,
        old: chrono::DateTime<chrono::Utc>,
    ) -> Result<(), StoreError> {
        let page = match self.list_uploads(Some(prefix), None).await {
            Ok(page) => page,
            Err(StoreError::Denied { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        for listed in page.uploads {
            let begun = chrono::DateTime::parse_from_rfc3339(&listed.initiated);
            let (Some(key), Ok(begun)) = (listed.key.strip_prefix(&self.full("")), begun) else {
                continue;
            };
            if key.starts_with(TRIAL) && begun < old {
                self.abort(&Upload {
                    key: Key::new(key),
                    id: listed.upload_id,
                    token: String::new(),
                })
                .await?;
            }
        }
        Ok(())
    }

    /// The second put of one key must be refused, and what was put is read back.
    async fn try_puts(&self, key: &Key) -> Result<(), StoreError> {
        let body = || Bytes::from_static(BODY);
        let first = self.put_if_absent(key, body()).await?;
        match (first, self.put_if_absent(key, body()).await?) {
            (_, Put::Exists) => {}
            (Put::Created, Put::Created) => {
                return Err(self.unfit("writing", key, Unfit::NoPutIfAbsent));
            }
            // It was left behind, and another start may have removed it just then.
            (Put::Exists, Put::Created) => {
                let fresh = trial_key();
                let tried = Box::pin(self.try_puts(&fresh)).await;
                // Whether it may be removed is of no matter here.
                let _ = self.delete(&fresh).await;
                return tried;
            }
        }
        match self.get(key).await {
            Ok(found) if found == BODY => Ok(()),
            Ok(_) | Err(StoreError::NotFound { .. }) => {
                Err(self.unfit(super::READING, key, Unfit::StaleReads))
            }
            Err(error) => Err(error),
        }
    }

    /// One upload is aborted and one is completed; but where a file is there that cannot be removed, none
    /// is completed.
    async fn try_uploads(&self, key: &Key, is_there: bool) -> Result<(), StoreError> {
        let upload = self.begin(key).await?;
        let put = self.put_body(&upload).await;
        self.or_given_up(&upload, put).await?;
        self.abort(&upload).await?;
        // Left behind, or by an earlier try of this start.
        let visible = self.is_visible(key).await?;
        if is_there || visible && !self.remove(key).await? {
            return Ok(());
        }
        let upload = self.begin(key).await?;
        let completed = self.try_to_complete(key, &upload).await;
        self.or_given_up(&upload, completed).await
    }

    async fn try_to_complete(&self, key: &Key, upload: &Upload) -> Result<(), StoreError> {
        let part = self.put_body(upload).await?;
        if self.is_visible(key).await? {
            return Err(self.unfit("uploading a part of", key, Unfit::VisibleTooEarly));
        }
        let committable = self.seal(upload, vec![part], BODY.len() as u64).await?;
        self.finalize(&committable).await?;
        // It is there now, and has to be known again.
        match self.finalize(&committable).await {
            Err(StoreError::Foreign { .. }) => {
                Err(self.unfit(super::READING, key, Unfit::NoMetadata))
            }
            result => result,
        }
    }

    async fn put_body(&self, upload: &Upload) -> Result<String, StoreError> {
        self.put_part(upload, 0, 0, Bytes::from_static(BODY)).await
    }

    /// An upload would stay open where something fails after its begin.
    async fn or_given_up<T>(
        &self,
        upload: &Upload,
        tried: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if tried.is_err() {
            // What is wrong is more worth saying than that this stays.
            let _ = self.abort(upload).await;
        }
        tried
    }

    /// For who does not try again: removes what a trial without an answer may have left.
    pub async fn give_up(&self) {
        // A store that is away keeps it; the next start clears it away.
        let _ = self.delete(&self.trial).await;
    }

    /// Whether it is gone. A start does not fail for what it may not clear away: nothing depends on it.
    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        match self.delete(key).await {
            Ok(()) => Ok(true),
            Err(StoreError::Denied { url, source, .. }) => {
                tracing::warn!(url, why = %source, "what a start has tried stays, as it may not be deleted");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn unfit(&self, action: &'static str, key: &Key, unfit: Unfit) -> StoreError {
        StoreError::Denied {
            action,
            url: self.url_of(&key.0),
            source: unfit.into(),
        }
    }
}
