//! Which files were being written at a moment.
//!
//! The times of the commit log are those at which the lines of a checkpoint were written: after its
//! barrier, and before that of the next. So a record that was processed at the moment is in the first
//! checkpoint whose lines are of then or later, or, if that one's barrier had passed, in the next. And
//! it is in the hour of the moment, which the file's folder says. All by the clock of the service.

use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use super::archive::Archive;
use super::bisection::{Bisection, Lies};
use super::folder::File;
use super::record::InFile;
use super::{CONCURRENCY, FindError};
use crate::clock::EpochMillis;
use crate::ids::{CheckpointId, Offset, Split};
use crate::sink::bucket::Bucketing;

#[derive(Debug, Serialize)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub time: i64,
    /// Folder of what was processed then; none where times of the records choose the folders.
    pub folder: Option<String>,
    pub partition: Option<i32>,
    pub files: Vec<Written>,
    /// The last lines before it, and the first of then or later.
    pub before: Option<Committed>,
    pub after: Option<Committed>,
}

#[derive(Debug, Serialize)]
pub struct Committed {
    pub checkpoint: CheckpointId,
    /// Milliseconds since 1970, of its last line.
    pub commit_timestamp: i64,
}

#[derive(Debug, Serialize)]
pub struct Written {
    #[serde(flatten)]
    pub file: InFile,
    /// Of the partition that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<Held>,
}

#[derive(Debug, Serialize)]
pub struct Held {
    pub first: Option<Offset>,
    pub last: Option<Offset>,
    pub records: u64,
}

impl Moment {
    /// With a split: only files that hold records of it. `bucketing` is that of the service, if it is by
    /// the time of processing.
    pub async fn find(
        archive: &Archive,
        time: EpochMillis,
        split: Option<Split>,
        bucketing: Option<&Bucketing>,
    ) -> Result<Self, FindError> {
        let (before, after) = around(archive, time).await?;
        let folder = bucketing.map(|of| of.pattern.folder(time, of.zone));
        let mut files = Vec::new();
        let newest = archive.slots.newest.id.0;
        let mut next = after.as_ref().map(|of| of.checkpoint.0);
        let mut complete = 0;
        while let Some(id) = next {
            let folder = archive.folder(CheckpointId(id)).await?;
            let visible = stream::iter(folder.files().cloned())
                .map(|file| seen(archive, file, split.as_ref()))
                .buffered(CONCURRENCY);
            let visible: Vec<_> = visible.try_collect().await?;
            // Lines of a checkpoint that was never complete have no files.
            let is_complete = visible.iter().any(|seen| !matches!(seen, Seen::Not));
            complete += u32::from(is_complete || complete > 0);
            files.extend(visible.into_iter().filter_map(|seen| match seen {
                Seen::File(written) => Some(written),
                Seen::Not | Seen::WithoutPartition => None,
            }));
            next = Some(id + 1).filter(|id| *id <= newest && complete < 2);
        }
        if let Some(of_then) = &folder {
            files.retain(|written| {
                let folder = written.file.s3_key.rsplit_once('/');
                folder.is_some_and(|(folder, _)| folder.ends_with(of_then))
            });
        }
        if files.is_empty() {
            archive.was_whole()?;
        }
        Ok(Self {
            time: time.0,
            folder,
            partition: split.map(|split| split.partition),
            files,
            before,
            after,
        })
    }
}

enum Seen {
    Not,
    WithoutPartition,
    File(Written),
}

async fn seen(archive: &Archive, file: File, split: Option<&Split>) -> Result<Seen, FindError> {
    let of_line = InFile::of_line(&file);
    let Some(split) = split else {
        let is_visible = archive.tree(file.root).has(&file.url).await?;
        return Ok(if is_visible {
            Seen::File(Written {
                file: of_line,
                offsets: None,
            })
        } else {
            Seen::Not
        });
    };
    let Some(part) = archive.part(file.root, &file.url).await? else {
        return Ok(Seen::Not);
    };
    let mut stated = part.footer.stated.offsets.iter();
    Ok(match stated.find(|of| of.split == *split) {
        None => Seen::WithoutPartition,
        Some(held) => Seen::File(Written {
            file: of_line,
            offsets: Some(Held {
                first: held.offsets.first(),
                last: held.offsets.last(),
                records: held.offsets.len(),
            }),
        }),
    })
}

/// The last checkpoint whose lines are all before a moment, and the first with lines of then or later.
pub async fn around(
    archive: &Archive,
    time: EpochMillis,
) -> Result<(Option<Committed>, Option<Committed>), FindError> {
    let newest = archive.slots.newest.id;
    let mut bisection = Bisection::new(1..newest.0 + 1, time.0);
    loop {
        let places = bisection.next();
        if places.is_empty() {
            break;
        }
        let looked = places.iter().map(|&id| archive.folder(CheckpointId(id)));
        let folders = futures::future::try_join_all(looked).await?;
        for (place, folder) in places.into_iter().zip(folders) {
            let first = folder.files().map(|file| file.committed_at).min();
            bisection.learn(place, first.zip(folder.committed_at()));
        }
    }
    let (before, after) = match bisection.lies() {
        Lies::Within(place) => (None, Some(place)),
        Lies::Between(before, after) => (before, after),
    };
    Ok((
        committed(archive, before).await?,
        committed(archive, after).await?,
    ))
}

async fn committed(archive: &Archive, id: Option<u64>) -> Result<Option<Committed>, FindError> {
    let Some(id) = id else { return Ok(None) };
    let checkpoint = CheckpointId(id);
    let folder = archive.folder(checkpoint).await?;
    Ok(folder.committed_at().map(|commit_timestamp| Committed {
        checkpoint,
        commit_timestamp,
    }))
}
