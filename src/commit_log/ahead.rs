//! Is the commit log ahead of the checkpoint log?
//!
//! A commit-log entry above the newest slot + 1 cannot come from a crash: the checkpoint log was
//! lost, swapped or put back to an older state. To find one, few names are looked at, never all:
//! the ids that follow within ten blocks of a thousand, which is a week of checkpoints without files,
//! and the shorter ids that begin like them.

use std::collections::BTreeSet;
use std::pin::pin;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::{CommitLog, CommitLogError};
use crate::ids::CheckpointId;

/// The rest of the newest id's block of a thousand is looked at, and whole blocks behind it.
const BLOCK: u64 = 1_000;
const BLOCKS_BEHIND: u64 = 10;
const BLOCK_DIGITS: usize = 3;
/// Requests under way at a time: a start waits for all of them.
const LISTINGS: usize = 8;

impl CommitLog {
    /// Some id in the commit log above `bound`; without a bound, any id at all.
    pub async fn above(
        &self,
        bound: Option<CheckpointId>,
    ) -> Result<Option<CheckpointId>, CommitLogError> {
        let Some(bound) = bound else {
            return self.highest_with("chk-".to_owned()).await;
        };
        let beginnings = stream::iter(beginnings_above(bound));
        let highest = beginnings.map(|beginning| self.highest_with(beginning));
        let mut highest = pin!(highest.buffered(LISTINGS));
        while let Some(found) = highest.try_next().await? {
            if found.is_some_and(|id| id > bound) {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn highest_with(
        &self,
        beginning: String,
    ) -> Result<Option<CheckpointId>, CommitLogError> {
        let concern = "listing the commit log";
        let names = self
            .patience
            .insist(concern, || self.objects.list("", &beginning))
            .await?;
        Ok(names
            .iter()
            .filter_map(|n| CheckpointId::from_folder(n))
            .max())
    }
}

/// Beginnings of names that together cover the ids which follow `bound`.
fn beginnings_above(bound: CheckpointId) -> BTreeSet<String> {
    let block = bound.0 / BLOCK;
    if block == 0 {
        return BTreeSet::from(["chk-".to_owned()]);
    }
    let digits = bound.0.to_string();
    let behind = block + 1..=block + BLOCKS_BEHIND;
    let mut beginnings: BTreeSet<_> = behind.map(|block| format!("chk-{block}")).collect();
    for kept in digits.len() - BLOCK_DIGITS..digits.len() {
        let (same, rest) = digits.split_at(kept);
        for higher in rest.as_bytes()[0] + 1..=b'9' {
            beginnings.insert(format!("chk-{same}{}", higher as char));
        }
    }
    beginnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(bound: u64, id: u64) -> bool {
        let name = CheckpointId(id).folder();
        let beginnings = beginnings_above(CheckpointId(bound));
        beginnings.iter().any(|b| name.starts_with(b.as_str()))
    }

    #[test]
    fn the_ids_that_follow_are_covered_also_where_a_digit_is_added() {
        for bound in [
            0, 1, 8, 9, 10, 98, 99, 100, 999, 1000, 1998, 9_999, 525_600, 999_999,
        ] {
            for ahead in 1..=10_000 {
                assert!(covers(bound, bound + ahead), "{bound} + {ahead}");
            }
        }
    }

    #[test]
    fn a_year_of_checkpoints_is_not_listed() {
        let bound = 525_600;
        let listed = (0..=bound).filter(|&id| covers(bound, id)).count();
        assert!(listed < 2_500, "{listed} names of {bound}");
    }
}
