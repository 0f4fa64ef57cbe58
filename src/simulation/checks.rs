//! What must hold after every change of the store, whatever the schedule.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::chain::{is_bad, is_marker};
use super::store::{Contents, File};
use crate::checkpoint::slot::{OffsetRange, Slot, SlotKind};
use crate::commit_log::{self, Line};
use crate::ids::{CheckpointId, Generation, NextOffset, Split};
use crate::mutants::{self, Mutant};
use crate::sink::naming::PartName;

/// Everything seen so far, also what pruning has removed since.
#[derive(Default)]
pub struct Checker {
    /// How many changes were looked at.
    checked: usize,
    objects: BTreeMap<String, Bytes>,
    /// Slots that were removed from the log. A process that was paused may put one of them anew; by
    /// looking again it finds that this counts for nothing.
    pruned: BTreeSet<String>,
    slots: BTreeMap<CheckpointId, Slot>,
    /// Files by the line that names them.
    lines: BTreeMap<String, Line>,
    files: BTreeSet<String>,
    /// Partition and offset of every visible row.
    visible: BTreeSet<(i32, i64)>,
    /// Whether the store may lose files.
    losses: bool,
}

impl Checker {
    pub fn new(losses: bool) -> Self {
        Self {
            losses,
            ..Self::default()
        }
    }

    /// Looks at what has changed since the last check; panics with what is wrong.
    pub fn check(&mut self, contents: &Contents) {
        let new = &contents.changes[self.checked..];
        if new.is_empty() {
            return;
        }
        self.checked = contents.changes.len();
        for path in new {
            if let Some(file) = contents.files.get(path) {
                self.new_file(path, file);
            } else if let Some(body) = contents.objects.get(path) {
                self.new_object(path, body);
            } else {
                assert!(path.starts_with("log/"), "{path} was removed");
                let slot = slot_id(path).and_then(|id| self.slots.get(&id));
                let savepoint = slot.is_some_and(Slot::is_savepoint);
                assert!(!savepoint, "the savepoint {path} was pruned");
                self.pruned.insert(path.clone());
            }
        }
        let slots = contents.objects.keys().filter_map(|path| slot_id(path));
        assert_eq!(
            slots.max(),
            self.newest().map(|slot| slot.id),
            "the highest slot is the newest one"
        );
    }

    fn new_object(&mut self, path: &str, body: &Bytes) {
        if self.pruned.contains(path) {
            return;
        }
        if let Some(known) = self.objects.insert(path.to_owned(), body.clone()) {
            assert_eq!(known, body, "{path} was overwritten");
            return;
        }
        match path.split_once('/') {
            Some(("log", rest)) if rest.starts_with("schemas/") => {}
            Some(("log", rest)) => {
                let id = self.new_slot(rest, body);
                self.check_complete(&self.slots[&id]);
            }
            Some(("wal", _)) => self.new_lines(path, body),
            _ => panic!("nothing else is written: {path}"),
        }
    }

    pub fn newest(&self) -> Option<&Slot> {
        self.slots.last_key_value().map(|(_, slot)| slot)
    }

    /// Every object that was ever there.
    pub fn seen(&self) -> &BTreeMap<String, Bytes> {
        &self.objects
    }

    /// Below offsets that are committed to Kafka everything is visible.
    pub fn check_committed(&self, next_offsets: &BTreeMap<Split, NextOffset>) {
        for (split, next) in next_offsets {
            for offset in (0..next.0).filter(|o| !is_marker(*o)) {
                assert!(
                    self.is_visible(split.partition, offset),
                    "{split} is committed up to {next}, but {offset} is not visible"
                );
            }
        }
    }

    pub fn is_visible(&self, partition: i32, offset: i64) -> bool {
        self.visible.contains(&(partition, offset))
    }

    /// The log is dense, generations and next offsets only grow.
    fn new_slot(&mut self, path: &str, body: &[u8]) -> CheckpointId {
        let folder = path.split('/').next().expect("split gives one at least");
        let id = CheckpointId::from_folder(folder).expect("only slots are in the log");
        let slot = Slot::from_bytes(id, body).expect("slots are whole");
        let schema = format!("log/schemas/{}.avsc", slot.identity.schema_sha256);
        assert!(
            self.objects.contains_key(&schema),
            "a slot names a schema that is not kept"
        );
        assert!(
            self.losses || slot.reread.is_empty(),
            "the store has lost nothing"
        );
        match self.slots.last_key_value() {
            None => assert_eq!(id, CheckpointId(0), "the log begins with slot 0"),
            Some((last_id, last)) => {
                assert_eq!(id, last_id.next(), "the log is dense");
                match slot.kind {
                    SlotKind::Start if slot.nonce == last.nonce => {
                        assert_eq!(slot.generation, last.generation);
                        assert_eq!(
                            last.kind,
                            SlotKind::Start,
                            "lost files are given up at once"
                        );
                        assert!(
                            !slot.reread.is_empty(),
                            "there is a reason for a second record"
                        );
                    }
                    SlotKind::Start => {
                        let next = last.generation.next();
                        assert_eq!(slot.generation, next, "generations grow");
                    }
                    SlotKind::Checkpoint => {
                        assert_eq!(slot.nonce, last.nonce, "by the owner");
                        assert_eq!(slot.reread, [], "all is read again before the barrier");
                    }
                }
                let mut savepoints = last.savepoints.clone();
                if slot.kind == SlotKind::Checkpoint && slot.is_savepoint() {
                    savepoints.insert(id);
                }
                assert_eq!(slot.savepoints, savepoints, "savepoints stay savepoints");
                let splits = (last.next_offsets.len(), slot.next_offsets.len());
                // With that rule broken it is for the files to show it.
                if !mutants::is(Mutant::OffsetsLeftOut) {
                    assert!(splits.0 <= splits.1, "no split is left out");
                }
                for (before, after) in last.next_offsets.iter().zip(&slot.next_offsets) {
                    assert_eq!(before.split, after.split);
                    assert!(before.next_offset <= after.next_offset, "next offsets grow");
                }
            }
        }
        self.slots.insert(id, slot);
        let lines: Vec<_> = self
            .lines
            .values()
            .filter(|l| l.checkpoint_id == id)
            .cloned()
            .collect();
        lines.iter().for_each(|line| self.check_owner(line));
        id
    }

    fn new_lines(&mut self, path: &str, body: &[u8]) {
        for line in commit_log::decode(path, body).expect("the commit log is whole") {
            self.check_owner(&line);
            let before = CheckpointId(line.checkpoint_id.0 - 1);
            let confirmable = self.slots.contains_key(&before);
            assert!(confirmable, "{path} is written before slot {before}");
            let before = self.lines.insert(line.s3_key.clone(), line);
            assert!(
                before.is_none(),
                "{path} names a file that has a line already"
            );
        }
    }

    /// The lines of a complete checkpoint are of its own generation.
    fn check_owner(&self, line: &Line) {
        if let Some(slot) = self.slots.get(&line.checkpoint_id)
            && slot.kind == SlotKind::Checkpoint
        {
            assert_eq!(generation(&line.s3_key), slot.generation, "{line:?}");
        }
    }

    /// A file is visible only with a line, and by a slot that references it; its rows state that
    /// slot's checkpoint, and none of them is visible already.
    fn new_file(&mut self, path: &str, file: &File) {
        self.files.insert(path.to_owned());
        self.check_not_superseded(path);
        let line = self.lines.get(path);
        let line = line.unwrap_or_else(|| panic!("{path} is visible without a line"));
        let slot = self.slots.get(&line.checkpoint_id);
        let slot = slot.unwrap_or_else(|| panic!("{path} is visible without a slot"));
        assert_eq!(
            slot.kind,
            SlotKind::Checkpoint,
            "{path} stems from a checkpoint"
        );
        let referenced = slot
            .pending
            .iter()
            .any(|pending| pending.url == *path && pending.committable.upload.token == file.token);
        assert!(referenced, "{path} is in its slot");
        let text = std::str::from_utf8(&file.body).expect("bodies are text");
        for row in text.lines() {
            let fields: Vec<i64> = row
                .split(' ')
                .map(|f| f.parse().expect("numbers"))
                .collect();
            let [partition, offset, checkpoint] = fields[..] else {
                panic!("{path} has the row {row}");
            };
            assert_eq!(checkpoint as u64, slot.id.0, "checkpoint_id in {path}");
            assert_eq!(path.starts_with("dropped/"), is_bad(offset), "{path}");
            let new = self.visible.insert((partition as i32, offset));
            assert!(
                new,
                "partition {partition} offset {offset} is visible twice"
            );
        }
    }

    /// From the moment that a newer generation's start record is there, a file of an older one
    /// becomes visible only if that record references it; once a checkpoint follows the record,
    /// none does any more.
    fn check_not_superseded(&self, path: &str) {
        let newest = self.newest().expect("a file is visible by a slot");
        if generation(path) == newest.generation {
            return;
        }
        let mut carried = newest.pending.iter().chain(&newest.reread);
        assert!(
            newest.kind == SlotKind::Start && carried.any(|file| file.url == path),
            "{path} became visible after generation {} had taken over",
            newest.generation
        );
    }

    /// Of every split, what is visible or pending is exactly what lies below the next offsets.
    fn check_complete(&self, slot: &Slot) {
        let mut pending = BTreeSet::new();
        let files = slot.pending.iter().chain(&slot.reread);
        for file in files.filter(|f| !self.files.contains(&f.url)) {
            for row in file.offsets.iter().flat_map(rows) {
                assert!(
                    !self.visible.contains(&row),
                    "{row:?} is visible and pending"
                );
                assert!(pending.insert(row), "{row:?} is pending twice");
            }
        }
        let mut covered = 0;
        for saved in &slot.next_offsets {
            assert_eq!(saved.begin.0, 0, "slot {} begins elsewhere", slot.id);
            for offset in (0..saved.next_offset.0).filter(|o| !is_marker(*o)) {
                let row = (saved.split.partition, offset);
                let there = self.visible.contains(&row) || pending.contains(&row);
                assert!(there, "slot {}: {row:?} is lost", slot.id);
                covered += 1;
            }
        }
        let there = self.visible.len() + pending.len();
        if !mutants::is(Mutant::OffsetsLeftOut) {
            assert_eq!(there, covered, "slot {}: rows will be read again", slot.id);
        }
    }
}

/// Partition and offset of each row that a file has of a split.
fn rows(range: &OffsetRange) -> Vec<(i32, i64)> {
    let runs = range.offsets().ranges().into_iter();
    let offsets = runs.flat_map(|(first, last)| first.0..=last.0);
    offsets.map(|o| (range.split.partition, o)).collect()
}

fn slot_id(path: &str) -> Option<CheckpointId> {
    let (folder, _) = path.strip_prefix("log/")?.split_once('/')?;
    CheckpointId::from_folder(folder)
}

fn generation(path: &str) -> Generation {
    let name = path.rsplit('/').next().and_then(PartName::parse);
    name.expect("part files are named so").generation
}
