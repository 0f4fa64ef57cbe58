//! What lies at the four paths, looked at piece by piece; what was looked at once is kept.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::FindError;
use super::folder::Folder;
use crate::config::settings::Paths;
use crate::ids::{CheckpointId, Split};
use crate::store::Root;
use crate::store::s3::S3Access;
use crate::verify::part::{self, Footer};
use crate::verify::slots::{self, Listed};
use crate::verify::tree::{Entry, Tree};
use crate::verify::unreadable::{PartError, Unreadable};

pub struct Archive {
    pub(super) slots: Listed,
    commit_log: Tree,
    output: Tree,
    dropped: Tree,
    footers: Mutex<HashMap<String, Option<Arc<PartFile>>>>,
    damage: Mutex<Vec<String>>,
}

/// A visible file of this archive.
pub struct PartFile {
    pub entry: Entry,
    pub footer: Footer,
}

impl Archive {
    /// Reads the newest slot; all else is read when it is asked for.
    pub async fn open(paths: &Paths, access: &S3Access) -> Result<Self, FindError> {
        let slots = slots::list(&paths.checkpoints, access).await?;
        let written_at = &slots.newest.identity;
        let output = Tree::open(&paths.output, access)?.written_at(&written_at.output);
        let dropped = Tree::open(&paths.dropped, access)?.written_at(&written_at.dropped);
        Ok(Self {
            slots,
            commit_log: Tree::open(&paths.commit_log, access)?,
            output,
            dropped,
            footers: Mutex::default(),
            damage: Mutex::default(),
        })
    }

    /// The partition of the topic that is named, or of the only one that there is.
    pub fn split(&self, topic: Option<&str>, partition: i32) -> Result<Split, FindError> {
        let saved = self.slots.newest.next_offsets.iter();
        let known: BTreeSet<_> = saved.map(|saved| saved.split.topic.to_string()).collect();
        let known: Vec<_> = known.into_iter().collect();
        match (topic, known.as_slice()) {
            (Some(topic), known) if known.iter().any(|k| k == topic) => {
                Ok(Split::new(topic, partition))
            }
            (Some(topic), _) => Err(FindError::NoTopic {
                topic: topic.to_owned(),
                known,
            }),
            (None, [only]) => Ok(Split::new(only.as_str(), partition)),
            (None, _) => Err(FindError::WhichTopic(known)),
        }
    }

    pub(super) fn tree(&self, root: Root) -> &Tree {
        match root {
            Root::Output => &self.output,
            Root::Dropped => &self.dropped,
        }
    }

    /// What the commit log says of a checkpoint; no files when it says nothing. What of it is damaged
    /// is noted and left out.
    pub(super) async fn folder(&self, id: CheckpointId) -> Result<Folder, FindError> {
        let (folder, damage) = Folder::read(&self.commit_log, id).await?;
        damage.into_iter().for_each(|what| self.note(what));
        Ok(folder)
    }

    /// The file of this URL; `None` when it is not visible. One that cannot be read is noted and
    /// left out.
    pub(super) async fn part(
        &self,
        root: Root,
        url: &str,
    ) -> Result<Option<Arc<PartFile>>, FindError> {
        let known = || self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = known().get(url) {
            return Ok(part.clone());
        }
        let part = match self.read_part(root, url).await {
            Ok(part) => part.map(Arc::new),
            Err(PartError::Store(error)) => return Err(error.into()),
            Err(PartError::Unreadable(why)) => {
                self.note(format!("{url}: {why}"));
                None
            }
        };
        known().insert(url.to_owned(), part.clone());
        Ok(part)
    }

    async fn read_part(&self, root: Root, url: &str) -> Result<Option<PartFile>, PartError> {
        let tree = self.tree(root);
        let Some((entry, footer)) = part::footer_of(tree, url).await? else {
            return Ok(None);
        };
        let job = &footer.stated.job;
        if *job != self.slots.newest.job {
            return Err(Unreadable::Foreign(format!("it belongs to job {job}")).into());
        }
        Ok(Some(PartFile { entry, footer }))
    }

    pub(super) fn note(&self, damage: String) {
        tracing::warn!(damage, "left out");
        let mut noted = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(damage);
    }

    /// For an answer that something is not there: an error, if it may be in what was left out.
    pub(super) fn was_whole(&self) -> Result<(), FindError> {
        let mut noted = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_empty() {
            return Ok(());
        }
        Err(FindError::Damaged(std::mem::take(&mut noted)))
    }
}
