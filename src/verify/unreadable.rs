//! Why a file of the archive was not read.

use parquet::errors::ParquetError;

use crate::sink::footer::FooterError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// It could not be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// What is wrong with a file that was looked at.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A file of somebody else: its rows are none of this archive's.
    #[error("{0}")]
    Foreign(String),
    #[error("it is not a Parquet file: {0}")]
    Damaged(#[from] ParquetError),
    #[error(transparent)]
    Footer(FooterError),
    #[error("its rows are not what its footer says: {0}")]
    Differs(String),
}

impl From<ParquetError> for PartError {
    fn from(error: ParquetError) -> Self {
        Unreadable::Damaged(error).into()
    }
}
