//! What can be asked of the job: stop, cancel, resume, checkpoints and savepoints now.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::lifecycle::{Ask, may};
use super::{Live, Supervisor, commit_lines, savepoint};
use crate::checkpoint::coordinator::Request;
use crate::checkpoint::driver::Event;
use crate::config::location::Location;
use crate::ids::CheckpointId;
use crate::jobs::control::{
    CommitLogLine, Control, Operation, Refused, SavepointRequest, TriggerId,
};
use crate::jobs::lineage::Wish;
use crate::jobs::open;
use crate::jobs::view::{JobState, JobView};
use crate::runtime::retry::with_causes;

/// A checkpoint that somebody has asked for.
struct Asked {
    request: Request,
    then_stop: bool,
    /// Where a savepoint goes.
    target: Option<Location>,
}

#[async_trait]
impl Control for Arc<Supervisor> {
    fn view(&self) -> JobView {
        self.collect()
    }

    fn savepoint(&self, request: SavepointRequest) -> Result<TriggerId, Refused> {
        let target = match request.target {
            None => self.settings.savepoints.clone(),
            Some(target) => {
                let apart = self.settings.paths.apart_from("target-directory", &target);
                apart.map_err(|error| Refused::BadRequest(error.to_string()))?;
                target
            }
        };
        self.ask(Asked {
            request: Request::Savepoint,
            then_stop: request.then_stop,
            target: Some(target),
        })
    }

    fn checkpoint(&self) -> Result<TriggerId, Refused> {
        self.ask(Asked {
            request: Request::Checkpoint,
            then_stop: false,
            target: None,
        })
    }

    fn stop(&self) -> Result<(), Refused> {
        self.wish(Ask::Stop, Wish::Stop, JobState::Stopping)
    }

    fn cancel(&self) -> Result<(), Refused> {
        self.wish(Ask::Cancel, Wish::Cancel, JobState::Cancelling)
    }

    fn resume(&self) -> Result<(), Refused> {
        let mut state = self.lock();
        may(state.job, Ask::Resume)?;
        if *self.ending.borrow() {
            return Err(Refused::Ending);
        }
        self.renew(&mut state);
        self.resumed.notify_one();
        Ok(())
    }

    fn operation(&self, id: &TriggerId) -> Option<Operation> {
        self.operations.get(id)
    }

    async fn commit_log(&self, id: CheckpointId) -> Result<Vec<CommitLogLine>, String> {
        let stores = self.lock().stores.clone();
        let stores = stores.ok_or("the stores of the job are not open yet")?;
        let lines = commit_lines::read(&*stores.commit_log, &*stores.checkpoints, id).await;
        lines.map_err(|error| with_causes(&error))
    }
}

impl Supervisor {
    fn wish(&self, ask: Ask, wish: Wish, job: JobState) -> Result<(), Refused> {
        let mut state = self.lock();
        may(state.job, ask)?;
        self.enter(&mut state, job);
        state.wish.send_replace(wish);
        Ok(())
    }

    fn ask(self: &Arc<Self>, asked: Asked) -> Result<TriggerId, Refused> {
        let mut state = self.lock();
        may(state.job, Ask::Checkpoint)?;
        let id = self.operations.begin().ok_or(Refused::TooMany)?;
        let task = self.clone().take(id.clone(), state.live.clone(), asked);
        while state.copying.try_join_next().is_some() {}
        state.copying.spawn_on(task, &self.runtime);
        Ok(id)
    }

    /// Takes the checkpoint, and copies it if it is a savepoint. Where the job ends before it is
    /// complete, the operation fails with the job.
    async fn take(self: Arc<Self>, id: TriggerId, live: Arc<Live>, asked: Asked) {
        let target = match &asked.target {
            None => None,
            // First, so that a job is not stopped for a savepoint that has no place.
            Some(target) => {
                match open::objects(target, &self.settings.s3, &live.env.requests).await {
                    Ok(objects) => Some(objects),
                    Err(error) => {
                        let why = with_causes(&error);
                        return self
                            .failed(&id, format!("{target} cannot be used: {why}"))
                            .await;
                    }
                }
            }
        };
        let (complete, completed) = oneshot::channel();
        let event = Event::Requested {
            request: asked.request,
            then_stop: asked.then_stop,
            complete,
        };
        let events = live.started.get().and_then(|start| start.events.upgrade());
        // Unheard when the job has ended: then `completed` says so, too.
        let heard = events.is_some_and(|events| events.send(event).is_ok());
        if asked.then_stop && heard {
            let mut state = self.lock();
            if state.job == JobState::Running {
                self.enter(&mut state, JobState::Stopping);
            }
        }
        let Ok(slot) = completed.await else {
            let how = how_it_ended(&live).await;
            let cause = format!("the job ended before the checkpoint was complete: {how}");
            self.operations.end(&id, Operation::Failed { cause });
            return;
        };
        let how = match target {
            None => Operation::Checkpoint { id: slot.id },
            Some(target) => match savepoint::copy(&slot, &*target).await {
                Ok(location) => {
                    tracing::info!(checkpoint = slot.id.0, location, "savepoint complete");
                    {
                        let mut state = self.lock();
                        state.copies.insert(slot.id, location.clone());
                        self.note_checkpoints(&state, &live);
                    }
                    // Who asks for it is answered before that is written.
                    self.operations.end(&id, Operation::Savepoint { location });
                    return self.write_history().await;
                }
                Err(why) => {
                    let slot = slot.id.folder();
                    let kept = format!("its slot is kept, as {slot} of the checkpoint log");
                    return self
                        .failed(&id, format!("not copied ({kept}): {why}"))
                        .await;
                }
            },
        };
        self.operations.end(&id, how);
    }

    async fn failed(&self, id: &TriggerId, cause: String) {
        tracing::warn!(cause, "savepoint failed");
        let now = self.now();
        self.history
            .exception(now, "savepoint".into(), cause.clone());
        self.operations.end(id, Operation::Failed { cause });
        self.write_history().await;
    }
}

async fn how_it_ended(live: &Live) -> String {
    let mut ended = live.ended.subscribe();
    let how = ended.wait_for(Option::is_some).await;
    how.ok().and_then(|how| how.clone()).unwrap_or_default()
}
