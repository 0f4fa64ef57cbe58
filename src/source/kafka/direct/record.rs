//! One record of a record batch: its fields are read where they lie.
//!
//! Kafka's documentation, "Message Format", "Record": lengths, the differences of time and offset and the number
//! of headers are zigzag-encoded numbers of 7 bits a byte, the lowest first.

use crate::source::Header;
use crate::source::kafka::batch::Place;

/// What the bytes are not: records of which there are as many as their batch says.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// A record as it lies in its buffer.
pub struct RawRecord {
    /// Beyond that of the batch.
    pub timestamp_delta: i64,
    pub offset_delta: i64,
    pub key: Place,
    pub value: Place,
    /// Where its headers begin, their number first; and where the record ends.
    headers: (usize, usize),
}

/// Goes through the bytes of records.
pub struct Cursor<'a> {
    buffer: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(buffer: &'a [u8], at: usize) -> Self {
        Self { buffer, at }
    }

    /// Where the next record begins.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next record. (Where it is not inlined its parts go through memory, and are waited for.)
    #[inline(always)]
    pub fn record(&mut self) -> Result<RawRecord, Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        if end > self.buffer.len() {
            return Err(Malformed);
        }
        // Attributes, of which no bit means anything yet.
        self.at += 1;
        let timestamp_delta = self.number()?;
        let offset_delta = self.number()?;
        let key = self.bytes()?;
        let value = self.bytes()?;
        let headers = (self.at, end);
        if self.at > end {
            return Err(Malformed);
        }
        self.at = end;
        Ok(RawRecord {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
        })
    }

    #[inline]
    fn number(&mut self) -> Result<i64, Malformed> {
        let &first = self.buffer.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        if first < 0x80 {
            return Ok(zigzag(u64::from(first)));
        }
        self.long_number(first)
    }

    fn long_number(&mut self, first: u8) -> Result<i64, Malformed> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let &byte = self.buffer.get(self.at).ok_or(Malformed)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(zigzag(value));
            }
        }
        Err(Malformed)
    }

    /// Bytes behind their length, which is -1 where there are none.
    #[inline]
    fn bytes(&mut self) -> Result<Place, Malformed> {
        let length = self.number()?;
        if length == -1 {
            return Ok(Place::ABSENT);
        }
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let begin = self.at;
        let end = begin.checked_add(length).ok_or(Malformed)?;
        if end > self.buffer.len() {
            return Err(Malformed);
        }
        self.at = end;
        Place::new(begin, length).ok_or(Malformed)
    }
}

#[inline]
fn zigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

impl RawRecord {
    /// Headers in their order. A name that is not UTF-8 is shown as near to it as may be.
    pub fn headers(&self, buffer: &[u8]) -> Result<Vec<Header>, Malformed> {
        let (begin, end) = self.headers;
        let buffer = buffer.get(..end).ok_or(Malformed)?;
        let mut cursor = Cursor::new(buffer, begin);
        let count = usize::try_from(cursor.number()?).map_err(|_| Malformed)?;
        // Each has two lengths of a byte at least.
        if count > (end - begin) / 2 {
            return Err(Malformed);
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let name = cursor.bytes()?.of(buffer).ok_or(Malformed)?;
            headers.push(Header {
                name: String::from_utf8_lossy(name).into_owned(),
                value: cursor.bytes()?.of(buffer).map(<[u8]>::to_vec),
            });
        }
        Ok(headers)
    }
}
