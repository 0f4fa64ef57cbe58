//! One Parquet file that is written as a stream: row groups leave as they are full, in pieces of
//! [`PART_SIZE`](crate::store::PART_SIZE); the file is never whole in memory.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::pieces::Pieces;
use crate::transform::enrich;

/// Rows of a row group: enough to compress well and for readers to skip by, and with few columns
/// some 3 MB encoded.
const ROW_GROUP_ROWS: usize = 122_880;
/// With many or wide columns, bytes end a row group first.
const ROW_GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Rows of a page of a column: what a core's cache holds, and little to compress when a barrier
/// closes the files, while no rows flow.
const PAGE_ROWS: usize = 8_192;

/// Rows looked at to tell whether text repeats.
const SAMPLE: usize = 1_024;

/// Codec of a Parquet file; every reader knows all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// At level 1: the smallest files
    Zstd,
    /// Larger, and quicker to write
    Snappy,
    /// Between these, as LZ4_RAW
    Lz4,
    /// Largest and quickest
    None,
}

pub struct ParquetFile {
    writer: ArrowWriter<Pieces>,
}

impl ParquetFile {
    /// Begins a file whose first rows are `sample`.
    pub fn create(sample: &RecordBatch, compression: Compression) -> Result<Self, ParquetError> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(sample, compression)?)
            // The schema in Parquet's own terms is all that readers need; without Arrow's copy,
            // a dictionary in our memory does not become one in theirs.
            .with_skip_arrow_metadata(true);
        let schema = sample.schema();
        let writer = ArrowWriter::try_new_with_options(Pieces::default(), schema, options)?;
        Ok(Self { writer })
    }

    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        self.writer.write(rows)
    }

    /// Bytes of the file so far, those of the open row group estimated.
    pub fn size(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// A piece of exactly [`PART_SIZE`](crate::store::PART_SIZE), if there is one.
    pub fn next_piece(&mut self) -> Option<Bytes> {
        self.writer.inner_mut().next_full()
    }

    /// Bytes of memory that the open row group takes.
    pub fn memory(&self) -> usize {
        self.writer.memory_size()
    }

    /// Ends the file; returns what is left of its bytes, in pieces.
    pub fn finish(
        mut self,
        footer: Vec<KeyValue>,
    ) -> Result<impl Iterator<Item = Bytes>, ParquetError> {
        for entry in footer {
            self.writer.append_key_value_metadata(entry);
        }
        // Writes the footer, too; after the writer's `finish` it would refuse.
        Ok(self.writer.into_inner()?.finish())
    }
}

fn properties(
    sample: &RecordBatch,
    compression: Compression,
) -> Result<WriterProperties, ParquetError> {
    let codec = match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1)?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::None => Codec::UNCOMPRESSED,
    };
    let mut properties = WriterProperties::builder()
        .set_compression(codec)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for (field, column) in sample.schema_ref().fields().iter().zip(sample.columns()) {
        let path = ColumnPath::from(field.name().as_str());
        match field.data_type() {
            // Numbers that rise: their differences are small. A dictionary of values that never
            // repeat would be built only to be thrown away.
            DataType::Int64 | DataType::Timestamp(..) => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            // Ids, as a rule: with their lengths apart the compressor sees nothing but text, and
            // the least and greatest of them help nobody to skip rows.
            DataType::Utf8 | DataType::Binary if !repeats(column.as_ref()) => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                    .set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY);
            }
            // One value over long runs: their differences are nothing, and cost less than a look
            // into a dictionary for each row.
            DataType::Int32 if field.name() == enrich::PARTITION => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            _ => {}
        }
    }
    Ok(properties.build())
}

/// Whether the text of the first rows is mostly repetition, so that a dictionary pays.
fn repeats(column: &dyn Array) -> bool {
    let column = column.slice(0, column.len().min(SAMPLE));
    let distinct = match column.data_type() {
        DataType::Utf8 => column
            .as_string::<i32>()
            .iter()
            .collect::<HashSet<_>>()
            .len(),
        _ => column
            .as_binary::<i32>()
            .iter()
            .collect::<HashSet<_>>()
            .len(),
    };
    // Too few rows to tell: a dictionary costs little then.
    column.len() < 16 || distinct * 2 < column.len()
}
