//! `lineage verify`: proves from the outside what an archive holds.
//!
//! Reads the newest slot of the checkpoint log, the commit log and the footer of every file (with
//! `deep`, also the rows' own columns), and adds up, for each partition, which offsets are there,
//! twice there, or missing. Nothing is written, and nothing of the running service is asked, so it
//! may run beside it: what is newer than the slot that it has read first is not judged.
//!
//! ```text
//! tree ──► archive (slots, lines, uploads) ──┐
//!   └────► part (footer, rows) ──────────────┴─► judge (pure) ──► report
//!                                                 ├ expected: what the slots promise
//!                                                 ├ standing: which checkpoints are complete
//!                                                 └ sums: what the files hold
//! ```

pub mod archive;
pub(crate) mod columns;
mod expected;
mod judge;
mod kafka;
pub(crate) mod lines;
pub(crate) mod part;
pub mod report;
mod selection;
pub mod slots;
mod standing;
mod sums;
mod text;
pub(crate) mod tree;
pub mod unreadable;

use futures::stream::{self, StreamExt};

use crate::config::settings::Paths;
use crate::ids::JobId;
use crate::source::kafka::KafkaSettings;
use crate::store::s3::S3Access;
use crate::store::{Root, StoreError};
use archive::{Archive, Visible};
use judge::{Judge, Part};
pub use report::Report;
pub use selection::Selection;
use unreadable::{PartError, Unreadable};

/// Requests under way at once.
const CONCURRENCY: usize = 32;
/// Files whose rows are being decoded; each holds the columns of one row group.
const DECODERS: usize = 4;

pub struct Verify {
    pub paths: Paths,
    pub s3: S3Access,
    pub deep: bool,
    pub selection: Selection,
    /// Ask this Kafka what it says of the missing offsets.
    pub kafka: Option<KafkaSettings>,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "no checkpoint log is at CHECKPOINTS_PATH={0}: nothing was archived with it, or the path is \
         that of another job"
    )]
    NoCheckpoints(String),
    #[error(
        "{0}. It is the newest of the checkpoint log, which says what the archive holds: restore it \
         from a copy of the store"
    )]
    NewestSlot(slots::SlotUnusable),
    #[error(
        "no line of the commit log is within --from and --to; it has lines of checkpoints {first} \
         to {last}"
    )]
    NothingSelected { first: u64, last: u64 },
    #[error("--check-kafka: {0}")]
    Kafka(String),
    #[error("a task of the check ended too early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Told how far it is.
pub trait Watcher: Send + Sync {
    /// So many files are to be read.
    fn files(&self, count: u64);
    fn file_read(&self);
}

impl Verify {
    pub async fn run(&self, watcher: &dyn Watcher) -> Result<Report, VerifyError> {
        let (archive, visible) = Archive::look(&self.paths, &self.s3).await?;
        let newest = &archive.slots.newest;
        let lines = &archive.commit_log.lines;
        let Some(range) = self.selection.range(lines, newest.id) else {
            let ids = lines.iter().map(|line| line.checkpoint_id.0);
            return Err(VerifyError::NothingSelected {
                first: ids.clone().min().unwrap_or(0),
                last: ids.max().unwrap_or(0),
            });
        };
        let mut judge = Judge::new(&archive, range);
        let mut wanted = Vec::new();
        for Visible {
            root,
            tree,
            entries,
        } in visible
        {
            for entry in entries {
                if judge.wants(&tree.url(&entry.key)) {
                    wanted.push((root, tree.clone(), entry));
                }
            }
        }
        watcher.files(wanted.len() as u64);
        let concurrency = if self.deep { DECODERS } else { CONCURRENCY };
        let mut read = stream::iter(wanted)
            .map(|(root, tree, entry)| async move {
                let url = tree.url(&entry.key);
                let part = read_part(&tree, entry, root, &newest.job, self.deep).await;
                (url, part)
            })
            .buffer_unordered(concurrency);
        while let Some((url, part)) = read.next().await {
            match part {
                Ok(part) => judge.add(part),
                Err(PartError::Store(error)) => return Err(error.into()),
                Err(PartError::Unreadable(why)) => judge.add_unreadable(url, &why),
            }
            watcher.file_read();
        }
        let mut report = judge.finish();
        let missing = report.missing();
        if let Some(kafka) = &self.kafka
            && !missing.is_empty()
        {
            let (kafka, newest) = (kafka.clone(), newest.clone());
            let look = move || kafka::look(&kafka, &newest, missing);
            let answers = tokio::task::spawn_blocking(look).await?;
            report.set_kafka(answers.map_err(VerifyError::Kafka)?);
        }
        Ok(report)
    }
}

async fn read_part(
    tree: &tree::Tree,
    entry: tree::Entry,
    root: Root,
    job: &JobId,
    deep: bool,
) -> Result<Part, PartError> {
    let footer = part::footer(tree, &entry).await?;
    if footer.stated.job != *job {
        let why = format!("it belongs to job {}", footer.stated.job);
        return Err(Unreadable::Foreign(why).into());
    }
    if deep {
        part::compare_rows(tree, &entry, &footer).await?;
    }
    Ok(Part {
        url: tree.url(&entry.key),
        root,
        stated: footer.stated,
    })
}
