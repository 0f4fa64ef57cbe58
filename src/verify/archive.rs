//! What lies at the four paths of a job, beside the rows: slots, commit-log lines, uploads, names.
//!
//! Looked at in an order that makes sense beside a running service: the newest slot, then the open
//! uploads, then the files. So a file that the slot references is either an open upload or visible.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};

use super::tree::{Entry, Tree};
use super::{CONCURRENCY, Selection, VerifyError};
use crate::checkpoint::slot::{Slot, SlotError, SlotKind};
use crate::commit_log::{self, Line};
use crate::config::location::Location;
use crate::config::settings::Paths;
use crate::ids::CheckpointId;
use crate::store::local::LocalStore;
use crate::store::s3::{S3Access, S3Store};
use crate::store::{PartFiles, Root, StoreError, Upload};

/// A slot that is no slot.
#[derive(Debug, thiserror::Error)]
#[error("slot {url} cannot be used: {source}")]
pub struct SlotUnusable {
    url: String,
    source: SlotError,
}

pub struct Archive {
    pub newest: Slot,
    /// All slots that are still in the log.
    pub slots: BTreeMap<CheckpointId, Slot>,
    pub lines: Vec<Line>,
    /// CSVs that cannot be read, and why.
    pub bad_csvs: Vec<(String, String)>,
    /// Files in progress and pending ones.
    pub uploads: Vec<(Root, Upload)>,
    output: (Tree, Vec<Entry>),
    dropped: (Tree, Vec<Entry>),
}

impl Archive {
    pub async fn look(paths: &Paths, access: &S3Access) -> Result<Self, VerifyError> {
        let slots = read_slots(&paths.checkpoints, access).await?;
        let Some(newest) = slots.last_key_value().map(|(_, slot)| slot.clone()) else {
            return Err(VerifyError::NoCheckpoints(paths.checkpoints.to_string()));
        };
        let mut uploads = Vec::new();
        let roots = [
            (Root::Output, &paths.output),
            (Root::Dropped, &paths.dropped),
        ];
        for (root, location) in roots {
            let open = part_files(location, access)?.open_uploads().await?;
            uploads.extend(open.into_iter().map(|upload| (root, upload)));
        }
        let (lines, bad_csvs) = lines(&Tree::open(&paths.commit_log, access)?).await?;
        let written_at = newest.identity.clone();
        Ok(Self {
            newest,
            slots,
            lines,
            bad_csvs,
            uploads,
            output: listed(&paths.output, access, &written_at.output).await?,
            dropped: listed(&paths.dropped, access, &written_at.dropped).await?,
        })
    }

    pub fn tree(&self, root: Root) -> &Tree {
        match root {
            Root::Output => &self.output.0,
            Root::Dropped => &self.dropped.0,
        }
    }

    /// Visible files, of both kinds.
    fn entries(&self) -> impl Iterator<Item = (Root, &Tree, &Entry)> {
        let output = self
            .output
            .1
            .iter()
            .map(|e| (Root::Output, &self.output.0, e));
        let dropped = self
            .dropped
            .1
            .iter()
            .map(|e| (Root::Dropped, &self.dropped.0, e));
        output.chain(dropped)
    }

    /// URLs of all visible files.
    pub fn urls(&self) -> BTreeSet<String> {
        self.entries()
            .map(|(_, tree, e)| tree.url(&e.key))
            .collect()
    }

    /// The Parquet files to read: all, or those that the selected lines name.
    pub fn parts(&self, selection: &Selection) -> Vec<(Root, Entry)> {
        let selected: BTreeSet<&str> = if selection.is_everything() {
            BTreeSet::new()
        } else {
            let lines = self.lines.iter().filter(|line| selection.holds(line));
            lines.map(|line| line.s3_key.as_str()).collect()
        };
        let wanted = self.entries().filter(|(_, tree, entry)| {
            let parquet = entry.name().ends_with(".parquet");
            let here =
                selection.is_everything() || selected.contains(tree.url(&entry.key).as_str());
            parquet && here
        });
        wanted
            .map(|(root, _, entry)| (root, entry.clone()))
            .collect()
    }

    /// Whether the checkpoint is known to be complete; `None` where its slot is pruned.
    pub fn is_complete(&self, id: CheckpointId) -> Option<bool> {
        match self.slots.get(&id) {
            Some(slot) => Some(slot.kind == SlotKind::Checkpoint),
            None if id > self.newest.id => Some(false),
            None => None,
        }
    }
}

/// The tree and its visible objects: hidden local files are on their way, not there.
async fn listed(
    location: &Location,
    access: &S3Access,
    written_at: &str,
) -> Result<(Tree, Vec<Entry>), StoreError> {
    let tree = Tree::open(location, access)?.written_at(written_at);
    let mut entries = tree.list().await?;
    entries.retain(|entry| !entry.name().starts_with('.'));
    Ok((tree, entries))
}

/// All slots of a checkpoint log.
pub async fn read_slots(
    location: &Location,
    access: &S3Access,
) -> Result<BTreeMap<CheckpointId, Slot>, VerifyError> {
    let tree = &Tree::open(location, access)?;
    let ids = tree.list().await?.into_iter().filter_map(|entry| {
        let folder = entry.key.strip_suffix("/_metadata")?;
        Some((CheckpointId::from_folder(folder)?, entry))
    });
    let read = stream::iter(ids.collect::<Vec<_>>()).map(|(id, entry)| async move {
        let body = match tree.get(&entry).await {
            Ok(body) => body,
            // Pruned since it was listed.
            Err(error) if gone(&error) => return Ok(None),
            Err(error) => return Err(VerifyError::from(error)),
        };
        let slot = Slot::from_bytes(id, &body).map_err(|source| SlotUnusable {
            url: tree.url(&entry.key),
            source,
        })?;
        Ok(Some((id, slot)))
    });
    let slots: Vec<_> = read.buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(slots.into_iter().flatten().collect())
}

fn gone(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|e| e.downcast_ref::<object_store::Error>())
        .is_some_and(|e| matches!(e, object_store::Error::NotFound { .. }))
}

type Lines = (Vec<Line>, Vec<(String, String)>);

async fn lines(tree: &Tree) -> Result<Lines, StoreError> {
    let entries = tree.list().await?;
    let csvs = entries.into_iter().filter(|e| e.key.ends_with(".csv"));
    let mut read = stream::iter(csvs.collect::<Vec<_>>())
        .map(|entry| async move { (tree.url(&entry.key), tree.get(&entry).await) })
        .buffer_unordered(CONCURRENCY);
    let (mut lines, mut bad) = (Vec::new(), Vec::new());
    while let Some((url, body)) = read.next().await {
        match commit_log::decode(&url, &body?) {
            Ok(of_csv) => lines.extend(of_csv),
            Err(error) => bad.push((url, error.to_string())),
        }
    }
    bad.sort();
    Ok((lines, bad))
}

/// The part files below a root, to look at and to abort.
pub fn part_files(
    location: &Location,
    access: &S3Access,
) -> Result<Box<dyn PartFiles>, StoreError> {
    Ok(match location {
        Location::S3 { s3_bucket, prefix } => Box::new(S3Store::open(access, s3_bucket, prefix)?),
        Location::Folder(path) => Box::new(LocalStore::existing(path)),
    })
}
