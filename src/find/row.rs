//! Which row of a file a record is.
//!
//! The footer says that the file holds it, and the row groups' statistics where it cannot be. Rows of
//! several partitions alternate within a file, so the rest is read: of each row group that is left, in
//! their order, the two columns that say where its rows come from.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde::Serialize;

use super::archive::PartFile;
use crate::ids::{Offset, Split};
use crate::store::Root;
use crate::transform::enrich::{OFFSET, PARTITION, TOPIC};
use crate::verify::columns;
use crate::verify::tree::Tree;
use crate::verify::unreadable::{PartError, Unreadable};

/// Of the dropped output: why.
const ERROR: &str = "error";

/// All counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub row_group: usize,
    pub row_in_group: u64,
    pub row_in_file: u64,
    /// Why the record could not be decoded, if it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

pub async fn find(
    tree: &Tree,
    part: &PartFile,
    root: Root,
    split: &Split,
    offset: Offset,
) -> Result<Row, PartError> {
    let metadata = &part.footer.metadata;
    let mut names = vec![PARTITION, OFFSET];
    if root == Root::Dropped {
        names.push(ERROR);
    }
    // Of one topic, as a rule: then its column says nothing.
    let held = &part.footer.stated.offsets;
    if held.iter().any(|held| held.split.topic != split.topic) {
        names.push(TOPIC);
    }
    let arrow = arrow_metadata(part)?;
    let mut before = 0;
    for group in 0..metadata.num_row_groups() {
        if may_hold(metadata, group, split.partition, offset) {
            let chunks = columns::fetch(tree, &part.entry, metadata, group, &names).await?;
            let mut within = 0;
            for batch in chunks.decode(arrow.clone(), group, &names)? {
                let batch = batch.map_err(|e| ParquetError::ArrowError(e.to_string()))?;
                if let Some(place) = place(&batch, split, offset)? {
                    return Ok(Row {
                        row_group: group,
                        row_in_group: within + place as u64,
                        row_in_file: before + within + place as u64,
                        error: error(&batch, place),
                    });
                }
                within += batch.num_rows() as u64;
            }
        }
        before += u64::try_from(metadata.row_group(group).num_rows()).unwrap_or(0);
    }
    let why = format!("its footer names offset {offset} of {split}, and no row does");
    Err(Unreadable::Differs(why).into())
}

/// To decode columns by their Parquet types alone.
pub fn arrow_metadata(part: &PartFile) -> Result<ArrowReaderMetadata, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ArrowReaderMetadata::try_new(part.footer.metadata.clone(), options)
}

/// Whether the statistics of a row group leave it open.
fn may_hold(metadata: &ParquetMetaData, group: usize, partition: i32, offset: Offset) -> bool {
    let statistics = |name| columns::named(metadata, group, name)?.statistics();
    let partition_fits = match statistics(PARTITION) {
        Some(Statistics::Int32(of)) => holds(of.min_opt(), of.max_opt(), &partition),
        _ => true,
    };
    let offset_fits = match statistics(OFFSET) {
        Some(Statistics::Int64(of)) => holds(of.min_opt(), of.max_opt(), &offset.0),
        _ => true,
    };
    partition_fits && offset_fits
}

fn holds<T: PartialOrd>(least: Option<&T>, greatest: Option<&T>, sought: &T) -> bool {
    least.is_none_or(|least| least <= sought) && greatest.is_none_or(|most| sought <= most)
}

fn place(batch: &RecordBatch, split: &Split, offset: Offset) -> Result<Option<usize>, Unreadable> {
    let (partitions, offsets) = (|| {
        let partitions = batch.column_by_name(PARTITION)?;
        let offsets = batch.column_by_name(OFFSET)?;
        Some((
            partitions.as_primitive_opt::<Int32Type>()?.values(),
            offsets.as_primitive_opt::<Int64Type>()?.values(),
        ))
    })()
    .ok_or_else(|| Unreadable::Differs("its lineage columns are of other types".into()))?;
    let topics = batch.column_by_name(TOPIC);
    let topics = topics.and_then(|topics| topics.as_string_opt::<i32>());
    let of_topic = |row: usize| topics.is_none_or(|topics| topics.value(row) == &*split.topic);
    let mut rows = partitions.iter().zip(offsets.iter()).enumerate();
    let sought = (&split.partition, &offset.0);
    Ok(rows.find_map(|(row, of)| (of == sought && of_topic(row)).then_some(row)))
}

fn error(batch: &RecordBatch, place: usize) -> Option<String> {
    let errors = batch.column_by_name(ERROR)?.as_string_opt::<i32>()?;
    Some(errors.value(place).to_owned())
}
