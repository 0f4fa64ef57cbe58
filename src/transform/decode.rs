//! Avro datums, taken out of their frames, to Arrow columns.
//!
//! The decoder works on a whole batch. It is not atomic for each record, so when a record turns out
//! to be bad, the good ones before it are decoded once more without it: every record is decoded
//! twice at the most, however many are bad.

use arrow_array::RecordBatch;
use arrow_avro::reader::Decoder;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;

use super::avro_schema::{InputSchema, SchemaError};
use crate::source::RawBatch;

pub struct AvroDecoder {
    schema: InputSchema,
    decoder: Decoder,
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
    pub fn new(schema: &InputSchema) -> Result<Self, SchemaError> {
        Ok(Self {
            schema: schema.clone(),
            decoder: schema.decoder()?,
        })
    }

    pub fn decode(&mut self, batch: &impl RawBatch) -> Result<Decoded, ArrowError> {
        let mut chunks = Vec::new();
        let mut good = Vec::with_capacity(batch.len());
        let mut bad = Vec::new();
        // Good records that are in the decoder and not flushed: `good[open..]`.
        let mut open = 0;
        let framing = self.schema.framing();
        for place in 0..batch.len() {
            let value = batch.record(place).value;
            let reason = match value.map(|value| framing.datum(value)) {
                None => "null: a record without a value (tombstone)".to_owned(),
                // Known before the decoder takes it in, so nothing has to be decoded again.
                Some(Err(reason)) => reason,
                Some(Ok([])) if !self.schema.arrow().fields().is_empty() => {
                    "empty: a datum of 0 bytes".to_owned()
                }
                Some(Ok(datum)) => match self.decoder.decode(datum) {
                    Ok(consumed) if consumed == datum.len() => {
                        good.push(place);
                        continue;
                    }
                    result => {
                        self.decoder = self.schema.decoder()?;
                        self.decode_again(batch, &good[open..], &mut chunks, &mut bad)?;
                        open = good.len();
                        match result {
                            Ok(consumed) => format!(
                                "trailing bytes: the record ends after {consumed} of {} bytes",
                                datum.len()
                            ),
                            Err(e) => format!("not a record of the schema: {e}"),
                        }
                    }
                },
            };
            bad.push((place, reason));
        }
        match self.decoder.flush() {
            Ok(rows) => chunks.extend(rows),
            Err(_) => {
                self.decoder = self.schema.decoder()?;
                self.decode_again(batch, &good[open..], &mut chunks, &mut bad)?;
            }
        }
        if !bad.is_empty() {
            // Some may have been good by their bytes and bad by their values.
            bad.sort_by_key(|(place, _)| *place);
            good.retain(|place| bad.binary_search_by_key(place, |(bad, _)| *bad).is_err());
        }
        let rows = match chunks.len() {
            0 => None,
            1 => chunks.pop(),
            _ => Some(concat_batches(self.schema.arrow(), &chunks)?),
        };
        Ok(Decoded { rows, good, bad })
    }

    /// Decodes records that are good by their bytes. Their values may still be bad (text that is
    /// not UTF-8), which shows when they become columns: then halves are tried, down to the record.
    fn decode_again(
        &mut self,
        batch: &impl RawBatch,
        places: &[usize],
        chunks: &mut Vec<RecordBatch>,
        bad: &mut Vec<(usize, String)>,
    ) -> Result<(), ArrowError> {
        let framing = self.schema.framing();
        for &place in places {
            let value = batch.record(place).value.unwrap_or_default();
            // They were found to be in their frames before.
            let datum = framing.datum(value).unwrap_or_default();
            self.decoder.decode(datum).map_err(ArrowError::from)?;
        }
        let error = match self.decoder.flush() {
            Ok(rows) => {
                chunks.extend(rows);
                return Ok(());
            }
            Err(error) => error,
        };
        self.decoder = self.schema.decoder()?;
        match places {
            [] => {}
            [place] => bad.push((*place, format!("not a value of the schema: {error}"))),
            _ => {
                let (first, second) = places.split_at(places.len() / 2);
                self.decode_again(batch, first, chunks, bad)?;
                self.decode_again(batch, second, chunks, bad)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
