//! Which of the missing offsets does Kafka deliver? The others are gaps of its own: transaction
//! markers, aborted records, and what compaction or retention has removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::SystemClock;
use crate::ids::{NextOffset, Split};
use crate::offset_set::ExactOffsets;
use crate::runtime::health::Health;
use crate::source::kafka::{Cluster, KafkaReader, KafkaSettings};
use crate::source::{RawBatch, SourceReader, SplitStart};

/// A broker that says nothing for so long is taken to be away.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads each partition from its first missing offset to its last.
pub fn look(
    settings: &KafkaSettings,
    missing: BTreeMap<Split, ExactOffsets>,
) -> Result<BTreeMap<Split, ExactOffsets>, String> {
    let mut delivered: BTreeMap<Split, ExactOffsets> = BTreeMap::new();
    if missing.is_empty() {
        return Ok(delivered);
    }
    let (health, clock) = (Arc::new(Health::default()), Arc::new(SystemClock::new()));
    let cluster =
        Cluster::new(settings, health.clone(), clock.clone()).map_err(|e| e.to_string())?;
    let mut starts = Vec::new();
    for (split, offsets) in &missing {
        let held = cluster.watermarks(split).map_err(|e| e.to_string())?;
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
            continue;
        };
        let from = NextOffset(first.0).max(held.earliest);
        let until = last.next().min(held.end);
        if from < until {
            starts.push(SplitStart {
                split: split.clone(),
                from,
                reread: None,
                until: Some(until),
            });
        }
    }
    if starts.is_empty() {
        return Ok(delivered);
    }
    let mut reader = KafkaReader::new(settings, health, clock).map_err(|e| e.to_string())?;
    reader.add_splits(starts).map_err(|e| e.to_string())?;
    let mut heard = Instant::now();
    let mut positions = reader.positions();
    while !reader.at_end() {
        let batch = reader
            .fetch(Duration::from_millis(200))
            .map_err(|e| e.to_string())?;
        for index in 0..batch.len() {
            let origin = batch.record(index).origin;
            let split = &reader.splits()[origin.split.0 as usize];
            if missing
                .get(split)
                .is_some_and(|m| m.contains(origin.offset))
            {
                let of_split = delivered.entry(split.clone()).or_default();
                of_split.add_range(origin.offset, origin.offset);
            }
        }
        let now = reader.positions();
        if now != positions {
            positions = now;
            heard = Instant::now();
        } else if heard.elapsed() > SILENCE {
            return Err(format!("no answer from Kafka for {} s", SILENCE.as_secs()));
        }
    }
    Ok(delivered)
}
