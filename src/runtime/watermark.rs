//! Up to which time all records of a subtask's splits have been read, as far as can be told.
//!
//! By event time that is the newest time of each split, less the lateness that is allowed; the slowest
//! split decides. One that is read to its end and silent for long holds up nothing. A time that has not
//! come yet by the clock counts as now, so that one record with a wrong date completes no hour.

use std::time::Duration;

use crate::clock::EpochMillis;
use crate::runtime::progress::subtask::Position;
use crate::source::SplitIndex;
use crate::store::Root;
use crate::transform::Rows;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Rows have the time of their processing, so all before now have been read.
    Processing,
    Event {
        lateness: Duration,
        /// A split that is silent for so long at its end is idle.
        idle: Duration,
    },
}

/// What a subtask can say of its splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watermark {
    /// Nothing: a split has still to be heard of.
    Unknown,
    /// All before this time has been read.
    At(EpochMillis),
    /// All splits are idle, or there are none.
    Idle,
}

pub struct Tracker {
    rule: Rule,
    /// By the source's table.
    splits: Vec<SplitClock>,
}

#[derive(Debug, Clone, Copy)]
struct SplitClock {
    newest: Option<EpochMillis>,
    /// When there was a record, or when the split was first looked at.
    heard: Duration,
}

impl Tracker {
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            splits: Vec::new(),
        }
    }

    /// Notes rows that have been written, by both clocks. Those without a time of their own say only that
    /// the split is not silent.
    pub fn saw(&mut self, rows: &Rows, wall: EpochMillis, now: Duration) {
        let (Rule::Event { .. }, Some(times)) = (self.rule, &rows.times) else {
            return;
        };
        let mut lent = times.lent.iter().copied().peekable();
        for (row, (origin, &time)) in rows.origins.iter().zip(&times.of_rows).enumerate() {
            let split = self.split(origin.split, now);
            split.heard = now;
            let is_lent = lent.next_if_eq(&row).is_some();
            // What was dropped has the time of Kafka at best.
            if !is_lent && rows.root == Root::Output {
                split.newest = split.newest.max(Some(time.min(wall)));
            }
        }
    }

    fn split(&mut self, index: SplitIndex, now: Duration) -> &mut SplitClock {
        let place = index.0 as usize;
        if self.splits.len() <= place {
            let unheard = SplitClock {
                newest: None,
                heard: now,
            };
            self.splits.resize(place + 1, unheard);
        }
        &mut self.splits[place]
    }

    /// At a barrier, with the places of all splits in the order of the source's table.
    pub fn at(&mut self, wall: EpochMillis, now: Duration, places: &[Position]) -> Watermark {
        let Rule::Event { lateness, idle } = self.rule else {
            return match places.is_empty() {
                true => Watermark::Idle,
                false => Watermark::At(wall),
            };
        };
        let mut slowest = Watermark::Idle;
        for (index, place) in (0..).map(SplitIndex).zip(places) {
            let split = *self.split(index, now);
            let at_end = place.end.is_some_and(|end| place.consumed >= end);
            if at_end && now.saturating_sub(split.heard) >= idle {
                continue;
            }
            let Some(newest) = split.newest else {
                return Watermark::Unknown;
            };
            let lateness = i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX);
            let passed = EpochMillis(newest.0.saturating_sub(lateness));
            slowest = match slowest {
                Watermark::At(slowest) => Watermark::At(slowest.min(passed)),
                _ => Watermark::At(passed),
            };
        }
        slowest
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;
    use arrow_schema::Schema;

    use super::*;
    use crate::ids::{NextOffset, Offset, Split};
    use crate::source::Origin;
    use crate::transform::event_time::RowTimes;

    const WALL: EpochMillis = EpochMillis(1_000_000);
    const S: Duration = Duration::from_secs(1);

    fn rows(times: &[(u32, i64)]) -> Rows {
        let origins = times.iter().map(|&(split, _)| Origin {
            split: SplitIndex(split),
            offset: Offset(0),
        });
        Rows {
            root: Root::Output,
            batch: RecordBatch::new_empty(Schema::empty().into()),
            origins: origins.collect(),
            times: Some(RowTimes {
                of_rows: times.iter().map(|&(_, time)| EpochMillis(time)).collect(),
                lent: Vec::new(),
            }),
        }
    }

    /// Splits that are so many records from their ends.
    fn places(left: &[i64]) -> Vec<Position> {
        let places = (0..).zip(left).map(|(partition, left)| Position {
            split: Split::new("t", partition),
            consumed: NextOffset(10),
            end: Some(NextOffset(10 + left)),
        });
        places.collect()
    }

    fn by_event_time() -> Tracker {
        Tracker::new(Rule::Event {
            lateness: Duration::from_millis(10),
            idle: 60 * S,
        })
    }

    #[test]
    fn the_slowest_split_decides_less_the_lateness() {
        let mut tracker = by_event_time();
        tracker.saw(&rows(&[(0, 500), (1, 300), (0, 400)]), WALL, S);
        let watermark = tracker.at(WALL, 2 * S, &places(&[0, 0]));
        assert_eq!(watermark, Watermark::At(EpochMillis(290)));
    }

    #[test]
    fn a_split_that_is_silent_at_its_end_holds_up_nothing_and_one_with_records_left_does() {
        let mut tracker = by_event_time();
        tracker.saw(&rows(&[(0, 500), (1, 300)]), WALL, S);
        tracker.saw(&rows(&[(0, 700)]), WALL, 70 * S);
        assert_eq!(
            tracker.at(WALL, 70 * S, &places(&[0, 0])),
            Watermark::At(EpochMillis(690))
        );
        assert_eq!(
            tracker.at(WALL, 70 * S, &places(&[0, 5])),
            Watermark::At(EpochMillis(290))
        );
        assert_eq!(tracker.at(WALL, 200 * S, &places(&[0, 0])), Watermark::Idle);
        assert_eq!(tracker.at(WALL, 200 * S, &[]), Watermark::Idle);
    }

    #[test]
    fn a_split_that_was_never_heard_of_is_waited_for_until_it_is_idle() {
        let mut tracker = by_event_time();
        tracker.saw(&rows(&[(0, 500)]), WALL, S);
        assert_eq!(
            tracker.at(WALL, 2 * S, &places(&[0, 0])),
            Watermark::Unknown
        );
        tracker.saw(&rows(&[(0, 600)]), WALL, 50 * S);
        assert_eq!(
            tracker.at(WALL, 63 * S, &places(&[0, 0])),
            Watermark::At(EpochMillis(590))
        );
    }

    #[test]
    fn a_time_that_has_not_come_yet_counts_as_now() {
        let mut tracker = by_event_time();
        tracker.saw(&rows(&[(0, i64::MAX)]), WALL, S);
        let watermark = tracker.at(WALL, S, &places(&[0]));
        assert_eq!(watermark, Watermark::At(EpochMillis(WALL.0 - 10)));
    }

    #[test]
    fn what_was_dropped_and_what_has_no_time_of_its_own_moves_nothing() {
        let mut tracker = by_event_time();
        tracker.saw(&rows(&[(0, 300)]), WALL, S);
        let mut lent = rows(&[(0, 310), (0, 900), (0, 320)]);
        lent.times.as_mut().unwrap().lent = vec![1];
        tracker.saw(&lent, WALL, 2 * S);
        let mut dropped = rows(&[(0, 800)]);
        dropped.root = Root::Dropped;
        tracker.saw(&dropped, WALL, 50 * S);
        let watermark = tracker.at(WALL, 100 * S, &places(&[0]));
        assert_eq!(watermark, Watermark::At(EpochMillis(310)));
        // But the split was heard of.
        assert_eq!(tracker.at(WALL, 111 * S, &places(&[0])), Watermark::Idle);
    }

    #[test]
    fn by_processing_time_all_before_the_barrier_has_been_read() {
        let mut tracker = Tracker::new(Rule::Processing);
        assert_eq!(tracker.at(WALL, S, &places(&[5])), Watermark::At(WALL));
        assert_eq!(tracker.at(WALL, S, &[]), Watermark::Idle);
    }
}
