//! The last word of the demo: what was produced, what the files hold, what the checkpoint log says,
//! each counted where it lies.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::Folder;
use crate::checkpoint::slot::Slot;
use crate::cli::out;
use crate::commit_log;
use crate::ids::CheckpointId;

/// Prints the numbers; fails when they do not agree.
pub fn conclude(folder: &Folder, produced: u64) -> Result<()> {
    let files = logged_files(&folder.path.join("write-ahead-commit-log"))?;
    let mut written = 0;
    for file in &files {
        let open = File::open(file).with_context(|| file.display().to_string())?;
        let reader = SerializedFileReader::new(open).with_context(|| file.display().to_string())?;
        written += u64::try_from(reader.metadata().file_metadata().num_rows())?;
    }
    let committed = committed(&folder.path.join("checkpoints"))?;

    let latest = folder.latest.display();
    out::print(&format!(
        "\n  produced   {produced} records\n  \
         written    {written} rows in {} Parquet files\n  \
         committed  {committed} records by the newest checkpoint\n",
        files.len()
    ))?;
    if produced == written && written == committed {
        let commit_log = format!("{latest}/write-ahead-commit-log");
        out::print(&format!(
            "  They agree: every record exactly once.\n\n\
             Read the commit log:\n  \
             ls  {commit_log}\n  \
             cat {commit_log}/chk-1/subtask-*.csv\n  \
             cat {commit_log}/chk-*/*.csv | grep -v ^checkpoint_id | cut -d, -f1 | sort -n | uniq -c\n"
        ))?;
        return Ok(());
    }
    bail!(
        "these numbers should agree; the files are in {}",
        folder.path.display()
    )
}

/// Every file that the commit log names; each is there, or reading it fails.
fn logged_files(commit_log: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for checkpoint in children(commit_log)? {
        for csv in children(&checkpoint)? {
            let body = fs::read(&csv).with_context(|| csv.display().to_string())?;
            for line in commit_log::decode(&csv.display().to_string(), &body)? {
                let path = line.s3_key.strip_prefix("file://");
                files.insert(path.context("a local demo writes local files")?.into());
            }
        }
    }
    Ok(files)
}

/// Sum of the next offsets of the newest slot: the demo's topic begins at 0 and has no gaps.
fn committed(checkpoints: &Path) -> Result<u64> {
    let folders = children(checkpoints)?;
    let ids = folders
        .iter()
        .filter_map(|f| CheckpointId::from_folder(f.file_name()?.to_str()?));
    let newest = ids.max().context("no checkpoint was written")?;
    let body = fs::read(checkpoints.join(Slot::key(newest).0))?;
    let slot = Slot::from_bytes(newest, &body)?;
    let sum: i64 = slot
        .next_offsets
        .iter()
        .map(|saved| saved.next_offset.0)
        .sum();
    Ok(u64::try_from(sum)?)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let what = || folder.display().to_string();
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(what)?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
