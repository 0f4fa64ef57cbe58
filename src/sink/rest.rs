//! The end of a file, encoded beside the rows that follow it: what its encoder still holds, and its footer.
//! At a barrier a subtask hands that to its uploader and goes on with the next file, so rows wait neither
//! for the compression of the last pages nor for a processor that others are using.

use std::fmt;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use tokio::sync::Semaphore;

use super::parquet::ParquetFile;
use crate::runtime::budget::Share;

pub struct Rest {
    file: ParquetFile,
    footer: Vec<KeyValue>,
    share: Share,
}

impl Rest {
    /// `share` is what the file takes of the memory budget.
    pub fn new(file: ParquetFile, footer: Vec<KeyValue>, share: Share) -> Self {
        Self {
            file,
            footer,
            share,
        }
    }

    /// The pieces that are left, in order, and what they take of the memory budget, all together. Works on
    /// a thread of its own, as soon as `turns` has one.
    pub async fn encode(self, turns: &Semaphore) -> Result<(Vec<Bytes>, Share), ParquetError> {
        // Nobody closes it; so many files may end at a barrier that all at once would need all processors.
        let _turn = turns.acquire().await;
        let Self {
            file,
            footer,
            mut share,
        } = self;
        let encode = move || Ok::<_, ParquetError>(file.finish(footer)?.collect::<Vec<_>>());
        let pieces = tokio::task::spawn_blocking(encode)
            .await
            .map_err(|ended| ParquetError::External(ended.into()))??;
        share.set(pieces.iter().map(Bytes::len).sum());
        Ok((pieces, share))
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest")
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}
