//! Makes the files of a complete checkpoint visible: all of them, for as long as it takes.

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::checkpoint::slot::PendingFile;
use crate::runtime::retry::Patience;
use crate::store::{StoreError, Stores};

/// Finalizations under way at once; each is one small request.
const CONCURRENCY: usize = 16;

/// Finalizes every file. Only files that a confirmed slot of this process references may be given
/// here. An error means that a file can never become visible.
pub async fn finalize(
    stores: &Stores,
    patience: &Patience,
    files: &[PendingFile],
) -> Result<(), StoreError> {
    let requests: Vec<_> = files
        .iter()
        .map(|file| finalize_one(stores, patience, file))
        .collect();
    stream::iter(requests)
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}

async fn finalize_one(
    stores: &Stores,
    patience: &Patience,
    file: &PendingFile,
) -> Result<(), StoreError> {
    let concern = format!("finalizing {}", file.committable.upload.key.name());
    let store = stores.part_files(file.root);
    patience
        .insist(&concern, || store.finalize(&file.committable))
        .await
}
