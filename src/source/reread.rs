//! Reading records a second time, because the store has lost the file that they were in.
//!
//! A split then begins at the first lost offset instead of its saved next offset. Up to there it
//! hands over exactly the lost offsets, everything else is archived already; from there on, all.

use super::SourceError;
use crate::ids::{NextOffset, Offset, Split};
use crate::offset_set::ExactOffsets;

/// What a split still has to hand over below its saved next offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    lost: ExactOffsets,
    /// Goes on where Kafka does not deliver all of them any more.
    allow_gaps: bool,
}

impl Reread {
    /// `None` when nothing is lost.
    pub fn of(lost: ExactOffsets, allow_gaps: bool) -> Option<Self> {
        (!lost.is_empty()).then_some(Self { lost, allow_gaps })
    }

    /// Where reading begins; `resume` when nothing is left to read again.
    pub fn begin(&self, resume: NextOffset) -> NextOffset {
        let first = self.lost.first().map(|first| NextOffset(first.0));
        first.map_or(resume, |first| first.min(resume))
    }

    /// Whether the record was lost; it is handed over once.
    pub fn wants(&mut self, offset: Offset) -> bool {
        self.lost.remove(offset)
    }

    /// The split is behind all that was lost: nothing may be left over.
    pub fn finish(self, split: &Split) -> Result<(), SourceError> {
        let Self { lost, allow_gaps } = self;
        if lost.is_empty() {
            return Ok(());
        }
        if allow_gaps {
            tracing::warn!(%split, %lost, "going on without records that are gone, as allowed");
            return Ok(());
        }
        Err(SourceError::NotDeliveredAgain {
            split: split.clone(),
            lost: lost.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reread(lost: &[i64], allow_gaps: bool) -> Reread {
        Reread::of(lost.iter().copied().map(Offset).collect(), allow_gaps).unwrap()
    }

    #[test]
    fn exactly_the_lost_offsets_are_wanted_once_each() {
        let mut reread = reread(&[3, 4, 9], false);
        let wanted: Vec<_> = (0..12).filter(|&o| reread.wants(Offset(o))).collect();
        assert_eq!(wanted, [3, 4, 9]);
        assert!(!reread.wants(Offset(3)));
        assert!(reread.finish(&Split::new("t", 0)).is_ok());
    }

    #[test]
    fn reading_begins_at_the_first_lost_offset() {
        assert_eq!(reread(&[3, 9], false).begin(NextOffset(20)), NextOffset(3));
    }

    #[test]
    fn a_lost_record_that_kafka_does_not_deliver_any_more_is_an_error_unless_allowed() {
        let split = Split::new("t", 0);
        let error = reread(&[3, 9], false).finish(&split).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("t-0") && error.contains("3 to 9"), "{error}");
        assert!(reread(&[3, 9], true).finish(&split).is_ok());
    }
}
