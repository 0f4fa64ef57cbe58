//! One offset in the commit log, where slots do not tell any more: what a checkpoint's lines and the
//! footers of its files say of it. Which checkpoints are looked at is `walk.rs`'s.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::try_join_all;

use super::FindError;
use super::archive::Archive;
use super::bisection::{Bisection, Span};
use super::folder::{File, Series};
use super::walk::{self, Checkpoint, Checkpoints, Walked};
use crate::ids::{CheckpointId, Generation, Offset, Split, SubtaskIndex};

pub struct Search<'a> {
    archive: &'a Archive,
    split: &'a Split,
    offset: Offset,
    /// Which subtask has the partition, in each start; a later one may have more subtasks.
    owners: Mutex<HashMap<Generation, SubtaskIndex>>,
    checkpoints: Mutex<BTreeMap<u64, Checkpoint<File>>>,
}

#[derive(Debug)]
pub enum Outcome {
    Found(File),
    /// Where it would be, and the lines there whose files are not visible: one of these may have had it.
    Nowhere {
        checkpoint: Option<CheckpointId>,
        without_file: Vec<String>,
    },
}

impl<'a> Search<'a> {
    pub fn new(archive: &'a Archive, split: &'a Split, offset: Offset) -> Self {
        Self {
            archive,
            split,
            offset,
            owners: Mutex::default(),
            checkpoints: Mutex::default(),
        }
    }

    /// Looks for it in checkpoints of these ids.
    pub async fn run(&self, ids: Range<u64>) -> Result<Outcome, FindError> {
        let newest = self.archive.slots.newest.id.0;
        let (low, high) = match walk::find(self, ids.clone(), newest, self.offset).await? {
            Walked::Found(file) => return Ok(Outcome::Found(file)),
            Walked::Nowhere(low, high) => (low, high),
        };
        let around = low.unwrap_or(ids.start)..=high.unwrap_or(ids.end);
        let seen = locked(&self.checkpoints);
        let without_file = seen.range(around).flat_map(|(_, c)| c.without_file.clone());
        Ok(Outcome::Nowhere {
            checkpoint: low.filter(|_| low == high).map(CheckpointId),
            without_file: without_file.collect(),
        })
    }

    fn may_hold(&self, Series(files): &Series) -> bool {
        let owners = locked(&self.owners);
        let name = files.first().map(|file| &file.name);
        name.is_some_and(|name| {
            let owner = owners.get(&name.generation);
            owner.is_none_or(|owner| *owner == name.subtask)
        })
    }

    async fn look_at_series(&self, Series(files): &Series) -> Result<Checkpoint<File>, FindError> {
        let mut seen = Checkpoint {
            is_first_of_start: files.iter().any(|file| file.name.sequence == 0),
            ..Checkpoint::default()
        };
        let mut bisection = Bisection::new(0..files.len() as u64, self.offset.0);
        loop {
            let places = bisection.next();
            if places.is_empty() {
                return Ok(seen);
            }
            // As many as there are files in memory.
            let at = |place: u64| &files[usize::try_from(place).unwrap_or(usize::MAX)];
            let read = places.iter().map(|&place| {
                let file = at(place);
                self.archive.part(file.root, &file.url)
            });
            for (&place, part) in places.iter().zip(try_join_all(read).await?) {
                let file = at(place);
                let Some(part) = part else {
                    seen.without_file.push(file.url.clone());
                    bisection.learn(place, None);
                    continue;
                };
                let mut stated = part.footer.stated.offsets.iter();
                let Some(held) = stated.find(|of| of.split == *self.split) else {
                    bisection.learn(place, None);
                    continue;
                };
                let generation = file.name.generation;
                locked(&self.owners).insert(generation, file.name.subtask);
                let ends = held.offsets.first().zip(held.offsets.last());
                let span = ends.map(|(first, last)| (first.0, last.0));
                seen.span = both(seen.span, span);
                bisection.learn(place, span);
                if held.offsets.contains(self.offset) {
                    seen.found = Some(file.clone());
                    return Ok(seen);
                }
            }
        }
    }
}

impl Checkpoints for Search<'_> {
    type File = File;
    type Error = FindError;

    async fn look(&self, id: u64) -> Result<Checkpoint<File>, FindError> {
        if let Some(seen) = locked(&self.checkpoints).get(&id) {
            return Ok(seen.clone());
        }
        let folder = self.archive.folder(CheckpointId(id)).await?;
        let series = folder.series.iter().filter(|series| self.may_hold(series));
        let seen = try_join_all(series.map(|series| self.look_at_series(series))).await?;
        let mut checkpoint = Checkpoint::default();
        for of_series in seen {
            checkpoint.found = checkpoint.found.or(of_series.found);
            checkpoint.span = both(checkpoint.span, of_series.span);
            checkpoint.is_first_of_start |= of_series.is_first_of_start;
            checkpoint.without_file.extend(of_series.without_file);
        }
        locked(&self.checkpoints).insert(id, checkpoint.clone());
        Ok(checkpoint)
    }
}

fn both(one: Span, other: Span) -> Span {
    match (one, other) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
