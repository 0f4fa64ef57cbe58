//! The records of one writer's schema in a batch.
//!
//! The decoder works on many records at once. It is not atomic for each, so when a record turns out
//! to be bad, the good ones before it are decoded once more without it: every record is decoded
//! twice at the most, however many have bad bytes. Where bytes are good and values are not, halves are
//! tried, down to the record.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;

use crate::source::RawBatch;
use crate::transform::avro_decoder::DatumDecoder;
use crate::transform::framing::Framing;
use crate::transform::resolution::Writer;

pub struct Lane {
    writer: Writer,
    /// Made when there is something to decode.
    decoder: Option<DatumDecoder>,
    good: Vec<usize>,
    /// Good records that are in the decoder and not flushed: `good[open..]`.
    open: usize,
    /// With the reader's columns.
    chunks: Vec<RecordBatch>,
    bad: Vec<(usize, String)>,
}

impl Lane {
    pub fn new(writer: Writer) -> Result<Self, ArrowError> {
        Ok(Self {
            // Here it shows whether there can be one.
            decoder: Some(writer.decoder()?),
            writer,
            good: Vec::new(),
            open: 0,
            chunks: Vec::new(),
            bad: Vec::new(),
        })
    }

    /// Gives back the memory of its decoder. To be called between batches.
    pub fn rest(&mut self) {
        self.decoder = None;
    }

    #[inline]
    fn decoder(&mut self) -> Result<&mut DatumDecoder, ArrowError> {
        match &mut self.decoder {
            Some(decoder) => Ok(decoder),
            none => Ok(none.insert(self.writer.decoder()?)),
        }
    }

    /// Decodes the datum of the record at `place`.
    #[inline]
    pub fn take(
        &mut self,
        batch: &impl RawBatch,
        framing: Framing,
        place: usize,
        datum: &[u8],
    ) -> Result<(), ArrowError> {
        if datum.is_empty() && !self.writer.may_be_empty {
            // Known before the decoder takes it in, so nothing has to be decoded again.
            self.bad
                .push((place, "empty: a datum of 0 bytes".to_owned()));
            return Ok(());
        }
        let decoded = self.decoder()?.decode(datum);
        if decoded.as_ref().is_ok_and(|taken| *taken == datum.len()) {
            self.good.push(place);
            return Ok(());
        }
        self.refuse(batch, framing, place, datum.len(), decoded)
    }

    /// A record that is none of the schema: the good ones before it are decoded again without it.
    #[cold]
    fn refuse(
        &mut self,
        batch: &impl RawBatch,
        framing: Framing,
        place: usize,
        length: usize,
        decoded: Result<usize, String>,
    ) -> Result<(), ArrowError> {
        let reason = match decoded {
            Ok(taken) => {
                format!("trailing bytes: the record ends after {taken} of {length} bytes")
            }
            Err(why) => format!("not a record of the schema: {why}"),
        };
        self.decoder = None;
        let open = self.good.split_off(self.open);
        self.decode_again(batch, framing, &open)?;
        self.good.extend(open);
        self.open = self.good.len();
        self.bad.push((place, reason));
        Ok(())
    }

    /// The rows of all good records, with their places; adds the bad ones. Ready for the next batch.
    pub fn finish(
        &mut self,
        batch: &impl RawBatch,
        framing: Framing,
        bad: &mut Vec<(usize, String)>,
    ) -> Result<(Option<RecordBatch>, Vec<usize>), ArrowError> {
        let open = self.good.split_off(self.open);
        match self.decoder()?.flush() {
            Ok(Some(rows)) => self.project(rows, &open),
            Ok(None) => {}
            Err(_) => {
                self.decoder = None;
                self.decode_again(batch, framing, &open)?;
            }
        }
        let mut good = std::mem::take(&mut self.good);
        good.extend(open);
        self.open = 0;
        let mut own = std::mem::take(&mut self.bad);
        if !own.is_empty() {
            // Some may have been good by their bytes and bad by their values.
            own.sort_by_key(|(place, _)| *place);
            good.retain(|place| own.binary_search_by_key(place, |(bad, _)| *bad).is_err());
            bad.append(&mut own);
        }
        let mut chunks = std::mem::take(&mut self.chunks);
        let rows = match chunks.len() {
            0 | 1 => chunks.pop(),
            _ => Some(concat_batches(&chunks[0].schema(), &chunks)?),
        };
        Ok((rows, good))
    }

    /// Decodes records that are good by their bytes. Their values may still be bad (text that is
    /// not UTF-8), which shows when they become columns: then halves are tried, down to the record.
    fn decode_again(
        &mut self,
        batch: &impl RawBatch,
        framing: Framing,
        places: &[usize],
    ) -> Result<(), ArrowError> {
        for &place in places {
            let value = batch.record(place).value.unwrap_or_default();
            // They were found to be in their frames before.
            let datum = framing.datum(value).unwrap_or_default();
            let again = self.decoder()?.decode(datum);
            again.map_err(ArrowError::ParseError)?;
        }
        let error = match self.decoder()?.flush() {
            Ok(Some(rows)) => {
                self.project(rows, places);
                return Ok(());
            }
            Ok(None) => return Ok(()),
            Err(error) => error,
        };
        self.decoder = None;
        match places {
            [] => {}
            [place] => {
                let reason = format!("not a value of the schema: {error}");
                self.bad.push((*place, reason));
            }
            _ => {
                let (first, second) = places.split_at(places.len() / 2);
                self.decode_again(batch, framing, first)?;
                self.decode_again(batch, framing, second)?;
            }
        }
        Ok(())
    }

    /// Brings rows to the reader's columns; where a value has no place there, its half of the rows is
    /// tried again, down to the row.
    fn project(&mut self, rows: RecordBatch, places: &[usize]) {
        match (self.writer.project(&rows), places) {
            (Ok(rows), _) => self.chunks.push(rows),
            (Err(why), [place]) => {
                let reason = format!("no value of the reader's schema: {why}");
                self.bad.push((*place, reason));
            }
            (Err(_), _) => {
                let (first, second) = places.split_at(places.len() / 2);
                self.project(rows.slice(0, first.len()), first);
                self.project(rows.slice(first.len(), second.len()), second);
            }
        }
    }
}
