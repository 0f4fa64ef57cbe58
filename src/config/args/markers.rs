//! Markers of complete buckets.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::parse_duration;

#[derive(Debug, Args)]
pub struct MarkerArgs {
    /// Put _SUCCESS into each folder of the output once every partition has passed its time
    #[arg(long, env = "SUCCESS_MARKERS", value_parser = BoolishValueParser::new())]
    pub success_markers: bool,

    /// By event time: how much older than the newest record of its partition a record may be
    #[arg(long, env = "ALLOWED_LATENESS", default_value = "5m", value_parser = parse_duration)]
    pub allowed_lateness: Duration,

    /// By event time: a partition that is read to its end and silent for so long holds up no marker
    #[arg(long, env = "IDLE_PARTITION_TIMEOUT", default_value = "1m", value_parser = parse_duration)]
    pub idle_partition_timeout: Duration,
}
