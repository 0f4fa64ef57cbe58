//! One offset in the commit log, where slots do not tell any more: few folders, and few footers of each.
//!
//! Between two barriers a partition's offsets go on from those before, so the footers of a checkpoint
//! say on which side to go on. The exception are records that were read again, because the store had
//! lost their file before it was visible: these are in the first checkpoint of a later start. So if the
//! offset is not where it belongs, such neighbours are looked at too.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::try_join_all;

use super::FindError;
use super::archive::Archive;
use super::bisection::{Bisection, Lies, Span};
use super::folder::{File, Series};
use crate::ids::{CheckpointId, Generation, Offset, Split, SubtaskIndex};

/// So many times in a row a file may be lost, read again and lost again.
const LOSSES: usize = 8;
/// Ids between such checkpoints: starts that did not come to one.
const STARTS: u64 = 64;

pub struct Search<'a> {
    archive: &'a Archive,
    split: &'a Split,
    offset: Offset,
    /// Which subtask has the partition, in each start; a later one may have more subtasks.
    owners: Mutex<HashMap<Generation, SubtaskIndex>>,
    checkpoints: Mutex<BTreeMap<u64, Checkpoint>>,
}

/// What was seen of a checkpoint.
#[derive(Debug, Clone, Default)]
struct Checkpoint {
    found: Option<File>,
    /// Of the partition's offsets, as far as they were seen.
    span: Span,
    /// The first of its start that has files of the partition's subtask.
    is_first_of_start: bool,
    /// Lines whose file is not visible.
    without_file: Vec<String>,
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
        let mut bisection = Bisection::new(ids.clone(), self.offset.0);
        loop {
            let places = bisection.next();
            if places.is_empty() {
                break;
            }
            let seen = try_join_all(places.iter().map(|&id| self.look(id))).await?;
            for (&place, checkpoint) in places.iter().zip(seen) {
                if let Some(file) = checkpoint.found {
                    return Ok(Outcome::Found(file));
                }
                bisection.learn(place, checkpoint.span);
            }
        }
        let (low, high) = match bisection.lies() {
            Lies::Within(place) => (Some(place), Some(place)),
            Lies::Between(low, high) => (low, high),
        };
        if let Some(file) = self.read_again(low, high).await? {
            return Ok(Outcome::Found(file));
        }
        let around = low.unwrap_or(ids.start)..=high.unwrap_or(ids.end);
        let seen = locked(&self.checkpoints);
        let without_file = seen.range(around).flat_map(|(_, c)| c.without_file.clone());
        Ok(Outcome::Nowhere {
            checkpoint: low.filter(|_| low == high).map(CheckpointId),
            without_file: without_file.collect(),
        })
    }

    /// Checkpoints that may hold records of a lost file, on both sides.
    async fn read_again(
        &self,
        low: Option<u64>,
        high: Option<u64>,
    ) -> Result<Option<File>, FindError> {
        let mut at = low;
        for _ in 0..LOSSES {
            let Some(id) = at else { break };
            if !self.look(id).await?.is_first_of_start {
                break;
            }
            let before = id.saturating_sub(STARTS).max(1)..id;
            at = self.first_with_records(before.rev()).await?;
            if let Some(id) = at
                && let Some(file) = self.look(id).await?.found
            {
                return Ok(Some(file));
            }
        }
        let mut at = high;
        let newest = self.archive.slots.newest.id.0;
        for _ in 0..LOSSES {
            let Some(id) = at else { break };
            let behind = id + 1..(id + 1 + STARTS).min(newest + 1);
            at = self.first_with_records(behind).await?;
            let Some(id) = at else { break };
            let checkpoint = self.look(id).await?;
            if checkpoint.found.is_some() || !checkpoint.is_first_of_start {
                return Ok(checkpoint.found);
            }
        }
        Ok(None)
    }

    async fn first_with_records(
        &self,
        ids: impl Iterator<Item = u64>,
    ) -> Result<Option<u64>, FindError> {
        for id in ids {
            if self.look(id).await?.span.is_some() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    async fn look(&self, id: u64) -> Result<Checkpoint, FindError> {
        if let Some(seen) = locked(&self.checkpoints).get(&id) {
            return Ok(seen.clone());
        }
        let folder = self.archive.folder(CheckpointId(id)).await?;
        let series = folder.series.iter().filter(|series| self.may_hold(series));
        let seen = try_join_all(series.map(|series| self.look_at_series(series))).await?;
        let checkpoint = seen
            .into_iter()
            .fold(Checkpoint::default(), Checkpoint::add);
        locked(&self.checkpoints).insert(id, checkpoint.clone());
        Ok(checkpoint)
    }

    fn may_hold(&self, Series(files): &Series) -> bool {
        let owners = locked(&self.owners);
        let name = files.first().map(|file| &file.name);
        name.is_some_and(|name| {
            let owner = owners.get(&name.generation);
            owner.is_none_or(|owner| *owner == name.subtask)
        })
    }

    async fn look_at_series(&self, Series(files): &Series) -> Result<Checkpoint, FindError> {
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

impl Checkpoint {
    fn add(mut self, other: Self) -> Self {
        self.without_file.extend(other.without_file);
        Self {
            found: self.found.or(other.found),
            span: both(self.span, other.span),
            is_first_of_start: self.is_first_of_start || other.is_first_of_start,
            without_file: self.without_file,
        }
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
