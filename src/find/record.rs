//! Where the record of one partition and offset is, or why it is in no file.

use serde::Serialize;

use super::FindError;
use super::archive::Archive;
use super::folder::File;
use super::row::{self, Row};
use super::search::{Outcome, Search};
use super::slots::{self, Said};
use crate::checkpoint::slot::PendingFile;
use crate::ids::{CheckpointId, Generation, NextOffset, Offset, Split, SubtaskIndex};
use crate::sink::naming::PartName;
use crate::store::Root;

#[derive(Debug, Serialize)]
pub struct Record {
    #[serde(flatten)]
    pub split: Split,
    pub offset: Offset,
    #[serde(flatten)]
    pub place: Place,
}

#[derive(Debug, Serialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum Place {
    /// In a visible file.
    File {
        #[serde(flatten)]
        file: InFile,
        #[serde(flatten)]
        row: Row,
    },
    /// Its checkpoint is complete; its file becomes visible next.
    Pending {
        #[serde(flatten)]
        file: InFile,
    },
    /// In no complete checkpoint yet: the newest ends before it.
    NotYet {
        newest_slot: CheckpointId,
        next_offset: NextOffset,
    },
    /// The archive of this partition begins behind it.
    BeforeBegin { begin: NextOffset },
    /// The archive has no such partition, as far as the newest slot knows.
    NoPartition { newest_slot: CheckpointId },
    /// Gone from Kafka before it could be archived; this start has given it up.
    GivenUp { start: CheckpointId },
    /// The file that held it is not there any more.
    Gone {
        #[serde(flatten)]
        file: InFile,
    },
    /// No file has it. Kafka has delivered no record of this offset, or one of the lines' files had it
    /// that are not there.
    NoFile {
        /// Where it would be, if that is known.
        checkpoint: Option<CheckpointId>,
        lines_without_file: Vec<String>,
    },
}

#[derive(Debug, Serialize)]
pub struct InFile {
    pub checkpoint: CheckpointId,
    pub output: Root,
    pub s3_key: String,
    /// Milliseconds since 1970; none where the commit log has no such line.
    pub commit_timestamp: Option<i64>,
    pub generation: Option<Generation>,
    pub subtask: Option<SubtaskIndex>,
}

impl Record {
    pub async fn find(
        archive: &Archive,
        topic: Option<&str>,
        partition: i32,
        offset: Offset,
    ) -> Result<Self, FindError> {
        let split = archive.split(topic, partition)?;
        let place = place(archive, &split, offset).await?;
        // Also a file that is awaited may be there, damaged.
        if !matches!(place, Place::File { .. }) {
            archive.was_whole()?;
        }
        Ok(Self {
            split,
            offset,
            place,
        })
    }
}

impl Place {
    pub fn is_in_archive(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Pending { .. })
    }
}

async fn place(archive: &Archive, split: &Split, offset: Offset) -> Result<Place, FindError> {
    let newest = &archive.slots.newest;
    let mut known = newest.next_offsets.iter();
    let Some(known) = known.find(|of| of.split == *split) else {
        return Ok(Place::NoPartition {
            newest_slot: newest.id,
        });
    };
    let (begin, next_offset) = (known.begin, known.next_offset);
    if offset.0 >= next_offset.0 {
        return Ok(Place::NotYet {
            newest_slot: newest.id,
            next_offset,
        });
    }
    if offset.0 < begin.0 {
        return Ok(Place::BeforeBegin { begin });
    }
    let ids = match slots::ask(archive, split, offset).await? {
        Said::File(file) => return of_slot(archive, *file, split, offset).await,
        Said::GivenUp(start) => return Ok(Place::GivenUp { start }),
        Said::NoRecord(checkpoint) => {
            return Ok(Place::NoFile {
                checkpoint: Some(checkpoint),
                lines_without_file: Vec::new(),
            });
        }
        Said::Within(ids) => ids,
    };
    match Search::new(archive, split, offset).run(ids).await? {
        Outcome::Found(file) => {
            let of_line = InFile::of_line(&file);
            Ok(visible(archive, of_line, split, offset).await?.into_place())
        }
        Outcome::Nowhere {
            checkpoint,
            without_file,
        } => Ok(Place::NoFile {
            checkpoint,
            lines_without_file: without_file,
        }),
    }
}

async fn of_slot(
    archive: &Archive,
    file: PendingFile,
    split: &Split,
    offset: Offset,
) -> Result<Place, FindError> {
    let folder = archive.folder(file.checkpoint_id).await?;
    let line = folder.files().find(|line| line.url == file.url);
    let of_line = line.map_or_else(|| InFile::of_slot(&file), InFile::of_line);
    match visible(archive, of_line, split, offset).await? {
        Seen::Row(file, row) => Ok(Place::File { file, row }),
        Seen::Not(of_line) => {
            let mut pending = archive.slots.newest.pending.iter();
            Ok(if pending.any(|awaited| awaited.url == file.url) {
                Place::Pending { file: of_line }
            } else {
                Place::Gone { file: of_line }
            })
        }
    }
}

enum Seen {
    Row(InFile, Row),
    Not(InFile),
}

impl Seen {
    fn into_place(self) -> Place {
        match self {
            Self::Row(file, row) => Place::File { file, row },
            Self::Not(file) => Place::Gone { file },
        }
    }
}

async fn visible(
    archive: &Archive,
    file: InFile,
    split: &Split,
    offset: Offset,
) -> Result<Seen, FindError> {
    let Some(part) = archive.part(file.output, &file.s3_key).await? else {
        return Ok(Seen::Not(file));
    };
    let tree = archive.tree(file.output);
    let row = row::find(tree, &part, file.output, split, offset).await;
    let row = row.map_err(|error| FindError::of_file(&file.s3_key, error))?;
    Ok(Seen::Row(file, row))
}

impl InFile {
    pub fn of_line(file: &File) -> Self {
        Self {
            checkpoint: file.checkpoint,
            output: file.root,
            s3_key: file.url.clone(),
            commit_timestamp: Some(file.committed_at),
            generation: Some(file.name.generation),
            subtask: Some(file.name.subtask),
        }
    }

    fn of_slot(file: &PendingFile) -> Self {
        let name = file.url.rsplit('/').next().and_then(PartName::parse);
        Self {
            checkpoint: file.checkpoint_id,
            output: file.root,
            s3_key: file.url.clone(),
            commit_timestamp: None,
            generation: name.map(|name| name.generation),
            subtask: Some(file.subtask),
        }
    }
}
