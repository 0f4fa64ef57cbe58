//! Records whose values follow from partition and number, so what an archive must hold can be computed.

use uuid::Uuid;

use super::mix;

/// A record that Kafka has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    pub partition: i32,
    pub offset: i64,
    /// Counts the records of the partition as they were produced; the value follows from it.
    pub number: u64,
}

impl Delivered {
    pub fn uuid(&self) -> Uuid {
        uuid_of(self.partition, self.number)
    }

    pub fn timestamp(&self) -> i64 {
        timestamp_of(self.partition, self.number)
    }
}

fn uuid_of(partition: i32, number: u64) -> Uuid {
    let seed = (u64::from(partition.unsigned_abs()) << 40) | number;
    Uuid::from_u64_pair(mix(seed), mix(!seed))
}

fn timestamp_of(partition: i32, number: u64) -> i64 {
    1_700_000_000_000 + i64::from(partition) * 1_000_000_000 + i64::try_from(number).unwrap()
}

/// Appends an Avro long: zigzag, then 7 bits a byte, the lowest first.
pub fn avro_long(value: i64, into: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest > 0x7f {
        into.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    into.push(rest.to_le_bytes()[0]);
}

/// Appends Avro bytes or text: the length, then the bytes.
pub fn avro_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    avro_long(i64::try_from(bytes.len()).unwrap(), into);
    into.extend_from_slice(bytes);
}

/// A datum in Confluent's wire format.
pub fn framed(schema: u32, datum: &[u8]) -> Vec<u8> {
    [&[0][..], &schema.to_be_bytes(), datum].concat()
}

/// A datum of the default schema in Avro's single-object encoding.
pub fn single_object_encoded(datum: &[u8]) -> Vec<u8> {
    // Behind the magic number the schema's CRC-64-AVRO.
    const HEADER: [u8; 10] = [0xc3, 0x01, 0xa6, 0xb5, 0xc9, 0x54, 0xf4, 0xa4, 0xf0, 0x47];
    [&HEADER[..], datum].concat()
}

/// A record of the default schema as an Avro datum.
pub fn event(uuid: &str, timestamp: i64) -> Vec<u8> {
    let mut datum = Vec::with_capacity(48);
    avro_bytes(uuid.as_bytes(), &mut datum);
    avro_long(timestamp, &mut datum);
    datum
}

/// The one with this number as an Avro datum.
pub fn encode(partition: i32, number: u64) -> Vec<u8> {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = uuid_of(partition, number)
        .hyphenated()
        .encode_lower(&mut text);
    event(text, timestamp_of(partition, number))
}
