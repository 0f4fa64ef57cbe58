//! Avro datums, taken out of their frames, to Arrow columns of the reader's schema.
//!
//! Records of each writer's schema go to a lane of their own ([`lane`]), and the rows come back in the
//! order of the batch. With one writer, the usual case, they are in that order already.

mod lane;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;

use super::avro_schema::{InputSchema, SchemaError};
use super::framing::{Framing, SchemaId};
use super::resolution::Reader;
use crate::source::RawBatch;
use lane::Lane;

/// Writers' schemas whose decoders are kept from batch to batch.
const KEPT: usize = 16;

/// What is known of a writer's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// In its JSON form; it needs no other schema.
    Known(Arc<str>),
    /// It is being asked for.
    NotYet,
    /// Nobody knows it, or it is of no use: why.
    Refused(Arc<str>),
}

/// Where the schemas are that records were written with.
pub trait WriterSchemas: Send + Sync {
    /// Never waits: what is not known yet is asked for in the background.
    fn look_up(&self, id: SchemaId) -> Lookup;
}

pub struct AvroDecoder {
    framing: Framing,
    lanes: Lanes,
}

enum Lanes {
    /// All records have the reader's schema.
    One(Box<Lane>),
    ByWriter {
        schemas: Arc<dyn WriterSchemas>,
        reader: Reader,
        writers: HashMap<SchemaId, Writer>,
        /// Batches so far.
        batches: u64,
    },
}

struct Writer {
    /// Or why its records cannot be decoded.
    lane: Result<Lane, String>,
    /// Its schema is not known; it is looked up again for the next batch.
    refused: bool,
    /// The newest batch that had records of it.
    used: u64,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Decoded {
    /// One row for each of `good`; `None` when there is none.
    pub rows: Option<RecordBatch>,
    /// Places in the raw batch, ascending.
    pub good: Vec<usize>,
    /// Places in the raw batch and why they could not be decoded, ascending.
    pub bad: Vec<(usize, String)>,
}

impl AvroDecoder {
    /// `schemas` is for a format whose records name their writer's schema.
    pub fn new(
        schema: &InputSchema,
        schemas: Option<Arc<dyn WriterSchemas>>,
    ) -> Result<Self, SchemaError> {
        let lanes = match schemas {
            None => Lanes::One(Box::new(Lane::new(schema.reader()?.own()?)?)),
            Some(schemas) => Lanes::ByWriter {
                schemas,
                reader: schema.reader()?,
                writers: HashMap::new(),
                batches: 0,
            },
        };
        Ok(Self {
            framing: schema.framing(),
            lanes,
        })
    }

    /// `None`: not yet, because a writer's schema is being asked for. Nothing of the batch was taken.
    pub fn decode(&mut self, batch: &impl RawBatch) -> Result<Option<Decoded>, ArrowError> {
        let framing = self.framing;
        match &mut self.lanes {
            Lanes::One(lane) => {
                let mut bad = Vec::new();
                for place in 0..batch.len() {
                    match datum(framing, batch, place) {
                        Ok(datum) => lane.take(batch, framing, place, datum)?,
                        Err(reason) => bad.push((place, reason)),
                    }
                }
                let (rows, good) = lane.finish(batch, framing, &mut bad)?;
                bad.sort_by_key(|(place, _)| *place);
                Ok(Some(Decoded { rows, good, bad }))
            }
            Lanes::ByWriter {
                schemas,
                reader,
                writers,
                batches,
            } => {
                // The same number until the batch is decoded: what was refused for it stays so.
                if !all_known(batch, &**schemas, reader, writers, *batches) {
                    return Ok(None);
                }
                let decoded = by_writer(batch, framing, writers)?;
                forget(writers);
                *batches += 1;
                Ok(Some(decoded))
            }
        }
    }
}

/// The datum in a record's value, or why there is none.
#[inline]
fn datum(framing: Framing, batch: &impl RawBatch, place: usize) -> Result<&[u8], String> {
    match batch.record(place).value {
        Some(value) => framing.datum(value),
        None => Err("null: a record without a value (tombstone)".to_owned()),
    }
}

/// The schemas that the batch's records name, in runs of one.
fn ids(batch: &impl RawBatch) -> impl Iterator<Item = SchemaId> {
    let all = (0..batch.len()).filter_map(|place| SchemaId::of(batch.record(place).value?).ok());
    let mut last = None;
    all.filter(move |id| last.replace(*id) != Some(*id))
}

/// Makes a lane for each writer's schema of the batch; false when one of them is not known yet. All of
/// them are asked for at once.
fn all_known(
    batch: &impl RawBatch,
    schemas: &dyn WriterSchemas,
    reader: &Reader,
    writers: &mut HashMap<SchemaId, Writer>,
    used: u64,
) -> bool {
    let mut all = true;
    for id in ids(batch) {
        if let Some(writer) = writers.get_mut(&id)
            && (!writer.refused || writer.used == used)
        {
            writer.used = used;
            continue;
        }
        let (lane, refused) = match schemas.look_up(id) {
            Lookup::NotYet => {
                all = false;
                continue;
            }
            Lookup::Refused(why) => (Err(why.to_string()), true),
            Lookup::Known(json) => (lane(id, &json, reader), false),
        };
        let writer = Writer {
            lane,
            refused,
            used,
        };
        writers.insert(id, writer);
    }
    all
}

fn lane(id: SchemaId, json: &str, reader: &Reader) -> Result<Lane, String> {
    let writer = reader.resolve(json);
    let lane = writer.and_then(|writer| Lane::new(writer).map_err(|e| e.to_string()));
    lane.map_err(|why| {
        let reader = &reader.name;
        let why = format!("incompatible schema: id {id} cannot be read as {reader}: {why}");
        tracing::warn!(why, "records of this schema are dropped");
        why
    })
}

fn by_writer(
    batch: &impl RawBatch,
    framing: Framing,
    writers: &mut HashMap<SchemaId, Writer>,
) -> Result<Decoded, ArrowError> {
    let (mut bad, mut parts) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    let all: Vec<_> = ids(batch).filter(|id| seen.insert(*id)).collect();
    // Decoders take memory, so not more of them are at work than are kept.
    for (round, group) in all.chunks(KEPT).enumerate() {
        take_all(batch, framing, writers, group, &mut bad, round == 0)?;
        for id in group {
            let Some(Writer { lane: Ok(lane), .. }) = writers.get_mut(id) else {
                continue;
            };
            if let (Some(rows), good) = lane.finish(batch, framing, &mut bad)? {
                parts.push((rows, good));
            }
            if all.len() > KEPT {
                lane.rest();
            }
        }
    }
    if all.is_empty() {
        take_all(batch, framing, writers, &[], &mut bad, true)?;
    }
    bad.sort_by_key(|(place, _)| *place);
    let (rows, good) = in_order(parts)?;
    Ok(Decoded { rows, good, bad })
}

/// Hands the records of some writers' schemas to their lanes; those that name none are bad, and are
/// noted in the first round.
fn take_all(
    batch: &impl RawBatch,
    framing: Framing,
    writers: &mut HashMap<SchemaId, Writer>,
    group: &[SchemaId],
    bad: &mut Vec<(usize, String)>,
    first: bool,
) -> Result<(), ArrowError> {
    let mut place = 0;
    // Runs of one writer cost one look at the table.
    while place < batch.len() {
        let id = batch.record(place).value.map(SchemaId::of);
        let (mut writer, others) = match id {
            Some(Ok(id)) => (writers.get_mut(&id), !group.contains(&id)),
            _ => (None, !first),
        };
        let run = id;
        while place < batch.len() {
            let value = batch.record(place).value;
            if value.map(SchemaId::of) != run {
                break;
            }
            if others {
                place += 1;
                continue;
            }
            match (datum(framing, batch, place), writer.as_deref_mut()) {
                (Err(reason), _) => bad.push((place, reason)),
                (Ok(datum), Some(Writer { lane: Ok(lane), .. })) => {
                    lane.take(batch, framing, place, datum)?;
                }
                (Ok(_), Some(Writer { lane: Err(why), .. })) => bad.push((place, why.clone())),
                (Ok(_), None) => {
                    let why = "a writer's schema was not looked up before its records".to_owned();
                    return Err(ArrowError::InvalidArgumentError(why));
                }
            }
            place += 1;
        }
    }
    Ok(())
}

/// The rows of all lanes in the order of the batch.
fn in_order(
    mut parts: Vec<(RecordBatch, Vec<usize>)>,
) -> Result<(Option<RecordBatch>, Vec<usize>), ArrowError> {
    if parts.len() < 2 {
        let one = parts.pop();
        return Ok(one.map_or((None, Vec::new()), |(rows, good)| (Some(rows), good)));
    }
    let mut all = Vec::new();
    for (part, (_, good)) in parts.iter().enumerate() {
        let rows = good.iter().enumerate();
        all.extend(rows.map(|(row, &place)| (place, (part, row))));
    }
    all.sort_unstable();
    let (good, indices): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let batches: Vec<_> = parts.iter().map(|(rows, _)| rows).collect();
    Ok((Some(interleave_record_batch(&batches, &indices)?), good))
}

/// Keeps the decoders of the writers that were used last.
fn forget(writers: &mut HashMap<SchemaId, Writer>) {
    writers.retain(|_, writer| !writer.refused);
    if writers.len() <= KEPT {
        return;
    }
    let mut used: Vec<_> = writers
        .iter()
        .map(|(id, writer)| (writer.used, *id))
        .collect();
    used.sort_unstable();
    for (_, id) in &used[..used.len() - KEPT] {
        writers.remove(id);
    }
}

#[cfg(test)]
mod tests;
