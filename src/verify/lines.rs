//! The commit log: its lines, and which of its CSVs are not as they were written.

use std::collections::HashMap;

use futures::stream::{self, StreamExt};

use super::CONCURRENCY;
use super::report::Trouble;
use super::tree::Tree;
use crate::commit_log::{self, CommitLogError, Line};
use crate::ids::{CheckpointId, Generation};
use crate::sink::naming::PartName;
use crate::store::StoreError;

#[derive(Debug, Default)]
pub struct CommitLines {
    /// One for each file, of the checkpoint in whose folder its CSV is.
    pub lines: Vec<Line>,
    pub damaged: Vec<Trouble>,
}

/// The file's own name of a line's URL, if it is one of a part file.
pub fn name(line: &Line) -> Option<PartName> {
    PartName::parse(line.s3_key.rsplit('/').next()?)
}

/// The start that wrote a line.
pub fn generation(line: &Line) -> Option<Generation> {
    Some(name(line)?.generation)
}

struct Csv {
    url: String,
    /// Of its folder.
    checkpoint: Option<CheckpointId>,
    lines: Result<Vec<Line>, CommitLogError>,
}

/// All lines of checkpoints up to `newest`. Those above are of a checkpoint that is under way, or of
/// one that is complete by now: neither is to be judged by a slot that was read before.
pub async fn read(tree: &Tree, newest: CheckpointId) -> Result<CommitLines, StoreError> {
    let mut entries = Vec::new();
    for entry in tree.list().await? {
        let folder = entry.key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let checkpoint = CheckpointId::from_folder(folder);
        if entry.key.ends_with(".csv") && checkpoint.is_none_or(|id| id <= newest) {
            entries.push((checkpoint, entry));
        }
    }
    let mut read = stream::iter(entries)
        .map(|(checkpoint, entry)| async move {
            let url = tree.url(&entry.key);
            let body = tree.get(&entry).await?;
            Ok(Csv {
                lines: commit_log::decode(&url, &body),
                url,
                checkpoint,
            })
        })
        .buffer_unordered(CONCURRENCY);
    let mut csvs = Vec::new();
    while let Some(csv) = read.next().await {
        csvs.push(csv?);
    }
    csvs.sort_by(|a, b| a.url.cmp(&b.url));
    Ok(check(csvs))
}

/// A CSV is never changed: every one names at least one file, each for the checkpoint of its folder,
/// and no file stands in two lines.
fn check(csvs: Vec<Csv>) -> CommitLines {
    let mut found = CommitLines::default();
    let mut named: HashMap<String, String> = HashMap::new();
    for Csv {
        url,
        checkpoint,
        lines,
    } in csvs
    {
        let mut damage = |why: String| {
            let url = url.clone();
            found.damaged.push(Trouble { url, why });
        };
        let lines = match lines {
            Ok(lines) => lines,
            Err(error) => {
                damage(error.to_string());
                continue;
            }
        };
        let Some(checkpoint) = checkpoint else {
            damage("it is in no folder chk-N: move it out of the commit log".into());
            continue;
        };
        if lines.is_empty() {
            damage(
                "it names no file, as no commit log does: restore it from a copy of the store"
                    .into(),
            );
        }
        for line in lines {
            if line.checkpoint_id != checkpoint {
                damage(format!(
                    "the line of {} says checkpoint {}, its folder {}: restore it from a copy of \
                     the store",
                    line.s3_key,
                    line.checkpoint_id,
                    checkpoint.folder()
                ));
            }
            if let Some(other) = named.get(&line.s3_key) {
                damage(format!(
                    "it names {}, which {other} names too: one of them was changed, restore it \
                     from a copy of the store",
                    line.s3_key
                ));
                continue;
            }
            named.insert(line.s3_key.clone(), url.clone());
            found.lines.push(Line {
                checkpoint_id: checkpoint,
                ..line
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(folder: &str, lines: &[(u64, &str)]) -> Csv {
        let lines = lines.iter().map(|&(id, file)| Line {
            checkpoint_id: CheckpointId(id),
            s3_key: file.into(),
            commit_timestamp: 1,
        });
        Csv {
            url: format!("{folder}/subtask-0.csv"),
            checkpoint: CheckpointId::from_folder(folder),
            lines: Ok(lines.collect()),
        }
    }

    /// What is wrong with these CSVs, the only damage there is.
    #[track_caller]
    fn damage(csvs: Vec<Csv>) -> String {
        let found = check(csvs);
        assert_eq!(found.damaged.len(), 1, "{found:?}");
        format!("{}: {}", found.damaged[0].url, found.damaged[0].why)
    }

    #[test]
    fn csvs_as_they_are_written_give_their_lines() {
        let found = check(vec![
            csv("chk-1", &[(1, "a"), (1, "b")]),
            csv("chk-3", &[(3, "c")]),
        ]);
        assert!(found.damaged.is_empty());
        let names: Vec<_> = found.lines.iter().map(|l| l.s3_key.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn a_csv_that_was_cut_to_its_header_is_damaged() {
        let said = damage(vec![csv("chk-1", &[])]);
        assert!(
            said.starts_with("chk-1/subtask-0.csv: it names no file"),
            "{said}"
        );
    }

    #[test]
    fn a_torn_csv_is_damaged_and_the_others_give_their_lines() {
        let torn = Csv {
            url: "torn".into(),
            checkpoint: Some(CheckpointId(1)),
            lines: commit_log::decode("torn", b"checkpoint_id,s3_ke"),
        };
        let found = check(vec![torn, csv("chk-3", &[(3, "c")])]);
        assert_eq!((found.damaged.len(), found.lines.len()), (1, 1));
    }

    #[test]
    fn a_file_that_two_checkpoints_name_is_damage_and_counts_for_the_first() {
        let both = || vec![csv("chk-1", &[(1, "a")]), csv("chk-3", &[(3, "a")])];
        let said = damage(both());
        assert!(
            said.contains("chk-3/subtask-0.csv: it names a, which chk-1/subtask-0.csv"),
            "{said}"
        );
        assert_eq!(check(both()).lines[0].checkpoint_id, CheckpointId(1));
    }

    #[test]
    fn a_line_of_another_checkpoint_than_its_folder_is_damage() {
        let said = damage(vec![csv("chk-3", &[(4, "a")])]);
        assert!(
            said.contains("the line of a says checkpoint 4, its folder chk-3"),
            "{said}"
        );
    }

    #[test]
    fn a_csv_outside_of_all_folders_is_damage() {
        let said = damage(vec![csv("copy", &[(4, "a")])]);
        assert!(said.contains("it is in no folder chk-N"), "{said}");
    }
}
