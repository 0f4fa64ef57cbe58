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
//! ```

pub mod archive;
mod judge;
mod kafka;
mod part;
pub mod report;
mod selection;
mod tree;

use futures::stream::{self, StreamExt};

use crate::config::settings::Paths;
use crate::ids::JobId;
use crate::source::kafka::KafkaSettings;
use crate::store::s3::S3Access;
use crate::store::{Root, StoreError};
use archive::Archive;
use judge::{Facts, Part};
use part::{PartError, Unreadable};
pub use report::Report;
pub use selection::Selection;

/// Requests under way at once.
const CONCURRENCY: usize = 32;
/// Files whose rows are being decoded; each holds the columns of one row group.
const DECODERS: usize = 4;

pub struct Verify {
    pub paths: Paths,
    pub s3: S3Access,
    pub deep: bool,
    pub selection: Selection,
    /// Ask this Kafka which of the missing offsets it delivers.
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
    #[error(transparent)]
    Slot(#[from] archive::SlotUnusable),
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
        let archive = Archive::look(&self.paths, &self.s3).await?;
        let job = archive.newest.job.clone();
        if !self.selection.is_everything()
            && !archive.lines.iter().any(|line| self.selection.holds(line))
        {
            let ids = archive.lines.iter().map(|line| line.checkpoint_id.0);
            return Err(VerifyError::NothingSelected {
                first: ids.clone().min().unwrap_or(0),
                last: ids.max().unwrap_or(0),
            });
        }
        let entries = archive.parts(&self.selection);
        watcher.files(entries.len() as u64);
        let concurrency = if self.deep { DECODERS } else { CONCURRENCY };
        let mut read = stream::iter(entries)
            .map(|(root, entry)| {
                let (tree, job, deep) = (archive.tree(root).clone(), job.clone(), self.deep);
                async move {
                    let url = tree.url(&entry.key);
                    let part = read_part(tree, entry, root, &job, deep).await;
                    (url, root, part)
                }
            })
            .buffer_unordered(concurrency);
        let mut facts = Facts::default();
        while let Some((url, root, part)) = read.next().await {
            match part {
                Ok(part) => facts.parts.push(part),
                Err(PartError::Store(error)) => return Err(error.into()),
                Err(PartError::Unreadable(why)) => facts.note_unreadable(url, root, why),
            }
            watcher.file_read();
        }
        drop(read);
        let mut report = judge::judge(&archive, facts, &self.selection);
        let missing = report.missing();
        if let Some(kafka) = &self.kafka
            && !missing.is_empty()
        {
            let settings = kafka.clone();
            let delivered =
                tokio::task::spawn_blocking(move || kafka::look(&settings, missing)).await?;
            report.set_delivered(delivered.map_err(VerifyError::Kafka)?);
        }
        Ok(report)
    }
}

async fn read_part(
    tree: tree::Tree,
    entry: tree::Entry,
    root: Root,
    job: &JobId,
    deep: bool,
) -> Result<Part, PartError> {
    let footer = part::footer(&tree, &entry).await?;
    if footer.stated.job != *job {
        let why = format!("it belongs to job {}", footer.stated.job);
        return Err(Unreadable::Foreign(why).into());
    }
    if deep {
        part::compare_rows(&tree, &entry, &footer).await?;
    }
    Ok(Part {
        url: tree.url(&entry.key),
        root,
        stated: footer.stated,
    })
}
