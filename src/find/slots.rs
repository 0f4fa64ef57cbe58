//! What the slots that the checkpoint log still has say of one offset.

use super::FindError;
use super::archive::Archive;
use crate::checkpoint::slot::{PendingFile, Slot, SlotKind};
use crate::ids::{CheckpointId, Offset, Split};

#[derive(Debug)]
pub enum Said {
    /// This file was closed with the record in it.
    File(Box<PendingFile>),
    /// The slots around it say that no file has it: Kafka has not delivered a record of this offset.
    NoRecord(CheckpointId),
    /// Gone from Kafka before it was archived, and given up by this start.
    GivenUp(CheckpointId),
    /// It is in one of these checkpoints, whose slots are not in the log any more, or in none.
    Within(std::ops::Range<u64>),
}

/// Of an offset that is below the newest slot's next one.
pub async fn ask(archive: &Archive, split: &Split, offset: Offset) -> Result<Said, FindError> {
    let mut ids = archive.slots.ids();
    let (mut low, mut high) = (0, ids.len() - 1);
    // Most of an archive is older than all slots: then one look suffices.
    let oldest = read(archive, ids[0]).await?;
    if oldest.is_some_and(|oldest| is_past(archive, &oldest, split, offset)) {
        high = 0;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match read(archive, ids[middle]).await? {
            Some(slot) if is_past(archive, &slot, split, offset) => high = middle,
            Some(_) => low = middle + 1,
            None => {
                ids.remove(middle);
                high -= 1;
            }
        }
    }
    let first = ids[low];
    let slot = read(archive, first).await?;
    if let Some(file) = slot.as_ref().and_then(|slot| holder(slot, split, offset)) {
        return follow(archive, first, file, split, offset).await;
    }
    let before = low.checked_sub(1).map(|place| ids[place]);
    Ok(match (before, slot.map(|slot| slot.kind)) {
        (Some(before), Some(SlotKind::Checkpoint)) if before.next() == first => {
            Said::NoRecord(first)
        }
        (Some(before), Some(SlotKind::Start)) if before.next() == first => Said::GivenUp(first),
        (before, _) => Said::Within(before.map_or(0, |id| id.0) + 1..first.0 + 1),
    })
}

/// `None` for one that cannot be used: the commit log tells then.
async fn read(archive: &Archive, id: CheckpointId) -> Result<Option<Slot>, FindError> {
    match archive.slots.read(id).await? {
        Some(Ok(slot)) => Ok(Some(slot)),
        Some(Err(unusable)) => {
            tracing::warn!(%unusable, "left out");
            Ok(None)
        }
        None => Ok(None),
    }
}

/// Whether the offset was consumed when the slot was written. A topic that was made again begins anew.
fn is_past(archive: &Archive, slot: &Slot, split: &Split, offset: Offset) -> bool {
    let same_topic = slot.same_topic(&archive.slots.newest, &split.topic);
    let of_split = slot.next_offsets.iter().find(|of| of.split == *split);
    same_topic && of_split.is_some_and(|of| of.next_offset.0 > offset.0)
}

fn holder(slot: &Slot, split: &Split, offset: Offset) -> Option<PendingFile> {
    let files = slot.pending.iter().chain(&slot.reread);
    let holds = |file: &&PendingFile| {
        let mut ranges = file.offsets.iter().filter(|range| range.split == *split);
        ranges.any(|range| match &range.exact {
            Some(exact) => exact.contains(offset),
            None => range.first <= offset && offset <= range.last,
        })
    };
    files.into_iter().find(holds).cloned()
}

/// If the store has lost the file before it was visible, a start has given it up, and the checkpoint
/// that followed holds its records.
async fn follow(
    archive: &Archive,
    first: CheckpointId,
    mut file: PendingFile,
    split: &Split,
    offset: Offset,
) -> Result<Said, FindError> {
    let mut given_up = false;
    for id in first.0..=archive.slots.newest.id.0 {
        let Some(slot) = read(archive, CheckpointId(id)).await? else {
            break;
        };
        match slot.kind {
            SlotKind::Start => given_up |= slot.reread.iter().any(|lost| lost.url == file.url),
            SlotKind::Checkpoint if slot.id == file.checkpoint_id => {}
            SlotKind::Checkpoint if !given_up => break,
            SlotKind::Checkpoint => match holder(&slot, split, offset) {
                Some(again) => (file, given_up) = (again, false),
                None => return Ok(Said::NoRecord(slot.id)),
            },
        }
    }
    Ok(Said::File(Box::new(file)))
}
