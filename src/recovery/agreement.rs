//! Does the commit log still say what the newest slot says?
//!
//! Of the newest checkpoint both tell the same story: each of its files stands in one CSV. Where
//! they differ somebody has changed the commit log, and nothing is finalized that it does not name.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::slot::PendingFile;
use crate::commit_log::{CommitLog, CommitLogError, Line};
use crate::ids::CheckpointId;
use crate::runtime::retry::Patience;
use crate::store::{Key, Stores};

#[derive(Debug, thiserror::Error)]
pub enum Disagreement {
    #[error(
        "{url} was changed after it was written: {}. Restore it from a copy of the store, or make \
         its lines agree with the newest slot by hand (with any commit_timestamp)",
        .differences.join("; ")
    )]
    Changed {
        url: String,
        differences: Vec<String>,
    },
    #[error(transparent)]
    CommitLog(#[from] CommitLogError),
}

/// Fails unless the commit log names exactly these files of a slot, each with its checkpoint.
pub async fn check(commit_log: &CommitLog, pending: &[PendingFile]) -> Result<(), Disagreement> {
    let mut by_csv: BTreeMap<_, BTreeSet<(CheckpointId, &str)>> = BTreeMap::new();
    for file in pending {
        by_csv
            .entry((file.checkpoint_id, file.subtask, file.root))
            .or_default()
            .insert((file.checkpoint_id, &file.url));
    }
    for ((checkpoint, subtask, root), files) in by_csv {
        let lines = commit_log.read(checkpoint, subtask, root).await?;
        let differences = compare(&lines, &files);
        if !differences.is_empty() {
            let url = commit_log.url(checkpoint, subtask, root);
            return Err(Disagreement::Changed { url, differences });
        }
    }
    Ok(())
}

/// Whether a checkpoint that has no slot was complete all the same: files become visible only after
/// their slot is put, so one that is visible proves that the slot was there.
pub async fn is_complete(
    commit_log: &CommitLog,
    stores: &Stores,
    patience: &Patience,
    checkpoint: CheckpointId,
) -> Result<bool, Disagreement> {
    for (root, line) in commit_log.lines(checkpoint).await? {
        let store = stores.part_files(root);
        let root_url = store.url(&Key::new(""));
        let key = line.s3_key.strip_prefix(root_url.trim_end_matches('/'));
        // Of another output: the newest slot says so, too.
        let Some(key) = key.map(|key| Key::new(key.trim_start_matches('/'))) else {
            continue;
        };
        let look = patience.insist("looking at a file", || store.is_visible(&key));
        if look.await.map_err(CommitLogError::from)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compare(lines: &[Line], files: &BTreeSet<(CheckpointId, &str)>) -> Vec<String> {
    let mut stated = BTreeSet::new();
    let mut differences = Vec::new();
    for line in lines {
        if !stated.insert((line.checkpoint_id, line.s3_key.as_str())) {
            differences.push(format!("it names {} twice", line.s3_key));
        }
    }
    for (id, url) in files.difference(&stated) {
        differences.push(format!("the line '{id},{url}' is missing"));
    }
    for (id, url) in stated.difference(files) {
        differences.push(format!("the line '{id},{url}' is not of this checkpoint"));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(checkpoint: u64, url: &str) -> Line {
        Line {
            checkpoint_id: CheckpointId(checkpoint),
            s3_key: url.into(),
            commit_timestamp: 1,
        }
    }

    #[test]
    fn every_change_of_a_line_is_named() {
        let files = BTreeSet::from([(CheckpointId(5), "a"), (CheckpointId(5), "b")]);
        let differences = |lines: &[Line]| compare(lines, &files);
        assert!(differences(&[line(5, "b"), line(5, "a")]).is_empty());
        assert_eq!(differences(&[line(5, "a")]), ["the line '5,b' is missing"]);
        assert_eq!(
            differences(&[line(5, "a"), line(5, "b"), line(5, "b")]),
            ["it names b twice"]
        );
        assert_eq!(
            differences(&[line(5, "a"), line(6, "b")]),
            [
                "the line '5,b' is missing",
                "the line '6,b' is not of this checkpoint"
            ]
        );
    }
}
