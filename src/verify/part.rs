//! One part file: what its footer states, and whether its rows say the same.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::columns::{self, Chunks};
use super::tree::{Entry, Tree};
use super::unreadable::{PartError, Unreadable};
use crate::ids::{Offset, Split};
use crate::sink::footer::{self, FooterError, OffsetSets, Stated};
use crate::source::{Origin, SplitIndex};
use crate::store::StoreError;

/// Read at once from the end of a file: its whole footer, as a rule.
const TAIL: u64 = 64 * 1024;

const TOPIC: &str = "kafka_topic";
const COLUMNS: [&str; 4] = [TOPIC, "kafka_partition", "kafka_offset", "checkpoint_id"];

pub struct Footer {
    pub stated: Stated,
    pub metadata: Arc<ParquetMetaData>,
}

pub async fn footer(tree: &Tree, entry: &Entry) -> Result<Footer, PartError> {
    let tail = last(tree, entry, TAIL.min(entry.size)).await?;
    in_tail(tree, entry, tail).await
}

/// Of the file that the archive names by this URL, in one request as a rule; `None` when it is not
/// there.
pub async fn footer_of(tree: &Tree, url: &str) -> Result<Option<(Entry, Footer)>, PartError> {
    let Some((entry, tail)) = tree.tail(url, TAIL).await? else {
        return Ok(None);
    };
    let footer = in_tail(tree, &entry, tail).await?;
    Ok(Some((entry, footer)))
}

async fn last(tree: &Tree, entry: &Entry, length: u64) -> Result<Bytes, StoreError> {
    let range = entry.size - length..entry.size;
    Ok(tree.ranges(entry, &[range]).await?.swap_remove(0))
}

async fn in_tail(tree: &Tree, entry: &Entry, mut tail: Bytes) -> Result<Footer, PartError> {
    let mut reader = ParquetMetaDataReader::new();
    loop {
        match reader.try_parse_sized(&tail, entry.size) {
            Ok(()) => break,
            Err(ParquetError::NeedMoreData(needed))
                if needed > tail.len() && needed as u64 <= entry.size =>
            {
                tail = last(tree, entry, needed as u64).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let metadata = reader.finish()?;
    let file = metadata.file_metadata();
    let no_values = Vec::new();
    let values = file.key_value_metadata().unwrap_or(&no_values);
    let stated = footer::read(values).map_err(|error| match error {
        FooterError::Foreign => Unreadable::Foreign(error.to_string()),
        error => Unreadable::Footer(error),
    })?;
    let rows = u64::try_from(file.num_rows()).unwrap_or(0);
    let held: u64 = stated.offsets.iter().map(|of| of.offsets.len()).sum();
    if held != rows {
        let why = format!("it has {rows} rows, its footer names {held} offsets");
        return Err(Unreadable::Differs(why).into());
    }
    Ok(Footer {
        stated,
        metadata: Arc::new(metadata),
    })
}

/// Reads where each row says that it comes from, a row group at a time, and compares that with the
/// footer: the offsets of each partition, and the checkpoint.
pub async fn compare_rows(tree: &Tree, entry: &Entry, footer: &Footer) -> Result<(), PartError> {
    let arrow = arrow_metadata(footer)?;
    let mut found = Found::default();
    for group in 0..footer.metadata.num_row_groups() {
        let chunks = columns::fetch(tree, entry, &footer.metadata, group, &COLUMNS).await?;
        let (arrow, stated) = (arrow.clone(), footer.stated.checkpoint.0);
        let decode = tokio::task::spawn_blocking(move || {
            let result = found.add_group(chunks, arrow, group, stated);
            (found, result)
        });
        let (back, result) = decode
            .await
            .map_err(|e| ParquetError::External(Box::new(e)))?;
        found = back;
        result?;
    }
    let (rows, stated) = (found.sets.finish(&found.splits), &footer.stated.offsets);
    if rows != *stated {
        let differs = stated.iter().find(|of| !rows.contains(of));
        let which = differs.map_or("other partitions".to_owned(), |of| of.split.to_string());
        return Err(Unreadable::Differs(format!("the offsets of {which}")).into());
    }
    Ok(())
}

/// With the topic as a dictionary, whose keys are compared instead of its text.
fn arrow_metadata(footer: &Footer) -> Result<ArrowReaderMetadata, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::try_new(footer.metadata.clone(), options.clone())?;
    let fields = plain.schema().fields().iter().map(|field| {
        if field.name() == TOPIC {
            let dictionary = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
            Arc::new(Field::new(TOPIC, dictionary, field.is_nullable()))
        } else {
            field.clone()
        }
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    ArrowReaderMetadata::try_new(footer.metadata.clone(), options.with_schema(schema))
}

#[derive(Default)]
struct Found {
    sets: OffsetSets,
    splits: Vec<Split>,
    places: HashMap<Split, SplitIndex>,
}

impl Found {
    fn add_group(
        &mut self,
        chunks: Chunks,
        arrow: ArrowReaderMetadata,
        group: usize,
        checkpoint: u64,
    ) -> Result<(), PartError> {
        for batch in chunks.decode(arrow, group, &COLUMNS)? {
            let batch = batch.map_err(|e| ParquetError::ArrowError(e.to_string()))?;
            self.add(&batch, checkpoint)?;
        }
        Ok(())
    }

    fn add(&mut self, batch: &RecordBatch, checkpoint: u64) -> Result<(), PartError> {
        let differs = |why: String| PartError::from(Unreadable::Differs(why));
        let column = |name: &str| {
            let column = batch.column_by_name(name);
            let column = column.filter(|c| c.null_count() == 0);
            column.ok_or_else(|| differs(format!("{name} is missing in some rows")))
        };
        let wrong = |name: &str| differs(format!("{name} is of another type"));
        let topics = column(TOPIC)?
            .as_dictionary_opt::<Int32Type>()
            .ok_or_else(|| wrong(TOPIC))?;
        let names = topics
            .values()
            .as_string_opt::<i32>()
            .ok_or_else(|| wrong(TOPIC))?;
        let partitions = column("kafka_partition")?
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| wrong("kafka_partition"))?;
        let offsets = column("kafka_offset")?
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| wrong("kafka_offset"))?;
        let checkpoints = column("checkpoint_id")?
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| wrong("checkpoint_id"))?;
        if let Some(other) = checkpoints
            .values()
            .iter()
            .find(|&&c| c as u64 != checkpoint)
        {
            return Err(differs(format!("a row says checkpoint_id {other}")));
        }
        let mut run: Option<((i32, i32), SplitIndex)> = None;
        let keys = topics.keys().values().iter().zip(partitions.values());
        for ((&topic, &partition), &offset) in keys.zip(offsets.values()) {
            let split = match run {
                Some((of, split)) if of == (topic, partition) => split,
                _ => {
                    let name = names.value(usize::try_from(topic).unwrap_or(0));
                    let split = self.place(Split::new(name, partition));
                    run = Some(((topic, partition), split));
                    split
                }
            };
            let offset = Offset(offset);
            self.sets.add(Origin { split, offset });
        }
        Ok(())
    }

    fn place(&mut self, split: Split) -> SplitIndex {
        let next = SplitIndex(u32::try_from(self.splits.len()).unwrap_or(u32::MAX));
        *self.places.entry(split).or_insert_with_key(|split| {
            self.splits.push(split.clone());
            next
        })
    }
}
