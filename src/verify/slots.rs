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

/// Reads all slots of a checkpoint log.
pub async fn read(location: &Location, access: &S3Access) -> Result<Slots, VerifyError> {
    let tree = Tree::open(location, access)?;
    let mut vanished = None;
    loop {
        let entries = tree.list().await?.into_iter().filter_map(|entry| {
            let folder = entry.key.strip_suffix("/_metadata")?;
            Some((CheckpointId::from_folder(folder)?, entry))
        });
        let entries: BTreeMap<_, _> = entries.collect();
        let Some(&highest) = entries.keys().next_back() else {
            return Err(VerifyError::NoCheckpoints(location.to_string()));
        };
        let url = tree.url(&entries[&highest].key);
        let mut read = read_all(&tree, entries).await?;
        let source = match read.remove(&highest) {
            Some(Ok(newest)) => return Ok(sorted(newest, read)),
            Some(Err(unusable)) => return Err(VerifyError::NewestSlot(unusable)),
            None => SlotError::Missing,
        };
        // Listed and then gone: pruned meanwhile, so there is a higher one.
        if vanished == Some(highest) {
            return Err(VerifyError::NewestSlot(SlotUnusable { url, source }));
        }
        vanished = Some(highest);
    }
}

type Read = BTreeMap<CheckpointId, Result<Slot, SlotUnusable>>;

/// Those that are still there.
async fn read_all(
    tree: &Tree,
    entries: BTreeMap<CheckpointId, Entry>,
) -> Result<Read, VerifyError> {
    let read = stream::iter(entries).map(|(id, entry)| async move {
        let body = match tree.get(&entry).await {
            Ok(body) => body,
            Err(error) if gone(&error) => return Ok(None),
            Err(error) => return Err(VerifyError::from(error)),
        };
        let slot = Slot::from_bytes(id, &body).map_err(|source| SlotUnusable {
            url: tree.url(&entry.key),
            source,
        });
        Ok(Some((id, slot)))
    });
    let slots: Vec<_> = read.buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(slots.into_iter().flatten().collect())
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
