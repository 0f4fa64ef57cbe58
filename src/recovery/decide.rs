//! What a start may do, decided from what it has seen.

use std::collections::{BTreeMap, HashSet};

use crate::checkpoint::slot::{JobIdentity, PendingFile, Slot};
use crate::ids::{CheckpointId, Generation, JobId, NextOffset, Split};
use crate::mutants::{self, Mutant};
use crate::sink::naming::PartName;
use crate::source::kafka::Watermarks;
use crate::store::{Root, Upload};

/// What a start has seen before it writes anything.
#[derive(Debug)]
pub struct Facts<'a> {
    pub newest: Option<&'a Slot>,
    pub identity: &'a JobIdentity,
    pub topic: &'a Topic,
    /// Go on from the earliest record where a saved offset is lost.
    pub allow_lost_offsets: bool,
}

/// The topic as Kafka has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Kafka's own id of it; `None` where the brokers have none.
    pub id: Option<String>,
    /// All splits, and what is held of them.
    pub splits: BTreeMap<Split, Watermarks>,
}

/// What the start record will say.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub id: CheckpointId,
    /// `None` for the first start, which makes a new id.
    pub job: Option<JobId>,
    pub topic_id: Option<String>,
    pub generation: Generation,
    /// Of all splits, those never seen before from their earliest record.
    pub next_offsets: BTreeMap<Split, NextOffset>,
    /// Where the archive of each of them begins.
    pub begins: BTreeMap<Split, NextOffset>,
    pub pending: Vec<PendingFile>,
    /// Lost files that an earlier start has given up, and whose records are not archived again yet.
    pub reread: Vec<PendingFile>,
    /// Ranges that are given up because the user allowed it.
    pub lost: Vec<Lost>,
}

/// Saved offsets that Kafka does not hold any more: `from` is the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub split: Split,
    pub from: NextOffset,
    pub held: Watermarks,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { split, from, held } = self;
        if *from < held.earliest {
            let last = held.earliest.0 - 1;
            write!(
                f,
                "{split}: offsets {from} to {last} were removed by retention"
            )
        } else {
            let end = held.end;
            write!(
                f,
                "{split}: the saved next offset is {from}, but the partition ends at {end}: Kafka \
                 has lost records, or the topic was deleted and made again"
            )
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "CHECKPOINTS_PATH belongs to a job with another {what}: it says '{stored}', the settings \
         say '{own}'. Use the settings that it was made with, or another CHECKPOINTS_PATH, \
         OUTPUT_PATH, DROPPED_PATH and WRITE_AHEAD_COMMIT_LOG_PATH for another job"
    )]
    OtherJob {
        what: &'static str,
        stored: String,
        own: String,
    },

    #[error(
        "records that were not archived are gone from Kafka: {}. To go on with what is left, \
         start with --allow-lost-offsets",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    OffsetsLost(Vec<Lost>),

    #[error(
        "{split} has saved offsets, but the topic has no such partition any more: it was deleted \
         and made again with fewer partitions. To go on with what is there, start with \
         --allow-lost-offsets"
    )]
    PartitionGone { split: Split },

    #[error(
        "topic {topic} was deleted and made again: its id was {was} and is {is}. Archive it with \
         new paths; or, to go on with these, from the earliest record of the new topic, start with \
         --allow-lost-offsets (offsets of the old one and of the new one will then be side by side)"
    )]
    TopicMadeAgain {
        topic: String,
        was: String,
        is: String,
    },

    #[error(
        "files of a complete checkpoint are lost: {0}. If nobody has moved or deleted them, they \
         have never been visible: start with --reread-lost-files to read their records again from \
         Kafka. If somebody has, that would double their records: put them back"
    )]
    FilesLost(String),
}

/// Decides how to start.
pub fn decide(facts: &Facts<'_>) -> Result<Plan, Refusal> {
    let Some(newest) = facts.newest else {
        let earliest = facts
            .topic
            .splits
            .iter()
            .map(|(split, held)| (split.clone(), held.earliest));
        let next_offsets: BTreeMap<_, _> = earliest.collect();
        return Ok(Plan {
            id: CheckpointId(0),
            job: None,
            topic_id: facts.topic.id.clone(),
            generation: Generation::FIRST,
            begins: next_offsets.clone(),
            next_offsets,
            pending: Vec::new(),
            reread: Vec::new(),
            lost: Vec::new(),
        });
    };
    same_job(&newest.identity, facts.identity)?;
    let splits = &facts.topic.splits;
    let same = match (&newest.topic_id, &facts.topic.id) {
        (Some(was), Some(is)) => Some(was == is),
        _ => None,
    };
    if same == Some(false) && !facts.allow_lost_offsets {
        return Err(Refusal::TopicMadeAgain {
            topic: newest.identity.topic.clone(),
            was: newest.topic_id.clone().unwrap_or_default(),
            is: facts.topic.id.clone().unwrap_or_default(),
        });
    }
    let saved: BTreeMap<_, _> = newest
        .next_offsets
        .iter()
        .map(|saved| (&saved.split, saved))
        .collect();
    if let Some(split) = saved.keys().find(|split| !splits.contains_key(split))
        && !facts.allow_lost_offsets
    {
        return Err(Refusal::PartitionGone {
            split: (*split).clone(),
        });
    }
    let (mut next_offsets, mut begins) = (BTreeMap::new(), BTreeMap::new());
    let mut lost = Vec::new();
    for (split, &held) in splits {
        let known = saved.get(split).filter(|_| same != Some(false));
        let begin = known.map_or(held.earliest, |saved| saved.begin);
        begins.insert(split.clone(), begin);
        let from = match known.map(|saved| saved.next_offset) {
            Some(from) if from < held.earliest || from > held.end => {
                lost.push(Lost {
                    split: split.clone(),
                    from,
                    held,
                });
                // The same topic, cut short: what it still holds is archived.
                if same == Some(true) && from > held.end {
                    held.end
                } else {
                    held.earliest
                }
            }
            Some(from) => from,
            None => held.earliest,
        };
        next_offsets.insert(split.clone(), from);
    }
    if !lost.is_empty() && !facts.allow_lost_offsets {
        return Err(Refusal::OffsetsLost(lost));
    }
    let id = if mutants::is(Mutant::StartLeavesASlotOut) {
        newest.id.next().next()
    } else {
        newest.id.next()
    };
    let generation = if mutants::is(Mutant::GenerationIsKept) {
        newest.generation
    } else {
        newest.generation.next()
    };
    let pending = if mutants::is(Mutant::PendingLeftOut) {
        Vec::new()
    } else {
        newest.pending.clone()
    };
    Ok(Plan {
        id,
        job: Some(newest.job.clone()),
        topic_id: facts.topic.id.clone().or_else(|| newest.topic_id.clone()),
        generation,
        next_offsets,
        begins,
        pending,
        reread: newest.reread.clone(),
        lost,
    })
}

fn same_job(stored: &JobIdentity, own: &JobIdentity) -> Result<(), Refusal> {
    let pairs = [
        ("Kafka cluster", &stored.cluster, &own.cluster),
        ("topic (KAFKA_TOPIC)", &stored.topic, &own.topic),
        ("output (OUTPUT_PATH)", &stored.output, &own.output),
        (
            "dropped output (DROPPED_PATH)",
            &stored.dropped,
            &own.dropped,
        ),
        (
            "commit log (WRITE_AHEAD_COMMIT_LOG_PATH)",
            &stored.commit_log,
            &own.commit_log,
        ),
        (
            "schema (AVRO_SCHEMA, by its SHA-256)",
            &stored.schema_sha256,
            &own.schema_sha256,
        ),
    ];
    match pairs.into_iter().find(|(_, stored, own)| stored != own) {
        Some((what, stored, own)) => Err(Refusal::OtherJob {
            what,
            stored: stored.clone(),
            own: own.clone(),
        }),
        None => Ok(()),
    }
}

/// Of the open uploads of one root, those that nobody will ever finalize: of this job, of an older
/// generation, and not referenced by the own confirmed start record.
pub fn orphans(start: &Slot, root: Root, open: Vec<Upload>) -> Vec<Upload> {
    let referenced: HashSet<_> = start
        .pending
        .iter()
        .filter(|file| file.root == root && !mutants::is(Mutant::ReferencedAborted))
        .map(|file| (&file.committable.upload.key, &file.committable.upload.id))
        .collect();
    let is_orphan = |upload: &Upload| {
        PartName::parse(upload.key.name()).is_some_and(|name| {
            let older = name.generation < start.generation
                || (mutants::is(Mutant::NewerAborted) && name.generation > start.generation);
            let own = name.job == start.job || mutants::is(Mutant::OtherJobAborted);
            own && older && !referenced.contains(&(&upload.key, &upload.id))
        })
    };
    open.into_iter().filter(is_orphan).collect()
}

#[cfg(test)]
mod tests;
