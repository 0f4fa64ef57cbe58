mod gaps;

use proptest::prelude::*;

use super::*;
use crate::checkpoint::slot::tests::sample;
use crate::checkpoint::slot::{OffsetRange, Slot};
use crate::commit_log::Line;
use crate::ids::{JobId, NextOffset};
use crate::sink::footer::SplitOffsets;
use crate::store::{Key, Upload};
use crate::verify::lines::CommitLines;
use crate::verify::slots::Slots;

const JOB: &str = "0123456789abcdef0123456789abcdef";

pub fn split() -> Split {
    Split::new("lineage-input", 0)
}

pub fn url(generation: u64, sequence: u64) -> String {
    format!("s3://b/output/year=2026/part-{JOB}-{generation}-0-{sequence}.parquet")
}

pub fn line(checkpoint: u64, url: &str) -> Line {
    Line {
        checkpoint_id: CheckpointId(checkpoint),
        s3_key: url.to_owned(),
        commit_timestamp: 1,
    }
}

/// A log of (id, next offset), all complete checkpoints of a partition that begins at 10.
pub fn slots(of: &[(u64, i64)]) -> Slots {
    let slot = |&(id, next)| {
        let mut slot = sample(id);
        slot.generation = Generation(7);
        slot.pending.clear();
        slot.next_offsets[0].split = split();
        slot.next_offsets[0].begin = NextOffset(10);
        slot.next_offsets[0].next_offset = NextOffset(next);
        (slot.id, slot)
    };
    let readable: BTreeMap<_, Slot> = of.iter().map(slot).collect();
    Slots {
        newest: readable.values().next_back().unwrap().clone(),
        readable,
        damaged: BTreeMap::new(),
    }
}

/// Slot 9, at offset 90, and nothing else.
pub fn archive() -> Archive {
    Archive {
        slots: slots(&[(9, 90)]),
        commit_log: CommitLines::default(),
        uploads: Vec::new(),
        uploads_denied: Vec::new(),
        files: BTreeSet::new(),
    }
}

fn offsets(of: impl IntoIterator<Item = i64>) -> ExactOffsets {
    of.into_iter().map(Offset).collect()
}

fn part(checkpoint: u64, url: &str, of: ExactOffsets) -> Part {
    Part {
        url: url.to_owned(),
        root: Root::Output,
        stated: Stated {
            job: JOB.parse::<JobId>().unwrap(),
            generation: Generation(1),
            checkpoint: CheckpointId(checkpoint),
            offsets: vec![SplitOffsets {
                split: split(),
                offsets: of,
            }],
        },
    }
}

/// Archives and what their files hold; file `n` is `url(1, n)`.
struct Made {
    archive: Archive,
    parts: Vec<Part>,
}

/// One file for each checkpoint, of (id, offsets); the log has the slots of `kept`.
fn made(checkpoints: &[(u64, std::ops::Range<i64>)], kept: std::ops::RangeInclusive<u64>) -> Made {
    let mut archive = archive();
    let mut parts = Vec::new();
    for (sequence, (id, of)) in checkpoints.iter().enumerate() {
        let url = url(1, sequence as u64);
        archive.commit_log.lines.push(line(*id, &url));
        archive.files.insert(url.clone());
        parts.push(part(*id, &url, offsets(of.clone())));
    }
    let log = checkpoints.iter().filter(|(id, _)| kept.contains(id));
    let log: Vec<_> = log.map(|(id, of)| (*id, of.end)).collect();
    archive.slots = slots(&log);
    Made { archive, parts }
}

/// Checkpoints 1 to 4 of ten offsets each.
fn four(kept: std::ops::RangeInclusive<u64>) -> Made {
    made(&[(1, 10..20), (2, 20..30), (3, 30..40), (4, 40..50)], kept)
}

impl Made {
    fn take_away(&mut self, checkpoint: u64) {
        let is_it = |part: &Part| part.stated.checkpoint.0 == checkpoint;
        let part = self.parts.iter().position(is_it).unwrap();
        let part = self.parts.remove(part);
        self.archive.files.remove(&part.url);
    }

    /// These files are start 2's, and numbered from 0.
    fn written_by_start_2(&mut self, files: &[usize]) {
        for (sequence, &place) in (0..).zip(files) {
            self.archive.files.remove(&self.parts[place].url);
            self.archive.files.insert(url(2, sequence));
            self.archive.commit_log.lines[place].s3_key = url(2, sequence);
            self.parts[place].url = url(2, sequence);
            self.parts[place].stated.generation = Generation(2);
        }
    }

    fn judged(&self, first: u64, last: u64) -> Report {
        let range = Range {
            first: CheckpointId(first),
            last: CheckpointId(last),
        };
        let mut judge = Judge::new(&self.archive, range);
        for part in &self.parts {
            if judge.wants(&part.url) {
                judge.add(part.clone());
            }
        }
        judge.finish()
    }

    fn all(&self) -> Report {
        self.judged(0, self.archive.slots.newest.id.0)
    }
}

fn missing(report: &Report) -> ExactOffsets {
    report.partitions[0].missing.clone()
}

fn is_good(report: &Report) -> bool {
    report.is_exact() && report.logs_are_whole()
}

#[test]
fn a_file_that_is_gone_from_either_end_of_a_range_is_missing_while_its_slots_are_in_the_log() {
    for gone in [2, 3] {
        let mut made = four(1..=4);
        assert!(is_good(&made.judged(2, 3)));
        made.take_away(gone);
        let report = made.judged(2, 3);
        assert_eq!(
            missing(&report),
            offsets(gone as i64 * 10..gone as i64 * 10 + 10)
        );
        assert!(!report.is_exact());
        assert!(is_good(&made.judged(4, 4)), "it is not of this range");
    }
}

#[test]
fn a_line_without_file_is_no_proof_where_the_slots_are_pruned() {
    for gone in [2, 3] {
        let mut made = four(4..=4);
        assert!(is_good(&made.judged(2, 3)));
        made.take_away(gone);
        let report = made.judged(2, 3);
        assert_eq!(report.unknown_ends, [CheckpointId(3), CheckpointId(1)]);
        assert!(missing(&report).is_empty(), "no slot says so");
        assert!(!report.is_exact());
    }
}

#[test]
fn a_line_of_a_checkpoint_that_was_never_complete_hinders_no_range() {
    let mut made = made(&[(1, 10..20), (4, 20..30), (6, 30..40)], 6..=6);
    // Start 1 died in checkpoint 3, start 2 took slot 3 and wrote the others.
    made.written_by_start_2(&[1, 2]);
    made.archive.commit_log.lines.push(line(3, &url(1, 1)));
    let report = made.judged(2, 4);
    assert_eq!(report.lines_without_file[0].state, State::NeverComplete);
    assert_eq!(report.lines_at_unknown_ends(), 0);
}

#[test]
fn a_file_that_no_line_names_is_reported_up_to_the_newest_slot_and_ignored_above_it() {
    let mut made = four(1..=4);
    made.archive.commit_log.lines.remove(1);
    let report = made.all();
    assert_eq!(report.files_without_line, [url(1, 1)]);
    assert!(report.is_exact() && !report.logs_are_whole());

    // Checkpoint 5 has become visible since slot 4 was read.
    let mut made = four(1..=4);
    let newer = part(5, &url(1, 4), offsets(50..60));
    made.archive.files.insert(newer.url.clone());
    made.parts.push(newer);
    let report = made.all();
    assert!(is_good(&report), "{}", report.to_text());
    assert_eq!(report.partitions[0].last, Some(Offset(49)));
}

#[test]
fn a_line_of_another_checkpoint_than_the_footer_is_damage() {
    let mut made = four(1..=4);
    made.archive.commit_log.lines[1].checkpoint_id = CheckpointId(3);
    let report = made.all();
    let why = &report.damaged_csvs[0].why;
    assert!(why.contains("for checkpoint 3, its footer says 2"), "{why}");
    assert!(!is_good(&report));
}

#[test]
fn a_line_that_only_a_slot_knows_of_is_missing_by_its_csv() {
    let mut made = four(1..=4);
    let mut file = sample(4).pending.remove(0);
    file.url = url(1, 9);
    made.archive
        .slots
        .readable
        .get_mut(&CheckpointId(4))
        .unwrap()
        .pending = vec![file];
    let report = made.all();
    let [damage] = &report.damaged_csvs[..] else {
        panic!("{:?}", report.damaged_csvs)
    };
    assert_eq!(damage.url, "s3://b/wal/chk-4/subtask-1.csv");
    assert!(!is_good(&report));
}

/// File 3, of checkpoint 4, is not visible yet; checkpoint 4 is the newest.
fn pending() -> Made {
    let mut made = four(1..=4);
    made.take_away(4);
    let mut file = sample(4).pending.remove(0);
    file.url = url(1, 3);
    file.offsets = vec![OffsetRange::of(split(), &offsets(40..50)).unwrap()];
    let upload: Upload = file.committable.upload.clone();
    made.archive.uploads.push((Root::Output, upload));
    made.archive.slots.newest.pending = vec![file];
    made
}

#[test]
fn a_pending_file_is_not_missing_while_its_upload_is_there() {
    let mut made = pending();
    let report = made.all();
    assert!(is_good(&report), "{}", report.to_text());
    assert_eq!(report.partitions[0].pending, 10);
    assert_eq!(report.lines_without_file[0].state, State::Pending);
    made.archive.uploads.clear();
    let report = made.all();
    assert_eq!(missing(&report), offsets(40..50));
    assert_eq!(report.lines_without_file[0].state, State::Complete);
}

#[test]
fn an_upload_of_an_older_start_that_no_slot_references_is_an_orphan() {
    let mut made = pending();
    let key = Key::new(format!("year=2026/part-{JOB}-6-0-900.parquet"));
    let orphan = Upload {
        key,
        id: "u".into(),
        token: String::new(),
    };
    made.archive.uploads.push((Root::Output, orphan));
    let url = format!("s3://b/output/year=2026/part-{JOB}-6-0-900.parquet");
    assert_eq!(made.all().orphans, [url]);
}

prop_compose! {
    /// Up to eight checkpoints of some offsets each, all slots in the log.
    fn checkpoints()(sizes in prop::collection::vec(1i64..20, 1..8)) -> Vec<(u64, std::ops::Range<i64>)> {
        let mut next = 10;
        let mut of = |size| {
            let from = next;
            next += size;
            from..next
        };
        (1..).zip(sizes.into_iter().map(&mut of)).collect()
    }
}

proptest! {
    #[test]
    fn exactly_the_offsets_of_files_that_are_gone_are_missing_in_every_range(
        checkpoints in checkpoints(),
        gone in prop::collection::vec(prop::bool::ANY, 8),
        first in 0u64..9,
        last in 1u64..9,
    ) {
        let newest = checkpoints.len() as u64;
        let (first, last) = (first.min(last).min(newest), first.max(last).min(newest));
        let mut made = made(&checkpoints, 1..=newest);
        let mut wanted = ExactOffsets::default();
        for ((id, of), gone) in checkpoints.iter().zip(gone) {
            if gone {
                made.take_away(*id);
                if first <= *id && *id <= last {
                    wanted.add_all(&offsets(of.clone()));
                }
            }
        }
        let report = made.judged(first, last);
        prop_assert_eq!(report.is_exact(), wanted.is_empty());
        prop_assert_eq!(missing(&report), wanted);
    }

    #[test]
    fn exactly_the_offsets_that_two_files_hold_are_there_twice_in_whatever_order_they_are_read(
        checkpoints in checkpoints(),
        copied in prop::collection::btree_set(10i64..60, 1..10),
        place in prop::num::usize::ANY,
    ) {
        let newest = checkpoints.len() as u64;
        let end = checkpoints[checkpoints.len() - 1].1.end;
        let mut made = made(&checkpoints, 1..=newest);
        let url = url(1, 77);
        made.archive.commit_log.lines.push(line(newest, &url));
        made.archive.files.insert(url.clone());
        let copy = part(newest, &url, offsets(copied.clone()));
        made.parts.insert(place % (made.parts.len() + 1), copy);
        let twice = offsets(copied.into_iter().filter(|offset| *offset < end));
        prop_assert_eq!(&made.all().partitions[0].duplicates, &twice);
    }
}
