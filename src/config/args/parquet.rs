//! How files are written.

use std::num::NonZeroUsize;

use clap::Args;
use clap::builder::StringValueParser;

use super::forgiving::Trimmed;
use super::parse_size;
use crate::sink::compression::Compression;

#[derive(Debug, Args)]
pub struct ParquetArgs {
    /// How the columns of a Parquet file are compressed: zstd:LEVEL (1 to 22), snappy, lz4 or none
    #[arg(
        long,
        env = "PARQUET_COMPRESSION",
        default_value = "zstd:1",
        value_name = "CODEC"
    )]
    pub parquet_compression: Compression,

    /// A row group ends at so many rows
    #[arg(long, env = "PARQUET_ROW_GROUP_ROWS", default_value = "122880")]
    pub parquet_row_group_rows: NonZeroUsize,

    /// A row group ends at so many bytes, if that is less
    #[arg(long, env = "PARQUET_ROW_GROUP_SIZE", default_value = "8MiB", value_parser = parse_size)]
    pub parquet_row_group_size: usize,

    /// Columns with a bloom filter, with commas between them: readers skip row groups that cannot hold a
    /// value
    #[arg(
        long,
        env = "PARQUET_BLOOM_COLUMNS",
        value_parser = Trimmed(StringValueParser::new()),
        value_delimiter = ',',
        value_name = "NAME,…"
    )]
    pub parquet_bloom_columns: Vec<String>,
}
