//! The codecs of record batches.

use std::io::Read;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// What records may become that were compressed: as much as librdkafka takes, by default. A batch is no larger
/// before, and none of a producer's is larger than a few megabytes; but a byte may stand for thousands.
const LARGEST: u64 = 100_000_000;

/// In front of the blocks that the snappy of Java writes; eight bytes of versions follow.
const XERIAL: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_VERSIONS: usize = 8;

impl Codec {
    /// By the number that stands in a batch's attributes.
    pub fn of(id: i16) -> Option<Self> {
        [Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.id() == id)
    }

    fn id(self) -> i16 {
        match self {
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// # Errors
/// With what is wrong with the bytes.
pub fn decompress(codec: Codec, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match codec {
        Codec::Gzip => all_of(flate2::read::MultiGzDecoder::new(bytes), bytes.len()),
        Codec::Lz4 => all_of(lz4_flex::frame::FrameDecoder::new(bytes), bytes.len()),
        Codec::Zstd => zstd::stream::read::Decoder::with_buffer(bytes)
            .map_err(|e| e.to_string())
            .and_then(|decoder| all_of(decoder, bytes.len())),
        Codec::Snappy => snappy(bytes),
    }
}

fn all_of(decoder: impl Read, compressed: usize) -> Result<Vec<u8>, String> {
    let mut all = Vec::with_capacity(compressed.saturating_mul(3));
    let read = decoder.take(LARGEST + 1).read_to_end(&mut all);
    read.map_err(|e| e.to_string())?;
    bounded(all.len())?;
    Ok(all)
}

fn bounded(length: usize) -> Result<(), String> {
    match length as u64 > LARGEST {
        true => Err(format!("it would be more than {LARGEST} bytes")),
        false => Ok(()),
    }
}

/// One block, or the blocks of Java's stream, each behind its length.
fn snappy(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let blocks = bytes.strip_prefix(XERIAL);
    let Some(mut blocks) = blocks.and_then(|rest| rest.get(XERIAL_VERSIONS..)) else {
        return snappy_block(bytes);
    };
    let mut all = Vec::new();
    while let Some((length, rest)) = blocks.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let block = rest.get(..length).ok_or("a block is cut off")?;
        all.extend(snappy_block(block)?);
        bounded(all.len())?;
        blocks = &rest[length..];
    }
    match blocks.is_empty() {
        true => Ok(all),
        false => Err("the length of a block is cut off".to_owned()),
    }
}

fn snappy_block(block: &[u8]) -> Result<Vec<u8>, String> {
    bounded(snap::raw::decompress_len(block).map_err(|e| e.to_string())?)?;
    let all = snap::raw::Decoder::new().decompress_vec(block);
    all.map_err(|e| e.to_string())
}
