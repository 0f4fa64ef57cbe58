//! The commit log of one checkpoint, for those who look at it.

use crate::checkpoint::slot::Slot;
use crate::commit_log::{self, CommitLogError};
use crate::ids::CheckpointId;
use crate::jobs::control::CommitLogLine;
use crate::store::{Key, Objects, Root, StoreError};

/// The lines of a checkpoint, with what its slot says of each file while it is in the log.
pub async fn read(
    commit_log: &dyn Objects,
    checkpoints: &dyn Objects,
    id: CheckpointId,
) -> Result<Vec<CommitLogLine>, CommitLogError> {
    let slot = match checkpoints.get(&Slot::key(id)).await {
        Ok(body) => Slot::from_bytes(id, &body).ok(),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let folder = id.folder();
    let mut names = commit_log.list(&folder, "").await?;
    names.sort();
    let mut lines = Vec::new();
    for name in names {
        let Some((root, subtask)) = commit_log::parse(&name) else {
            continue;
        };
        let key = Key::new(format!("{folder}/{name}"));
        let body = commit_log.get(&key).await?;
        for line in commit_log::decode(&commit_log.url(&key), &body)? {
            let files = slot.as_ref().map(|slot| slot.pending.iter());
            let file = files.and_then(|mut files| files.find(|file| file.url == line.s3_key));
            lines.push(CommitLogLine {
                subtask: subtask.0,
                dropped: root == Root::Dropped,
                s3_key: line.s3_key,
                commit_timestamp: line.commit_timestamp.to_string(),
                rows: file.map(|file| file.rows),
                bytes: file.map(|file| file.committable.size),
            });
        }
    }
    Ok(lines)
}
