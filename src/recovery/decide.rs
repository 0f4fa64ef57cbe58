//! What a start may do, decided from what it has seen.

mod begin;
mod refusal;
mod savepoint;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::checkpoint::markers::Markers;
use crate::checkpoint::slot::{JobIdentity, Origin, PendingFile, Slot, SplitOffset, TopicIds};
use crate::ids::{CheckpointId, Generation, JobId, NextOffset, Split};
use crate::mutants::{self, Mutant};
use crate::sink::naming::PartName;
use crate::source::kafka::{Topics, Watermarks};
use crate::source::start_from::StartFrom;
use crate::store::{Root, Upload};

pub use refusal::Refusal;
pub use savepoint::Savepoint;

/// What a start has seen before it writes anything.
#[derive(Debug)]
pub struct Facts<'a> {
    pub newest: Option<&'a Slot>,
    pub identity: &'a JobIdentity,
    /// The topics that are archived.
    pub topics: &'a Topics,
    pub held: &'a Held,
    /// Where a new job begins.
    pub start_from: &'a StartFrom,
    /// Where a new job shall begin instead.
    pub savepoint: Option<&'a Savepoint>,
    /// Go on from the earliest record where a saved offset is lost.
    pub allow_lost_offsets: bool,
}

/// The topics as Kafka has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// None where the brokers have none.
    pub ids: TopicIds,
    /// All splits, and what is held of them.
    pub splits: BTreeMap<Split, Watermarks>,
    /// Where a start from a time begins, if it is one.
    pub at_time: BTreeMap<Split, NextOffset>,
    /// Topics with saved offsets that are not among those to archive, and are there.
    pub left_out: BTreeSet<Arc<str>>,
}

impl Held {
    /// Whether the topic is there.
    pub fn has(&self, topic: &str) -> bool {
        self.splits.keys().any(|split| *split.topic == *topic)
    }
}

/// What the start record will say.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub id: CheckpointId,
    /// `None` for the first start, which makes a new id.
    pub job: Option<JobId>,
    pub topic_ids: TopicIds,
    pub generation: Generation,
    /// Of all splits, those never seen before from their earliest record.
    pub next_offsets: BTreeMap<Split, NextOffset>,
    /// Where the archive of each of them begins.
    pub begins: BTreeMap<Split, NextOffset>,
    pub pending: Vec<PendingFile>,
    /// Lost files that an earlier start has given up, and whose records are not archived again yet.
    pub reread: Vec<PendingFile>,
    pub savepoints: BTreeSet<CheckpointId>,
    pub markers: Markers,
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

/// Decides how to start.
pub fn decide(facts: &Facts<'_>) -> Result<Plan, Refusal> {
    if let Some(savepoint) = facts.savepoint {
        savepoint.may_begin(facts)?;
    }
    match (facts.newest, facts.savepoint) {
        (Some(newest), _) => go_on(facts, newest),
        (None, Some(savepoint)) => savepoint.begin(facts),
        (None, None) => begin::begin(facts),
    }
}

fn first_start(facts: &Facts<'_>, next_offsets: BTreeMap<Split, NextOffset>) -> Plan {
    Plan {
        id: CheckpointId(0),
        job: None,
        topic_ids: facts.held.ids.clone(),
        generation: Generation::FIRST,
        begins: next_offsets.clone(),
        next_offsets,
        pending: Vec::new(),
        reread: Vec::new(),
        savepoints: BTreeSet::new(),
        markers: Markers::default(),
        origin: None,
        lost: Vec::new(),
    }
}

/// Goes on from the newest slot.
fn go_on(facts: &Facts<'_>, newest: &Slot) -> Result<Plan, Refusal> {
    same_job(&newest.identity, facts.identity)?;
    same_topics(newest, facts)?;
    let same = |topic: &str| {
        let ids = (newest.topic_ids.get(topic), facts.held.ids.get(topic));
        match ids {
            (Some(was), Some(is)) => Some(was == is),
            _ => None,
        }
    };
    let mut saved = saved(newest);
    no_partition_gone(&saved, facts)?;
    saved.retain(|split, _| same(&split.topic) != Some(false));
    let (next_offsets, lost) = next_offsets(facts, &saved, same);
    if !lost.is_empty() && !facts.allow_lost_offsets {
        return Err(Refusal::OffsetsLost(lost));
    }
    let begins = facts.held.splits.iter().map(|(split, held)| {
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
    let mut topic_ids = newest.topic_ids.clone();
    topic_ids.extend(facts.held.ids.clone());
    Ok(Plan {
        id,
        job: Some(newest.job.clone()),
        topic_ids,
        generation,
        next_offsets,
        begins,
        pending,
        reread: newest.reread.clone(),
        savepoints,
        markers: newest.markers.clone(),
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
    let splits = &facts.held.splits;
    match saved.keys().find(|split| !splits.contains_key(split)) {
        Some(_) if facts.allow_lost_offsets => Ok(()),
        Some(split) if facts.held.has(&split.topic) => Err(Refusal::PartitionGone {
            split: (*split).clone(),
        }),
        Some(split) => Err(Refusal::TopicGone {
            topic: split.topic.to_string(),
        }),
        None => Ok(()),
    }
}

/// Of all splits, those that are not saved from their earliest record; and what is lost of the others.
/// `same` says of a topic whether it is known to be the same one.
fn next_offsets(
    facts: &Facts<'_>,
    saved: &Saved<'_>,
    same: impl Fn(&str) -> Option<bool>,
) -> (BTreeMap<Split, NextOffset>, Vec<Lost>) {
    let mut next_offsets = BTreeMap::new();
    let mut lost = Vec::new();
    for (split, &held) in &facts.held.splits {
        let from = match saved.get(split).map(|saved| saved.next_offset) {
            Some(from) if from < held.earliest || from > held.end => {
                lost.push(Lost {
                    split: split.clone(),
                    from,
                    held,
                });
                // The same topic, cut short: what it still holds is archived.
                if same(&split.topic) == Some(true) && from > held.end {
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

/// Other topics may come to those that have saved offsets; of these none may be left out unless it is gone,
/// and never all, and none may be another one of the same name.
fn same_topics(newest: &Slot, facts: &Facts<'_>) -> Result<(), Refusal> {
    let (stored, own) = (&newest.identity.topic, &facts.identity.topic);
    let included = |saved: &SplitOffset| stored == own || facts.topics.include(&saved.split.topic);
    if stored != own && !newest.next_offsets.iter().any(included) {
        return Err(Refusal::OtherJob {
            what: "topic (KAFKA_TOPIC)",
            stored: stored.clone(),
            own: own.clone(),
        });
    }
    for saved in &newest.next_offsets {
        let topic = &saved.split.topic;
        // Taken back later, it would begin anew, and be there twice.
        if !included(saved) && facts.held.left_out.contains(topic) {
            return Err(Refusal::TopicLeftOut {
                topic: topic.to_string(),
                stored: stored.clone(),
                own: own.clone(),
            });
        }
        let ids = (newest.topic_ids.get(topic), facts.held.ids.get(topic));
        if let (Some(was), Some(is)) = ids
            && was != is
            && !facts.allow_lost_offsets
        {
            return Err(Refusal::TopicMadeAgain {
                topic: topic.to_string(),
                was: was.clone(),
                is: is.clone(),
            });
        }
    }
    Ok(())
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
