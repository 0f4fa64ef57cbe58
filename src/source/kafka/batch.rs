//! A batch of records: where each stands in the buffers that they came in, or were copied to.

use std::collections::HashMap;

use bytes::Bytes;

use crate::ids::Offset;
use crate::source::{Header, Origin, RawBatch, Record, SplitIndex};

/// Stands for a key or a value that is not there, and for a time that is not.
const NONE: u32 = u32::MAX;
const NO_TIME: i64 = i64::MIN;

#[derive(Default)]
pub struct KafkaBatch {
    buffers: Vec<Bytes>,
    entries: Vec<Entry>,
    /// By the record's place; of those that have any.
    headers: HashMap<usize, Box<[Header]>>,
    /// Of all keys and values.
    bytes: usize,
}

/// Small, since thousands of them lie between two steps of a chain.
struct Entry {
    offset: Offset,
    timestamp: i64,
    split: SplitIndex,
    buffer: u32,
    key: Place,
    value: Place,
}

/// Bytes of a buffer, none of which is larger than Kafka's own 31 bits allow.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    begin: u32,
    length: u32,
}

impl Place {
    pub const ABSENT: Self = Self {
        begin: 0,
        length: NONE,
    };

    /// `None` if it reaches beyond what a place can say.
    pub fn new(begin: usize, length: usize) -> Option<Self> {
        let (begin, length) = (u32::try_from(begin).ok()?, u32::try_from(length).ok()?);
        begin.checked_add(length)?;
        (length != NONE).then_some(Self { begin, length })
    }

    fn length(self) -> usize {
        match self.length {
            NONE => 0,
            length => length as usize,
        }
    }

    pub fn of(self, buffer: &[u8]) -> Option<&[u8]> {
        let begin = self.begin as usize;
        (self.length != NONE).then(|| &buffer[begin..begin + self.length as usize])
    }
}

/// A record in the buffer that was added last.
pub struct Found {
    pub origin: Origin,
    pub timestamp: Option<i64>,
    pub key: Place,
    pub value: Place,
}

impl KafkaBatch {
    pub fn with_capacity(records: usize) -> Self {
        Self {
            entries: Vec::with_capacity(records),
            ..Self::default()
        }
    }

    /// What is pushed from now on lies in this buffer.
    pub fn add_buffer(&mut self, buffer: Bytes) {
        self.buffers.push(buffer);
    }

    /// Takes a record in whose places are in the buffer that was added last.
    #[inline]
    pub fn push(&mut self, found: Found) {
        self.bytes += found.key.length() + found.value.length();
        self.entries.push(Entry {
            offset: found.origin.offset,
            timestamp: found.timestamp.unwrap_or(NO_TIME),
            split: found.origin.split,
            buffer: (self.buffers.len() - 1) as u32,
            key: found.key,
            value: found.value,
        });
    }

    /// Of the record that was pushed last.
    pub fn push_headers(&mut self, headers: Vec<Header>) {
        if !headers.is_empty() {
            let last = self.entries.len().saturating_sub(1);
            self.headers.insert(last, headers.into());
        }
    }

    pub fn origins(&self) -> impl Iterator<Item = Origin> {
        self.entries.iter().map(Entry::origin)
    }
}

impl Entry {
    fn origin(&self) -> Origin {
        Origin {
            split: self.split,
            offset: self.offset,
        }
    }
}

impl RawBatch for KafkaBatch {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    fn record(&self, index: usize) -> Record<'_> {
        let entry = &self.entries[index];
        let buffer = &self.buffers[entry.buffer as usize];
        Record {
            origin: entry.origin(),
            timestamp: (entry.timestamp != NO_TIME).then_some(entry.timestamp),
            key: entry.key.of(buffer),
            value: entry.value.of(buffer),
        }
    }

    fn headers(&self, index: usize) -> &[Header] {
        self.headers.get(&index).map_or(&[], |headers| headers)
    }
}

/// A batch of records that are copied, one behind the other. To copy some dozens of bytes while they are at hand
/// is cheaper than to come back to them: each message of librdkafka lies somewhere else, and a batch of them is
/// larger than a core's cache.
pub struct Copied {
    batch: KafkaBatch,
    bytes: Vec<u8>,
}

impl Copied {
    /// With room for so many records and bytes.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        let mut batch = KafkaBatch::with_capacity(records);
        // Its place is taken by what was copied, at the end.
        batch.add_buffer(Bytes::new());
        Self {
            batch,
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// False if there is no room for it: a batch has 4 GiB at the most.
    #[must_use]
    pub fn push(&mut self, record: Record<'_>, headers: Vec<Header>) -> bool {
        let mut copy = |bytes: Option<&[u8]>| {
            let Some(bytes) = bytes else {
                return Some(Place::ABSENT);
            };
            let place = Place::new(self.bytes.len(), bytes.len())?;
            self.bytes.extend_from_slice(bytes);
            Some(place)
        };
        let (Some(key), Some(value)) = (copy(record.key), copy(record.value)) else {
            return false;
        };
        self.batch.push(Found {
            origin: record.origin,
            timestamp: record.timestamp,
            key,
            value,
        });
        self.batch.push_headers(headers);
        true
    }

    pub fn len(&self) -> usize {
        self.batch.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn finish(mut self) -> KafkaBatch {
        self.batch.buffers = vec![self.bytes.into()];
        self.batch
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let mut copied = Copied::with_capacity(0, 0);
            for (offset, (key, value, timestamp)) in records.iter().enumerate() {
                let origin = Origin { split: SplitIndex(3), offset: Offset(offset as i64) };
                let (key, value) = (key.as_deref(), value.as_deref());
                let headers: Vec<_> = (offset % 3 == 0).then(|| header(offset)).into_iter().collect();
                let pushed = copied.push(Record { origin, timestamp: *timestamp, key, value }, headers);
                prop_assert!(pushed);
            }
            let batch = copied.finish();
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

    #[test]
    fn places_beyond_their_32_bits_are_none() {
        assert!(Place::new(0, u32::MAX as usize).is_none());
        assert!(Place::new(u32::MAX as usize, 1).is_none());
        assert!(Place::new(1 << 32, 0).is_none());
    }
}
