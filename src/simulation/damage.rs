//! Somebody damages the logs while no process runs: what the next start must notice.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;

use crate::checkpoint::slot::Slot;
use crate::commit_log;
use crate::ids::CheckpointId;

/// Objects of the store by path.
pub type Objects = BTreeMap<String, Bytes>;

/// What is damaged.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// The newest slot ends in the middle.
    TornSlot,
    /// The whole checkpoint log is gone.
    LostLog,
    /// The checkpoint log is an older one.
    OlderLog,
    /// A CSV of the newest checkpoint has lost its last line.
    CutCommitLog,
}

/// Damages the objects in some way that a start can notice; false when they allow none. `seen` is
/// every object that was ever there.
pub fn apply(
    objects: &mut Objects,
    seen: &Objects,
    is_visible: impl Fn(&str) -> bool,
    rng: &mut Rng,
) -> bool {
    let all = [
        Damage::TornSlot,
        Damage::LostLog,
        Damage::OlderLog,
        Damage::CutCommitLog,
    ];
    match all[rng.usize(..all.len())] {
        Damage::TornSlot => {
            let Some(slot) = newest(objects).and_then(|id| objects.get_mut(&path(id))) else {
                return false;
            };
            *slot = slot.slice(..rng.usize(..slot.len() - 1));
            true
        }
        Damage::LostLog => {
            // Without a commit log it looks like a first start.
            if !objects.keys().any(|path| path.starts_with("wal/")) {
                return false;
            }
            objects.retain(|path, _| !path.starts_with("log/"));
            true
        }
        Damage::OlderLog => {
            let highest = objects.keys().filter_map(|path| id(path, "wal/")).max();
            // One more than the newest slot is what a crash leaves, unless its files are visible.
            let names_visible = |csv: &Bytes| {
                let lines = commit_log::decode("", csv).expect("the commit log is whole");
                lines.iter().any(|line| is_visible(&line.s3_key))
            };
            let completed = |slot: CheckpointId| {
                let mut csvs = objects
                    .iter()
                    .filter(|(path, _)| id(path, "wal/") == Some(slot));
                csvs.any(|(_, csv)| names_visible(csv))
            };
            let noticed = |slot: CheckpointId| {
                highest.is_some_and(|id| id > slot.next()) || completed(slot.next())
            };
            let older = seen.keys().filter_map(|path| id(path, "log/"));
            let older: Vec<_> = older.filter(|&id| noticed(id)).collect();
            let Some(&older) = rng.choice(&older) else {
                return false;
            };
            objects.retain(|path, _| !path.starts_with("log/"));
            objects.insert(path(older), seen[&path(older)].clone());
            true
        }
        Damage::CutCommitLog => {
            let Some(id) = newest(objects) else {
                return false;
            };
            let slot = Slot::from_bytes(id, &objects[&path(id)]).expect("slots are whole");
            let named: Vec<_> = slot.pending.iter().map(|file| file.checkpoint_id).collect();
            let csv = objects.iter_mut().find(|(path, _)| {
                named
                    .iter()
                    .any(|id| path.starts_with(&format!("wal/{}/", id.folder())))
            });
            let Some((_, csv)) = csv else { return false };
            let lines = csv.strip_suffix(b"\n").expect("a CSV ends with a line");
            let last = lines.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
            *csv = csv.slice(..=last);
            true
        }
    }
}

fn newest(objects: &Objects) -> Option<CheckpointId> {
    objects.keys().filter_map(|path| id(path, "log/")).max()
}

fn id(path: &str, root: &str) -> Option<CheckpointId> {
    CheckpointId::from_folder(path.strip_prefix(root)?.split('/').next()?)
}

fn path(slot: CheckpointId) -> String {
    format!("log/{}", Slot::key(slot))
}
