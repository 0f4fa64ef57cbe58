//! What lies at the four paths of a job, beside the rows: slots, commit-log lines, uploads, names.
//!
//! Looked at in an order that makes sense beside a running service: the newest slot, then the open
//! uploads, then the commit log, then the files. So a file that the slot references is either an
//! open upload or visible, and of every checkpoint up to this slot all lines are seen.

use std::collections::BTreeSet;

use super::VerifyError;
use super::lines::{self, CommitLines};
use super::slots::{self, Slots};
use super::tree::{Entry, Tree};
use crate::config::location::Location;
use crate::config::settings::Paths;
use crate::runtime::retry::with_causes;
use crate::store::local::LocalStore;
use crate::store::s3::{S3Access, S3Store};
use crate::store::{PartFiles, Root, StoreError, Upload};

#[derive(Debug)]
pub struct Archive {
    pub slots: Slots,
    pub commit_log: CommitLines,
    /// Files in progress and pending ones.
    pub uploads: Vec<(Root, Upload)>,
    /// Why some of these are not known.
    pub uploads_denied: Vec<String>,
    /// URLs of all visible files.
    pub files: BTreeSet<String>,
}

/// The visible objects below one root, to be read.
pub struct Visible {
    pub root: Root,
    pub tree: Tree,
    pub entries: Vec<Entry>,
}

impl Archive {
    pub async fn look(
        paths: &Paths,
        access: &S3Access,
    ) -> Result<(Self, [Visible; 2]), VerifyError> {
        let slots = slots::read(&paths.checkpoints, access).await?;
        let (mut uploads, mut uploads_denied) = (Vec::new(), Vec::new());
        let roots = [
            (Root::Output, &paths.output),
            (Root::Dropped, &paths.dropped),
        ];
        for (root, location) in roots {
            match part_files(location, access)?.open_uploads().await {
                Ok(open) => uploads.extend(open.into_iter().map(|upload| (root, upload))),
                // Which offsets are there can be seen without them.
                Err(error @ StoreError::Denied { .. }) => uploads_denied.push(with_causes(&error)),
                Err(error) => return Err(error.into()),
            }
        }
        let commit_log = Tree::open(&paths.commit_log, access)?;
        let commit_log = lines::read(&commit_log, slots.newest.id).await?;
        let written_at = &slots.newest.identity;
        let visible = [
            visible(Root::Output, &paths.output, access, &written_at.output).await?,
            visible(Root::Dropped, &paths.dropped, access, &written_at.dropped).await?,
        ];
        let files = visible.iter().flat_map(Visible::urls).collect();
        let archive = Self {
            slots,
            commit_log,
            uploads,
            uploads_denied,
            files,
        };
        Ok((archive, visible))
    }
}

impl Visible {
    fn urls(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| self.tree.url(&entry.key))
    }
}

/// Hidden local files are on their way, not there.
async fn visible(
    root: Root,
    location: &Location,
    access: &S3Access,
    written_at: &str,
) -> Result<Visible, StoreError> {
    let tree = Tree::open(location, access)?.written_at(written_at);
    let mut entries = tree.list().await?;
    entries.retain(|entry| !entry.name().starts_with('.'));
    Ok(Visible {
        root,
        tree,
        entries,
    })
}

/// The part files below a root, to look at and to abort.
pub fn part_files(
    location: &Location,
    access: &S3Access,
) -> Result<Box<dyn PartFiles>, StoreError> {
    Ok(match location {
        Location::S3 { s3_bucket, prefix } => Box::new(S3Store::open(
            access,
            s3_bucket,
            prefix,
            &std::sync::Arc::default(),
        )?),
        Location::Folder(path) => Box::new(LocalStore::existing(path)),
    })
}
