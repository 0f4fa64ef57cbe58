//! The write-ahead commit log: `chk-N/subtask-K.csv`, one line for each file of a checkpoint.
//!
//! A CSV is put when all its files are durable and before any of them is visible, in one request,
//! and never changed. After a crash there may be lines of a checkpoint that never completed:
//! readers filter by whether `s3_key` exists.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::EpochMillis;
use crate::ids::{CheckpointId, SubtaskIndex};
use crate::mutants::{self, Mutant};
use crate::runtime::retry::Patience;
use crate::store::{Key, Objects, Put, Root, StoreError};

mod ahead;

/// One line: one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub checkpoint_id: CheckpointId,
    /// Full URL, also of a local file.
    pub s3_key: String,
    /// Milliseconds since 1970 at which the line was written.
    pub commit_timestamp: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum CommitLogError {
    #[error("{url} is there already with other content: the commit log of this id is not ours")]
    Conflict { url: String },
    #[error("the lines of {url} could not be written as CSV: {source}")]
    Encode { url: String, source: csv::Error },
    #[error(
        "{url} is not a commit log: {source}. A commit log is never changed after it was written: \
         restore it from a copy of the store"
    )]
    Malformed { url: String, source: csv::Error },
    #[error(
        "{url} is gone, though its checkpoint is complete: restore it from a copy of the store"
    )]
    Gone { url: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone)]
pub struct CommitLog {
    objects: Arc<dyn Objects>,
    patience: Patience,
}

impl CommitLog {
    pub fn new(objects: Arc<dyn Objects>, patience: Patience) -> Self {
        Self { objects, patience }
    }

    /// Writes the lines of one subtask's files of one kind; nothing when there are none.
    pub async fn write(
        &self,
        checkpoint: CheckpointId,
        subtask: SubtaskIndex,
        root: Root,
        urls: &[&str],
        now: EpochMillis,
    ) -> Result<(), CommitLogError> {
        if urls.is_empty() {
            return Ok(());
        }
        let key = key(checkpoint, subtask, root);
        let url = self.objects.url(&key);
        let body = encode(checkpoint, urls, now).map_err(|source| CommitLogError::Encode {
            url: url.clone(),
            source,
        })?;
        let concern = format!("writing the commit log of subtask {subtask}");
        loop {
            let put = self
                .patience
                .insist(&concern, || self.objects.put_if_absent(&key, body.clone()))
                .await?;
            if put == Put::Created || mutants::is(Mutant::RefusedCsvBelieved) {
                return Ok(());
            }
            // Ours, if the answer to the first try was lost; the id itself is ours by the slot before.
            let found = self.patience.insist(&concern, || self.objects.get(&key));
            match found.await {
                Ok(found) if found == body => return Ok(()),
                Ok(_) => return Err(CommitLogError::Conflict { url }),
                // Refused for another put that was under way at this key (S3's status 409).
                Err(StoreError::NotFound { .. }) => self.patience.pause().await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// All lines of a checkpoint, each with the kind of its file; none when it has no commit log.
    pub async fn lines(
        &self,
        checkpoint: CheckpointId,
    ) -> Result<Vec<(Root, Line)>, CommitLogError> {
        let concern = "reading the commit log";
        let folder = checkpoint.folder();
        let names = self
            .patience
            .insist(concern, || self.objects.list(&folder, ""))
            .await?;
        let mut lines = Vec::new();
        for name in names {
            let root = root_of(&name);
            let key = Key::new(format!("{folder}/{name}"));
            let get = self.patience.insist(concern, || self.objects.get(&key));
            let found = decode(&self.objects.url(&key), &get.await?)?;
            lines.extend(found.into_iter().map(|line| (root, line)));
        }
        Ok(lines)
    }

    pub fn url(&self, checkpoint: CheckpointId, subtask: SubtaskIndex, root: Root) -> String {
        self.objects.url(&key(checkpoint, subtask, root))
    }

    /// The lines of a CSV that must be there.
    pub async fn read(
        &self,
        checkpoint: CheckpointId,
        subtask: SubtaskIndex,
        root: Root,
    ) -> Result<Vec<Line>, CommitLogError> {
        let key = key(checkpoint, subtask, root);
        let url = self.objects.url(&key);
        let body = self
            .patience
            .insist("reading the commit log", || self.objects.get(&key))
            .await;
        match body {
            Ok(body) => decode(&url, &body),
            Err(StoreError::NotFound { .. }) => Err(CommitLogError::Gone { url }),
            Err(error) => Err(error.into()),
        }
    }
}

/// Where the lines are, below the root of the commit log.
pub fn key(checkpoint: CheckpointId, subtask: SubtaskIndex, root: Root) -> Key {
    Key::new(format!(
        "{}/{}{subtask}.csv",
        checkpoint.folder(),
        beginning(root)
    ))
}

/// What the names of the CSVs of a kind begin with.
fn beginning(root: Root) -> &'static str {
    match root {
        Root::Output => "subtask-",
        Root::Dropped => "dropped-",
    }
}

/// The kind of the files in a CSV, by its name.
fn root_of(name: &str) -> Root {
    if name.starts_with(beginning(Root::Dropped)) {
        Root::Dropped
    } else {
        Root::Output
    }
}

/// Reads the name of a CSV back; `None` for every other name.
pub fn parse(name: &str) -> Option<(Root, SubtaskIndex)> {
    let (kind, subtask) = name.strip_suffix(".csv")?.split_once('-')?;
    let root = match kind {
        "subtask" => Root::Output,
        "dropped" => Root::Dropped,
        _ => return None,
    };
    Some((root, SubtaskIndex(subtask.parse().ok()?)))
}

fn encode(
    checkpoint_id: CheckpointId,
    urls: &[&str],
    now: EpochMillis,
) -> Result<Bytes, csv::Error> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for url in urls {
        csv.serialize(Line {
            checkpoint_id,
            s3_key: (*url).to_owned(),
            commit_timestamp: now.0,
        })?;
    }
    let bytes = csv
        .into_inner()
        .map_err(|e| csv::Error::from(e.into_error()))?;
    Ok(bytes.into())
}

/// Reads a CSV of the commit log back; an empty or torn one is an error, never 'no lines'.
pub fn decode(url: &str, body: &[u8]) -> Result<Vec<Line>, CommitLogError> {
    let malformed = |source| CommitLogError::Malformed {
        url: url.to_owned(),
        source,
    };
    if !body.ends_with(b"\n") {
        let torn = std::io::Error::other("it is empty or its last line is torn");
        return Err(malformed(torn.into()));
    }
    csv::Reader::from_reader(body)
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_csv_reads_back() {
        for root in [Root::Output, Root::Dropped] {
            let key = key(CheckpointId(5), SubtaskIndex(3), root);
            assert_eq!(parse(key.name()), Some((root, SubtaskIndex(3))));
        }
        assert_eq!(parse("subtask-3.csv.bak"), None);
    }

    #[test]
    fn a_csv_is_what_the_readme_shows() {
        let body = encode(CheckpointId(5), &["s3://b/o/a.parquet"], EpochMillis(1700)).unwrap();
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            "checkpoint_id,s3_key,commit_timestamp\n5,s3://b/o/a.parquet,1700\n"
        );
        let lines = decode("u", &body).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].s3_key, "s3://b/o/a.parquet");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = decode("u", &bytes);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_csv_with_one_byte_changed_is_refused_or_has_as_many_lines_at_the_most(
            place in proptest::num::usize::ANY, byte in proptest::num::u8::ANY
        ) {
            let body = encode(CheckpointId(5), &["s3://b/o/a", "s3://b/o/b"], EpochMillis(1)).unwrap();
            let mut body = body.to_vec();
            let place = place % body.len();
            body[place] = byte;
            if let Ok(lines) = decode("u", &body) {
                // A byte can become a line end, and so one line two; but then fields are missing.
                proptest::prop_assert!(lines.len() <= 2);
            }
        }
    }

    #[test]
    fn every_torn_csv_is_refused() {
        let body = encode(
            CheckpointId(5),
            &["s3://b/o/a", "s3://b/o/b"],
            EpochMillis(1),
        )
        .unwrap();
        let whole = decode("u", &body).unwrap();
        for length in 0..body.len() {
            match decode("u", &body[..length]) {
                Err(_) => {}
                // Torn between two lines it is a shorter CSV; the slot knows how many there are.
                Ok(lines) => assert!(lines.len() < whole.len(), "{length} bytes"),
            }
        }
    }
}
