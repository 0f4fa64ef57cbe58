//! Decoders of Avro datums: the Avro crate's, and one of ours for flat records.

mod flat;

use arrow_array::RecordBatch;
use arrow_avro::reader::{Decoder, DecoderMode, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use arrow_schema::ArrowError;

use flat::FlatDecoder;

/// Records in one decoded batch at the most; more than any source hands over at once.
const CAPACITY: usize = 1 << 20;

/// Decodes datums, without their frames, of one schema. Where one cannot be decoded, what it does with others is not
/// defined any more.
pub enum DatumDecoder {
    Flat(FlatDecoder),
    Any(Box<Decoder>),
}

impl DatumDecoder {
    pub fn new(json: &str) -> Result<Self, ArrowError> {
        let any = build_decoder(json)?;
        let flat = serde_json::from_str(json).ok();
        let flat = flat.and_then(|json| FlatDecoder::new(&json, any.schema()));
        Ok(match flat {
            Some(flat) => Self::Flat(flat),
            None => Self::Any(Box::new(any)),
        })
    }

    /// How many bytes of `datum` the record takes, or why it is none.
    #[inline]
    pub fn decode(&mut self, datum: &[u8]) -> Result<usize, String> {
        match self {
            Self::Flat(flat) => flat.decode(datum).map_err(|e| e.to_string()),
            Self::Any(any) => any.decode(datum).map_err(|e| e.to_string()),
        }
    }

    /// All records since the last time; `None` if there are none.
    ///
    /// # Errors
    /// If a value of them is none of its type, such as a text that is no UTF-8.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        match self {
            Self::Flat(flat) => flat.flush(),
            Self::Any(any) => any.flush().map_err(ArrowError::from),
        }
    }
}

/// The Avro crate's, for any schema.
pub(super) fn build_decoder(json: &str) -> Result<Decoder, ArrowError> {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let fingerprint = store.set(Fingerprint::Id(0), AvroSchema::new(json.to_owned()))?;
    ReaderBuilder::new()
        .with_writer_schema_store(store)
        .with_active_fingerprint(fingerprint)
        .with_decoder_mode(DecoderMode::UnframedDatum)
        .with_batch_size(CAPACITY)
        .build_decoder()
}
