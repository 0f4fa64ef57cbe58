//! One Parquet file that is written as a stream: row groups leave as they are full, in pieces of
//! [`PART_SIZE`](crate::store::PART_SIZE); the file is never whole in memory.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::compression::Compression;
use super::pieces::Pieces;
use crate::transform::enrich;

/// Rows of a page of a column: what a core's cache holds.
const PAGE_ROWS: usize = 8_192;

/// How often a bloom filter says 'perhaps' of a value that is not there. With it a filter takes some ten
/// bits a row.
const FALSE_POSITIVES: f64 = 0.01;

/// Bytes that a row takes at least, for the size of a filter, which is in memory from the beginning: where
/// only its bytes end a row group, there is no other bound to its rows.
const LEAST_ROW: usize = 16;

/// Rows looked at to tell whether text repeats.
const SAMPLE: usize = 1_024;

/// How files are written.
#[derive(Debug, Clone)]
pub struct ParquetOptions {
    pub compression: Compression,
    /// A row group ends at so many rows: enough to compress well and for readers to skip by.
    pub row_group_rows: usize,
    /// With many or wide columns it ends at so many bytes first.
    pub row_group_bytes: usize,
    /// Columns with a filter that tells which row groups cannot hold a value; others have none.
    pub bloom_columns: Vec<String>,
}

impl ParquetOptions {
    /// With few columns 122,880 rows have some 3 MB, encoded.
    pub const DEFAULT_ROWS: usize = 122_880;
    pub const DEFAULT_BYTES: usize = 8 << 20;
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            row_group_rows: Self::DEFAULT_ROWS,
            row_group_bytes: Self::DEFAULT_BYTES,
            bloom_columns: Vec::new(),
        }
    }
}

/// Whether a bloom filter can be kept of a column of this type.
pub fn can_have_bloom_filter(data_type: &DataType) -> bool {
    use DataType::{Binary, FixedSizeBinary, Int32, Int64, Utf8};
    matches!(
        data_type,
        Utf8 | Binary | FixedSizeBinary(_) | Int32 | Int64
    )
}

pub struct ParquetFile {
    writer: ArrowWriter<Pieces>,
}

impl ParquetFile {
    /// Begins a file whose first rows are `sample`.
    pub fn create(sample: &RecordBatch, options: &ParquetOptions) -> Result<Self, ParquetError> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(sample, options))
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

    /// Bytes of memory that it takes: the open row group, and what was encoded before it and is no whole
    /// piece yet.
    pub fn memory(&self) -> usize {
        self.writer.memory_size() + self.writer.inner().buffered()
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

fn properties(sample: &RecordBatch, options: &ParquetOptions) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(options.compression.codec())
        .set_max_row_group_row_count(Some(options.row_group_rows))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_max_row_group_bytes(Some(options.row_group_bytes))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for (field, column) in sample.schema_ref().fields().iter().zip(sample.columns()) {
        let path = ColumnPath::from(field.name().as_str());
        if options.bloom_columns.contains(field.name()) {
            // As many different values as there are rows; fewer make it smaller when it is written, and more
            // would make it say 'perhaps' more often.
            let rows = (options.row_group_bytes / LEAST_ROW).min(options.row_group_rows);
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(path.clone(), rows.max(1) as u64);
        }
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
    properties.build()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StringArray};

    use super::*;

    #[test]
    fn a_bloom_filter_takes_no_more_than_the_rows_that_a_row_group_has_room_for() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let rows = RecordBatch::try_from_iter([("uuid", column)]).unwrap();
        let options = ParquetOptions {
            row_group_rows: 50_000_000,
            bloom_columns: vec!["uuid".to_owned()],
            ..ParquetOptions::default()
        };
        let mut file = ParquetFile::create(&rows, &options).unwrap();
        file.write(&rows).unwrap();
        assert!(file.memory() < 2 << 20, "{}", file.memory());
    }
}
