//! Some columns of one row group: fetched alone, then decoded.

use std::ops::Range;

use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::tree::{Entry, Tree};
use super::unreadable::{PartError, Unreadable};

pub async fn fetch(
    tree: &Tree,
    entry: &Entry,
    metadata: &ParquetMetaData,
    group: usize,
    names: &[&str],
) -> Result<Chunks, PartError> {
    let ranges = ranges(metadata, group, names)?;
    let bytes = tree.ranges(entry, &ranges).await?;
    Ok(Chunks {
        size: entry.size,
        chunks: ranges.iter().map(|r| r.start).zip(bytes).collect(),
    })
}

/// The bloom filter of a column, if it has one.
pub async fn bloom_filter(
    tree: &Tree,
    entry: &Entry,
    metadata: &ParquetMetaData,
    group: usize,
    name: &str,
) -> Result<Option<Sbbf>, PartError> {
    let column = named(metadata, group, name);
    let Some((column, range)) = column.and_then(|column| {
        let start = u64::try_from(column.bloom_filter_offset()?).ok()?;
        let length = u64::try_from(column.bloom_filter_length()?).ok()?;
        Some((column, start..start.checked_add(length)?))
    }) else {
        return Ok(None);
    };
    let bytes = tree.ranges(entry, std::slice::from_ref(&range)).await?;
    let chunks = Chunks {
        size: entry.size,
        chunks: std::iter::once(range.start).zip(bytes).collect(),
    };
    Ok(Sbbf::read_from_column_chunk(column, &chunks)?)
}

pub fn named<'a>(
    metadata: &'a ParquetMetaData,
    group: usize,
    name: &str,
) -> Option<&'a ColumnChunkMetaData> {
    let columns = metadata.row_group(group).columns();
    columns.iter().find(|c| c.column_path().string() == name)
}

fn ranges(
    metadata: &ParquetMetaData,
    group: usize,
    names: &[&str],
) -> Result<Vec<Range<u64>>, Unreadable> {
    let range = |name: &&str| {
        let missing = || Unreadable::Differs(format!("it has no column {name}"));
        let column = named(metadata, group, name).ok_or_else(missing)?;
        let (start, length) = column.byte_range();
        Ok(start..start + length)
    };
    names.iter().map(range).collect()
}

/// The column chunks of one row group, at their places in the file.
pub struct Chunks {
    size: u64,
    chunks: Vec<(u64, Bytes)>,
}

impl Chunks {
    /// The rows of `group`, of which these are the columns `names`.
    pub fn decode(
        self,
        arrow: ArrowReaderMetadata,
        group: usize,
        names: &[&str],
    ) -> Result<ParquetRecordBatchReader, ParquetError> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self, arrow);
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        let reader = builder.with_projection(mask).with_row_groups(vec![group]);
        reader.with_batch_size(65_536).build()
    }

    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let chunk = self.chunks.iter().find_map(|(begin, bytes)| {
            let skip = usize::try_from(start.checked_sub(*begin)?).ok()?;
            (skip < bytes.len()).then(|| bytes.slice(skip..))
        });
        chunk.ok_or_else(|| ParquetError::General(format!("byte {start} was not fetched")))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            let end = start + length as u64;
            return Err(ParquetError::General(format!("byte {end} was not fetched")));
        }
        Ok(bytes.slice(..length))
    }
}
