//! A start: claims the log, finishes what an earlier process has left, and clears away the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use futures::FutureExt;

use crate::checkpoint::coordinator::Owner;
use crate::checkpoint::log::{Appended, CheckpointLog, LogError};
use crate::checkpoint::slot::{JobIdentity, PendingFile, Slot, SlotKind};
use crate::commit_log::{CommitLog, CommitLogError};
use crate::ids::{CheckpointId, NextOffset, Split};
use crate::mutants::{self, Mutant};
use crate::offset_set::ExactOffsets;
use crate::recovery::agreement::Disagreement;
use crate::recovery::decide::{self, Held, Refusal, Savepoint};
use crate::recovery::evolution::SchemaRefusal;
use crate::recovery::reread;
use crate::runtime::failure;
use crate::runtime::retry::{Patience, with_causes};
use crate::sink::committer::{self, LostFile};
use crate::source::kafka::{ClusterError, Topics, Watermarks};
use crate::source::reread::Reread;
use crate::source::start_from::StartFrom;
use crate::store::{Key, Objects, Root, StoreError, Stores};
use crate::transform::avro_schema::InputSchema;

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("{0}")]
    Refused(#[from] Refusal),

    #[error(
        "the commit log is ahead: it has {found}, but the newest slot of the checkpoint log is \
         {newest}. CHECKPOINTS_PATH was lost, swapped or put back to an older state, and going on \
         would double records. Restore it; or start a new archive with new paths for all four"
    )]
    CommitLogAhead { found: CheckpointId, newest: String },

    #[error(
        "FROM_SAVEPOINT={location} cannot be used: {why}. Give the folder of a savepoint, \
         savepoint-ID-N, or of a checkpoint, chk-N"
    )]
    Savepoint { location: String, why: String },

    #[error(transparent)]
    Schema(#[from] SchemaRefusal),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    CommitLog(#[from] CommitLogError),
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kafka(#[from] ClusterError),
}

/// The topics as Kafka has them now.
#[async_trait]
pub trait TopicLookup: Send + Sync {
    /// Their ids, all their splits and what is held of them. Waits until there are any; but for those with
    /// saved offsets, which are here, not for ever: they may be gone.
    ///
    /// # Errors
    /// If one may not be read, which waiting does not cure.
    async fn look(&self, saved: &BTreeSet<Arc<str>>) -> Result<Held, ClusterError>;
}

/// What recovery looks at and acts on.
pub struct Recovery<'a> {
    pub log: &'a CheckpointLog,
    pub commit_log: &'a CommitLog,
    pub stores: &'a Stores,
    pub patience: &'a Patience,
    pub identity: &'a JobIdentity,
    /// The reader's, whose SHA-256 the identity has.
    pub schema: &'a InputSchema,
    /// What is archived.
    pub topics: &'a Topics,
    pub lookup: &'a dyn TopicLookup,
    /// Where a new job begins.
    pub start_from: &'a StartFrom,
    /// Where a new job shall begin instead.
    pub from_savepoint: Option<&'a FromSavepoint>,
    pub allow_lost_offsets: bool,
    pub reread_lost_files: bool,
    /// The generation that this start tries to take; 0 until the log was read. For who has to say
    /// why it failed.
    pub attempt: &'a AtomicU64,
}

/// A savepoint as a person names it.
pub struct FromSavepoint {
    pub location: String,
    /// Its folder.
    pub objects: Arc<dyn Objects>,
}

impl FromSavepoint {
    pub(super) async fn read(&self, patience: &Patience) -> Result<Savepoint, RecoveryError> {
        let key = Key::new("_metadata");
        let get = patience.insist("reading the savepoint", || {
            self.objects.get(&key).map(tolerate_denial)
        });
        let unusable = |why: String| RecoveryError::Savepoint {
            location: self.location.clone(),
            why,
        };
        let body = get.await.and_then(|body| body);
        let body = body.map_err(|error| unusable(with_causes(&error)))?;
        let slot = Slot::read(&body).map_err(|error| unusable(error.to_string()))?;
        Ok(Savepoint {
            location: self.location.clone(),
            slot,
        })
    }
}

/// What a start has gone on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub id: CheckpointId,
    pub is_savepoint: bool,
    pub url: String,
}

/// A start that is confirmed, with everything before it finished.
#[derive(Debug)]
pub struct Started {
    pub owner: Owner,
    pub record: Slot,
    pub next_offsets: BTreeMap<Split, NextOffset>,
    pub splits: BTreeMap<Split, Watermarks>,
    /// `None` for the first start of a job from the earliest records.
    pub restored: Option<Restored>,
    /// Uploads of earlier starts that this one has aborted.
    pub orphans_aborted: u64,
    /// Offsets below the next offsets whose files the store has lost.
    pub(super) lost: BTreeMap<Split, ExactOffsets>,
}

impl Started {
    /// What is to be read again of a split.
    pub fn reread(&self, split: &Split, allow_gaps: bool) -> Option<Reread> {
        Reread::of(self.lost.get(split)?.clone(), allow_gaps)
    }
}

impl Recovery<'_> {
    pub async fn start(&self) -> Result<Started, RecoveryError> {
        let mut started = self.claim().await?;
        let record = &started.record;
        let pending = record.pending.len();
        tracing::info!(
            job = %record.job,
            generation = record.generation.0,
            slot = record.id.0,
            pending,
            "started"
        );
        failure::point(failure::REFINALIZE_BEFORE);
        if mutants::is(Mutant::ReferencedAborted) {
            self.abort_orphans(record).await?;
        }
        let pending = if mutants::is(Mutant::NotRefinalized) {
            &[][..]
        } else {
            &record.pending
        };
        let lost = committer::finalize(self.stores, self.patience, pending).await?;
        failure::point(failure::REFINALIZE_AFTER);
        if !lost.is_empty() {
            // A newer start may have given them up and aborted their uploads.
            self.log.look_again(record).await?;
            self.give_up(&mut started, lost).await?;
        }
        self.settle_reread(&mut started).await?;
        started.orphans_aborted = self.abort_orphans(&started.record).await?;
        Ok(started)
    }

    /// States lost files in one more start record: from then on their records are to be read again,
    /// whatever happens to this process. All other files of the first record are finalized.
    async fn give_up(
        &self,
        started: &mut Started,
        lost: Vec<LostFile>,
    ) -> Result<(), RecoveryError> {
        for lost in &lost {
            tracing::warn!(%lost, "the store has lost a file that was not visible yet");
        }
        let mut reread = started.record.reread.clone();
        reread.extend(reread::give_up(lost, self.reread_lost_files)?);
        // Before anything is given up: refused while nothing has changed.
        self.offsets_to_reread(started, &reread)?;
        let mut record = started.owner.slot(
            started.record.id.next(),
            SlotKind::Start,
            &started.next_offsets,
            Vec::new(),
            self.patience.clock.wall(),
        );
        record.reread = reread;
        if mutants::is(Mutant::GivenUpInSilence) {
            started.record.reread = record.reread;
            return Ok(());
        }
        failure::point(failure::GIVE_UP_BEFORE);
        match self.log.append(&record).await? {
            Appended::Confirmed => {
                failure::point(failure::GIVE_UP_AFTER);
                started.record = record;
                Ok(())
            }
            Appended::Taken(by) => Err(LogError::Fenced {
                slot: by.id,
                newer: by.generation,
                own: record.generation,
            }
            .into()),
        }
    }

    /// Makes sure that no file that was given up becomes visible any more, and notes what to read
    /// again. A file that is visible all the same was completed by a late request, before its
    /// upload was aborted here: it counts.
    async fn settle_reread(&self, started: &mut Started) -> Result<(), RecoveryError> {
        let mut reread = Vec::new();
        for file in &started.record.reread {
            let store = self.stores.part_files(file.root);
            let concern = format!("giving up {}", file.url);
            if !mutants::is(Mutant::RereadWithoutAbort) {
                self.patience
                    .insist(&concern, || store.abort(&file.committable.upload))
                    .await?;
            }
            failure::point(failure::REREAD_ABORT_AFTER);
            let finalized = self
                .patience
                .insist(&concern, || store.finalize(&file.committable))
                .await;
            match finalized {
                Ok(()) if !mutants::is(Mutant::VisibleReadAgain) => {
                    tracing::info!(url = file.url, "visible after all");
                }
                Ok(()) | Err(StoreError::UploadGone { .. }) => reread.push(file.clone()),
                Err(_) if mutants::is(Mutant::RereadWithoutAbort) => reread.push(file.clone()),
                Err(error) => return Err(error.into()),
            }
        }
        started.lost = self.offsets_to_reread(started, &reread)?;
        for (split, lost) in &started.lost {
            tracing::info!(%split, offsets = %lost, "reading the records of lost files again");
        }
        Ok(())
    }

    fn offsets_to_reread(
        &self,
        started: &Started,
        files: &[PendingFile],
    ) -> Result<BTreeMap<Split, ExactOffsets>, Refusal> {
        reread::offsets(
            files,
            &started.next_offsets,
            &started.splits,
            self.allow_lost_offsets,
        )
    }

    /// How many were aborted.
    pub(super) async fn abort_orphans(&self, record: &Slot) -> Result<u64, RecoveryError> {
        let mut all = 0;
        for root in [Root::Output, Root::Dropped] {
            let store = self.stores.part_files(root);
            // Orphans cost space and nothing else: a store that refuses to list or to abort them is
            // no reason not to archive.
            let open = self.patience.insist("listing open uploads", || {
                store.open_uploads().map(tolerate_denial)
            });
            let open = match open.await? {
                Ok(open) => open,
                Err(error) => {
                    let error = with_causes(&error);
                    tracing::warn!(error, ?root, "orphans are not looked for");
                    continue;
                }
            };
            let orphans = decide::orphans(record, root, open);
            let mut aborted = 0;
            for upload in &orphans {
                failure::point(failure::ORPHAN_ABORT_BEFORE);
                let abort = self.patience.insist("aborting an orphan", || {
                    store.abort(upload).map(tolerate_denial)
                });
                if let Err(error) = abort.await? {
                    let error = with_causes(&error);
                    tracing::warn!(error, ?root, left = orphans.len() - aborted, "orphans stay");
                    break;
                }
                failure::point(failure::ORPHAN_ABORT_AFTER);
                aborted += 1;
            }
            if aborted > 0 {
                tracing::info!(count = aborted, ?root, "orphans aborted");
            }
            all += aborted as u64;
        }
        Ok(all)
    }
}

/// A refusal becomes an answer, which is not asked for again.
fn tolerate_denial<T>(result: Result<T, StoreError>) -> Result<Result<T, StoreError>, StoreError> {
    match result {
        Err(error @ StoreError::Denied { .. }) => Ok(Err(error)),
        result => result.map(Ok),
    }
}
