//! Decides what happens next in the protocol of a checkpoint; does nothing itself.
//!
//! One checkpoint is undecided at a time: barrier N+1 is triggered only when slot N is confirmed
//! and the files of N are finalized. A checkpoint never fails: it completes, or the process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::markers::Markers;
use super::slot::{
    FORMAT_VERSION, JobIdentity, Origin, PendingFile, Slot, SlotKind, SplitOffset, TopicIds,
};
use crate::clock::EpochMillis;
use crate::ids::{CheckpointId, Generation, JobId, NextOffset, Nonce, Split, SubtaskIndex};
use crate::mutants::{self, Mutant};
use crate::runtime::watermark::Watermark;

/// Slots that are kept in the log: enough to look back over an hour and a half of the default
/// interval, few enough for one page of a listing.
pub const RETAINED_SLOTS: u64 = 100;

/// When barriers are triggered.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// From one barrier to the next.
    pub interval: Duration,
    /// At least this long between the end of a checkpoint and the next barrier.
    pub min_pause: Duration,
    /// A checkpoint that is older is late; it goes on all the same.
    pub timeout: Duration,
    /// Slots that are kept in the log, the newest included; at least 1.
    pub retained: u64,
}

/// What every slot of this process states.
#[derive(Debug, Clone)]
pub struct Owner {
    pub job: JobId,
    pub generation: Generation,
    pub nonce: Nonce,
    pub identity: JobIdentity,
    pub topic_ids: TopicIds,
    /// Where the archive of each split begins.
    pub begins: BTreeMap<Split, NextOffset>,
    /// Slots that pruning leaves.
    pub savepoints: BTreeSet<CheckpointId>,
    pub markers: Markers,
    pub origin: Option<Origin>,
}

impl Owner {
    pub fn slot(
        &self,
        id: CheckpointId,
        kind: SlotKind,
        next_offsets: &BTreeMap<Split, NextOffset>,
        pending: Vec<PendingFile>,
        now: EpochMillis,
    ) -> Slot {
        let next_offsets = next_offsets
            .iter()
            .map(|(split, &next_offset)| SplitOffset {
                split: split.clone(),
                begin: self.begins.get(split).copied().unwrap_or(next_offset),
                next_offset,
            });
        Slot {
            format_version: FORMAT_VERSION,
            id,
            kind,
            job: self.job.clone(),
            generation: self.generation,
            nonce: self.nonce.clone(),
            identity: self.identity.clone(),
            topic_ids: self.topic_ids.clone(),
            written_at: now.0,
            next_offsets: next_offsets.collect(),
            pending,
            reread: Vec::new(),
            savepoints: self.savepoints.clone(),
            markers: self.markers.clone(),
            origin: self.origin.clone(),
        }
    }
}

/// A subtask's word that its part of a checkpoint is durable and in the commit log.
#[derive(Debug, Clone)]
pub struct Ack {
    pub subtask: SubtaskIndex,
    pub checkpoint: CheckpointId,
    pub next_offsets: Vec<(Split, NextOffset)>,
    pub files: Vec<PendingFile>,
    pub watermark: Watermark,
    pub times: AckTimes,
}

/// Monotonic times at which a subtask's part of a checkpoint got on; for those who look at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AckTimes {
    /// The barrier came between two batches.
    pub begun: Duration,
    /// The files were closed to further rows, which went on in others.
    pub closed: Duration,
    /// The last of the files was durable.
    pub durable: Duration,
}

/// A barrier to be sent to every subtask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    pub id: CheckpointId,
    /// After it the subtask reads no more.
    pub last: bool,
}

/// What somebody has asked for beside the rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// A checkpoint now.
    Checkpoint,
    /// A checkpoint now, whose slot is kept.
    Savepoint,
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// Barrier sent; not all acks are in.
    Collecting {
        barrier: Barrier,
        savepoint: bool,
        since: Duration,
        acks: BTreeMap<SubtaskIndex, Ack>,
    },
    /// All acks are in; the slot is being put.
    Deciding {
        last: bool,
        slot: Box<Slot>,
    },
    /// The slot is confirmed; its files are being finalized.
    Finalizing {
        last: bool,
    },
    /// The last checkpoint is complete.
    Finished,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProtocolError {
    #[error("subtask {subtask} acknowledged checkpoint {checkpoint}, which is not being taken")]
    UnexpectedAck {
        subtask: SubtaskIndex,
        checkpoint: CheckpointId,
    },
    #[error("{split}: the next offset went back from {from} to {to}")]
    WentBack {
        split: Split,
        from: NextOffset,
        to: NextOffset,
    },
    #[error("the slot was confirmed or finalized out of turn")]
    OutOfTurn,
}

/// What is left to do when a checkpoint is finalized.
#[derive(Debug, PartialEq, Eq)]
pub struct Completed {
    pub id: CheckpointId,
    /// Slots below may go.
    pub prune_below: CheckpointId,
    /// It was the last one: the job is done.
    pub last: bool,
}

#[derive(Debug)]
pub struct Coordinator {
    owner: Owner,
    rhythm: Rhythm,
    parallelism: u32,
    /// The newest slot that is confirmed to be ours.
    own: CheckpointId,
    next_offsets: BTreeMap<Split, NextOffset>,
    phase: Phase,
    trigger_at: Duration,
    stopping: bool,
    /// Asked for since the last barrier: one checkpoint serves all of it.
    requested: Option<Request>,
    /// Subtasks that have read all that a bounded run shall read.
    at_end: BTreeSet<SubtaskIndex>,
}

impl Coordinator {
    /// Begins after the confirmed start record, with all files that it references finalized.
    pub fn new(
        start: &Slot,
        owner: Owner,
        rhythm: Rhythm,
        parallelism: u32,
        next_offsets: BTreeMap<Split, NextOffset>,
        now: Duration,
    ) -> Self {
        Self {
            owner,
            rhythm,
            parallelism,
            own: start.id,
            next_offsets,
            phase: Phase::Idle,
            trigger_at: now + rhythm.interval,
            stopping: false,
            requested: None,
            at_end: BTreeSet::new(),
        }
    }

    pub fn next_offsets(&self) -> &BTreeMap<Split, NextOffset> {
        &self.next_offsets
    }

    /// Splits that were discovered, with the offsets where reading them begins and the ids of their
    /// topics.
    pub fn add_splits(&mut self, splits: &[(Split, NextOffset)], topic_ids: TopicIds) {
        self.owner.topic_ids.extend(topic_ids);
        for (split, begin) in splits {
            self.next_offsets.entry(split.clone()).or_insert(*begin);
            self.owner.begins.entry(split.clone()).or_insert(*begin);
        }
    }

    /// Asks for a last checkpoint as soon as the one under way is complete.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Asks for a checkpoint as soon as the one under way is complete, whatever the rhythm says.
    pub fn request(&mut self, request: Request) {
        self.requested = self.requested.max(Some(request));
    }

    /// Slots that pruning leaves.
    pub fn savepoints(&self) -> &BTreeSet<CheckpointId> {
        &self.owner.savepoints
    }

    /// A subtask has read all of a bounded run; when all have, the last checkpoint is due.
    pub fn reached_end(&mut self, subtask: SubtaskIndex) {
        self.at_end.insert(subtask);
        if self.at_end.len() == self.parallelism as usize {
            self.stopping = true;
        }
    }

    /// The barrier that is due now, if any.
    pub fn tick(&mut self, now: Duration) -> Option<Barrier> {
        let due = self.stopping || self.requested.is_some() || now >= self.trigger_at;
        if !matches!(self.phase, Phase::Idle) || !due {
            return None;
        }
        let barrier = Barrier {
            id: self.own.next(),
            last: self.stopping,
        };
        self.trigger_at = now + self.rhythm.interval;
        self.phase = Phase::Collecting {
            barrier,
            savepoint: self.requested.take() == Some(Request::Savepoint),
            since: now,
            acks: BTreeMap::new(),
        };
        Some(barrier)
    }

    /// When to look again, at the latest.
    pub fn wake_at(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Idle => Some(self.trigger_at),
            Phase::Collecting { since, .. } => Some(*since + self.rhythm.timeout),
            Phase::Deciding { .. } | Phase::Finalizing { .. } | Phase::Finished => None,
        }
    }

    /// The checkpoint that is past its timeout, and the subtasks that have not acknowledged it.
    pub fn late(&self, now: Duration) -> Option<(CheckpointId, Vec<SubtaskIndex>)> {
        match &self.phase {
            Phase::Collecting {
                barrier,
                since,
                acks,
                ..
            } if now >= *since + self.rhythm.timeout => {
                let all = (0..self.parallelism).map(SubtaskIndex);
                let missing = all.filter(|subtask| !acks.contains_key(subtask));
                Some((barrier.id, missing.collect()))
            }
            _ => None,
        }
    }

    /// Takes an ack in; returns the slot to be put when it was the last one.
    pub fn ack(&mut self, ack: Ack, now: EpochMillis) -> Result<Option<Slot>, ProtocolError> {
        let Phase::Collecting {
            barrier,
            savepoint,
            acks,
            ..
        } = &mut self.phase
        else {
            return Err(unexpected(&ack));
        };
        if ack.checkpoint != barrier.id
            || ack.subtask.0 >= self.parallelism
            || acks.contains_key(&ack.subtask)
        {
            return Err(unexpected(&ack));
        }
        acks.insert(ack.subtask, ack);
        if acks.len() < self.parallelism as usize {
            return Ok(None);
        }
        let (barrier, acks) = (*barrier, std::mem::take(acks));
        if *savepoint {
            self.owner.savepoints.insert(barrier.id);
        }
        let mut pending = Vec::new();
        let watermarks: Vec<_> = acks.values().map(|ack| ack.watermark).collect();
        for ack in acks.into_values() {
            for (split, to) in ack.next_offsets {
                if let Some(&from) = self.next_offsets.get(&split)
                    && to < from
                {
                    return Err(ProtocolError::WentBack { split, from, to });
                }
                self.next_offsets.insert(split, to);
            }
            if mutants::is(Mutant::FilesForgotten) {
                pending.clear();
            }
            pending.extend(ack.files);
        }
        self.owner.markers.add(&pending, watermarks);
        let slot = self.owner.slot(
            barrier.id,
            SlotKind::Checkpoint,
            &self.next_offsets,
            pending,
            now,
        );
        self.phase = Phase::Deciding {
            last: barrier.last,
            slot: Box::new(slot.clone()),
        };
        Ok(Some(slot))
    }

    /// The slot is confirmed: its checkpoint is complete. Returns the files to finalize.
    pub fn slot_confirmed(&mut self) -> Result<Vec<PendingFile>, ProtocolError> {
        match std::mem::replace(&mut self.phase, Phase::Finished) {
            Phase::Deciding { last, slot } => {
                self.own = slot.id;
                self.phase = Phase::Finalizing { last };
                if mutants::is(Mutant::FilesForgottenAtPut) {
                    return Ok(Vec::new());
                }
                Ok(slot.pending)
            }
            _ => Err(ProtocolError::OutOfTurn),
        }
    }

    /// The marker of a folder is there.
    pub fn marked(&mut self, folder: &str) {
        self.owner.markers.written(folder);
    }

    /// All files of the checkpoint are visible.
    pub fn finalized(&mut self, now: Duration) -> Result<Completed, ProtocolError> {
        let Phase::Finalizing { last } = self.phase else {
            return Err(ProtocolError::OutOfTurn);
        };
        self.phase = if last { Phase::Finished } else { Phase::Idle };
        self.trigger_at = self.trigger_at.max(now + self.rhythm.min_pause);
        Ok(Completed {
            id: self.own,
            prune_below: if mutants::is(Mutant::NewestPruned) {
                self.own.next()
            } else {
                CheckpointId(self.own.0.saturating_sub(self.rhythm.retained - 1))
            },
            last,
        })
    }
}

fn unexpected(ack: &Ack) -> ProtocolError {
    ProtocolError::UnexpectedAck {
        subtask: ack.subtask,
        checkpoint: ack.checkpoint,
    }
}

#[cfg(test)]
mod tests;
