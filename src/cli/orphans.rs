//! `lineage orphans`: uploads, and local files in progress, that nobody will ever finalize.

use super::out;
use crate::config::args::{ArchiveArgs, OrphansCommand};
use crate::config::settings::Archive;
use crate::recovery::decide;
use crate::store::{PartFiles, Root, Upload};
use crate::verify::archive::part_files;
use crate::verify::slots;

/// Those of generations below the newest slot's that this slot does not reference. Also without a
/// claim of the log: a later slot can reference only what this one does, or newer uploads.
///
/// # Errors
/// If the store does not answer, or there is no checkpoint log.
pub async fn orphans(command: OrphansCommand) -> anyhow::Result<()> {
    let (abort, args) = match command {
        OrphansCommand::List { archive } => (false, archive),
        OrphansCommand::Abort { archive } => (true, archive),
    };
    let found = find(args).await?;
    let count = found.len();
    for (files, orphan) in found {
        if abort {
            files.abort(&orphan).await?;
        }
        out::print(&format!("{}\n", files.url(&orphan.key)))?;
    }
    let done = if abort { "aborted" } else { "found" };
    out::print(&format!("{count} orphans {done}\n"))?;
    Ok(())
}

async fn find(args: ArchiveArgs) -> anyhow::Result<Vec<(Box<dyn PartFiles>, Upload)>> {
    let Archive { paths, s3 } = Archive::try_from(args)?;
    let slots = slots::read(&paths.checkpoints, &s3).await?;
    slots.warn_of_damage();
    let mut found = Vec::new();
    for (root, location) in [
        (Root::Output, &paths.output),
        (Root::Dropped, &paths.dropped),
    ] {
        let open = part_files(location, &s3)?.open_uploads().await?;
        for orphan in decide::orphans(&slots.newest, root, open) {
            found.push((part_files(location, &s3)?, orphan));
        }
    }
    Ok(found)
}
