//! Decoders of the Avro crate, as this project wants them.

use arrow_avro::reader::{Decoder, DecoderMode, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use arrow_schema::ArrowError;

/// Records in one decoded batch at the most; more than any source hands over at once.
const CAPACITY: usize = 1 << 20;

/// For datums of this schema, without their frames.
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
