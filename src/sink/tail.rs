//! The end of a file, encoded beside the rows that follow it: what its encoder still holds, and its footer.
//! At a barrier a subtask hands that to its uploader and goes on with the next file, so rows wait neither
//! for the compression of the last pages nor for a processor that others are using.

use std::fmt;

use bytes::Bytes;
use parquet::errors::ParquetError;
use tokio::sync::Semaphore;

use super::EncodeError;
use crate::runtime::budget::Share;
use crate::store::Key;

pub struct Tail {
    key: Key,
    encode: Box<dyn FnOnce() -> Result<Vec<Bytes>, ParquetError> + Send>,
    share: Share,
}

#[derive(Debug, thiserror::Error)]
pub enum TailError {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("ending {0} panicked, which is a mistake in this program; what it said is above")]
    Panicked(Key),
}

impl Tail {
    /// `encode` gives the pieces that are left, in order; `share` is what the file takes of the memory
    /// budget until then.
    pub fn new(
        key: Key,
        share: Share,
        encode: impl FnOnce() -> Result<Vec<Bytes>, ParquetError> + Send + 'static,
    ) -> Self {
        Self {
            key,
            encode: Box::new(encode),
            share,
        }
    }

    /// The pieces, and what they take of the memory budget, all together. Works on a thread of its own, as
    /// soon as `turns` has one.
    pub async fn encode(self, turns: &Semaphore) -> Result<(Vec<Bytes>, Share), TailError> {
        // Nobody closes it; so many files may end at a barrier that all at once would need all processors.
        let _turn = turns.acquire().await;
        let Self {
            key,
            encode,
            mut share,
        } = self;
        // Given up only with the runtime, when nobody hears of it any more.
        let Ok(encoded) = tokio::task::spawn_blocking(encode).await else {
            return Err(TailError::Panicked(key));
        };
        let pieces = encoded.map_err(|source| EncodeError { key, source })?;
        share.set(pieces.iter().map(Bytes::len).sum());
        Ok((pieces, share))
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail")
            .field("key", &self.key)
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}
