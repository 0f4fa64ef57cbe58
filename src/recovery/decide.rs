//! What a start may do, decided from what it has seen.

mod savepoint;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::checkpoint::slot::{JobIdentity, Origin, PendingFile, Slot, SplitOffset};
use crate::ids::{CheckpointId, Generation, JobId, NextOffset, Split};
use crate::mutants::{self, Mutant};
use crate::sink::naming::PartName;
use crate::source::kafka::Watermarks;
use crate::store::{Root, Upload};

pub use savepoint::Savepoint;

/// What a start has seen before it writes anything.
#[derive(Debug)]
pub struct Facts<'a> {
    pub newest: Option<&'a Slot>,
    pub identity: &'a JobIdentity,
    pub topic: &'a Topic,
    /// Where a new job shall begin.
    pub savepoint: Option<&'a Savepoint>,
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
    pub savepoints: BTreeSet<CheckpointId>,
    pub origin: Option<Origin>,
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

    #[error(
        "FROM_SAVEPOINT={savepoint} is of the job that writes to {theirs}, and {setting}={own} is the \
         same place: what that job has archived after the savepoint would be there twice. To go on \
         with that job, start without --from-savepoint: it goes on from its newest checkpoint. To \
         archive the records after the savepoint anew, give another OUTPUT_PATH, DROPPED_PATH, \
         WRITE_AHEAD_COMMIT_LOG_PATH and CHECKPOINTS_PATH"
    )]
    SavepointOfThisArchive {
        savepoint: String,
        setting: &'static str,
        own: String,
        theirs: String,
    },

    #[error(
        "FROM_SAVEPOINT={savepoint} is of another {what}: it says '{stated}', here it is '{own}'. Its \
         offsets say nothing here"
    )]
    SavepointOfOther {
        savepoint: String,
        what: &'static str,
        stated: String,
        own: String,
    },

    #[error(
        "FROM_SAVEPOINT={savepoint} begins a new job, and CHECKPOINTS_PATH has one already, which was \
         begun {begun}. Give new paths for the new job; or start without --from-savepoint to go on \
         with the one that is there"
    )]
    BegunOtherwise { savepoint: String, begun: String },

    #[error(
        "FROM_SAVEPOINT={0} is the start record of a job, which holds no checkpoint: give a savepoint, \
         or the folder of a complete checkpoint"
    )]
    NotACheckpoint(String),
}

/// Decides how to start.
pub fn decide(facts: &Facts<'_>) -> Result<Plan, Refusal> {
    if let Some(savepoint) = facts.savepoint {
        savepoint.may_begin(facts)?;
    }
    match (facts.newest, facts.savepoint) {
        (Some(newest), _) => go_on(facts, newest),
        (None, Some(savepoint)) => savepoint.begin(facts),
        (None, None) => Ok(begin(facts)),
    }
}

/// The first start of a job, from the earliest records.
fn begin(facts: &Facts<'_>) -> Plan {
    let earliest = facts
        .topic
        .splits
        .iter()
        .map(|(split, held)| (split.clone(), held.earliest));
    first_start(facts, earliest.collect())
}

fn first_start(facts: &Facts<'_>, next_offsets: BTreeMap<Split, NextOffset>) -> Plan {
    Plan {
        id: CheckpointId(0),
        job: None,
        topic_id: facts.topic.id.clone(),
        generation: Generation::FIRST,
        begins: next_offsets.clone(),
        next_offsets,
        pending: Vec::new(),
        reread: Vec::new(),
        savepoints: BTreeSet::new(),
        origin: None,
        lost: Vec::new(),
    }
}

/// Goes on from the newest slot.
fn go_on(facts: &Facts<'_>, newest: &Slot) -> Result<Plan, Refusal> {
    same_job(&newest.identity, facts.identity)?;
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
    let mut saved = saved(newest);
    no_partition_gone(&saved, facts)?;
    if same == Some(false) {
        saved.clear();
    }
    let (next_offsets, lost) = next_offsets(facts, &saved, same);
    if !lost.is_empty() && !facts.allow_lost_offsets {
        return Err(Refusal::OffsetsLost(lost));
    }
    let begins = facts.topic.splits.iter().map(|(split, held)| {
        let begin = saved.get(split).map_or(held.earliest, |saved| saved.begin);
        (split.clone(), begin)
    });
    let begins = begins.collect();
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
    let savepoints = if mutants::is(Mutant::SavepointsLeftOut) {
        BTreeSet::new()
    } else {
        newest.savepoints.clone()
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
        savepoints,
        origin: newest.origin.clone(),
        lost,
    })
}

type Saved<'a> = BTreeMap<&'a Split, &'a SplitOffset>;

fn saved(slot: &Slot) -> Saved<'_> {
    let saved = slot.next_offsets.iter();
    saved.map(|saved| (&saved.split, saved)).collect()
}

fn no_partition_gone(saved: &Saved<'_>, facts: &Facts<'_>) -> Result<(), Refusal> {
    let splits = &facts.topic.splits;
    match saved.keys().find(|split| !splits.contains_key(split)) {
        Some(split) if !facts.allow_lost_offsets => Err(Refusal::PartitionGone {
            split: (*split).clone(),
        }),
        _ => Ok(()),
    }
}

/// Of all splits, those that are not saved from their earliest record; and what is lost of the others.
/// `same` says whether they are known to be of the same topic.
fn next_offsets(
    facts: &Facts<'_>,
    saved: &Saved<'_>,
    same: Option<bool>,
) -> (BTreeMap<Split, NextOffset>, Vec<Lost>) {
    let mut next_offsets = BTreeMap::new();
    let mut lost = Vec::new();
    for (split, &held) in &facts.topic.splits {
        let from = match saved.get(split).map(|saved| saved.next_offset) {
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
    (next_offsets, lost)
}

/// The schema may be another one: see [`evolution`](super::evolution).
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
