//! What the files hold of one split, added up.

use std::collections::{BTreeMap, BTreeSet};

use super::expected::{Ends, Starts};
use super::report::Partition;
use crate::ids::{Generation, Offset, Split};
use crate::offset_set::ExactOffsets;
use crate::store::Root;

#[derive(Debug, Default)]
pub struct Sum {
    pub seen: ExactOffsets,
    twice: ExactOffsets,
    rows: u64,
    dropped: u64,
    /// The first and the last offset that each start has archived.
    starts: BTreeMap<Generation, (Offset, Offset)>,
}

/// What else tells that offsets were passed over.
pub struct Trust<'a> {
    /// Where each start has read of the split, as far as slots say.
    pub starts: &'a Starts,
    /// Starts of whose files and lines some are gone.
    pub cut: &'a BTreeSet<Generation>,
}

impl Sum {
    /// Adds what one file holds.
    pub fn add(&mut self, root: Root, generation: Generation, offsets: &ExactOffsets) {
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
            return;
        };
        match root {
            Root::Output => self.rows += offsets.len(),
            Root::Dropped => self.dropped += offsets.len(),
        }
        self.twice.add_all(&self.seen.common(offsets));
        self.seen.add_all(offsets);
        let span = self.starts.entry(generation).or_insert((first, last));
        *span = (first.min(span.0), last.max(span.1));
    }

    /// All offsets from begin to end; an end that is not known is that of what is there.
    pub fn between(&self, ends: &Ends) -> ExactOffsets {
        let begin = ends.begin.map(|begin| Offset(begin.0));
        let last = ends.end.map(|end| Offset(end.0 - 1));
        let mut all = ExactOffsets::default();
        if let (Some(begin), Some(last)) = (begin.or(self.seen.first()), last.or(self.seen.last()))
            && begin <= last
        {
            all.add_range(begin, last);
        }
        all
    }

    /// Missing offsets between others that one and the same start has archived, or that slots say it
    /// has read, if none of its files and lines is lost: it has read on past them, and no file ever
    /// held them.
    fn passed_over(&self, missing: &ExactOffsets, trust: &Trust<'_>) -> ExactOffsets {
        let mut spans = self.starts.clone();
        for (&generation, &(begin, end)) in trust.starts {
            let (first, last) = (Offset(begin.0), Offset(end.0 - 1));
            let span = spans.entry(generation).or_insert((first, last));
            *span = (first.min(span.0), last.max(span.1));
        }
        let mut within = ExactOffsets::default();
        for (generation, (first, last)) in spans {
            if first <= last && !trust.cut.contains(&generation) {
                within.add_range(first, last);
            }
        }
        missing.common(&within)
    }

    pub fn partition(
        self,
        split: Split,
        missing: ExactOffsets,
        trust: Option<Trust<'_>>,
    ) -> Partition {
        let passed_over = trust.map(|trust| self.passed_over(&missing, &trust));
        Partition {
            split,
            first: self.seen.first(),
            last: self.seen.last(),
            judged_from: None,
            judged_to: None,
            rows: self.rows,
            dropped: self.dropped,
            pending: 0,
            given_up: ExactOffsets::default(),
            passed_over: passed_over.unwrap_or_default(),
            missing,
            kafka: None,
            duplicates: self.twice,
        }
    }
}
