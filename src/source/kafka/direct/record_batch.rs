//! Record batches, as brokers keep them and send them: one behind the other, the last of them often cut off.
//!
//! Kafka's documentation, "Message Format", "Record Batch". A batch is taken only if its checksum is right.

use std::ops::Range;

use bytes::Bytes;

use super::codec::{self, Codec};

/// In front of the records of a batch.
pub const HEADER: usize = 61;
/// What stands before that which a batch's length counts: its first offset and the length.
const BEFORE_LENGTH: usize = 12;
/// Where the checksum is, and behind it all that it is of.
const CHECKSUM: usize = 17;
const CHECKED: usize = 21;
/// The only format in which records are kept since Kafka 0.11.
const MAGIC: u8 = 2;

const CODEC: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// Why a batch cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("a record batch says that it has {0} bytes, which none has")]
    Length(i32),
    #[error(
        "it was written in the format {0} of Kafka before 0.11, which only librdkafka reads: set \
         KAFKA_READER=librdkafka"
    )]
    Format(u8),
    #[error("a record batch's checksum is {found:08x}, and that of its bytes {is:08x}")]
    Checksum { found: u32, is: u32 },
    #[error("a record batch is compressed by codec {0}, which Kafka has not")]
    Codec(i16),
    #[error("a record batch cannot be decompressed ({codec}): {why}")]
    Compressed { codec: &'static str, why: String },
    #[error("a record batch's records are not as many or not as long as it says")]
    Records,
}

/// What stands in front of a batch's records.
#[derive(Debug, Clone, Copy)]
pub struct BatchHeader {
    pub base_offset: i64,
    pub last_offset: i64,
    attributes: i16,
    base_timestamp: i64,
    max_timestamp: i64,
    pub producer_id: i64,
    pub records: i32,
}

impl BatchHeader {
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Its one record says how a transaction ended, and is none of the topic.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    fn codec(&self) -> Result<Option<Codec>, BatchError> {
        let id = self.attributes & CODEC;
        match id {
            0 => Ok(None),
            id => Codec::of(id).map(Some).ok_or(BatchError::Codec(id)),
        }
    }

    /// Kafka's time of a record, milliseconds since 1970: the producer's, or when the broker took the batch.
    #[inline]
    pub fn timestamp(&self, delta: i64) -> Option<i64> {
        let time = match self.attributes & LOG_APPEND_TIME {
            0 => self.base_timestamp.saturating_add(delta),
            _ => self.max_timestamp,
        };
        (time >= 0).then_some(time)
    }
}

/// A batch, and where its records are.
#[derive(Debug)]
pub struct RecordBatch {
    pub header: BatchHeader,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    /// In what was fetched.
    InPlace(Range<usize>),
    Decompressed(Bytes),
}

impl Body {
    /// The buffer up to the end of the records, and where they begin.
    pub fn of<'a>(&'a self, fetched: &'a [u8]) -> (&'a [u8], usize) {
        match self {
            Self::InPlace(range) => (&fetched[..range.end], range.start),
            Self::Decompressed(buffer) => (buffer, 0),
        }
    }
}

/// How much of what was fetched is of use, as the lengths of its batches say.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    /// Where what is cut off begins. What is no batch is among it: whoever reads it says so.
    pub end: usize,
    /// Of the last whole batch.
    pub last: Option<Last>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Last {
    /// The next offset behind it.
    pub next: i64,
    /// Of the leader that took it; -1 in the formats of before.
    pub epoch: i32,
}

pub fn whole(records: &[u8]) -> Whole {
    let (mut end, mut last) = (0, None);
    loop {
        match length(&records[end..]) {
            Ok(Some(length)) => {
                let batch = &records[end..end + length];
                last = Some(Last {
                    next: last_offset(batch).saturating_add(1),
                    epoch: if batch[16] == MAGIC {
                        i32_at(batch, 12)
                    } else {
                        -1
                    },
                });
                end += length;
            }
            Ok(None) => return Whole { end, last },
            Err(_) => {
                let end = records.len();
                return Whole { end, last };
            }
        }
    }
}

/// How many records the whole batches say that they have.
pub fn count(records: &[u8]) -> usize {
    let (mut at, mut all) = (0, 0);
    while let Ok(Some(length)) = length(&records[at..]) {
        if length >= HEADER {
            all += usize::try_from(i32_at(&records[at..], 57)).unwrap_or(0);
        }
        at += length;
    }
    all
}

/// Of the batch at the beginning, with what stands before that which it counts itself; `None` where it is cut off.
fn length(bytes: &[u8]) -> Result<Option<usize>, BatchError> {
    if bytes.len() < CHECKED {
        return Ok(None);
    }
    let length = i32_at(bytes, 8);
    let whole = usize::try_from(length).map_err(|_| BatchError::Length(length))?;
    let whole = whole + BEFORE_LENGTH;
    // Every format has had as much.
    if whole < CHECKED {
        return Err(BatchError::Length(length));
    }
    Ok((whole <= bytes.len()).then_some(whole))
}

/// In the formats of before, the offset is that of the last record too.
fn last_offset(batch: &[u8]) -> i64 {
    let base = i64_at(batch, 0);
    match batch[16] {
        MAGIC if batch.len() >= HEADER => base.saturating_add(i32_at(batch, 23).into()),
        _ => base,
    }
}

/// The batch at `at`, and where the next one begins. `None`: there is no whole one any more.
pub fn next(records: &[u8], at: usize) -> Result<Option<(RecordBatch, usize)>, BatchError> {
    let bytes = &records[at..];
    let Some(length) = length(bytes)? else {
        return Ok(None);
    };
    let bytes = &bytes[..length];
    if bytes[16] != MAGIC {
        return Err(BatchError::Format(bytes[16]));
    }
    if length < HEADER {
        return Err(BatchError::Length(i32_at(bytes, 8)));
    }
    let (found, is) = (
        i32_at(bytes, CHECKSUM) as u32,
        crc32c::crc32c(&bytes[CHECKED..]),
    );
    if found != is {
        return Err(BatchError::Checksum { found, is });
    }
    let base_offset = i64_at(bytes, 0);
    let header = BatchHeader {
        base_offset,
        attributes: i16::from_be_bytes([bytes[21], bytes[22]]),
        last_offset: last_offset(bytes),
        base_timestamp: i64_at(bytes, 27),
        max_timestamp: i64_at(bytes, 35),
        producer_id: i64_at(bytes, 43),
        records: i32_at(bytes, 57),
    };
    let batch = match header.codec()? {
        // A marker of a transaction is never compressed, and nobody reads its record's bytes but for one.
        Some(codec) if !header.is_control() => {
            let records = codec::decompress(codec, &bytes[HEADER..]);
            let records = records.map_err(|why| BatchError::Compressed {
                codec: codec.name(),
                why,
            })?;
            let body = Body::Decompressed(records.into());
            RecordBatch { header, body }
        }
        _ => RecordBatch {
            header,
            body: Body::InPlace(at + HEADER..at + length),
        },
    };
    Ok(Some((batch, at + length)))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    i32::from_be_bytes(number)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(number)
}
