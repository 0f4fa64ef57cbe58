//! The rows whose field `uuid` has a value: no log says where they are, so the field is read, in the
//! files of a range of checkpoints, and nothing else of them. Row groups whose statistics or bloom filter
//! exclude the value are left out. Of ids that never repeat there are no statistics, and a filter only
//! where it was asked for.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_schema::DataType;
use futures::stream::{self, StreamExt, TryStreamExt};
use parquet::errors::ParquetError;
use serde::Serialize;
use uuid::Uuid;

use super::archive::{Archive, PartFile};
use super::folder::File;
use super::record::InFile;
use super::row::{self, Row};
use super::{CONCURRENCY, FindError, moment};
use crate::clock::EpochMillis;
use crate::config::bound::Bound;
use crate::ids::{CheckpointId, Offset};
use crate::store::Root;
use crate::transform::enrich::{OFFSET, PARTITION, TOPIC};
use crate::verify::columns;
use crate::verify::unreadable::{PartError, Unreadable};

const COLUMN: &str = "uuid";

/// Files that are read at once; each takes the memory of one column of a row group.
const READERS: usize = 8;

#[derive(Debug, Serialize)]
pub struct Values {
    pub uuid: String,
    /// Both included.
    pub checkpoints: (CheckpointId, CheckpointId),
    /// Visible ones, of which at least the footer was read.
    pub files_read: usize,
    /// Those whose uuids were read.
    pub row_groups_read: usize,
    /// More than one where the record was produced more than once.
    pub records: Vec<Found>,
}

#[derive(Debug, Serialize)]
pub struct Found {
    pub topic: String,
    pub partition: i32,
    pub offset: Offset,
    #[serde(flatten)]
    pub file: InFile,
    #[serde(flatten)]
    pub row: Row,
}

impl Values {
    /// A time stands for all records that were processed from then on, or until then.
    pub async fn find(
        archive: &Archive,
        uuid: String,
        from: Bound,
        to: Bound,
    ) -> Result<Self, FindError> {
        let checkpoints @ (first, last) = range(archive, from, to).await?;
        let folders = stream::iter(first.0..last.0 + 1).map(|id| archive.folder(CheckpointId(id)));
        let folders: Vec<_> = folders.buffered(CONCURRENCY).try_collect().await?;
        if folders.iter().all(|folder| folder.files().next().is_none()) {
            archive.was_whole()?;
            let newest = archive.slots.newest.id;
            return Err(FindError::NothingSelected { newest });
        }
        let files = folders.iter().flat_map(|folder| folder.files());
        let files = files.filter(|file| file.root == Root::Output).cloned();
        let sought = &Sought::new(&uuid);
        let found = stream::iter(files)
            .map(|file| async move { in_file(archive, file, sought).await })
            .buffered(READERS);
        let found: Vec<_> = found.try_collect().await?;
        let files_read = found.iter().flatten().count();
        let mut without = found.iter().flatten().map(|of| of.without_column.as_ref());
        // A field may have come with a later schema, or gone.
        if let Some(Some(url)) = without.next()
            && without.all(|of| of.is_some())
        {
            return Err(FindError::NoColumn {
                url: url.clone(),
                column: COLUMN,
            });
        }
        let row_groups_read = found.iter().flatten().map(|of| of.row_groups_read).sum();
        let records = found.into_iter().flatten().flat_map(|of| of.records);
        let records: Vec<_> = records.collect();
        if records.is_empty() {
            archive.was_whole()?;
        }
        Ok(Self {
            uuid,
            checkpoints,
            files_read,
            row_groups_read,
            records,
        })
    }
}

async fn range(
    archive: &Archive,
    from: Bound,
    to: Bound,
) -> Result<(CheckpointId, CheckpointId), FindError> {
    let newest = archive.slots.newest.id;
    let first = match from {
        Bound::Checkpoint(id) => Some(id),
        Bound::Time(from) => {
            let (_, after) = moment::around(archive, EpochMillis(from)).await?;
            after.map(|of| of.checkpoint)
        }
    };
    let last = match to {
        Bound::Checkpoint(id) => id,
        Bound::Time(to) => {
            let (_, after) = moment::around(archive, EpochMillis(to)).await?;
            // A record of that moment may be in the next one.
            after.map_or(newest, |of| of.checkpoint.next())
        }
    };
    let last = last.min(newest);
    let first = first.map(|first| first.max(CheckpointId(1)));
    first
        .filter(|first| *first <= last)
        .map(|first| (first, last))
        .ok_or(FindError::NothingSelected { newest })
}

/// What is looked for, in the forms that a column may have it.
struct Sought {
    /// As it was given, and as uuids are usually written.
    texts: Vec<Vec<u8>>,
    /// Of a field with the logical type uuid; none if it is no uuid.
    bytes: Vec<Vec<u8>>,
}

impl Sought {
    fn new(text: &str) -> Self {
        let uuid = Uuid::parse_str(text).ok();
        let mut texts = vec![text.as_bytes().to_vec()];
        let usual = uuid.map(|uuid| uuid.hyphenated().to_string().into_bytes());
        texts.extend(usual.filter(|usual| *usual != texts[0]));
        let bytes = uuid.map(|uuid| uuid.as_bytes().to_vec());
        Self {
            texts,
            bytes: bytes.into_iter().collect(),
        }
    }

    /// As a column of this type may have it; nothing if it cannot.
    fn in_column(&self, of: &DataType) -> &[Vec<u8>] {
        match of {
            DataType::Utf8 => &self.texts,
            _ => &self.bytes,
        }
    }
}

#[derive(Default)]
struct InOneFile {
    /// Its URL, if its schema does not have the field.
    without_column: Option<String>,
    row_groups_read: usize,
    records: Vec<Found>,
}

/// `None` for a file that is not visible.
async fn in_file(
    archive: &Archive,
    file: File,
    sought: &Sought,
) -> Result<Option<InOneFile>, FindError> {
    let Some(part) = archive.part(file.root, &file.url).await? else {
        return Ok(None);
    };
    let failed = |error| FindError::of_file(&file.url, error);
    let metadata = &part.footer.metadata;
    let arrow = row::arrow_metadata(&part).map_err(|e| failed(e.into()))?;
    let tree = archive.tree(file.root);
    let mut found = InOneFile::default();
    let column = match arrow.schema().field_with_name(COLUMN) {
        Ok(field) if is_text_or_uuid(field.data_type()) => field.data_type(),
        _ => {
            found.without_column = Some(file.url);
            return Ok(Some(found));
        }
    };
    let sought = sought.in_column(column);
    let mut before = 0;
    for group in 0..metadata.num_row_groups() {
        let rows = u64::try_from(metadata.row_group(group).num_rows()).unwrap_or(0);
        before += rows;
        let mut sought = sought.to_vec();
        sought.retain(|value| may_hold(&part, group, value));
        if sought.is_empty() {
            continue;
        }
        let filter = columns::bloom_filter(tree, &part.entry, metadata, group, COLUMN).await;
        if let Some(filter) = filter.map_err(failed)? {
            sought.retain(|value| filter.check(&value[..]));
        }
        if sought.is_empty() {
            continue;
        }
        found.row_groups_read += 1;
        let chunks = columns::fetch(tree, &part.entry, metadata, group, &[COLUMN]).await;
        let chunks = chunks.map_err(failed)?;
        let arrow_of_group = arrow.clone();
        let places = tokio::task::spawn_blocking(move || {
            let batches = chunks.decode(arrow_of_group, group, &[COLUMN])?;
            places(batches, &sought)
        });
        let places = places.await?.map_err(|e| failed(e.into()))?;
        if places.is_empty() {
            continue;
        }
        let names = [TOPIC, PARTITION, OFFSET];
        let chunks = columns::fetch(tree, &part.entry, metadata, group, &names).await;
        let batches = chunks.map_err(failed)?.decode(arrow.clone(), group, &names);
        let origins = origins(batches.map_err(|e| failed(e.into()))?, &places);
        for (place, (topic, partition, offset)) in places.iter().zip(origins.map_err(failed)?) {
            found.records.push(Found {
                topic,
                partition,
                offset,
                file: InFile::of_line(&file),
                row: Row {
                    row_group: group,
                    row_in_group: *place,
                    row_in_file: before - rows + place,
                    error: None,
                },
            });
        }
    }
    Ok(Some(found))
}

fn is_text_or_uuid(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::FixedSizeBinary(16))
}

fn may_hold(part: &PartFile, group: usize, sought: &[u8]) -> bool {
    let column = columns::named(&part.footer.metadata, group, COLUMN);
    let Some(of) = column.and_then(|column| column.statistics()) else {
        return true;
    };
    // Those of long text may be cut, and are bounds all the same.
    let (least, most) = (of.min_bytes_opt(), of.max_bytes_opt());
    least.is_none_or(|least| least <= sought) && most.is_none_or(|most| sought <= most)
}

type Batches = parquet::arrow::arrow_reader::ParquetRecordBatchReader;

fn places(batches: Batches, sought: &[Vec<u8>]) -> Result<Vec<u64>, ParquetError> {
    let mut places = Vec::new();
    let mut before = 0;
    for batch in batches {
        let batch = batch.map_err(|e| ParquetError::ArrowError(e.to_string()))?;
        let column = batch.column(0);
        let rows: Box<dyn Iterator<Item = Option<&[u8]>>> = match column.data_type() {
            DataType::Utf8 => {
                let texts = column.as_string::<i32>().iter();
                Box::new(texts.map(|text| text.map(str::as_bytes)))
            }
            _ => Box::new(column.as_fixed_size_binary().iter()),
        };
        let is_sought = |value: &[u8]| sought.iter().any(|one| one == value);
        let rows = (before..).zip(rows);
        places.extend(rows.filter_map(|(row, value)| value.is_some_and(is_sought).then_some(row)));
        before += batch.num_rows() as u64;
    }
    Ok(places)
}

fn origins(batches: Batches, places: &[u64]) -> Result<Vec<(String, i32, Offset)>, PartError> {
    let mut origins = Vec::new();
    let mut before = 0;
    for batch in batches {
        let batch = batch.map_err(|e| ParquetError::ArrowError(e.to_string()))?;
        let rows = batch.num_rows() as u64;
        for place in places
            .iter()
            .filter(|place| (before..before + rows).contains(place))
        {
            // Below the number of rows of a batch.
            let row = usize::try_from(place - before).unwrap_or(usize::MAX);
            let differs = || Unreadable::Differs("its lineage columns are of other types".into());
            origins.push(origin(&batch, row).ok_or_else(differs)?);
        }
        before += rows;
    }
    Ok(origins)
}

fn origin(batch: &RecordBatch, row: usize) -> Option<(String, i32, Offset)> {
    let topics = batch.column_by_name(TOPIC)?;
    let partitions = batch.column_by_name(PARTITION)?;
    let offsets = batch.column_by_name(OFFSET)?;
    let partition = partitions.as_primitive_opt::<Int32Type>()?.value(row);
    let offset = offsets.as_primitive_opt::<Int64Type>()?.value(row);
    let topic = topics.as_string_opt::<i32>()?.value(row);
    Some((topic.to_owned(), partition, Offset(offset)))
}
