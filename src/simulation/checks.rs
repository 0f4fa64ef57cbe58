//! What must hold after every change of the store, whatever the schedule.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{is_bad, is_marker};
use super::store::Contents;
use crate::checkpoint::slot::{Slot, SlotKind};
use crate::commit_log;
use crate::ids::CheckpointId;
use crate::sink::naming::PartName;

/// What was seen so far; slots are kept, for pruning removes them.
#[derive(Default)]
pub struct Checker {
    slots: BTreeMap<CheckpointId, Slot>,
    seen_version: u64,
}

impl Checker {
    /// Panics with what is wrong.
    pub fn check(&mut self, contents: &Contents) {
        if self.seen_version == contents.version {
            return;
        }
        self.seen_version = contents.version;
        let new = self.take_new_slots(contents);
        let visible = visible_rows(contents);
        self.check_files(contents);
        check_commit_log(contents, &self.slots);
        for slot in new {
            check_complete(&slot, contents, &visible);
        }
    }

    pub fn newest(&self) -> Option<&Slot> {
        self.slots.last_key_value().map(|(_, slot)| slot)
    }

    fn take_new_slots(&mut self, contents: &Contents) -> Vec<Slot> {
        let mut new = Vec::new();
        for (path, body) in &contents.objects {
            let Some(folder) = path.strip_prefix("log/").and_then(|p| p.split('/').next()) else {
                continue;
            };
            let id = CheckpointId::from_folder(folder).expect("only slots are in the log");
            let slot = Slot::from_bytes(id, body).expect("slots are whole");
            match self.slots.get(&id) {
                Some(known) => assert_eq!(known, &slot, "slot {id} was overwritten"),
                None => {
                    self.check_follows(&slot);
                    self.slots.insert(id, slot.clone());
                    new.push(slot);
                }
            }
        }
        new
    }

    /// The log is dense, generations and next offsets only grow.
    fn check_follows(&self, slot: &Slot) {
        let Some((last_id, last)) = self.slots.last_key_value() else {
            assert_eq!(slot.id, CheckpointId(0), "the log begins with slot 0");
            return;
        };
        assert_eq!(slot.id, last_id.next(), "the log is dense");
        match slot.kind {
            SlotKind::Start => assert_eq!(slot.generation, last.generation.next()),
            SlotKind::Checkpoint => assert_eq!(slot.nonce, last.nonce, "written by the owner"),
        }
        for (before, after) in last.next_offsets.iter().zip(&slot.next_offsets) {
            assert_eq!(before.split, after.split);
            assert!(before.next_offset <= after.next_offset, "next offsets grow");
        }
    }

    /// A file is visible only by a slot that references it, with the checkpoint its rows state.
    fn check_files(&self, contents: &Contents) {
        for (path, file) in &contents.files {
            let mut referencing = self.slots.values().filter(|slot| {
                slot.pending.iter().any(|pending| {
                    pending.url == *path && pending.committable.upload.token == file.token
                })
            });
            let slot = referencing.next();
            let slot = slot.unwrap_or_else(|| panic!("{path} is visible without a slot"));
            assert_eq!(
                slot.kind,
                SlotKind::Checkpoint,
                "{path} stems from a checkpoint"
            );
            for (_, _, checkpoint) in rows(&file.body) {
                assert_eq!(checkpoint, slot.id.0, "checkpoint_id of the rows of {path}");
            }
        }
    }
}

/// No visible file without a line; the lines of a complete checkpoint are of its own generation.
fn check_commit_log(contents: &Contents, slots: &BTreeMap<CheckpointId, Slot>) {
    let mut named = BTreeSet::new();
    for (path, body) in &contents.objects {
        if !path.starts_with("wal/") {
            continue;
        }
        for line in commit_log::decode(path, body).expect("the commit log is whole") {
            if let Some(slot) = slots.get(&line.checkpoint_id)
                && slot.kind == SlotKind::Checkpoint
            {
                let name = line.s3_key.rsplit('/').next().and_then(PartName::parse);
                let name = name.expect("part files are named so");
                assert_eq!(name.generation, slot.generation, "{path} is the owner's");
            }
            assert!(named.insert(line.s3_key), "{path} names a file twice");
        }
    }
    for path in contents.files.keys() {
        assert!(named.contains(path), "{path} is visible without a line");
    }
}

/// Of every split, what is visible or pending is exactly what lies below the next offsets.
fn check_complete(slot: &Slot, contents: &Contents, visible: &BTreeSet<(i32, i64)>) {
    let mut covered = visible.clone();
    for file in &slot.pending {
        if contents.files.contains_key(&file.url) {
            continue;
        }
        for range in &file.offsets {
            let row = (range.split.partition, range.first.0);
            assert!(covered.insert(row), "{row:?} is visible and pending");
        }
    }
    for saved in &slot.next_offsets {
        for offset in (0..saved.next_offset.0).filter(|o| !is_marker(*o)) {
            let row = (saved.split.partition, offset);
            assert!(covered.remove(&row), "slot {}: {row:?} is lost", slot.id);
        }
    }
    assert!(
        covered.is_empty(),
        "slot {}: {covered:?} will be read again",
        slot.id
    );
}

/// Every row of every visible file; panics if one is there twice.
pub fn visible_rows(contents: &Contents) -> BTreeSet<(i32, i64)> {
    let mut all = BTreeSet::new();
    for (path, file) in &contents.files {
        for (partition, offset, _) in rows(&file.body) {
            assert_eq!(path.starts_with("dropped/"), is_bad(offset), "{path}");
            let new = all.insert((partition, offset));
            assert!(
                new,
                "partition {partition} offset {offset} is visible twice"
            );
        }
    }
    all
}

fn rows(body: &[u8]) -> impl Iterator<Item = (i32, i64, u64)> {
    let text = std::str::from_utf8(body).expect("bodies are text");
    text.lines().map(|line| {
        let mut fields = line.split(' ').map(|f| f.parse::<i64>().expect("numbers"));
        let mut next = || fields.next().expect("three fields");
        (next() as i32, next(), next() as u64)
    })
}
