//! The checkpoint log as it lies in the store: all slots that it still has.
//!
//! Only the newest says what the archive holds. An older one that cannot be read is reported, and
//! hinders nothing.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::report::Trouble;
use super::tree::{Entry, Tree};
use super::{CONCURRENCY, VerifyError};
use crate::checkpoint::slot::{Slot, SlotError};
use crate::config::location::Location;
use crate::ids::CheckpointId;
use crate::store::StoreError;
use crate::store::s3::S3Access;

/// A slot that is no slot.
#[derive(Debug, thiserror::Error)]
#[error("slot {url} cannot be used: {source}")]
pub struct SlotUnusable {
    url: String,
    source: SlotError,
}

#[derive(Debug)]
pub struct Slots {
    pub newest: Slot,
    /// All that can be read, the newest among them.
    pub readable: BTreeMap<CheckpointId, Slot>,
    /// Older ones that cannot be.
    pub damaged: BTreeMap<CheckpointId, Trouble>,
}

impl Slots {
    /// For those who need the newest only.
    pub fn warn_of_damage(&self) {
        for Trouble { url, why } in self.damaged.values() {
            tracing::warn!(url, why, "an older slot cannot be used");
        }
    }
}

/// A checkpoint log of which only the newest slot is read yet.
pub struct Listed {
    tree: Tree,
    /// All but the newest.
    older: BTreeMap<CheckpointId, Entry>,
    pub newest: Slot,
}

/// Lists a checkpoint log and reads its newest slot.
pub async fn list(location: &Location, access: &S3Access) -> Result<Listed, VerifyError> {
    let tree = Tree::open(location, access)?;
    let mut vanished = None;
    loop {
        let entries = tree.list().await?.into_iter().filter_map(|entry| {
            let folder = entry.key.strip_suffix("/_metadata")?;
            Some((CheckpointId::from_folder(folder)?, entry))
        });
        let mut older: BTreeMap<_, _> = entries.collect();
        let Some((highest, entry)) = older.pop_last() else {
            return Err(VerifyError::NoCheckpoints(location.to_string()));
        };
        let source = match read_one(&tree, highest, &entry).await? {
            Some(Ok(newest)) => {
                return Ok(Listed {
                    tree,
                    older,
                    newest,
                });
            }
            Some(Err(unusable)) => return Err(VerifyError::NewestSlot(unusable)),
            None => SlotError::Missing,
        };
        // Listed and then gone: pruned meanwhile, so there is a higher one.
        if vanished == Some(highest) {
            let url = tree.url(&entry.key);
            return Err(VerifyError::NewestSlot(SlotUnusable { url, source }));
        }
        vanished = Some(highest);
    }
}

impl Listed {
    /// Ascending, the newest among them.
    pub fn ids(&self) -> Vec<CheckpointId> {
        let older = self.older.keys().copied();
        older.chain([self.newest.id]).collect()
    }

    /// One that was listed; `None` when it is not there any more.
    pub async fn read(
        &self,
        id: CheckpointId,
    ) -> Result<Option<Result<Slot, SlotUnusable>>, StoreError> {
        if id == self.newest.id {
            return Ok(Some(Ok(self.newest.clone())));
        }
        match self.older.get(&id) {
            Some(entry) => read_one(&self.tree, id, entry).await,
            None => Ok(None),
        }
    }
}

/// Reads all slots of a checkpoint log.
pub async fn read(location: &Location, access: &S3Access) -> Result<Slots, VerifyError> {
    let listed = list(location, access).await?;
    let tree = &listed.tree;
    let read = stream::iter(&listed.older).map(|(&id, entry)| async move {
        let slot = read_one(tree, id, entry).await?;
        Ok::<_, StoreError>(slot.map(|slot| (id, slot)))
    });
    let others: Vec<_> = read.buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(sorted(
        listed.newest,
        others.into_iter().flatten().collect(),
    ))
}

type Read = BTreeMap<CheckpointId, Result<Slot, SlotUnusable>>;

/// `None` when it is not there any more.
async fn read_one(
    tree: &Tree,
    id: CheckpointId,
    entry: &Entry,
) -> Result<Option<Result<Slot, SlotUnusable>>, StoreError> {
    let body = match tree.get(entry).await {
        Ok(body) => body,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let slot = Slot::from_bytes(id, &body).map_err(|source| SlotUnusable {
        url: tree.url(&entry.key),
        source,
    });
    Ok(Some(slot))
}

fn sorted(newest: Slot, others: Read) -> Slots {
    let mut readable = BTreeMap::from([(newest.id, newest.clone())]);
    let mut damaged = BTreeMap::new();
    for (id, slot) in others {
        match slot {
            Ok(slot) => {
                readable.insert(id, slot);
            }
            Err(SlotUnusable { url, source }) => {
                let why = format!(
                    "{source}. Nothing depends on it, the newest slot suffices: restore it from a \
                     copy of the store, or delete it; pruning does so in time, unless it is a savepoint"
                );
                damaged.insert(id, Trouble { url, why });
            }
        }
    }
    Slots {
        newest,
        readable,
        damaged,
    }
}

fn gone(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|e| e.downcast_ref::<object_store::Error>())
        .is_some_and(|e| matches!(e, object_store::Error::NotFound { .. }))
}
