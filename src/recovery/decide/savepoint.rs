//! A new job that begins where a savepoint of another ends: what must be so, and from where it reads.
//!
//! Guarantees: nothing that the savepoint's own job has archived comes into its own archive again.

use super::{Facts, Plan, Refusal, first_start, next_offsets, no_partition_gone, saved};
use crate::checkpoint::slot::{Origin, Slot, SlotKind};
use crate::config::location::Location;

/// A savepoint of another job, to begin a new one from.
#[derive(Debug, Clone)]
pub struct Savepoint {
    /// As it was given.
    pub location: String,
    pub slot: Slot,
}

impl Savepoint {
    pub(super) fn origin(&self) -> Origin {
        Origin {
            location: self.location.clone(),
            job: self.slot.job.clone(),
            checkpoint: self.slot.id,
        }
    }

    /// Whether a job that states this origin was begun from it.
    fn is(&self, origin: Option<&Origin>) -> bool {
        origin.is_some_and(|o| (&o.job, o.checkpoint) == (&self.slot.job, self.slot.id))
    }

    /// Nothing that the savepoint's own job has archived may come into its own archive again, and its
    /// offsets must mean the same here.
    pub(super) fn may_begin(&self, facts: &Facts<'_>) -> Result<(), Refusal> {
        let (theirs, own) = (&self.slot.identity, facts.identity);
        let location = || self.location.clone();
        if self.slot.kind != SlotKind::Checkpoint {
            return Err(Refusal::NotACheckpoint(location()));
        }
        for (setting, path) in [
            ("OUTPUT_PATH", &own.output),
            ("DROPPED_PATH", &own.dropped),
            ("WRITE_AHEAD_COMMIT_LOG_PATH", &own.commit_log),
        ] {
            let of_theirs = [&theirs.output, &theirs.dropped, &theirs.commit_log];
            if let Some(same) = of_theirs.into_iter().find(|other| overlap(path, other)) {
                return Err(Refusal::SavepointOfThisArchive {
                    savepoint: location(),
                    setting,
                    own: path.clone(),
                    theirs: same.clone(),
                });
            }
        }
        let ids = facts.held.ids.iter();
        let mut both = ids.filter_map(|(topic, is)| Some((self.slot.topic_ids.get(topic)?, is)));
        let other = both.find(|(was, is)| was != is);
        let (was, is) = other.map_or(("", ""), |(was, is)| (was.as_str(), is.as_str()));
        for (what, stated, own) in [
            (
                "Kafka cluster",
                theirs.cluster.as_str(),
                own.cluster.as_str(),
            ),
            ("topic (KAFKA_TOPIC)", &theirs.topic, &own.topic),
            ("topic of the same name, which was made again", was, is),
        ] {
            if stated != own {
                return Err(Refusal::SavepointOfOther {
                    savepoint: location(),
                    what,
                    stated: stated.to_owned(),
                    own: own.to_owned(),
                });
            }
        }
        match facts.newest {
            Some(newest) if !self.is(newest.origin.as_ref()) => Err(Refusal::BegunOtherwise {
                savepoint: location(),
                begun: newest.origin.as_ref().map_or_else(
                    || "at the earliest records".to_owned(),
                    |origin| format!("from the savepoint {}", origin.location),
                ),
            }),
            _ => Ok(()),
        }
    }

    /// The first start of a job whose archive begins where a savepoint of another ends. Files pending
    /// there stay that job's own.
    pub(super) fn begin(&self, facts: &Facts<'_>) -> Result<Plan, Refusal> {
        let slot = &self.slot;
        let saved = saved(slot);
        no_partition_gone(&saved, facts)?;
        let (next_offsets, lost) = next_offsets(facts, &saved, |_| Some(true));
        if !lost.is_empty() && !facts.allow_lost_offsets {
            return Err(Refusal::OffsetsLost(lost));
        }
        Ok(Plan {
            origin: Some(self.origin()),
            lost,
            ..first_start(facts, next_offsets)
        })
    }
}

/// Of two URLs in identities.
fn overlap(one: &str, other: &str) -> bool {
    match (one.parse::<Location>(), other.parse::<Location>()) {
        (Ok(one), Ok(other)) => one.overlaps(&other),
        _ => one == other,
    }
}
