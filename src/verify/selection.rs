//! Which checkpoints are looked at: from one to another, by number or by time.

use std::collections::BTreeMap;

use crate::commit_log::Line;
use crate::config::bound::Bound;
use crate::ids::CheckpointId;

/// As a person says it; both ends are included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection {
    pub from: Option<Bound>,
    pub to: Option<Bound>,
}

/// Checkpoints by number, both ends included; the last one is not above the newest slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub first: CheckpointId,
    pub last: CheckpointId,
}

impl Range {
    pub fn holds(self, id: CheckpointId) -> bool {
        self.first <= id && id <= self.last
    }
}

impl Selection {
    /// `None` where something was selected and there is no line of it. A checkpoint's time is that of
    /// its last line: it is selected as a whole or not at all.
    pub fn range(&self, lines: &[Line], newest: CheckpointId) -> Option<Range> {
        let whole = Range {
            first: CheckpointId(0),
            last: newest,
        };
        let mut times: BTreeMap<CheckpointId, i64> = BTreeMap::new();
        for line in lines {
            let time = times.entry(line.checkpoint_id).or_insert(i64::MIN);
            *time = line.commit_timestamp.max(*time);
        }
        let times = times.iter().map(|(id, time)| (*id, *time));
        let first = match self.from {
            None => whole.first,
            Some(Bound::Checkpoint(id)) => id,
            Some(Bound::Time(from)) => times.clone().find(|&(_, time)| time >= from)?.0,
        };
        let last = match self.to {
            None => whole.last,
            Some(Bound::Checkpoint(id)) => id.min(newest),
            Some(Bound::Time(to)) => times.clone().rev().find(|&(_, time)| time <= to)?.0,
        };
        let range = Range { first, last };
        let nothing_said = self.from.is_none() && self.to.is_none();
        (nothing_said || times.clone().any(|(id, _)| range.holds(id))).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checkpoints 1, 3 and 5, each of two lines a moment apart.
    fn range(from: Option<Bound>, to: Option<Bound>) -> Option<(u64, u64)> {
        let line = |id, time| Line {
            checkpoint_id: CheckpointId(id),
            s3_key: String::new(),
            commit_timestamp: time,
        };
        let lines = [1, 3, 5].map(|id| [line(id, 10 * id as i64), line(id, 10 * id as i64 + 2)]);
        let range = Selection { from, to }.range(lines.as_flattened(), CheckpointId(6))?;
        Some((range.first.0, range.last.0))
    }

    fn id(id: u64) -> Option<Bound> {
        Some(Bound::Checkpoint(CheckpointId(id)))
    }

    #[test]
    fn without_ends_it_is_everything_up_to_the_newest_slot() {
        assert_eq!(range(None, None), Some((0, 6)));
        let nothing = Selection::default().range(&[], CheckpointId(6));
        assert!(nothing.is_some());
    }

    #[test]
    fn both_ends_are_included() {
        assert_eq!(range(id(3), id(5)), Some((3, 5)));
        assert_eq!(range(id(2), id(90)), Some((2, 6)));
    }

    #[test]
    fn a_checkpoint_is_selected_by_time_as_a_whole() {
        let time = |time| Some(Bound::Time(time));
        assert_eq!(range(time(32), time(52)), Some((3, 5)));
        assert_eq!(range(time(33), time(51)), None, "from 5 to 3");
        assert_eq!(range(time(13), None), Some((3, 6)));
        assert_eq!(range(None, time(51)), Some((0, 3)));
    }

    #[test]
    fn what_has_no_line_is_nothing() {
        assert_eq!(range(id(6), None), None);
        assert_eq!(range(id(5), id(3)), None);
        assert_eq!(range(None, Some(Bound::Time(5))), None);
    }
}
