//! `lineage find`: where one record is, what was written at a moment, where a uuid is.

use serde::Serialize;

use super::out;
use super::verify::Found;
use crate::clock::EpochMillis;
use crate::config::args::FindArgs;
use crate::config::settings;
use crate::find::{Archive, FindError, Moment, Record, Values};
use crate::ids::Offset;
use crate::transform::event_time::BucketBy;

/// # Errors
/// If it could not look.
pub async fn find(args: FindArgs) -> anyhow::Result<Found> {
    let settings::Archive { paths, s3 } = args.archive.try_into()?;
    let in_s3 = paths.in_s3();
    let with_advice = |error| with_advice(error, in_s3);
    let archive = Archive::open(&paths, &s3).await.map_err(with_advice)?;
    let topic = args.topic.as_deref();
    let (text, found) = match (args.time, args.uuid, args.offset, args.partition) {
        (Some(time), _, _, partition) => {
            let split = partition.map(|partition| archive.split(topic, partition));
            let split = split.transpose().map_err(with_advice)?;
            let by_processing = args.buckets.bucket_by == BucketBy::ProcessingTime;
            let bucketing = by_processing.then(|| args.buckets.into());
            let found = Moment::find(&archive, EpochMillis(time), split, bucketing.as_ref()).await;
            let found = found.map_err(with_advice)?;
            let text = text(args.json, &found, Moment::to_text)?;
            (text, !found.files.is_empty())
        }
        (_, Some(uuid), _, _) => {
            let (Some(from), Some(to)) = (args.from, args.to) else {
                anyhow::bail!("--uuid needs --from and --to");
            };
            let found = Values::find(&archive, uuid, from, to).await;
            let found = found.map_err(with_advice)?;
            let text = text(args.json, &found, Values::to_text)?;
            (text, !found.records.is_empty())
        }
        (_, _, Some(offset), Some(partition)) => {
            let found = Record::find(&archive, topic, partition, Offset(offset)).await;
            let found = found.map_err(with_advice)?;
            let text = text(args.json, &found, Record::to_text)?;
            (text, found.place.is_in_archive())
        }
        _ => anyhow::bail!("--partition and --offset, --time, or --uuid says what to find"),
    };
    out::print(&text)?;
    Ok(if found { Found::Good } else { Found::Bad })
}

fn text<T: Serialize>(json: bool, found: &T, to_text: fn(&T) -> String) -> anyhow::Result<String> {
    Ok(if json {
        serde_json::to_string_pretty(found)? + "\n"
    } else {
        to_text(found)
    })
}

fn with_advice(error: FindError, in_s3: bool) -> anyhow::Error {
    let of_archive = match &error {
        FindError::Archive(error) => Some(error),
        _ => None,
    };
    super::cannot_look(&error, of_archive, in_s3)
}
