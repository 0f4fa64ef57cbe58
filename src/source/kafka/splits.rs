//! The splits of one reader: how far each is read, and what of it is to be handed over.

use crate::ids::{NextOffset, Offset, Split};
use crate::runtime::progress::subtask::Position;
use crate::source::reread::Reread;
use crate::source::{SourceError, SplitIndex, SplitStart};

/// The table of a reader; it only grows.
#[derive(Default)]
pub struct Splits {
    names: Vec<Split>,
    states: Vec<SplitState>,
}

struct SplitState {
    position: NextOffset,
    /// The saved next offset; the position is below it only while lost records are read again.
    saved: NextOffset,
    reread: Option<Reread>,
    until: Option<NextOffset>,
}

impl SplitState {
    fn rereading(&self) -> bool {
        self.position < self.saved
    }

    fn at_end(&self) -> bool {
        self.until.is_some_and(|until| self.position >= until)
    }

    fn reach(&mut self, to: NextOffset) {
        let to = self.until.map_or(to, |until| until.min(to));
        self.position = self.position.max(to);
    }
}

impl Splits {
    /// Takes one more in. Says its place, and where reading it begins.
    pub fn add(&mut self, start: SplitStart) -> (SplitIndex, NextOffset) {
        let begin = match &start.reread {
            Some(reread) => reread.begin(start.from),
            None => start.from,
        };
        let index = SplitIndex(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(start.split);
        self.states.push(SplitState {
            position: begin,
            saved: start.from,
            reread: start.reread,
            until: start.until,
        });
        (index, begin)
    }

    /// Whether a record is to be handed over. Its position is behind it afterwards.
    #[inline]
    pub fn take(&mut self, index: SplitIndex, offset: Offset) -> bool {
        let state = &mut self.states[index.0 as usize];
        // Handed over before, and fetched again.
        if offset.0 < state.position.0 {
            return false;
        }
        // A record behind the end proves that there is nothing more before it.
        state.reach(offset.next());
        let behind_end = state.until.is_some_and(|until| offset.0 >= until.0);
        let lost_or_new =
            offset.0 >= state.saved.0 || state.reread.as_mut().is_some_and(|r| r.wants(offset));
        !behind_end && lost_or_new
    }

    /// Moves a position on. What is behind the end of a bounded run is dropped, so it counts as not read: the
    /// position never goes there.
    pub fn reach(&mut self, index: SplitIndex, to: NextOffset) {
        self.states[index.0 as usize].reach(to);
    }

    /// Ends what is behind its saved next offset.
    pub fn finish_rereading(&mut self) -> Result<(), SourceError> {
        for (state, split) in self.states.iter_mut().zip(&self.names) {
            if !state.rereading()
                && let Some(reread) = state.reread.take()
            {
                reread.finish(split)?;
            }
        }
        Ok(())
    }

    pub fn names(&self) -> &[Split] {
        &self.names
    }

    pub fn name(&self, index: SplitIndex) -> &Split {
        &self.names[index.0 as usize]
    }

    pub fn position(&self, index: SplitIndex) -> NextOffset {
        self.states[index.0 as usize].position
    }

    pub fn positions(&self) -> Vec<(Split, NextOffset)> {
        let positions = self.states.iter().map(|state| state.position);
        self.names.iter().cloned().zip(positions).collect()
    }

    /// Where each is, and where it ends as far as `end` knows.
    pub fn places(&self, end: impl Fn(SplitIndex, &Split) -> Option<NextOffset>) -> Vec<Position> {
        let indices = (0..).map(SplitIndex);
        let all = indices.zip(self.names.iter().zip(&self.states));
        all.map(|(index, (split, state))| Position {
            split: split.clone(),
            consumed: state.position,
            end: end(index, split),
        })
        .collect()
    }

    /// Those that have no end, or are not there yet, with their positions.
    pub fn open(&self) -> Vec<(SplitIndex, NextOffset)> {
        let places = (0..).map(SplitIndex).zip(&self.states);
        places
            .filter(|(_, state)| !state.at_end())
            .map(|(index, state)| (index, state.position))
            .collect()
    }

    pub fn rereading(&self) -> bool {
        self.states.iter().any(SplitState::rereading)
    }

    pub fn at_end(&self) -> bool {
        self.states.iter().all(SplitState::at_end)
    }
}
