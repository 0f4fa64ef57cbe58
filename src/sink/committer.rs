//! Makes the files of a complete checkpoint visible: all of them, for as long as it takes.

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::checkpoint::slot::PendingFile;
use crate::mutants::{self, Mutant};
use crate::runtime::failure;
use crate::runtime::retry::Patience;
use crate::store::{StoreError, Stores};

/// Finalizations under way at once; each is one small request.
const CONCURRENCY: usize = 16;

/// A pending file whose bytes the store has lost, so that it can never become visible.
#[derive(Debug)]
pub struct LostFile {
    pub file: PendingFile,
    /// [`StoreError::UploadGone`] or [`StoreError::UploadBroken`].
    pub cause: StoreError,
}

/// For somebody who has to act on it: the file, its offsets, and why.
impl std::fmt::Display for LostFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, cause } = self;
        let ranges = file.offsets.iter().map(|range| {
            let (split, first, last) = (&range.split, range.first, range.last);
            format!("{split} offsets {first} to {last}")
        });
        let ranges: Vec<_> = ranges.collect();
        write!(f, "{} with {}: {cause}", file.url, ranges.join(", "))
    }
}

/// Finalizes every file, and returns those that the store has lost. Only files that a confirmed
/// slot of this process references may be given here. An error means that somebody has to act
/// before a file can become visible.
pub async fn finalize(
    stores: &Stores,
    patience: &Patience,
    files: &[PendingFile],
) -> Result<Vec<LostFile>, StoreError> {
    let requests: Vec<_> = files
        .iter()
        .map(|file| finalize_one(stores, patience, file))
        .collect();
    let lost: Vec<_> = stream::iter(requests)
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    Ok(lost.into_iter().flatten().collect())
}

async fn finalize_one(
    stores: &Stores,
    patience: &Patience,
    file: &PendingFile,
) -> Result<Option<LostFile>, StoreError> {
    let concern = format!("finalizing {}", file.committable.upload.key.name());
    let store = stores.part_files(file.root);
    failure::point(failure::FINALIZE_BEFORE);
    if mutants::is(Mutant::UnansweredGivenUp)
        && let Err(cause) = store.finalize(&file.committable).await
    {
        let file = file.clone();
        return Ok(Some(LostFile { file, cause }));
    }
    let finalized = patience
        .insist(&concern, || store.finalize(&file.committable))
        .await;
    failure::point(failure::FINALIZE_AFTER);
    match finalized {
        Ok(()) => Ok(None),
        Err(cause @ (StoreError::UploadGone { .. } | StoreError::UploadBroken { .. })) => {
            let file = file.clone();
            Ok(Some(LostFile { file, cause }))
        }
        Err(error) => Err(error),
    }
}
