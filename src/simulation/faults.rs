//! The mixes of faults that schedules have.

use fastrand::Rng;

use super::store::Fate;

/// Which faults a schedule has.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Requests fail, answers are lost, requests that were given up arrive, puts are refused for
    /// nothing.
    pub store: bool,
    /// Processes die and are started again.
    pub crashes: bool,
    /// Partitions are added, and the wall clock jumps by an hour.
    pub changes: bool,
    /// Further processes are started beside, and processes are paused.
    pub rivals: bool,
    /// Logs are damaged while nothing runs, and mended after a start has refused them.
    pub damage: bool,
    /// The store loses what it was asked to complete.
    pub losses: bool,
}

impl Faults {
    pub const NONE: Self = Self {
        store: false,
        crashes: false,
        changes: false,
        rivals: false,
        damage: false,
        losses: false,
    };
    pub const STORE: Self = Self {
        store: true,
        ..Self::NONE
    };
    pub const CRASHES: Self = Self {
        crashes: true,
        changes: true,
        ..Self::STORE
    };
    pub const RIVALS: Self = Self {
        rivals: true,
        ..Self::CRASHES
    };
    pub const DAMAGE: Self = Self {
        damage: true,
        ..Self::CRASHES
    };
    pub const LOSSES: Self = Self {
        losses: true,
        ..Self::RIVALS
    };
    pub const ALL: Self = Self {
        damage: true,
        ..Self::LOSSES
    };

    /// What becomes of a request.
    pub fn fate(self, rng: &mut Rng) -> Fate {
        match rng.u32(..20) {
            0 | 1 if self.store => Fate::AnswerLost,
            2 | 3 if self.store => Fate::Failed,
            4 if self.store => Fate::GivenUp,
            5 if self.store => Fate::Refused,
            _ => Fate::Answered,
        }
    }
}
