//! Adds up what was read: which offsets are there, twice there, or missing. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::archive::Archive;
use super::expected::{Ends, Expected, ReadAgain, Starts, expected, read_again};
use super::lines;
use super::report::{LineWithoutFile, Partition, Report, State, Trouble};
use super::selection::Range;
use super::standing::Standing;
use super::sums::{Sum, Trust};
use super::unreadable::Unreadable;
use crate::checkpoint::markers;
use crate::checkpoint::slot::PendingFile;
use crate::commit_log;
use crate::ids::{CheckpointId, Generation, Offset, Split};
use crate::offset_set::ExactOffsets;
use crate::recovery::decide;
use crate::sink::footer::Stated;
use crate::store::Root;

/// One file whose footer could be read.
#[derive(Debug, Clone)]
pub struct Part {
    pub url: String,
    pub root: Root,
    pub stated: Stated,
}

/// Takes in one file after the other and keeps sums only.
pub struct Judge<'a> {
    archive: &'a Archive,
    range: Range,
    /// The checkpoint of each file that the commit log names.
    named: HashMap<&'a str, CheckpointId>,
    sums: BTreeMap<Split, Sum>,
    files: usize,
    files_without_line: Vec<String>,
    damaged_files: Vec<Trouble>,
    foreign_files: Vec<Trouble>,
    damaged_csvs: Vec<Trouble>,
}

impl<'a> Judge<'a> {
    pub fn new(archive: &'a Archive, range: Range) -> Self {
        let lines = archive.commit_log.lines.iter();
        Self {
            archive,
            range,
            named: lines
                .map(|l| (l.s3_key.as_str(), l.checkpoint_id))
                .collect(),
            sums: BTreeMap::new(),
            files: 0,
            files_without_line: Vec::new(),
            damaged_files: Vec::new(),
            foreign_files: Vec::new(),
            damaged_csvs: archive.commit_log.damaged.clone(),
        }
    }

    /// Whether a file is to be read: one of the range, or one that only its footer can place.
    pub fn wants(&mut self, url: &str) -> bool {
        if let Some(&checkpoint) = self.named.get(url) {
            return self.range.holds(checkpoint);
        }
        let parquet = url.ends_with(".parquet");
        let marker = url.rsplit('/').next() == Some(markers::NAME);
        if !parquet && !marker {
            self.foreign_files.push(Trouble {
                url: url.to_owned(),
                why: "its name is not that of a Parquet file".into(),
            });
        }
        parquet
    }

    pub fn add(&mut self, part: Part) {
        let stated = part.stated.checkpoint;
        match self.named.get(part.url.as_str()) {
            Some(&checkpoint) if checkpoint != stated => {
                let why = format!(
                    "the commit log names it for checkpoint {checkpoint}, its footer says \
                     {stated}: restore {}/{} from a copy of the store",
                    self.archive.slots.newest.identity.commit_log,
                    checkpoint.folder()
                );
                let url = part.url.clone();
                self.damaged_csvs.push(Trouble { url, why });
            }
            Some(_) => {}
            // Not selected; or made visible since the newest slot was read.
            None if !self.range.holds(stated) => return,
            None => self.files_without_line.push(part.url),
        }
        self.files += 1;
        for of in part.stated.offsets {
            let sum = self.sums.entry(of.split).or_default();
            sum.add(part.root, part.stated.generation, &of.offsets);
        }
    }

    pub fn add_unreadable(&mut self, url: String, why: &Unreadable) {
        let list = match why {
            Unreadable::Foreign(_) => &mut self.foreign_files,
            _ => &mut self.damaged_files,
        };
        let why = why.to_string();
        list.push(Trouble { url, why });
    }

    pub fn finish(mut self) -> Report {
        let slots = &self.archive.slots;
        let read_again = self.read_again();
        let expected = expected(slots, self.range);
        let lines_without_file = self.lines_without_file(&read_again);
        // A file that is gone may have held any of the missing offsets.
        let lost = lines_without_file.iter().any(LineWithoutFile::may_be_lost);
        let cut = (!lost).then(|| self.cut());
        let partitions = self.partitions(&expected, &read_again, cut.as_ref());
        self.add_lines_that_slots_miss();
        for list in [
            &mut self.damaged_files,
            &mut self.foreign_files,
            &mut self.damaged_csvs,
        ] {
            list.sort();
        }
        self.files_without_line.sort();
        Report {
            job: slots.newest.job.clone(),
            generation: slots.newest.generation,
            newest_slot: slots.newest.id,
            first_checkpoint: self.range.first,
            last_checkpoint: self.range.last,
            unknown_ends: expected.unknown_ends,
            files: self.files,
            partitions,
            lines_without_file,
            files_without_line: self.files_without_line,
            damaged_files: self.damaged_files,
            foreign_files: self.foreign_files,
            damaged_csvs: self.damaged_csvs,
            damaged_slots: slots.damaged.values().cloned().collect(),
            orphans: orphans(self.archive),
            uploads_denied: self.archive.uploads_denied.clone(),
        }
    }

    fn partitions(
        &mut self,
        expected: &Expected,
        read_again: &[ReadAgain<'_>],
        cut: Option<&BTreeSet<Generation>>,
    ) -> Vec<Partition> {
        let mut sums = std::mem::take(&mut self.sums);
        let pending = self.pending();
        let unread = Starts::new();
        let trust = |split: &Split| {
            let starts = expected.starts.get(split).unwrap_or(&unread);
            cut.map(|cut| Trust { starts, cut })
        };
        let mut partitions = Vec::new();
        for (split, ends) in &expected.splits {
            let sum = sums.remove(split).unwrap_or_default();
            let mut missing = sum.between(ends);
            for again in read_again {
                again.place(split, self.range, &mut missing);
            }
            missing.remove_all(&sum.seen);
            let pending = pending.get(split).map(|p| missing.common(p));
            let pending = pending.unwrap_or_default();
            missing.remove_all(&pending);
            let given_up = expected.given_up.get(split).map(|g| missing.common(g));
            partitions.push(Partition {
                judged_from: ends.begin.map(|begin| Offset(begin.0)),
                judged_to: ends.end.map(|end| Offset(end.0)),
                pending: pending.len(),
                given_up: given_up.unwrap_or_default(),
                ..sum.partition(split.clone(), missing, trust(split))
            });
        }
        // Splits that the slot does not know: of partitions that were deleted since.
        for (split, sum) in sums {
            let mut missing = sum.between(&Ends::UNKNOWN);
            missing.remove_all(&sum.seen);
            let trust = trust(&split);
            partitions.push(sum.partition(split, missing, trust));
        }
        partitions
    }

    fn read_again(&self) -> Vec<ReadAgain<'a>> {
        let mut files = read_again(&self.archive.slots);
        // Completed by a late request after all: it counts, and was not read again.
        files.retain(|again| !self.archive.files.contains(&again.file.url));
        files
    }

    fn lines_without_file(&self, read_again: &[ReadAgain<'_>]) -> Vec<LineWithoutFile> {
        let standing = Standing::new(self.archive);
        let open: BTreeSet<&str> = self.open().map(|file| file.url.as_str()).collect();
        let again = read_again.iter().map(|again| again.file.url.as_str());
        let again: BTreeSet<&str> = again.collect();
        let range = self.range;
        let lines = self.archive.commit_log.lines.iter();
        let lines = lines.filter(|line| range.holds(line.checkpoint_id));
        let without = lines.filter(|line| !self.archive.files.contains(&line.s3_key));
        let mut found: Vec<_> = without
            .map(|line| LineWithoutFile {
                checkpoint: line.checkpoint_id,
                s3_key: line.s3_key.clone(),
                state: match standing.is_complete(line.checkpoint_id) {
                    _ if open.contains(line.s3_key.as_str()) => State::Pending,
                    _ if again.contains(line.s3_key.as_str()) => State::ReadAgain,
                    Some(true) => State::Complete,
                    Some(false) => State::NeverComplete,
                    None => State::Unknown,
                },
            })
            .collect();
        found.sort_by(|a, b| (a.checkpoint, &a.s3_key).cmp(&(b.checkpoint, &b.s3_key)));
        found
    }

    /// Starts of whose lines some are gone: the numbers in their files' names have gaps.
    fn cut(&self) -> BTreeSet<Generation> {
        let dropped = format!("{}/", self.archive.slots.newest.identity.dropped);
        let mut numbers: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
        for line in &self.archive.commit_log.lines {
            if let Some(name) = lines::name(line) {
                let dropped = line.s3_key.starts_with(&dropped);
                let writer = (name.generation, name.subtask, dropped);
                numbers.entry(writer).or_default().insert(name.sequence);
            }
        }
        let has_gap =
            |of: &BTreeSet<u64>| of.last().is_some_and(|last| *last + 1 != of.len() as u64);
        let cut = numbers.into_iter().filter(|(_, of)| has_gap(of));
        cut.map(|((generation, ..), _)| generation).collect()
    }

    /// Files of the newest slot whose upload is still there: the running service or the next start
    /// makes them visible.
    fn open(&self) -> impl Iterator<Item = &'a PendingFile> {
        let archive = self.archive;
        let open = archive.uploads.iter();
        let open: BTreeSet<_> = open.map(|(root, u)| (*root, &u.key, &u.id)).collect();
        let pending = archive.slots.newest.pending.iter();
        pending.filter(move |file| {
            let own = &file.committable.upload;
            open.contains(&(file.root, &own.key, &own.id))
        })
    }

    fn pending(&self) -> BTreeMap<Split, ExactOffsets> {
        let mut pending: BTreeMap<Split, ExactOffsets> = BTreeMap::new();
        let open = self
            .open()
            .filter(|file| self.range.holds(file.checkpoint_id));
        for range in open.flat_map(|file| &file.offsets) {
            let of_split = pending.entry(range.split.clone()).or_default();
            of_split.add_all(&range.offsets());
        }
        pending
    }

    /// Of files that are not visible: the others are found without their line themselves.
    fn add_lines_that_slots_miss(&mut self) {
        let slots = &self.archive.slots;
        let mut told = BTreeSet::new();
        for (id, slot) in &slots.readable {
            for file in slot.pending.iter().chain(&slot.reread) {
                let url = file.url.as_str();
                let known = self.named.contains_key(url) || self.archive.files.contains(url);
                if known || !self.range.holds(file.checkpoint_id) || !told.insert(url) {
                    continue;
                }
                let csv = commit_log::key(file.checkpoint_id, file.subtask, file.root);
                self.damaged_csvs.push(Trouble {
                    url: format!("{}/{csv}", slots.newest.identity.commit_log),
                    why: format!(
                        "the line '{},{url}' is missing, slot {id} has this file: restore it from \
                         a copy of the store",
                        file.checkpoint_id
                    ),
                });
            }
        }
    }
}

/// Open uploads that nobody will ever finalize.
fn orphans(archive: &Archive) -> Vec<String> {
    let newest = &archive.slots.newest;
    let of = |root: Root| {
        let place = match root {
            Root::Output => &newest.identity.output,
            Root::Dropped => &newest.identity.dropped,
        };
        let open = archive.uploads.iter().filter(move |(r, _)| *r == root);
        let open = open.map(|(_, upload)| upload.clone()).collect();
        let orphans = decide::orphans(newest, root, open).into_iter();
        orphans.map(move |upload| format!("{place}/{}", upload.key))
    };
    of(Root::Output).chain(of(Root::Dropped)).collect()
}

#[cfg(test)]
pub mod tests;
