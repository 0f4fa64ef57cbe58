//! One event and its Avro encoding: a datum, without the frame that may come around it.

use apache_avro::{Schema, write_avro_datum_ref};
use serde::Serialize;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The schema that lineage reads with, too.
pub const SCHEMA: &str = include_str!("../../avro/input_event.avsc");

/// What one record says. The field names are those of [`SCHEMA`].
#[derive(Serialize)]
struct Event<'a> {
    uuid: &'a str,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    timestamp: i64,
}

/// Encodes events one after the other into one buffer.
///
/// It writes through serde straight into the buffer, where `to_avro_datum` would build a tree of
/// values with an allocation for each field name.
pub struct Encoder {
    schema: Schema,
    datum: Vec<u8>,
}

impl Encoder {
    /// # Errors
    ///
    /// If [`SCHEMA`] is not an Avro schema.
    pub fn new() -> Result<Self, apache_avro::Error> {
        Ok(Self {
            schema: Schema::parse_str(SCHEMA)?,
            datum: Vec::with_capacity(64),
        })
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Encodes an event; `timestamp` in milliseconds since the epoch. What it returns is
    /// overwritten by the next call.
    ///
    /// # Errors
    ///
    /// If the schema does not have exactly these fields.
    pub fn encode(&mut self, uuid: Uuid, timestamp: i64) -> Result<&[u8], apache_avro::Error> {
        let mut text = [0; Hyphenated::LENGTH];
        let event = Event {
            uuid: uuid.hyphenated().encode_lower(&mut text),
            timestamp,
        };
        self.datum.clear();
        write_avro_datum_ref(&self.schema, &event, &mut self.datum)?;
        Ok(&self.datum)
    }
}

/// Confluent's wire format in place of what `into` holds: a byte 0, the id of the schema, the datum.
pub fn frame(schema_id: u32, datum: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.push(0);
    into.extend_from_slice(&schema_id.to_be_bytes());
    into.extend_from_slice(datum);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use apache_avro::from_avro_datum;
    use apache_avro::types::Value;

    /// The event in `payload`, if it is exactly one whole event.
    pub(crate) fn decode(schema: &Schema, payload: &[u8]) -> Option<(String, i64)> {
        let mut rest = payload;
        let value = from_avro_datum(schema, &mut rest, None).ok()?;
        let Value::Record(fields) = value else {
            return None;
        };
        match fields.as_slice() {
            [
                (_, Value::String(uuid)),
                (_, Value::TimestampMillis(timestamp)),
            ] if rest.is_empty() => Some((uuid.clone(), *timestamp)),
            _ => None,
        }
    }

    #[test]
    fn the_highest_byte_of_the_schema_id_comes_first() {
        let mut framed = vec![9];
        frame(258, b"ab", &mut framed);
        assert_eq!(framed, [0, 0, 0, 1, 2, b'a', b'b']);
    }

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let mut encoder = Encoder::new().unwrap();
        let schema = encoder.schema().clone();
        for timestamp in [0, -1, 1_763_000_000_123, i64::MIN, i64::MAX] {
            let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
            let datum = encoder.encode(uuid, timestamp).unwrap();
            assert_eq!(decode(&schema, datum), Some((uuid.to_string(), timestamp)));
        }
    }

    #[test]
    fn a_datum_is_the_uuid_as_36_characters_and_a_zigzag_timestamp_without_any_frame() {
        let mut encoder = Encoder::new().unwrap();
        let datum = encoder.encode(Uuid::nil(), 1).unwrap();
        assert_eq!(datum[0], 72, "the length 36 in zigzag");
        assert_eq!(&datum[1..37], b"00000000-0000-0000-0000-000000000000");
        assert_eq!(&datum[37..], [2]);
    }

    #[test]
    fn the_schema_names_the_record_that_lineage_reads() {
        let encoder = Encoder::new().unwrap();
        let name = encoder.schema().name().unwrap();
        assert_eq!(name.fullname(None), "com.lineage.InputEvent");
    }
}
