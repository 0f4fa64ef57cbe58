//! The files of one checkpoint, as its commit log names them.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::CONCURRENCY;
use crate::commit_log::{self, Line};
use crate::ids::CheckpointId;
use crate::sink::naming::PartName;
use crate::store::{Root, StoreError};
use crate::verify::lines;
use crate::verify::tree::{Entry, Tree};

#[derive(Debug, Clone)]
pub struct File {
    pub checkpoint: CheckpointId,
    pub root: Root,
    pub url: String,
    pub name: PartName,
    /// Milliseconds since 1970.
    pub committed_at: i64,
}

/// The files that one subtask has written into one hour, one after the other: of each partition, the
/// offsets grow from file to file.
#[derive(Debug)]
pub struct Series(pub Vec<File>);

#[derive(Debug)]
pub struct Folder {
    pub series: Vec<Series>,
}

impl Folder {
    /// And what of it is damaged.
    pub async fn read(tree: &Tree, id: CheckpointId) -> Result<(Self, Vec<String>), StoreError> {
        let entries = tree.list_folder(&id.folder()).await?;
        let csvs = entries.iter().filter(|entry| entry.key.ends_with(".csv"));
        let read = stream::iter(csvs).map(|entry| async move {
            let body = tree.get(entry).await?;
            Ok::<_, StoreError>((entry, body))
        });
        let read: Vec<_> = read.buffer_unordered(CONCURRENCY).try_collect().await?;
        let (mut files, mut damage) = (Vec::new(), Vec::new());
        for (entry, body) in read {
            match commit_log::decode(&tree.url(&entry.key), &body) {
                Ok(lines) => files.extend(lines.iter().filter_map(|line| file(id, entry, line))),
                Err(error) => damage.push(error.to_string()),
            }
        }
        Ok((Self::of(files), damage))
    }

    fn of(files: Vec<File>) -> Self {
        let mut series: BTreeMap<_, Vec<File>> = BTreeMap::new();
        for file in files {
            let hour = file.url.rsplit_once('/').map_or("", |(hour, _)| hour);
            let key = (file.root, file.name.subtask, hour.to_owned());
            series.entry(key).or_default().push(file);
        }
        let mut series: Vec<_> = series.into_values().map(Series).collect();
        for Series(files) in &mut series {
            files.sort_by_key(|file| (file.name.generation, file.name.sequence));
        }
        Self { series }
    }

    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.series.iter().flat_map(|series| &series.0)
    }

    /// When its last line was written; `None` when it has none.
    pub fn committed_at(&self) -> Option<i64> {
        self.files().map(|file| file.committed_at).max()
    }
}

fn file(checkpoint: CheckpointId, csv: &Entry, line: &Line) -> Option<File> {
    Some(File {
        checkpoint,
        root: if csv.name().starts_with("dropped-") {
            Root::Dropped
        } else {
            Root::Output
        },
        url: line.s3_key.clone(),
        name: lines::name(line)?,
        committed_at: line.commit_timestamp,
    })
}
