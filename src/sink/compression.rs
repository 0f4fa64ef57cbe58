//! Codecs of a Parquet file; every reader knows all of them.

use std::fmt;
use std::str::FromStr;

use parquet::basic::{Compression as Codec, ZstdLevel};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// The smallest files, the more so the higher the level is
    Zstd(ZstdLevel),
    /// Larger, and quicker to write
    Snappy,
    /// Between these, as LZ4_RAW
    Lz4,
    /// Largest and quickest
    None,
}

impl Compression {
    pub fn codec(self) -> Codec {
        match self {
            Self::Zstd(level) => Codec::ZSTD(level),
            Self::Snappy => Codec::SNAPPY,
            Self::Lz4 => Codec::LZ4_RAW,
            Self::None => Codec::UNCOMPRESSED,
        }
    }
}

impl Default for Compression {
    /// At level 1: higher ones cost much more time than they save space.
    fn default() -> Self {
        Self::Zstd(ZstdLevel::default())
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a codec is zstd, zstd:LEVEL with a level of 1 to 22, snappy, lz4 or none")]
pub struct NoCodec;

impl FromStr for Compression {
    type Err = NoCodec;

    fn from_str(text: &str) -> Result<Self, NoCodec> {
        match text {
            "zstd" => Ok(Self::default()),
            "snappy" => Ok(Self::Snappy),
            "lz4" => Ok(Self::Lz4),
            "none" => Ok(Self::None),
            other => {
                let level = other.strip_prefix("zstd:").and_then(|l| l.parse().ok());
                // zstd itself takes 0 for its own default, and levels below.
                let level = level.filter(|level| *level >= 1);
                let level = level.and_then(|level| ZstdLevel::try_new(level).ok());
                level.map(Self::Zstd).ok_or(NoCodec)
            }
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd(level) => write!(f, "zstd:{}", level.compression_level()),
            Self::Snappy => f.write_str("snappy"),
            Self::Lz4 => f.write_str("lz4"),
            Self::None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_reads_as_it_is_shown() {
        for shown in ["zstd:1", "zstd:22", "snappy", "lz4", "none"] {
            let codec: Compression = shown.parse().unwrap();
            assert_eq!(codec.to_string(), shown);
        }
        assert_eq!("zstd".parse(), Ok(Compression::default()));
        assert_eq!(Compression::default().to_string(), "zstd:1");
    }

    #[test]
    fn what_is_no_codec_and_no_level_is_refused() {
        for text in ["", "gzip", "zstd:", "zstd:0", "zstd:23", "zstd:x", "lz4:1"] {
            assert_eq!(text.parse::<Compression>(), Err(NoCodec), "{text}");
        }
    }
}
