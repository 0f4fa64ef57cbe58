//! What may be asked of a job in each state of its lifecycle.

use crate::jobs::control::Refused;
use crate::jobs::view::JobState;

/// For people, in a sentence: the job is …
pub fn word(job: JobState) -> &'static str {
    match job {
        JobState::Created => "being started",
        JobState::Running => "running",
        JobState::Stopping => "stopping",
        JobState::Cancelling => "being canceled",
        JobState::Finished => "finished",
        JobState::Canceled => "canceled",
        JobState::Failed => "failed",
    }
}

/// What may be asked of a job in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Checkpoint,
    Stop,
    Cancel,
    Resume,
}

pub fn may(job: JobState, ask: Ask) -> Result<(), Refused> {
    use JobState::{Canceled, Cancelling, Created, Finished, Running, Stopping};
    match (ask, job) {
        (Ask::Checkpoint, Running)
        | (Ask::Stop, Created | Running)
        | (Ask::Cancel, Created | Running | Stopping)
        | (Ask::Resume, Finished | Canceled) => Ok(()),
        (Ask::Stop, Stopping | Finished)
        | (Ask::Cancel, Cancelling | Canceled)
        | (Ask::Resume, Created | Running) => Err(Refused::Already(word(job))),
        _ => Err(Refused::NotRunning(word(job))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_what_can_still_be_done() {
        use JobState::{Canceled, Cancelling, Created, Failed, Finished, Running, Stopping};
        let all = [
            Created, Running, Stopping, Cancelling, Finished, Canceled, Failed,
        ];
        let allowing = |ask| {
            let allowed = all.into_iter().filter(|job| may(*job, ask).is_ok());
            allowed.collect::<Vec<_>>()
        };
        assert_eq!(allowing(Ask::Checkpoint), [Running]);
        assert_eq!(allowing(Ask::Stop), [Created, Running]);
        assert_eq!(allowing(Ask::Cancel), [Created, Running, Stopping]);
        assert_eq!(allowing(Ask::Resume), [Finished, Canceled]);
    }
}
