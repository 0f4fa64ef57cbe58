//! Is a checkpoint complete? Its slot says so, and is pruned after a while; then names and lines tell:
//! the same process writes nothing of checkpoint N + 1 before slot N is its own.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::Archive;
use super::lines;
use crate::checkpoint::slot::SlotKind;
use crate::ids::{CheckpointId, Generation};

pub struct Standing {
    slots: BTreeMap<CheckpointId, SlotKind>,
    /// Which start has written the lines of a checkpoint.
    writers: BTreeMap<CheckpointId, Generation>,
    /// The highest checkpoint with lines, or slot, of each start.
    reached: BTreeMap<Generation, CheckpointId>,
    /// With a visible file.
    visible: BTreeSet<CheckpointId>,
}

impl Standing {
    pub fn new(archive: &Archive) -> Self {
        let slots = &archive.slots.readable;
        let mut new = Self {
            slots: slots.iter().map(|(id, slot)| (*id, slot.kind)).collect(),
            writers: BTreeMap::new(),
            reached: BTreeMap::new(),
            visible: BTreeSet::new(),
        };
        for slot in slots.values() {
            new.reaches(slot.generation, slot.id);
        }
        for line in &archive.commit_log.lines {
            let id = line.checkpoint_id;
            if let Some(generation) = lines::generation(line) {
                new.writers.insert(id, generation);
                new.reaches(generation, id);
            }
            if archive.files.contains(&line.s3_key) {
                new.visible.insert(id);
            }
        }
        new
    }

    fn reaches(&mut self, generation: Generation, id: CheckpointId) {
        let highest = self.reached.entry(generation).or_insert(id);
        *highest = id.max(*highest);
    }

    /// `None` where nothing tells.
    pub fn is_complete(&self, id: CheckpointId) -> Option<bool> {
        if let Some(kind) = self.slots.get(&id) {
            return Some(*kind == SlotKind::Checkpoint);
        }
        if self.visible.contains(&id) {
            return Some(true);
        }
        let writer = self.writers.get(&id)?;
        if self.reached[writer] > id {
            return Some(true);
        }
        // Who writes checkpoint N + 1 has slot N: here it is another start's, its start record.
        let taken = self.writers.get(&id.next()).is_some_and(|w| w != writer);
        taken.then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::judge::tests::{archive, line, url};

    /// Whether checkpoint 3 is complete, by lines of (checkpoint, generation) and without its slot.
    fn third(lines: &[(u64, u64)], visible: bool) -> Option<bool> {
        let mut archive = archive();
        for (sequence, &(id, generation)) in lines.iter().enumerate() {
            let url = url(generation, sequence as u64);
            archive.commit_log.lines.push(line(id, &url));
            if visible {
                archive.files.insert(url);
            }
        }
        Standing::new(&archive).is_complete(CheckpointId(3))
    }

    #[test]
    fn its_slot_says_so_while_it_is_in_the_log() {
        let mut archive = archive();
        let mut slot = archive.slots.newest.clone();
        let mut is_complete = |kind| {
            (slot.id, slot.kind) = (CheckpointId(3), kind);
            archive.slots.readable.insert(slot.id, slot.clone());
            Standing::new(&archive).is_complete(CheckpointId(3))
        };
        assert_eq!(is_complete(SlotKind::Checkpoint), Some(true));
        assert_eq!(is_complete(SlotKind::Start), Some(false));
    }

    #[test]
    fn without_its_slot_a_visible_file_or_a_later_line_of_the_same_start_tells() {
        assert_eq!(third(&[(3, 1)], true), Some(true));
        assert_eq!(third(&[(3, 1), (6, 1)], false), Some(true));
    }

    #[test]
    fn a_checkpoint_whose_slot_another_start_has_taken_was_never_complete() {
        assert_eq!(third(&[(3, 1), (4, 2)], false), Some(false));
    }

    #[test]
    fn what_nothing_tells_of_is_not_known() {
        assert_eq!(third(&[(3, 1)], false), None);
        assert_eq!(third(&[(3, 1), (5, 2)], false), None);
        assert_eq!(third(&[], false), None);
    }
}
