//! What stands around an Avro datum in a record's value.

use std::fmt;

use arrow_avro::schema::{
    AvroSchema, CONFLUENT_MAGIC, Fingerprint, FingerprintAlgorithm, SINGLE_OBJECT_MAGIC,
};
use arrow_schema::ArrowError;
use serde_json::Value;

use super::avro_schema::SchemaError;

/// How the records of the topic are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AvroFormat {
    /// The datum alone
    Raw,
    /// Avro's single-object encoding: a marker and the fingerprint of the writer's schema come first
    SingleObject,
    /// Confluent's wire format: a byte 0 and the id of the writer's schema in a schema registry come first
    Confluent,
}

/// A byte 0 and four of the id, the most significant one first: Confluent's documentation, "Wire format".
const CONFLUENT_HEADER: usize = CONFLUENT_MAGIC.len() + size_of::<u32>();

/// The id of a writer's schema in a schema registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

impl SchemaId {
    /// Of a value in Confluent's wire format, or why it is in none.
    pub fn of(value: &[u8]) -> Result<Self, &'static str> {
        let framed = value.strip_prefix(&CONFLUENT_MAGIC);
        match framed.and_then(|framed| framed.first_chunk()) {
            Some(id) => Ok(Self(u32::from_be_bytes(*id))),
            None => Err(
                "not in Confluent's wire format: it does not begin with a byte 0 and the 4 bytes of a \
                 schema id",
            ),
        }
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Two bytes that mark it and eight of the fingerprint, the least significant one first: Avro
/// specification, "Single-object encoding".
const HEADER: usize = SINGLE_OBJECT_MAGIC.len() + size_of::<u64>();

/// What the frame of each value must be.
#[derive(Debug, Clone, Copy)]
pub enum Framing {
    Raw,
    SingleObject {
        /// CRC-64-AVRO of the schema's canonical form.
        fingerprint: u64,
    },
    /// Any schema that can be read as the reader's.
    Confluent,
}

impl Framing {
    /// For records that are written with the schema in `json`.
    ///
    /// # Errors
    /// If the format needs the schema's fingerprint, and there is none that can be relied on.
    pub fn new(format: AvroFormat, json: &str) -> Result<Self, SchemaError> {
        match format {
            AvroFormat::Raw => Ok(Self::Raw),
            AvroFormat::Confluent => Ok(Self::Confluent),
            AvroFormat::SingleObject => {
                // arrow-avro makes ".Name" of it in the canonical form, and so another fingerprint.
                if has_empty_namespace(&serde_json::from_str(json)?) {
                    return Err(SchemaError::EmptyNamespace);
                }
                let schema = AvroSchema::new(json.to_owned());
                match schema.fingerprint(FingerprintAlgorithm::Rabin)? {
                    Fingerprint::Rabin(fingerprint) => Ok(Self::SingleObject { fingerprint }),
                    other => {
                        let why = format!("asked for its CRC-64-AVRO, the answer is {other:?}");
                        Err(ArrowError::SchemaError(why).into())
                    }
                }
            }
        }
    }

    /// The datum in a value, or why there is none that can be decoded.
    #[inline]
    pub fn datum<'v>(&self, value: &'v [u8]) -> Result<&'v [u8], String> {
        match self {
            Self::Raw => Ok(value),
            Self::SingleObject { fingerprint } => single_object(value, *fingerprint),
            Self::Confluent => {
                SchemaId::of(value)?;
                Ok(&value[CONFLUENT_HEADER..])
            }
        }
    }
}

fn single_object(value: &[u8], fingerprint: u64) -> Result<&[u8], String> {
    let datum = value
        .strip_prefix(&SINGLE_OBJECT_MAGIC)
        .and_then(|framed| framed.split_first_chunk());
    let Some((found, datum)) = datum else {
        return Err(format!(
            "not single-object encoded: it does not begin with C3 01 and the {} bytes of a \
             fingerprint",
            HEADER - SINGLE_OBJECT_MAGIC.len()
        ));
    };
    let found = u64::from_le_bytes(*found);
    if found != fingerprint {
        return Err(format!(
            "another schema: its fingerprint is {found:016x}, that of AVRO_SCHEMA \
             {fingerprint:016x}"
        ));
    }
    Ok(datum)
}

fn has_empty_namespace(schema: &Value) -> bool {
    match schema {
        Value::Array(all) => all.iter().any(has_empty_namespace),
        Value::Object(all) => schema["namespace"] == "" || all.values().any(has_empty_namespace),
        _ => false,
    }
}

impl fmt::Display for AvroFormat {
    /// As the setting has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::SingleObject => "single-object",
            Self::Confluent => "confluent",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(json: &str) -> u64 {
        match Framing::new(AvroFormat::SingleObject, json).unwrap() {
            Framing::SingleObject { fingerprint } => fingerprint,
            _ => unreachable!(),
        }
    }

    #[test]
    fn fingerprints_are_those_of_the_specification() {
        // Two of Avro's own test data, and one reckoned by its algorithm from the canonical form.
        assert_eq!(fingerprint(r#""null""#), 0x63dd_24e7_cc25_8f8a);
        assert_eq!(fingerprint(r#""int""#), 0x7275_d51a_3f39_5c8f);
        assert_eq!(
            fingerprint(crate::config::DEFAULT_SCHEMA),
            0x47f0_a4f4_54c9_b5a6
        );
    }

    #[test]
    fn a_schema_whose_fingerprint_would_be_wrong_is_refused() {
        let inner = r#"{"type":"record","name":"S","namespace":"","fields":[]}"#;
        let outer = |of: &str| {
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"s","type":{of}}}]}}"#)
        };
        for json in [inner, &outer(inner)] {
            let refused = Framing::new(AvroFormat::SingleObject, json);
            assert!(
                matches!(refused, Err(SchemaError::EmptyNamespace)),
                "{json}"
            );
            assert!(Framing::new(AvroFormat::Raw, json).is_ok());
        }
        assert!(Framing::new(AvroFormat::SingleObject, &outer(r#""int""#)).is_ok());
    }

    #[test]
    fn a_datum_comes_out_of_its_frame_and_what_has_another_frame_has_its_reason() {
        let framing = Framing::SingleObject { fingerprint: 1 };
        let header = [0xc3, 1, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            framing.datum(&[&header[..], b"abc"].concat()),
            Ok(&b"abc"[..])
        );
        assert_eq!(framing.datum(&header), Ok(&[][..]));
        for cut in 0..header.len() {
            let why = framing.datum(&header[..cut]).unwrap_err();
            assert!(why.starts_with("not single-object encoded"), "{cut}: {why}");
        }
        let mut other = header;
        other[9] = 2;
        let why = framing.datum(&other).unwrap_err();
        assert!(why.contains("0200000000000001"), "{why}");
        assert_eq!(Framing::Raw.datum(&header), Ok(&header[..]));
    }

    #[test]
    fn the_id_of_confluents_wire_format_has_its_highest_byte_first() {
        let value = [0, 0, 0, 1, 2, b'a'];
        assert_eq!(SchemaId::of(&value), Ok(SchemaId(258)));
        assert_eq!(Framing::Confluent.datum(&value), Ok(&b"a"[..]));
        assert_eq!(Framing::Confluent.datum(&value[..5]), Ok(&b""[..]));
        for bad in [&[][..], &value[..4], &[1, 0, 0, 1, 2, b'a']] {
            let why = Framing::Confluent.datum(bad).unwrap_err();
            assert!(why.starts_with("not in Confluent's wire format"), "{why}");
        }
    }
}
