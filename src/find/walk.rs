//! Which checkpoints to look at for an offset: few of many.
//!
//! Between two barriers a partition's offsets go on from those before, so what one checkpoint holds says
//! on which side to go on. The exception are records that were read again, because the store had lost
//! their file before it was visible: these are in the first checkpoint of a later start. So if the offset
//! is not where it belongs, such neighbours are looked at too.

use std::ops::Range;

use futures::future::try_join_all;

use super::bisection::{Bisection, Lies, Span};
use crate::ids::Offset;

/// So many times in a row a file may be lost, read again and lost again.
const LOSSES: usize = 8;
/// Ids between such checkpoints: starts that did not come to one.
const STARTS: u64 = 64;

/// What was seen of a checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint<F> {
    /// The file that holds the offset.
    pub found: Option<F>,
    /// Of the partition's offsets, as far as they were seen.
    pub span: Span,
    /// The first of its start that has files of the partition's subtask.
    pub is_first_of_start: bool,
    /// Lines whose file is not visible.
    pub without_file: Vec<String>,
}

impl<F> Default for Checkpoint<F> {
    fn default() -> Self {
        Self {
            found: None,
            span: None,
            is_first_of_start: false,
            without_file: Vec::new(),
        }
    }
}

pub trait Checkpoints {
    type File;
    type Error;

    /// What the checkpoint of this id says of the offset; nothing where there is none.
    async fn look(&self, id: u64) -> Result<Checkpoint<Self::File>, Self::Error>;
}

#[derive(Debug, PartialEq, Eq)]
pub enum Walked<F> {
    Found(F),
    /// It would be between these two, or in this one.
    Nowhere(Option<u64>, Option<u64>),
}

/// Looks for an offset in checkpoints of these ids, and in those that may hold it once more.
pub async fn find<C: Checkpoints>(
    checkpoints: &C,
    ids: Range<u64>,
    newest: u64,
    offset: Offset,
) -> Result<Walked<C::File>, C::Error> {
    let mut bisection = Bisection::new(ids, offset.0);
    loop {
        let places = bisection.next();
        if places.is_empty() {
            break;
        }
        let seen = try_join_all(places.iter().map(|&id| checkpoints.look(id))).await?;
        for (&place, checkpoint) in places.iter().zip(seen) {
            if let Some(file) = checkpoint.found {
                return Ok(Walked::Found(file));
            }
            bisection.learn(place, checkpoint.span);
        }
    }
    let (low, high) = match bisection.lies() {
        Lies::Within(place) => (Some(place), Some(place)),
        Lies::Between(low, high) => (low, high),
    };
    let again = match read_again_below(checkpoints, low).await? {
        None => read_again_above(checkpoints, high, newest).await?,
        found => found,
    };
    Ok(again.map_or(Walked::Nowhere(low, high), Walked::Found))
}

/// What `low` holds may be older than what is before it.
async fn read_again_below<C: Checkpoints>(
    checkpoints: &C,
    low: Option<u64>,
) -> Result<Option<C::File>, C::Error> {
    let mut at = low;
    for _ in 0..LOSSES {
        let Some(id) = at else { break };
        if !checkpoints.look(id).await?.is_first_of_start {
            break;
        }
        let before = id.saturating_sub(STARTS).max(1)..id;
        at = first_with_records(checkpoints, before.rev()).await?;
        if let Some(id) = at
            && let Some(file) = checkpoints.look(id).await?.found
        {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// What `high` has lost is behind it.
async fn read_again_above<C: Checkpoints>(
    checkpoints: &C,
    high: Option<u64>,
    newest: u64,
) -> Result<Option<C::File>, C::Error> {
    let mut at = high;
    for _ in 0..LOSSES {
        let Some(id) = at else { break };
        let behind = id + 1..(id + 1 + STARTS).min(newest + 1);
        at = first_with_records(checkpoints, behind).await?;
        let Some(id) = at else { break };
        let checkpoint = checkpoints.look(id).await?;
        if checkpoint.found.is_some() || !checkpoint.is_first_of_start {
            return Ok(checkpoint.found);
        }
    }
    Ok(None)
}

async fn first_with_records<C: Checkpoints>(
    checkpoints: &C,
    ids: impl Iterator<Item = u64>,
) -> Result<Option<u64>, C::Error> {
    for id in ids {
        if checkpoints.look(id).await?.span.is_some() {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;

    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;

    /// The offsets of each checkpoint that are visible, and which are the first of their start.
    #[derive(Debug, Default)]
    struct Archive {
        checkpoints: BTreeMap<u64, (BTreeSet<i64>, bool)>,
        newest: u64,
    }

    struct Looking<'a>(&'a Archive, i64);

    impl Checkpoints for Looking<'_> {
        type File = u64;
        type Error = Infallible;

        async fn look(&self, id: u64) -> Result<Checkpoint<u64>, Infallible> {
            let Some((offsets, first)) = self.0.checkpoints.get(&id) else {
                return Ok(Checkpoint::default());
            };
            Ok(Checkpoint {
                found: offsets.contains(&self.1).then_some(id),
                span: offsets.first().copied().zip(offsets.last().copied()),
                is_first_of_start: *first && !offsets.is_empty(),
                without_file: Vec::new(),
            })
        }
    }

    /// Starts, each of some checkpoints with new records each; whether the store then loses the file with
    /// every how-manieth offset of the last one, which is the other kind of file.
    fn archive() -> impl Strategy<Value = Archive> {
        let checkpoints = prop::collection::vec(prop_oneof![1 => Just(0), 4 => 1i64..12], 1..30);
        let loss = prop::option::of((2i64..5, any::<bool>()));
        prop::collection::vec((checkpoints, loss), 1..12).prop_map(|starts| {
            let mut archive = Archive::default();
            let (mut id, mut next) = (0, 0);
            let mut again = BTreeSet::new();
            for (checkpoints, loss) in starts {
                // The start record.
                id += 1;
                let last = checkpoints.len() - 1;
                for (n, new) in checkpoints.into_iter().enumerate() {
                    id += 1;
                    let mut offsets: BTreeSet<i64> = (next..next + new).collect();
                    next += new;
                    offsets.append(&mut again);
                    if n == last
                        && let Some((each, whether)) = loss
                    {
                        let lost = |offset: &i64| (offset % each == 0) == whether;
                        again = offsets.iter().copied().filter(lost).collect();
                        offsets.retain(|offset| !lost(offset));
                    }
                    archive.checkpoints.insert(id, (offsets, n == 0));
                }
            }
            archive.newest = id;
            archive
        })
    }

    proptest! {
        #[test]
        fn whatever_is_visible_is_found_also_where_lost_files_were_read_again(archive in archive()) {
            let visible: BTreeMap<_, _> = archive
                .checkpoints
                .iter()
                .flat_map(|(id, (offsets, _))| offsets.iter().map(|offset| (*offset, *id)))
                .collect();
            let end = visible.keys().next_back().map_or(0, |last| last + 3);
            for offset in -1..end {
                let looking = Looking(&archive, offset);
                let found = find(&looking, 1..archive.newest + 1, archive.newest, Offset(offset));
                let found = match block_on(found) {
                    Ok(Walked::Found(id)) => Some(id),
                    Ok(Walked::Nowhere(..)) => None,
                };
                prop_assert_eq!(found, visible.get(&offset).copied(), "{}", offset);
            }
        }
    }
}
