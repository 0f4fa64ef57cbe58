//! Adds up what was read: which offsets are there, twice there, or missing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Selection;
use super::archive::Archive;
use super::part::Unreadable;
use super::report::{LineWithoutFile, Partition, Report, State, Trouble};
use crate::checkpoint::slot::{PendingFile, Slot};
use crate::ids::{Offset, Split};
use crate::offset_set::ExactOffsets;
use crate::recovery::decide;
use crate::sink::footer::Stated;
use crate::store::Root;

/// One file whose footer could be read.
#[derive(Debug)]
pub struct Part {
    pub url: String,
    pub root: Root,
    pub stated: Stated,
}

#[derive(Debug, Default)]
pub struct Facts {
    pub parts: Vec<Part>,
    foreign: Vec<Trouble>,
    damaged: Vec<Trouble>,
}

impl Facts {
    pub fn note_unreadable(&mut self, url: String, root: Root, why: Unreadable) {
        let list = match why {
            Unreadable::Foreign(_) => &mut self.foreign,
            _ => &mut self.damaged,
        };
        let why = why.to_string();
        list.push(Trouble { url, root, why });
    }
}

/// What is known of one split.
#[derive(Debug, Default)]
struct Sum {
    seen: ExactOffsets,
    twice: ExactOffsets,
    rows: u64,
    dropped: u64,
}

pub fn judge(archive: &Archive, mut facts: Facts, selection: &Selection) -> Report {
    facts.parts.sort_by(|a, b| a.url.cmp(&b.url));
    let mut sums: BTreeMap<Split, Sum> = BTreeMap::new();
    for part in &facts.parts {
        for of in &part.stated.offsets {
            let sum = sums.entry(of.split.clone()).or_default();
            match part.root {
                Root::Output => sum.rows += of.offsets.len(),
                Root::Dropped => sum.dropped += of.offsets.len(),
            }
            sum.twice.add_all(&sum.seen.common(&of.offsets));
            sum.seen.add_all(&of.offsets);
        }
    }
    let pending = pending(archive);
    let whole = selection.is_everything();
    let mut partitions = Vec::new();
    for saved in &archive.newest.next_offsets {
        let sum = sums.remove(&saved.split).unwrap_or_default();
        let waiting = pending.get(&saved.split);
        // A selection is judged between its own first and last offset: what lies around is not in it.
        let end = if whole {
            Some(Offset(saved.next_offset.0))
        } else {
            sum.seen.last().map(|last| Offset(last.0 + 1))
        };
        let begin = if whole {
            Some(Offset(saved.begin.0))
        } else {
            sum.seen.first()
        };
        partitions.push(partition(saved.split.clone(), sum, begin, end, waiting));
    }
    // Splits that the newest slot does not know: of partitions that were deleted since.
    for (split, sum) in sums {
        let (begin, last) = (sum.seen.first(), sum.seen.last());
        let end = last.map(|last| Offset(last.0 + 1));
        partitions.push(partition(split, sum, begin, end, None));
    }
    let newest = &archive.newest;
    let named: BTreeSet<&str> = archive.lines.iter().map(|l| l.s3_key.as_str()).collect();
    let files = archive.urls();
    let unnamed = files.iter().filter(|url| !named.contains(url.as_str()));
    Report {
        job: newest.job.clone(),
        generation: newest.generation,
        newest_slot: newest.id,
        files: facts.parts.len(),
        partitions,
        lines_without_file: lines_without_file(archive, selection, &files),
        files_without_line: unnamed.cloned().collect(),
        damaged_files: facts.damaged,
        foreign_files: facts.foreign,
        damaged_csvs: archive.bad_csvs.clone(),
        orphans: orphans(archive),
    }
}

fn partition(
    split: Split,
    sum: Sum,
    begin: Option<Offset>,
    end: Option<Offset>,
    pending: Option<&ExactOffsets>,
) -> Partition {
    let mut missing = ExactOffsets::default();
    if let (Some(begin), Some(end)) = (begin, end)
        && begin < end
    {
        missing.add_range(begin, Offset(end.0 - 1));
        missing.remove_all(&sum.seen);
    }
    let waiting = pending.map_or_else(ExactOffsets::default, |p| missing.common(p));
    missing.remove_all(&waiting);
    Partition {
        first: sum.seen.first(),
        last: sum.seen.last(),
        judged_to: end,
        rows: sum.rows,
        dropped: sum.dropped,
        pending: waiting.len(),
        missing,
        not_in_kafka: None,
        duplicates: sum.twice,
        split,
    }
}

/// Offsets of files that a complete checkpoint has closed and whose upload is still there: the
/// running service or the next start makes them visible.
fn pending(archive: &Archive) -> BTreeMap<Split, ExactOffsets> {
    let is_open = |file: &&PendingFile| {
        let same = |(root, upload): &(Root, crate::store::Upload)| {
            let own = &file.committable.upload;
            *root == file.root && upload.key == own.key && upload.id == own.id
        };
        archive.uploads.iter().any(same)
    };
    let mut pending: BTreeMap<Split, ExactOffsets> = BTreeMap::new();
    for file in archive.newest.pending.iter().filter(is_open) {
        for range in &file.offsets {
            let of_split = pending.entry(range.split.clone()).or_default();
            of_split.add_all(&range.offsets());
        }
    }
    pending
}

fn lines_without_file(
    archive: &Archive,
    selection: &Selection,
    files: &BTreeSet<String>,
) -> Vec<LineWithoutFile> {
    let waits: BTreeSet<&str> = pending_urls(&archive.newest);
    let lines = archive.lines.iter().filter(|line| selection.holds(line));
    let without = lines.filter(|line| !files.contains(&line.s3_key));
    let mut found: Vec<_> = without
        .map(|line| LineWithoutFile {
            checkpoint: line.checkpoint_id,
            s3_key: line.s3_key.clone(),
            state: match archive.is_complete(line.checkpoint_id) {
                _ if waits.contains(line.s3_key.as_str()) => State::Pending,
                Some(true) => State::Complete,
                Some(false) => State::NeverComplete,
                None => State::Unknown,
            },
        })
        .collect();
    found.sort_by(|a, b| (a.checkpoint, &a.s3_key).cmp(&(b.checkpoint, &b.s3_key)));
    found
}

fn pending_urls(slot: &Slot) -> BTreeSet<&str> {
    slot.pending.iter().map(|file| file.url.as_str()).collect()
}

/// Open uploads that nobody will ever finalize.
fn orphans(archive: &Archive) -> Vec<String> {
    let of = |root: Root| {
        let open = archive.uploads.iter().filter(move |(r, _)| *r == root);
        let open = open.map(|(_, upload)| upload.clone()).collect();
        let orphans = decide::orphans(&archive.newest, root, open);
        orphans
            .into_iter()
            .map(move |u| archive.tree(root).url(&u.key.0))
    };
    of(Root::Output).chain(of(Root::Dropped)).collect()
}
