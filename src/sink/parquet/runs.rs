//! A column whose rows come in long runs of one value: what a record comes from.
//!
//! The `parquet` crate looks every row up in a dictionary, or takes its difference to the one before, and compares it
//! with the least and the greatest so far: for columns that hardly ever change that was a tenth of all CPU time. Here
//! a run is noted once, and written as what Parquet calls a run, too: a dictionary page, and one page of
//! RLE_DICTIONARY (Parquet's documentation, "Encodings"). Both are too small to be compressed.

use std::collections::HashMap;
use std::hash::Hash;

use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use crate::transform::enrich;

/// Of both pages of a column, about.
const PAGE_HEADERS: usize = 40;

/// One column of an open row group.
pub enum Runs {
    Text(Table<String>),
    Int(Table<i32>),
    Long(Table<i64>),
}

/// The different values, and which of them the rows have, one after the other.
pub struct Table<T> {
    values: Vec<T>,
    places: HashMap<T, u32>,
    runs: Vec<(u32, u64)>,
    rows: u64,
}

/// Whether a field is written in runs: where it is one of the lineage columns that change seldom.
pub fn are_of(field: &Field) -> bool {
    use DataType::{Int32, Int64, Utf8};
    let text = || DataType::Dictionary(Box::new(Int32), Box::new(Utf8));
    let by_type = match field.name().as_str() {
        enrich::TOPIC => *field.data_type() == text(),
        enrich::PARTITION => *field.data_type() == Int32,
        enrich::CHECKPOINT => *field.data_type() == Int64,
        _ => false,
    };
    by_type && !field.is_nullable()
}

impl Runs {
    /// For a field of which [`are_of`] says so.
    pub fn new(field: &Field) -> Self {
        match field.data_type() {
            DataType::Int32 => Self::Int(Table::new()),
            DataType::Int64 => Self::Long(Table::new()),
            _ => Self::Text(Table::new()),
        }
    }

    /// Takes in rows of the field's type.
    pub fn append(&mut self, column: &ArrayRef) {
        match self {
            Self::Int(table) => table.append(column.as_primitive::<Int32Type>().values(), |n| *n),
            Self::Long(table) => table.append(column.as_primitive::<Int64Type>().values(), |n| *n),
            Self::Text(table) => {
                let column = column.as_dictionary::<Int32Type>();
                let texts = column.values().as_string::<i32>();
                table.append(column.keys().values(), |key| {
                    texts.value(*key as usize).to_owned()
                });
            }
        }
    }

    /// Bytes that it will have in the file, about.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(table) => table.size(String::len),
            Self::Int(table) => table.size(|_| size_of::<i32>()),
            Self::Long(table) => table.size(|_| size_of::<i64>()),
        }
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        match self {
            // Its text twice: in its place, and to find that.
            Self::Text(table) => {
                table.memory() + 2 * table.values.iter().map(String::len).sum::<usize>()
            }
            Self::Int(table) => table.memory(),
            Self::Long(table) => table.memory(),
        }
    }

    /// The column's chunk.
    pub fn close(&self, column: ColumnDescPtr) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        match self {
            Self::Int(table) => {
                let values = table.values.iter().flat_map(|value| value.to_le_bytes());
                let statistics =
                    Statistics::int32(table.least(), table.greatest(), None, Some(0), false);
                table.close(column, values.collect(), statistics)
            }
            Self::Long(table) => {
                let values = table.values.iter().flat_map(|value| value.to_le_bytes());
                let statistics =
                    Statistics::int64(table.least(), table.greatest(), None, Some(0), false);
                table.close(column, values.collect(), statistics)
            }
            Self::Text(table) => {
                let mut values = Vec::new();
                for value in &table.values {
                    let length = u32::try_from(value.len()).map_err(external)?;
                    values.extend(length.to_le_bytes());
                    values.extend(value.as_bytes());
                }
                let text = |value: Option<String>| value.map(|v| ByteArray::from(v.into_bytes()));
                let (least, greatest) = (text(table.least()), text(table.greatest()));
                let statistics = Statistics::byte_array(least, greatest, None, Some(0), false);
                table.close(column, values, statistics)
            }
        }
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl<T: Clone + Eq + Hash + Ord> Table<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            places: HashMap::new(),
            runs: Vec::new(),
            rows: 0,
        }
    }

    fn append<R: PartialEq>(&mut self, rows: &[R], value: impl Fn(&R) -> T) {
        self.rows += rows.len() as u64;
        for run in rows.chunk_by(PartialEq::eq) {
            let place = self.place(value(&run[0]));
            let length = run.len() as u64;
            match self.runs.last_mut() {
                Some((last, rows)) if *last == place => *rows += length,
                _ => self.runs.push((place, length)),
            }
        }
    }

    fn place(&mut self, value: T) -> u32 {
        if let Some(place) = self.places.get(&value) {
            return *place;
        }
        // A row group has fewer rows.
        let place = self.values.len() as u32;
        self.values.push(value.clone());
        self.places.insert(value, place);
        place
    }

    /// The lengths of runs below 64 rows take a byte, and of longer ones there are few.
    fn size(&self, of_value: impl Fn(&T) -> usize) -> usize {
        let values = self.values.iter();
        let of_values = values.map(|value| size_of::<u32>() + of_value(value));
        PAGE_HEADERS + of_values.sum::<usize>() + self.runs.len() * (1 + self.width())
    }

    fn memory(&self) -> usize {
        let of_values = self.values.capacity() * size_of::<T>();
        let of_places = self.places.capacity() * size_of::<(T, u32)>();
        of_values + of_places + self.runs.capacity() * size_of::<(u32, u64)>()
    }

    /// How many bits the place of a value takes.
    fn bits(&self) -> u32 {
        let last = self.values.len().saturating_sub(1) as u32;
        u32::BITS - last.leading_zeros()
    }

    /// The same in whole bytes.
    fn width(&self) -> usize {
        self.bits().div_ceil(8) as usize
    }

    fn least(&self) -> Option<T> {
        self.values.iter().min().cloned()
    }

    fn greatest(&self) -> Option<T> {
        self.values.iter().max().cloned()
    }

    /// `values` are the dictionary's, in PLAIN.
    fn close(
        &self,
        column: ColumnDescPtr,
        values: Vec<u8>,
        statistics: Statistics,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let mut sink = TrackedWrite::new(Vec::new());
        let mut pages = SerializedPageWriter::new(&mut sink);
        let dictionary = pages.write_page(uncompressed(Page::DictionaryPage {
            num_values: count(self.values.len())?,
            buf: values.into(),
            encoding: Encoding::PLAIN,
            is_sorted: false,
        }))?;
        let data = pages.write_page(uncompressed(Page::DataPage {
            buf: self.encoded().into(),
            num_values: count(self.rows)?,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }))?;
        pages.close()?;
        let bytes: Bytes = sink.into_inner()?.into();
        let (rows, length) = (
            i64::try_from(self.rows).map_err(external)?,
            bytes.len() as i64,
        );
        let metadata = ColumnChunkMetaData::builder(column)
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings(vec![
                Encoding::PLAIN,
                Encoding::RLE,
                Encoding::RLE_DICTIONARY,
            ])
            .set_total_compressed_size(length)
            .set_total_uncompressed_size(length)
            .set_num_values(rows)
            .set_dictionary_page_offset(Some(dictionary.offset as i64))
            .set_data_page_offset(data.offset as i64)
            .set_statistics(statistics)
            // So readers know that the dictionary has all values.
            .set_page_encoding_stats(vec![
                of_page(PageType::DICTIONARY_PAGE, Encoding::PLAIN),
                of_page(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY),
            ])
            .build()?;
        let mut pages = OffsetIndexBuilder::new();
        pages.append_row_count(rows);
        let length_of_page = i32::try_from(data.compressed_size).map_err(external)?;
        pages.append_offset_and_size(data.offset as i64, length_of_page);
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(pages.build()),
        };
        Ok((bytes, close))
    }

    /// How many bits a place has, and the runs: each its length, doubled, as a number of 7 bits a byte, and its place.
    fn encoded(&self) -> Vec<u8> {
        let width = self.width();
        let mut encoded = vec![self.bits() as u8];
        for (place, rows) in &self.runs {
            let mut length = rows << 1;
            while length >= 0x80 {
                encoded.push(length as u8 | 0x80);
                length >>= 7;
            }
            encoded.push(length as u8);
            encoded.extend(&place.to_le_bytes()[..width]);
        }
        encoded
    }
}

/// Parquet has 31 bits for it.
fn count<N: TryInto<i32>>(number: N) -> Result<u32, ParquetError> {
    let number = number.try_into().ok().and_then(|n| u32::try_from(n).ok());
    number.ok_or_else(|| ParquetError::General("a row group has too many rows".to_owned()))
}

fn of_page(page_type: PageType, encoding: Encoding) -> PageEncodingStats {
    PageEncodingStats {
        page_type,
        encoding,
        count: 1,
    }
}

fn uncompressed(page: Page) -> CompressedPage {
    let length = page.buffer().len();
    CompressedPage::new(page, length)
}
