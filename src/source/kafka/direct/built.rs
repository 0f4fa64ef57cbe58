//! Record batches for tests, written as Kafka's documentation has them.

use std::io::Write;

use super::record_batch::HEADER;

/// Key, value, and by how much its offset is beyond the first one.
pub type TestRecord<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, i64);

pub struct Built<'a> {
    pub base_offset: i64,
    pub attributes: i16,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub last_delta: i32,
    pub records: Vec<TestRecord<'a>>,
}

impl<'a> Built<'a> {
    pub fn new(base_offset: i64, records: Vec<TestRecord<'a>>) -> Self {
        Self {
            base_offset,
            attributes: 0,
            base_timestamp: 1_000,
            max_timestamp: 9_000,
            producer_id: -1,
            last_delta: records.last().map_or(0, |(_, _, delta)| *delta as i32),
            records,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut records = Vec::new();
        for (place, (key, value, delta)) in self.records.iter().enumerate() {
            let mut record = vec![0];
            number(&mut record, place as i64);
            number(&mut record, *delta);
            for bytes in [key, value] {
                number(&mut record, bytes.map_or(-1, |bytes| bytes.len() as i64));
                record.extend(bytes.unwrap_or_default());
            }
            number(&mut record, 1);
            number(&mut record, 1);
            record.extend(b"h");
            number(&mut record, -1);
            number(&mut records, record.len() as i64);
            records.extend(record);
        }
        let records = compressed(self.attributes & 0b111, &records);
        let mut checked = self.attributes.to_be_bytes().to_vec();
        checked.extend(self.last_delta.to_be_bytes());
        checked.extend(self.base_timestamp.to_be_bytes());
        checked.extend(self.max_timestamp.to_be_bytes());
        checked.extend(self.producer_id.to_be_bytes());
        checked.extend([0; 6]);
        checked.extend((self.records.len() as i32).to_be_bytes());
        checked.extend(records);
        let mut batch = self.base_offset.to_be_bytes().to_vec();
        batch.extend((checked.len() as i32 + 9).to_be_bytes());
        batch.extend([0, 0, 0, 0, 2]);
        batch.extend(crc32c::crc32c(&checked).to_be_bytes());
        batch.extend(checked);
        assert!(batch.len() >= HEADER);
        batch
    }
}

fn number(into: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn compressed(codec: i16, records: &[u8]) -> Vec<u8> {
    match codec {
        0 => records.to_vec(),
        1 => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(records).unwrap();
            gzip.finish().unwrap()
        }
        2 => {
            // As Java's stream has it, in blocks.
            let mut stream = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
            for block in records.chunks(100) {
                let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
                stream.extend((block.len() as u32).to_be_bytes());
                stream.extend(block);
            }
            stream
        }
        3 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(records).unwrap();
            lz4.finish().unwrap()
        }
        4 => zstd::stream::encode_all(records, 1).unwrap(),
        other => panic!("codec {other}"),
    }
}
