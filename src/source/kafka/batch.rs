//! Records copied out of librdkafka's messages, one behind the other.
//!
//! To copy some dozens of bytes while they are at hand is cheaper than to come back to them: each
//! message lies somewhere else, and a batch of messages is larger than a core's cache.

use std::collections::HashMap;

use crate::source::{Header, Origin, RawBatch, Record};

pub struct KafkaBatch {
    /// Key and value of each record.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// By the record's place; of those that have any.
    headers: HashMap<usize, Box<[Header]>>,
}

struct Entry {
    origin: Origin,
    timestamp: Option<i64>,
    /// Where the key begins; the value is behind it.
    begin: usize,
    key: Option<u32>,
    value: Option<u32>,
}

impl KafkaBatch {
    /// With room for so many records and bytes.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            entries: Vec::with_capacity(records),
            headers: HashMap::new(),
        }
    }

    pub fn push(&mut self, record: Record<'_>, headers: Vec<Header>) {
        if !headers.is_empty() {
            self.headers.insert(self.entries.len(), headers.into());
        }
        let begin = self.bytes.len();
        let mut copy = |bytes: &[u8]| {
            self.bytes.extend_from_slice(bytes);
            // Kafka's own lengths have 31 bits.
            u32::try_from(bytes.len()).unwrap_or(u32::MAX)
        };
        let entry = Entry {
            origin: record.origin,
            timestamp: record.timestamp,
            begin,
            key: record.key.map(&mut copy),
            value: record.value.map(&mut copy),
        };
        self.entries.push(entry);
    }

    pub fn origins(&self) -> impl Iterator<Item = Origin> {
        self.entries.iter().map(|entry| entry.origin)
    }
}

impl RawBatch for KafkaBatch {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        let entry = &self.entries[index];
        let middle = entry.begin + entry.key.unwrap_or(0) as usize;
        Record {
            origin: entry.origin,
            timestamp: entry.timestamp,
            key: entry.key.map(|_| &self.bytes[entry.begin..middle]),
            value: entry
                .value
                .map(|length| &self.bytes[middle..middle + length as usize]),
        }
    }

    fn headers(&self, index: usize) -> &[Header] {
        self.headers.get(&index).map_or(&[], |headers| headers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Offset;
    use crate::source::SplitIndex;

    fn header(number: usize) -> Header {
        Header {
            name: number.to_string(),
            value: None,
        }
    }

    proptest! {
        #[test]
        fn records_come_out_as_they_went_in(
            records in prop::collection::vec(any::<(Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>)>(), 0..20)
        ) {
            let mut batch = KafkaBatch::with_capacity(0, 0);
            for (offset, (key, value, timestamp)) in records.iter().enumerate() {
                let origin = Origin { split: SplitIndex(3), offset: Offset(offset as i64) };
                let (key, value) = (key.as_deref(), value.as_deref());
                let headers: Vec<_> = (offset % 3 == 0).then(|| header(offset)).into_iter().collect();
                batch.push(Record { origin, timestamp: *timestamp, key, value }, headers);
            }
            prop_assert_eq!(batch.len(), records.len());
            for (index, (key, value, timestamp)) in records.iter().enumerate() {
                let record = batch.record(index);
                prop_assert_eq!(record.origin.offset, Offset(index as i64));
                prop_assert_eq!(record.timestamp, *timestamp);
                prop_assert_eq!((record.key, record.value), (key.as_deref(), value.as_deref()));
                let headers: Vec<_> = (index % 3 == 0).then(|| header(index)).into_iter().collect();
                prop_assert_eq!(batch.headers(index), headers);
            }
        }
    }
}
