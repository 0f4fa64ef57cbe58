//! The checkpoint log: a dense sequence of slots in the object store.
//!
//! Put-if-absent and looking again after every put are all that fencing rests on:
//! - a refused put is read back: one's own nonce means that it had succeeded;
//! - after a put that succeeded the log is listed again, and the put counts only if its slot is
//!   still the highest. (A lower slot may have been pruned, and then put-if-absent refuses nothing.)

use std::collections::BTreeSet;
use std::sync::Arc;

use super::slot::{Slot, SlotError};
use crate::ids::{CheckpointId, Generation};
use crate::mutants::{self, Mutant};
use crate::runtime::failure;
use crate::runtime::retry::Patience;
use crate::store::{Objects, Put, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "slot {url} cannot be used: {source}. It is the newest of the checkpoint log, and an older \
         one would lose or double records. Restore it from a copy of the store; if there is none, \
         start with a new CHECKPOINTS_PATH, OUTPUT_PATH, DROPPED_PATH and WRITE_AHEAD_COMMIT_LOG_PATH"
    )]
    Damaged { url: String, source: SlotError },

    /// Another process of this job has started since.
    #[error(
        "fenced: slot {slot} of the checkpoint log belongs to generation {newer}, this process is \
         generation {own}. Another instance of this job has taken over; this one stops and changes \
         nothing more"
    )]
    Fenced {
        slot: CheckpointId,
        newer: Generation,
        own: Generation,
    },

    #[error("slot {url} was written and is gone: something else deletes from the checkpoint log")]
    Vanished { url: String },

    #[error("slot {id} could not be written as JSON: {source}")]
    Encode {
        id: CheckpointId,
        source: serde_json::Error,
    },

    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How an append ended, if it was not an error.
#[derive(Debug)]
pub enum Appended {
    /// The slot is ours and the highest.
    Confirmed,
    /// The slot of this number is another process's, which is this one.
    Taken(Box<Slot>),
}

#[derive(Clone)]
pub struct CheckpointLog {
    objects: Arc<dyn Objects>,
    patience: Patience,
}

impl CheckpointLog {
    pub fn new(objects: Arc<dyn Objects>, patience: Patience) -> Self {
        Self { objects, patience }
    }

    pub fn url(&self, id: CheckpointId) -> String {
        self.objects.url(&Slot::key(id))
    }

    /// All ids in the log, ascending.
    pub async fn ids(&self) -> Result<Vec<CheckpointId>, LogError> {
        let concern = "listing the checkpoint log";
        let names = self
            .patience
            .insist(concern, || self.objects.list("", "chk-"))
            .await?;
        let mut ids: Vec<_> = names
            .iter()
            .filter_map(|n| CheckpointId::from_folder(n))
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The highest slot; `None` when the log is empty.
    pub async fn newest(&self) -> Result<Option<Slot>, LogError> {
        let mut missing = None;
        loop {
            let ids = self.ids().await?;
            let Some(&id) = ids.last() else {
                return Ok(None);
            };
            if mutants::is(Mutant::OlderSlotUsed)
                && let [.., older, _] = ids[..]
                && self.read(id).await.is_err()
            {
                return self.read(older).await;
            }
            if let Some(slot) = self.read(id).await? {
                return Ok(Some(slot));
            }
            // Listed and then gone: pruned meanwhile, so there is a higher one. If there is not,
            // somebody has taken the slot out of its folder.
            if missing == Some(id) {
                return Err(LogError::Damaged {
                    url: self.url(id),
                    source: SlotError::Missing,
                });
            }
            missing = Some(id);
        }
    }

    /// Slot `id`; `None` when it is not there.
    pub async fn read(&self, id: CheckpointId) -> Result<Option<Slot>, LogError> {
        let key = Slot::key(id);
        let concern = "reading the checkpoint log";
        let body = self
            .patience
            .insist(concern, || self.objects.get(&key))
            .await;
        match body {
            Ok(body) => Slot::from_bytes(id, &body)
                .map(Some)
                .map_err(|source| LogError::Damaged {
                    url: self.url(id),
                    source,
                }),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Puts `slot` as the next of the log and looks again. Returns only with a definite answer.
    pub async fn append(&self, slot: &Slot) -> Result<Appended, LogError> {
        let key = Slot::key(slot.id);
        let body = slot.to_bytes().map_err(|source| LogError::Encode {
            id: slot.id,
            source,
        })?;
        let concern = "writing the checkpoint log";
        loop {
            failure::point(failure::SLOT_PUT_BEFORE);
            let put = self
                .patience
                .insist(concern, || self.objects.put_if_absent(&key, body.clone()))
                .await?;
            failure::point(failure::SLOT_PUT_AFTER);
            if put == Put::Created {
                break;
            }
            match self.read(slot.id).await? {
                Some(found) if self.is_own(&found, slot) => break,
                Some(found) => return Ok(Appended::Taken(Box::new(found))),
                None if mutants::is(Mutant::RefusedSlotBelieved) => break,
                None => {}
            }
            // Pruned since: there is a higher one, which looking again finds. Otherwise S3 has
            // refused the put for another one that was under way at this key (its status 409), and
            // wants it once more.
            let ids = self.ids().await?;
            if ids.last().is_some_and(|&highest| highest > slot.id) {
                break;
            }
            self.patience.pause().await;
        }
        if !mutants::is(Mutant::NoLookAgain) {
            self.look_again(slot).await?;
        }
        Ok(Appended::Confirmed)
    }

    /// Whether the slot found is the one that this process has put.
    fn is_own(&self, found: &Slot, put: &Slot) -> bool {
        if mutants::is(Mutant::GenerationForNonce) {
            return found.generation == put.generation;
        }
        found.nonce == put.nonce
    }

    /// Fails unless `own` is still the highest slot.
    pub async fn look_again(&self, own: &Slot) -> Result<(), LogError> {
        let highest = self.newest().await?;
        match highest {
            Some(slot) if slot.id == own.id && self.is_own(&slot, own) => Ok(()),
            Some(slot) if slot.id >= own.id => Err(LogError::Fenced {
                slot: slot.id,
                newer: slot.generation,
                own: own.generation,
            }),
            _ => Err(LogError::Vanished {
                url: self.url(own.id),
            }),
        }
    }

    /// Removes all slots below `keep_from` but the savepoints. The caller owns a complete slot at or
    /// above it, which names these.
    pub async fn prune(
        &self,
        keep_from: CheckpointId,
        savepoints: &BTreeSet<CheckpointId>,
    ) -> Result<(), LogError> {
        let kept =
            |id: &CheckpointId| savepoints.contains(id) && !mutants::is(Mutant::SavepointPruned);
        let below = self.ids().await?.into_iter().filter(|&id| id < keep_from);
        for id in below.filter(|id| !kept(id)) {
            self.objects.delete(&Slot::key(id)).await?;
        }
        Ok(())
    }
}
