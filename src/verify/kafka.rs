//! What does Kafka say of the missing offsets? It delivers them, or has gaps of its own there
//! (transaction markers, aborted records, what compaction has removed), or holds them no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::InKafka;
use crate::checkpoint::slot::Slot;
use crate::clock::SystemClock;
use crate::ids::{NextOffset, Offset, Split};
use crate::offset_set::ExactOffsets;
use crate::runtime::health::Health;
use crate::source::kafka::{
    Cluster, KafkaReader, KafkaSettings, Topics, Watermarks, without_values,
};
use crate::source::{RawBatch, SourceReader, SplitStart};

/// A broker that says nothing for so long is taken to be away.
const SILENCE: Duration = Duration::from_secs(30);

type Missing = BTreeMap<Split, ExactOffsets>;

/// Reads each partition from its first missing offset that is held to its last.
pub fn look(
    settings: &KafkaSettings,
    newest: &Slot,
    missing: Missing,
) -> Result<BTreeMap<Split, InKafka>, String> {
    let (health, clock) = (Arc::new(Health::default()), Arc::new(SystemClock::new()));
    let cluster =
        Cluster::new(settings, health.clone(), clock.clone()).map_err(|e| without_values(&e))?;
    same_cluster(&cluster, newest)?;
    let topics = missing.keys().map(|split| split.topic.to_string());
    let splits = cluster.partitions(&Topics::Named(topics.collect()));
    let splits = splits.map_err(|e| e.to_string())?;
    same_topics(&cluster, newest, &splits)?;
    let mut answers = BTreeMap::new();
    let mut asked = BTreeMap::new();
    for (split, offsets) in missing {
        let watermarks = splits.contains(&split).then(|| cluster.watermarks(&split));
        let watermarks = watermarks.transpose().map_err(|e| e.to_string())?;
        let (held, not_held) = divide(offsets, watermarks);
        let answer = InKafka {
            not_held,
            ..InKafka::default()
        };
        answers.insert(split.clone(), answer);
        if !held.is_empty() {
            asked.insert(split, held);
        }
    }
    let mut delivered = if asked.is_empty() {
        Missing::new()
    } else {
        may_be_read(&cluster, &asked)?;
        let reader = KafkaReader::new(settings, health, clock);
        read(reader.map_err(|e| without_values(&e))?, &asked)?
    };
    for (split, mut not_delivered) in asked {
        let delivered = delivered.remove(&split).unwrap_or_default();
        not_delivered.remove_all(&delivered);
        let answer = answers.entry(split).or_default();
        (answer.delivered, answer.not_delivered) = (delivered, not_delivered);
    }
    Ok(answers)
}

/// That is a right of each topic; without it reading would only wait.
fn may_be_read(cluster: &Cluster, asked: &Missing) -> Result<(), String> {
    let mut tried = BTreeSet::new();
    for (split, offsets) in asked {
        if let Some(first) = offsets.first()
            && tried.insert(&split.topic)
        {
            let may = cluster.try_fetch(split, NextOffset(first.0));
            may.map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// Offsets of another cluster or topic say nothing of this archive's.
fn same_cluster(cluster: &Cluster, newest: &Slot) -> Result<(), String> {
    let is = cluster.id().map_err(|e| e.to_string())?;
    let was = &newest.identity.cluster;
    if is != *was {
        return Err(format!(
            "the archive is of Kafka cluster {was}, and this is {is}: set KAFKA_BOOTSTRAP_SERVERS"
        ));
    }
    Ok(())
}

fn same_topics(cluster: &Cluster, newest: &Slot, splits: &[Split]) -> Result<(), String> {
    let ids = cluster
        .topic_ids(splits.iter())
        .map_err(|e| e.to_string())?;
    for (topic, is) in &ids {
        if let Some(was) = newest.topic_ids.get(topic)
            && was != is
        {
            return Err(format!(
                "topic {topic} was deleted and made again since it was archived: its id was {was} \
                 and is {is}. What it delivers says nothing of the missing offsets: leave \
                 --check-kafka out"
            ));
        }
    }
    Ok(())
}

/// Into what Kafka holds and what it does not; nothing is held of a partition that is not there.
fn divide(
    mut offsets: ExactOffsets,
    watermarks: Option<Watermarks>,
) -> (ExactOffsets, ExactOffsets) {
    let Some(Watermarks { earliest, end }) = watermarks else {
        return (ExactOffsets::default(), offsets);
    };
    let mut not_held = offsets.split_off_below(Offset(earliest.0));
    let held = offsets.split_off_below(Offset(end.0));
    not_held.add_all(&offsets);
    (held, not_held)
}

/// Those of the offsets that are delivered.
fn read(mut reader: KafkaReader, asked: &Missing) -> Result<Missing, String> {
    let starts = asked.iter().filter_map(|(split, offsets)| {
        Some(SplitStart {
            split: split.clone(),
            from: NextOffset(offsets.first()?.0),
            reread: None,
            until: Some(offsets.last()?.next()),
        })
    });
    let starts = starts.collect();
    reader.add_splits(starts).map_err(|e| e.to_string())?;
    let mut delivered = Missing::new();
    let mut heard = Instant::now();
    let mut positions = reader.positions();
    while !reader.at_end() {
        let batch = reader
            .fetch(Duration::from_millis(200))
            .map_err(|e| e.to_string())?;
        for index in 0..batch.len() {
            let origin = batch.record(index).origin;
            let split = &reader.splits()[origin.split.0 as usize];
            if asked.get(split).is_some_and(|a| a.contains(origin.offset)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_earliest_offset_or_behind_the_end_is_not_held() {
        let set = |offsets: &[i64]| {
            offsets
                .iter()
                .copied()
                .map(Offset)
                .collect::<ExactOffsets>()
        };
        let held = Watermarks {
            earliest: NextOffset(5),
            end: NextOffset(9),
        };
        let all = || set(&[1, 4, 5, 8, 9, 12]);
        let (held, not_held) = divide(all(), Some(held));
        assert_eq!((held, not_held), (set(&[5, 8]), set(&[1, 4, 9, 12])));
        assert_eq!(divide(all(), None), (set(&[]), all()));
    }
}
