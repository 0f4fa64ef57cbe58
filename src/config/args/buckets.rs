//! Which folders rows go to.

use chrono_tz::Tz;
use clap::Args;
use clap::builder::BoolishValueParser;

use crate::sink::bucket::{Bucketing, Pattern};
use crate::transform::event_time::BucketBy;

#[derive(Debug, Args)]
pub struct BucketArgs {
    /// The time that a row's folder is chosen by: processing-time, kafka-timestamp or field:NAME
    #[arg(long, env = "BUCKET_BY", default_value = "processing-time")]
    pub bucket_by: BucketBy,

    /// Time zone of the folders, such as Europe/Berlin
    #[arg(long, env = "BUCKET_ZONE", default_value = "UTC", value_parser = parse_zone)]
    pub bucket_zone: Tz,

    /// Names of the folders in the terms of strftime, nothing finer than minutes
    #[arg(long, env = "BUCKET_PATTERN", default_value = Pattern::HIVE_HOURS)]
    pub bucket_pattern: Pattern,

    /// Give each topic a folder of its name, which its folders by time are in
    #[arg(long, env = "TOPIC_FOLDERS", value_parser = BoolishValueParser::new())]
    pub topic_folders: bool,
}

impl From<BucketArgs> for Bucketing {
    fn from(args: BucketArgs) -> Self {
        Self {
            pattern: args.bucket_pattern,
            zone: args.bucket_zone,
            by_topic: args.topic_folders,
        }
    }
}

fn parse_zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| {
        format!(
            "'{text}' is no time zone: give UTC, or one of the tz database such as Europe/Berlin"
        )
    })
}
