//! One Parquet file that is written as a stream: row groups leave as they are full, in pieces of
//! [`PART_SIZE`](crate::store::PART_SIZE); the file is never whole in memory.

mod row_group;
mod runs;

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, ArrowWriterOptions};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::compression::Compression;
use super::pieces::Pieces;
use row_group::RowGroup;

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
    writer: SerializedFileWriter<Pieces>,
    row_groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    open: Option<RowGroup>,
    row_group_rows: usize,
    row_group_bytes: usize,
}

impl ParquetFile {
    /// Begins a file whose first rows are `sample`.
    pub fn create(sample: &RecordBatch, options: &ParquetOptions) -> Result<Self, ParquetError> {
        let of_writer = ArrowWriterOptions::new()
            .with_properties(properties(sample, options))
            // The schema in Parquet's own terms is all that readers need; without Arrow's copy,
            // a dictionary in our memory does not become one in theirs.
            .with_skip_arrow_metadata(true);
        let schema = sample.schema();
        let writer =
            ArrowWriter::try_new_with_options(Pieces::default(), schema.clone(), of_writer)?;
        let (writer, row_groups) = writer.into_serialized_writer()?;
        Ok(Self {
            writer,
            row_groups,
            schema,
            open: None,
            row_group_rows: options.row_group_rows.max(1),
            row_group_bytes: options.row_group_bytes,
        })
    }

    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        let mut left = rows.clone();
        while left.num_rows() > 0 {
            let open = match &mut self.open {
                Some(open) => open,
                none => {
                    let next = RowGroup::new(&self.schema, &self.row_groups, &self.writer)?;
                    none.insert(next)
                }
            };
            let room = self.row_group_rows - open.rows();
            // As long as the rows so far were; of the first ones nobody knows it.
            let fit = match open.size().checked_div(open.rows()) {
                None | Some(0) => room,
                Some(row) => self.row_group_bytes.saturating_sub(open.size()) / row,
            };
            if fit == 0 {
                self.flush()?;
                continue;
            }
            let taken = room.min(fit).min(left.num_rows());
            open.write(&left.slice(0, taken))?;
            left = left.slice(taken, left.num_rows() - taken);
            if open.rows() >= self.row_group_rows || open.size() >= self.row_group_bytes {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the open row group.
    fn flush(&mut self) -> Result<(), ParquetError> {
        match self.open.take() {
            Some(open) => open.close(&mut self.writer),
            None => Ok(()),
        }
    }

    /// Bytes of the file so far, those of the open row group estimated.
    pub fn size(&self) -> usize {
        self.writer.bytes_written() + self.open.as_ref().map_or(0, RowGroup::size)
    }

    /// A piece of exactly [`PART_SIZE`](crate::store::PART_SIZE), if there is one.
    pub fn next_piece(&mut self) -> Option<Bytes> {
        self.writer.inner_mut().next_full()
    }

    /// Bytes of memory that it takes: the open row group, and what was encoded before it and is no whole
    /// piece yet.
    pub fn memory(&self) -> usize {
        let open = self.open.as_ref().map_or(0, RowGroup::memory);
        open + self.writer.inner().buffered()
    }

    /// Ends the file; returns what is left of its bytes, in pieces.
    pub fn finish(
        mut self,
        footer: Vec<KeyValue>,
    ) -> Result<impl Iterator<Item = Bytes>, ParquetError> {
        self.flush()?;
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
        .set_data_page_row_count_limit(PAGE_ROWS)
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

    use arrow_array::types::{Int32Type, Int64Type};
    use arrow_array::{ArrayRef, StringArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::statistics::Statistics;
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{CheckpointId, Offset, Split};
    use crate::source::{Origin, SplitIndex};
    use crate::transform::enrich::{self, Enricher};

    /// A run of records of one split: its number, and how many records of it follow each other.
    type Run = (u32, usize);

    /// Of each run, whichever topic and partition stand behind its number.
    fn splits() -> Vec<Split> {
        let topics = ["b", "a", "", "a much longer one"];
        let split = |n: usize| Split::new(topics[n % 4], (n % 7) as i32 - 1);
        (0..300).map(split).collect()
    }

    /// Rows with nothing but where they come from.
    fn rows(runs: &[Run], checkpoint: u64) -> RecordBatch {
        let origins = runs.iter().flat_map(|(split, rows)| {
            (0..*rows).map(|n| Origin {
                split: SplitIndex(*split),
                offset: Offset(n as i64),
            })
        });
        let origins: Vec<_> = origins.collect();
        let ids = (0..origins.len()).map(|n| format!("id {n}"));
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values(ids));
        let input = RecordBatch::try_from_iter([("uuid", ids)]).unwrap();
        let enricher = Enricher::new(&input.schema(), &[]);
        let further = std::iter::empty();
        let checkpoint = CheckpointId(checkpoint);
        enricher
            .enrich(&input, &origins, &splits(), checkpoint, further)
            .unwrap()
    }

    fn file(batches: &[RecordBatch], options: &ParquetOptions) -> Bytes {
        let mut file = ParquetFile::create(&batches[0], options).unwrap();
        let mut all = Vec::new();
        for batch in batches {
            file.write(batch).unwrap();
            all.extend(std::iter::from_fn(|| file.next_piece()).flatten());
        }
        all.extend(file.finish(Vec::new()).unwrap().flatten());
        all.into()
    }

    /// Topic, partition and checkpoint of each row.
    fn lineage(batch: &RecordBatch) -> Vec<(String, i32, i64)> {
        let column = |name| batch.column_by_name(name).unwrap();
        let topics = as_text(column(enrich::TOPIC));
        let partitions = column(enrich::PARTITION).as_primitive::<Int32Type>();
        let checkpoints = column(enrich::CHECKPOINT).as_primitive::<Int64Type>();
        let rows = topics.as_string::<i32>().iter().zip(partitions.values());
        let rows = rows.zip(checkpoints.values());
        rows.map(|((topic, partition), id)| (topic.unwrap().to_owned(), *partition, *id))
            .collect()
    }

    /// Text as such, whatever stands for it.
    fn as_text(column: &ArrayRef) -> ArrayRef {
        match column.as_any_dictionary_opt() {
            Some(column) => arrow_select::take::take(column.values(), column.keys(), None).unwrap(),
            None => column.clone(),
        }
    }

    proptest! {
        #[test]
        fn columns_in_runs_are_read_back_as_they_were_written(
            batches in prop::collection::vec(
                (prop::collection::vec((0_u32..300, 1_usize..40), 1..12), 0_u64..3), 1..6),
            row_group_rows in prop::sample::select(vec![1_usize, 7, 100, 100_000]),
            compression in prop::sample::select(vec!["zstd:1", "none"]),
        ) {
            let batches: Vec<_> = batches.iter().map(|(runs, id)| rows(runs, *id)).collect();
            let options = ParquetOptions {
                row_group_rows,
                compression: compression.parse().unwrap(),
                ..ParquetOptions::default()
            };
            let bytes = file(&batches, &options);
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            let metadata = reader.metadata().clone();
            let read: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
            let read: Vec<_> = read.iter().flat_map(lineage).collect();
            let written: Vec<_> = batches.iter().flat_map(lineage).collect();
            prop_assert_eq!(&read, &written);

            let mut left = &written[..];
            for group in metadata.row_groups() {
                let here;
                (here, left) = left.split_at(group.num_rows() as usize);
                prop_assert!(here.len() <= row_group_rows);
                let column = |n: usize| group.column(n).statistics().unwrap();
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                let topics = here.iter().map(|row| row.0.clone());
                let (least, greatest) = (topics.clone().min().unwrap(), topics.max().unwrap());
                prop_assert_eq!(text(column(1).min_bytes_opt()), least);
                prop_assert_eq!(text(column(1).max_bytes_opt()), greatest);
                let Statistics::Int32(partitions) = column(2) else {
                    panic!("{:?}", column(2))
                };
                let here = here.iter().map(|row| &row.1);
                prop_assert_eq!(partitions.min_opt(), here.clone().min());
                prop_assert_eq!(partitions.max_opt(), here.max());
            }
            prop_assert!(left.is_empty());
        }
    }

    #[test]
    fn a_row_group_ends_at_its_bytes_where_these_come_before_its_rows() {
        let options = ParquetOptions {
            row_group_bytes: 20_000,
            compression: "none".parse().unwrap(),
            ..ParquetOptions::default()
        };
        let batches: Vec<_> = (0..20).map(|_| rows(&[(0, 500)], 1)).collect();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file(&batches, &options)).unwrap();
        let groups = reader.metadata().row_groups();
        assert!(groups.len() > 3, "{}", groups.len());
        for group in groups {
            assert!(
                group.compressed_size() < 25_000,
                "{}",
                group.compressed_size()
            );
        }
    }

    #[test]
    fn a_column_that_hardly_changes_takes_next_to_nothing() {
        let bytes = file(
            &[rows(&[(3, 60_000), (4, 60_000)], 9)],
            &ParquetOptions::default(),
        );
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let group = reader.metadata().row_group(0);
        for column in [1, 2, 4] {
            assert!(group.column(column).compressed_size() < 120, "{column}");
        }
    }

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
