//! Claims the log, finishes what an earlier process has left, and clears away the rest.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::checkpoint::coordinator::Owner;
use crate::checkpoint::log::{Appended, CheckpointLog, LogError};
use crate::checkpoint::slot::{JobIdentity, Slot, SlotKind};
use crate::commit_log::{CommitLog, CommitLogError};
use crate::ids::{CheckpointId, JobId, NextOffset, Nonce, Split};
use crate::recovery::decide::{self, Facts, Refusal};
use crate::runtime::retry::Patience;
use crate::sink::committer;
use crate::source::kafka::Watermarks;
use crate::store::{Root, StoreError, Stores};

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

    #[error("a file of an earlier start cannot be finalized: {source}. It is {files}")]
    Finalize { source: StoreError, files: String },

    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    CommitLog(#[from] CommitLogError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The topic as Kafka has it now.
#[async_trait]
pub trait TopicLookup: Send + Sync {
    /// All its splits and what is held of them; waits until there are any.
    async fn splits(&self) -> BTreeMap<Split, Watermarks>;
}

/// What recovery looks at and acts on.
pub struct Recovery<'a> {
    pub log: &'a CheckpointLog,
    pub commit_log: &'a CommitLog,
    pub stores: &'a Stores,
    pub patience: &'a Patience,
    pub identity: &'a JobIdentity,
    pub topic: &'a dyn TopicLookup,
    pub allow_lost_offsets: bool,
}

/// A start that is confirmed, with everything before it finished.
#[derive(Debug)]
pub struct Started {
    pub owner: Owner,
    pub record: Slot,
    pub next_offsets: BTreeMap<Split, NextOffset>,
    pub splits: BTreeMap<Split, Watermarks>,
}

impl Recovery<'_> {
    pub async fn start(&self) -> Result<Started, RecoveryError> {
        let started = self.claim().await?;
        let record = &started.record;
        let pending = record.pending.len();
        tracing::info!(
            job = %record.job,
            generation = record.generation.0,
            slot = record.id.0,
            pending,
            "started"
        );
        committer::finalize(self.stores, self.patience, &record.pending)
            .await
            .map_err(|source| RecoveryError::Finalize {
                source,
                files: describe(record),
            })?;
        self.abort_orphans(record).await?;
        Ok(started)
    }

    /// Takes the next slot. Refused by the slot of another process, it looks at the log anew: that
    /// process may be long dead and its last request late.
    async fn claim(&self) -> Result<Started, RecoveryError> {
        let nonce = Nonce::random();
        loop {
            let newest = self.log.newest().await?;
            if !self.commit_log_fits(newest.as_ref()).await? {
                continue;
            }
            // After the slot, never before: an instance that is still alive may have read on in
            // between, and its offsets would look like those of a topic that was made again.
            let splits = self.topic.splits().await;
            let plan = decide::decide(&Facts {
                newest: newest.as_ref(),
                identity: self.identity,
                splits: &splits,
                allow_lost_offsets: self.allow_lost_offsets,
            })?;
            for lost in &plan.lost {
                tracing::warn!(%lost, "going on without records that are gone, as allowed");
            }
            let owner = Owner {
                job: plan.job.unwrap_or_else(JobId::random),
                generation: plan.generation,
                nonce: nonce.clone(),
                identity: self.identity.clone(),
            };
            let record = owner.slot(
                plan.id,
                SlotKind::Start,
                &plan.next_offsets,
                plan.pending,
                self.patience.clock.wall(),
            );
            match self.log.append(&record).await? {
                Appended::Confirmed => {
                    return Ok(Started {
                        owner,
                        record,
                        next_offsets: plan.next_offsets,
                        splits,
                    });
                }
                Appended::Taken(by) => {
                    let generation = by.generation.0;
                    tracing::info!(slot = by.id.0, generation, "slot taken meanwhile");
                }
            }
        }
    }

    /// False when the log has moved on while we looked.
    async fn commit_log_fits(&self, newest: Option<&Slot>) -> Result<bool, RecoveryError> {
        let bound = newest.map(|slot| slot.id.next());
        let Some(found) = self.commit_log.above(bound).await? else {
            return Ok(true);
        };
        let newest = newest.map(|slot| slot.id);
        if self.log.ids().await?.last().copied() != newest {
            return Ok(false);
        }
        Err(RecoveryError::CommitLogAhead {
            found,
            newest: newest.map_or("none at all".into(), |id| id.to_string()),
        })
    }

    async fn abort_orphans(&self, record: &Slot) -> Result<(), RecoveryError> {
        for root in [Root::Output, Root::Dropped] {
            let store = self.stores.part_files(root);
            let open = self
                .patience
                .insist("listing open uploads", || store.open_uploads())
                .await?;
            let orphans = decide::orphans(record, root, open);
            for upload in &orphans {
                self.patience
                    .insist("aborting an orphan", || store.abort(upload))
                    .await?;
            }
            if !orphans.is_empty() {
                tracing::info!(count = orphans.len(), ?root, "orphans aborted");
            }
        }
        Ok(())
    }
}

/// The pending files of a slot, for an error that somebody has to act on.
fn describe(slot: &Slot) -> String {
    let describe = |file: &crate::checkpoint::slot::PendingFile| {
        let ranges = file
            .offsets
            .iter()
            .map(|r| format!("{} {}..={}", r.split, r.first, r.last));
        let ranges: Vec<_> = ranges.collect();
        format!("{} with offsets {}", file.url, ranges.join(", "))
    };
    let files: Vec<_> = slot.pending.iter().map(describe).collect();
    format!("one of: {}", files.join("; "))
}
