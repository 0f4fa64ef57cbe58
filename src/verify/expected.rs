//! What a range of checkpoints has to hold, as the slots at its ends say it.

use std::collections::BTreeMap;

use super::selection::Range;
use super::slots::Slots;
use crate::checkpoint::slot::{PendingFile, Slot, SlotKind};
use crate::ids::{CheckpointId, Generation, NextOffset, Offset, Split};
use crate::offset_set::ExactOffsets;

#[derive(Debug, Default)]
pub struct Expected {
    pub splits: BTreeMap<Split, Ends>,
    /// Slots that would say where the range begins or ends, and that cannot be read any more.
    pub unknown_ends: Vec<CheckpointId>,
    /// Offsets that a start has left out, allowed to by `--allow-lost-offsets`.
    pub given_up: BTreeMap<Split, ExactOffsets>,
    pub starts: BTreeMap<Split, Starts>,
}

/// From where to where each start has read of a split, as far as the log still has its slots.
pub type Starts = BTreeMap<Generation, (NextOffset, NextOffset)>;

/// `None` where no slot tells: then what the files hold has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub begin: Option<NextOffset>,
    pub end: Option<NextOffset>,
}

impl Ends {
    pub const UNKNOWN: Self = Self {
        begin: None,
        end: None,
    };
}

pub fn expected(slots: &Slots, range: Range) -> Expected {
    let mut expected = Expected::default();
    let last = slots.readable.get(&range.last);
    if last.is_none() {
        expected.unknown_ends.push(range.last);
    }
    // There is nothing below checkpoint 1 but the first start.
    let from_begin = range.first.0 <= 1;
    let below = CheckpointId(range.first.0.saturating_sub(1));
    let before = slots.readable.get(&below);
    if before.is_none() && !from_begin {
        expected.unknown_ends.push(below);
    }
    for saved in &last.unwrap_or(&slots.newest).next_offsets {
        let begin = match before {
            _ if from_begin => Some(saved.begin),
            None => None,
            // A partition that was found later begins within the range.
            Some(before) => Some(next_offset(before, last, &saved.split).unwrap_or(saved.begin)),
        };
        let ends = Ends {
            begin,
            end: last.map(|_| saved.next_offset),
        };
        expected.splits.insert(saved.split.clone(), ends);
    }
    expected.given_up = given_up(slots);
    for slot in slots.readable.values() {
        for saved in &slot.next_offsets {
            let (of_split, next) = (
                expected.starts.entry(saved.split.clone()),
                saved.next_offset,
            );
            let span = of_split.or_default().entry(slot.generation);
            let span = span.or_insert((next, next));
            *span = (next.min(span.0), next.max(span.1));
        }
    }
    expected
}

/// Where a slot ended, if that was in the same topic.
fn next_offset(slot: &Slot, later: Option<&Slot>, split: &Split) -> Option<NextOffset> {
    let same = later.is_none_or(|later| slot.same_topic(later, &split.topic));
    let saved = slot.next_offsets.iter().find(|s| same && s.split == *split);
    saved.map(|saved| saved.next_offset)
}

/// A start record archives nothing: where its next offset is above that of the slot before it, the
/// offsets between were gone from Kafka before they could be archived.
fn given_up(slots: &Slots) -> BTreeMap<Split, ExactOffsets> {
    let mut given_up: BTreeMap<Split, ExactOffsets> = BTreeMap::new();
    let starts = slots.readable.values();
    for start in starts.filter(|slot| slot.kind == SlotKind::Start && slot.id.0 > 0) {
        let Some(before) = slots.readable.get(&CheckpointId(start.id.0 - 1)) else {
            continue;
        };
        for saved in &start.next_offsets {
            if let Some(was) = next_offset(before, Some(start), &saved.split)
                && was < saved.next_offset
            {
                let of_split = given_up.entry(saved.split.clone()).or_default();
                of_split.add_range(Offset(was.0), Offset(saved.next_offset.0 - 1));
            }
        }
    }
    given_up
}

/// A file that the store lost before it was visible, and that a start has given up.
pub struct ReadAgain<'a> {
    pub file: &'a PendingFile,
    /// The checkpoint that holds its records instead; `None` while they are to be read again.
    by: Option<CheckpointId>,
}

/// In the order in which they were read again.
pub fn read_again(slots: &Slots) -> Vec<ReadAgain<'_>> {
    let mut found = BTreeMap::new();
    // Carried on from one start record to the next until a checkpoint holds them.
    for slot in slots.readable.values() {
        let by = Some(slot.id.next()).filter(|&by| by <= slots.newest.id);
        for file in &slot.reread {
            found.insert(file.url.as_str(), ReadAgain { file, by });
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|again| again.by.map_or((1, None), |by| (0, Some(by))));
    found
}

impl ReadAgain<'_> {
    /// Wants its records of the checkpoint that holds them now.
    pub fn place(&self, split: &Split, range: Range, wanted: &mut ExactOffsets) {
        let here = range.holds(self.by.unwrap_or(self.file.checkpoint_id));
        let ranges = self.file.offsets.iter().filter(|r| r.split == *split);
        for offsets in ranges.map(|range| range.offsets()) {
            if here {
                wanted.add_all(&offsets);
            } else {
                wanted.remove_all(&offsets);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::slot::SplitOffset;
    use crate::verify::judge::tests::{slots, split};

    /// Begin and end of partition 0 in a range, by slots of (id, next offset), all checkpoints.
    fn ends(of: &[(u64, i64)], first: u64, last: u64) -> (Option<i64>, Option<i64>, usize) {
        let range = Range {
            first: CheckpointId(first),
            last: CheckpointId(last),
        };
        let expected = expected(&slots(of), range);
        let ends = expected.splits[&split()];
        let number = |next: Option<NextOffset>| next.map(|next| next.0);
        (
            number(ends.begin),
            number(ends.end),
            expected.unknown_ends.len(),
        )
    }

    #[test]
    fn everything_is_from_the_begin_to_the_next_offset_of_the_newest_slot() {
        assert_eq!(ends(&[(8, 80), (9, 90)], 0, 9), (Some(10), Some(90), 0));
    }

    #[test]
    fn a_range_is_between_the_next_offsets_of_the_slots_around_it() {
        let log = [(5, 50), (6, 60), (7, 70), (8, 80), (9, 90)];
        assert_eq!(ends(&log, 7, 8), (Some(60), Some(80), 0));
        assert_eq!(ends(&log, 1, 8), (Some(10), Some(80), 0));
    }

    #[test]
    fn an_end_whose_slot_is_not_in_the_log_is_not_known_and_no_other_slot_stands_for_it() {
        let log = [(5, 50), (8, 80), (9, 90)];
        assert_eq!(ends(&log, 7, 8), (None, Some(80), 1));
        assert_eq!(ends(&log, 3, 4), (None, None, 2));
        assert_eq!(ends(&log, 1, 4), (Some(10), None, 1));
    }

    #[test]
    fn a_partition_that_was_found_within_the_range_begins_at_its_begin() {
        let mut slots = slots(&[(6, 60), (9, 90)]);
        let new = SplitOffset {
            split: Split::new("lineage-input", 1),
            begin: NextOffset(5),
            next_offset: NextOffset(7),
        };
        let newest = slots.readable.get_mut(&CheckpointId(9)).unwrap();
        newest.next_offsets.push(new.clone());
        let range = Range {
            first: CheckpointId(7),
            last: CheckpointId(9),
        };
        let ends = expected(&slots, range).splits[&new.split];
        assert_eq!(
            (ends.begin, ends.end),
            (Some(NextOffset(5)), Some(NextOffset(7)))
        );
    }

    #[test]
    fn what_a_start_skips_was_given_up_and_what_a_checkpoint_reads_was_not() {
        let mut slots = slots(&[(6, 60), (7, 70), (9, 90)]);
        assert!(given_up(&slots).is_empty());
        slots.readable.get_mut(&CheckpointId(7)).unwrap().kind = SlotKind::Start;
        let given_up = |slots: &Slots| given_up(slots).remove(&split()).map(|o| o.ranges());
        assert_eq!(given_up(&slots), Some(vec![(Offset(60), Offset(69))]));
        slots.readable.get_mut(&CheckpointId(7)).unwrap().topic_ids =
            crate::checkpoint::slot::TopicIds::from([("lineage-input".into(), "other".into())]);
        assert_eq!(given_up(&slots), None, "offsets of another topic");
    }
}
