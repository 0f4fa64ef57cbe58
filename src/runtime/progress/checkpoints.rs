//! The checkpoints of one start: the one that is being taken, and the newest complete ones, each
//! with how long its phases took.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timings::Timings;
use crate::checkpoint::coordinator::{Ack, AckTimes};
use crate::checkpoint::slot::PendingFile;
use crate::clock::EpochMillis;
use crate::ids::{CheckpointId, SubtaskIndex};
use crate::store::Root;

/// Complete checkpoints that are remembered.
pub const REMEMBERED: usize = 100;

/// What files hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    pub files: u64,
    pub rows: u64,
    pub dropped: u64,
    pub bytes: u64,
}

impl Contents {
    pub fn of(files: &[PendingFile]) -> Self {
        let mut sum = Self::default();
        for file in files {
            sum.files += 1;
            sum.bytes += file.committable.size;
            match file.root {
                Root::Output => sum.rows += file.rows,
                Root::Dropped => sum.dropped += file.rows,
            }
        }
        sum
    }

    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.rows += other.rows;
        self.dropped += other.dropped;
        self.bytes += other.bytes;
    }
}

/// One subtask's part.
#[derive(Debug, Clone, Copy)]
pub struct Acked {
    pub subtask: SubtaskIndex,
    pub at: EpochMillis,
    pub contents: Contents,
    /// Without rows: from the barrier until its files were closed.
    pub sync: Duration,
    /// From then until its ack, beside the rows that went on.
    pub asynchronous: Duration,
}

/// How long each phase took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    /// Until the last subtask had closed its files to further rows.
    pub barrier: Duration,
    /// Until the last file was durable.
    pub upload: Duration,
    /// Until the last ack.
    pub commit_log: Duration,
    pub slot: Duration,
    pub finalize: Duration,
}

/// The phases of all complete ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseTimings {
    pub barrier: Timings,
    pub upload: Timings,
    pub commit_log: Timings,
    pub slot: Timings,
    pub finalize: Timings,
}

impl PhaseTimings {
    fn add(&mut self, phases: &Phases) {
        self.barrier.add(phases.barrier);
        self.upload.add(phases.upload);
        self.commit_log.add(phases.commit_log);
        self.slot.add(phases.slot);
        self.finalize.add(phases.finalize);
    }

    /// In the order in which they happen.
    pub fn named(&self) -> [(&'static str, &Timings); 5] {
        [
            ("barrier", &self.barrier),
            ("upload", &self.upload),
            ("commit_log", &self.commit_log),
            ("slot", &self.slot),
            ("finalize", &self.finalize),
        ]
    }
}

impl Phases {
    pub fn total(&self) -> Duration {
        self.barrier + self.upload + self.commit_log + self.slot + self.finalize
    }
}

#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub id: CheckpointId,
    pub is_savepoint: bool,
    pub late: bool,
    pub triggered_at: EpochMillis,
    /// None while it is being taken.
    pub completed_at: Option<EpochMillis>,
    pub contents: Contents,
    pub phases: Phases,
    pub acks: Vec<Acked>,
    triggered: Duration,
    closed: Duration,
    durable: Duration,
    acked: Duration,
    confirmed: Duration,
}

#[derive(Debug, Clone, Default)]
pub struct Checkpoints {
    pub completed: u64,
    pub late: u64,
    /// Of all complete ones.
    pub total: Contents,
    pub durations: PhaseTimings,
    pub in_progress: Option<Checkpoint>,
    /// The newest first.
    pub newest: VecDeque<Checkpoint>,
}

impl Checkpoints {
    pub fn begin(&mut self, id: CheckpointId, wall: EpochMillis, now: Duration) {
        self.in_progress = Some(Checkpoint {
            id,
            is_savepoint: false,
            late: false,
            triggered_at: wall,
            completed_at: None,
            contents: Contents::default(),
            phases: Phases::default(),
            acks: Vec::new(),
            triggered: now,
            closed: now,
            durable: now,
            acked: now,
            confirmed: now,
        });
    }

    pub fn ack(&mut self, ack: &Ack, wall: EpochMillis, now: Duration) {
        let Some(checkpoint) = &mut self.in_progress else {
            return;
        };
        let contents = Contents::of(&ack.files);
        checkpoint.contents.add(contents);
        let AckTimes {
            begun,
            closed,
            durable,
        } = ack.times;
        checkpoint.closed = checkpoint.closed.max(closed);
        checkpoint.durable = checkpoint.durable.max(durable);
        checkpoint.acked = now;
        checkpoint.acks.push(Acked {
            subtask: ack.subtask,
            at: wall,
            contents,
            sync: closed.saturating_sub(begun),
            asynchronous: now.saturating_sub(closed),
        });
    }

    /// Past its timeout; said again and again, counted once.
    pub fn is_late(&mut self) {
        if let Some(checkpoint) = &mut self.in_progress
            && !checkpoint.late
        {
            checkpoint.late = true;
            self.late += 1;
        }
    }

    /// Its slot is there.
    pub fn confirmed(&mut self, is_savepoint: bool, now: Duration) {
        if let Some(checkpoint) = &mut self.in_progress {
            checkpoint.is_savepoint = is_savepoint;
            checkpoint.confirmed = now;
        }
    }

    /// Its files are visible. Returns it as it is remembered.
    pub fn complete(&mut self, wall: EpochMillis, now: Duration) -> Option<Checkpoint> {
        let mut checkpoint = self.in_progress.take()?;
        let Checkpoint {
            triggered,
            closed,
            durable,
            acked,
            confirmed,
            ..
        } = checkpoint;
        checkpoint.completed_at = Some(wall);
        checkpoint.phases = Phases {
            barrier: closed.saturating_sub(triggered),
            upload: durable.saturating_sub(closed),
            commit_log: acked.saturating_sub(durable),
            slot: confirmed.saturating_sub(acked),
            finalize: now.saturating_sub(confirmed),
        };
        self.completed += 1;
        self.durations.add(&checkpoint.phases);
        self.total.add(checkpoint.contents);
        self.newest.push_front(checkpoint.clone());
        self.newest.truncate(REMEMBERED);
        Some(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(subtask: u32, begun: u64, closed: u64, durable: u64) -> Ack {
        Ack {
            subtask: SubtaskIndex(subtask),
            checkpoint: CheckpointId(1),
            next_offsets: Vec::new(),
            files: Vec::new(),
            watermark: crate::runtime::watermark::Watermark::Unknown,
            times: AckTimes {
                begun: Duration::from_millis(begun),
                closed: Duration::from_millis(closed),
                durable: Duration::from_millis(durable),
            },
        }
    }

    #[test]
    fn each_phase_ends_with_the_last_subtask() {
        let (ms, wall) = (Duration::from_millis, EpochMillis);
        let mut checkpoints = Checkpoints::default();
        checkpoints.begin(CheckpointId(1), wall(100), ms(10));
        checkpoints.ack(&ack(0, 12, 15, 40), wall(140), ms(45));
        checkpoints.ack(&ack(1, 18, 20, 30), wall(150), ms(47));
        checkpoints.is_late();
        checkpoints.is_late();
        checkpoints.confirmed(true, ms(60));
        let done = checkpoints.complete(wall(200), ms(75)).unwrap();
        let phases = Phases {
            barrier: ms(10),
            upload: ms(20),
            commit_log: ms(7),
            slot: ms(13),
            finalize: ms(15),
        };
        assert_eq!(done.phases, phases);
        assert_eq!(phases.total(), ms(65));
        let apart = done.acks.iter().map(|ack| (ack.sync, ack.asynchronous));
        assert!(apart.eq([(ms(3), ms(30)), (ms(2), ms(27))]));
        assert_eq!((checkpoints.completed, checkpoints.late), (1, 1));
        for ((_, timings), ms) in checkpoints
            .durations
            .named()
            .into_iter()
            .zip([10, 20, 7, 13, 15])
        {
            assert_eq!(timings.count(), 1);
            assert!((timings.seconds() * 1e3 - f64::from(ms)).abs() < 1e-6);
        }
        assert!(done.is_savepoint && checkpoints.in_progress.is_none());
    }

    #[test]
    fn no_more_are_remembered_than_a_page_can_show() {
        let mut checkpoints = Checkpoints::default();
        for id in 0..300 {
            checkpoints.begin(CheckpointId(id), EpochMillis(0), Duration::ZERO);
            checkpoints.complete(EpochMillis(0), Duration::ZERO);
        }
        assert_eq!(checkpoints.newest.len(), REMEMBERED);
        assert_eq!(checkpoints.newest[0].id, CheckpointId(299));
        assert_eq!(checkpoints.completed, 300);
    }
}
