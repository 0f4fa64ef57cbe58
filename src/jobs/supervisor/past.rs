//! Complete checkpoints of earlier starts: with all that the history tells of them, and else as the
//! checkpoint log has them. Beside the job, and for people only.

use std::time::Duration;

use futures::stream::{self, StreamExt};

use super::collect::{self, HISTORY};
use super::{Live, State, Supervisor};
use crate::checkpoint::slot::{Slot, SlotKind};
use crate::ids::CheckpointId;
use crate::jobs::view::{CheckpointState, CheckpointView};
use crate::runtime::progress::checkpoints::Contents;
use crate::store::{Key, Objects, StoreError};

/// Slots that are read at once.
const CONCURRENCY: usize = 8;
/// Before the log is read again, when that has failed.
const PAUSE: Duration = Duration::from_secs(5);
/// A process that is killed takes with it how the checkpoints of so long went.
const KEPT_EVERY: Duration = Duration::from_secs(60);

impl Supervisor {
    /// Reads what is there up to the start record `newest`.
    pub(super) async fn read_the_log(&self, newest: CheckpointId) {
        let stores = self.lock().stores.clone();
        let Some(stores) = stores.filter(|_| self.lock().of_the_log.is_empty()) else {
            return;
        };
        loop {
            match read(&*stores.checkpoints, newest).await {
                Ok(checkpoints) => {
                    self.lock().of_the_log = checkpoints;
                    return;
                }
                // Who waits for the store is said elsewhere.
                Err(error) => tracing::debug!(%error, "earlier checkpoints are not known"),
            }
            self.clock.sleep(PAUSE).await;
            if self.lock().job.is_terminal() {
                return;
            }
        }
    }

    /// For the next process, until this run ends; how it went last is written with its end.
    pub(super) async fn keep_checkpoints(&self, live: &Live) {
        let mut ended = live.ended.subscribe();
        let mut kept = 0;
        loop {
            tokio::select! {
                _ = ended.wait_for(Option::is_some) => return,
                () = self.clock.sleep(KEPT_EVERY) => {}
            }
            let completed = live.env.progress.checkpoints().completed;
            if completed != kept {
                kept = completed;
                self.note_checkpoints(&self.lock(), live);
                self.history.write().await;
            }
        }
    }

    /// Gives the history what is to be written next of a run.
    pub(super) fn note_checkpoints(&self, state: &State, run: &Live) {
        if let Some(start) = run.started.get() {
            let mut completed = collect::completed(state, run, start.generation);
            collect::name_copies(&mut completed, state);
            self.history.completed(start.generation, completed);
        }
    }
}

/// The newest first. Slots that cannot be read, or are pruned meanwhile, are left out.
async fn read(log: &dyn Objects, newest: CheckpointId) -> Result<Vec<CheckpointView>, StoreError> {
    let names = log.list("", "chk-").await?;
    let ids = names
        .iter()
        .filter_map(|name| CheckpointId::from_folder(name));
    let mut ids: Vec<_> = ids.filter(|id| *id <= newest).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.truncate(HISTORY);
    let slots = stream::iter(ids).map(|id| read_one(log, id));
    let slots: Vec<_> = slots.buffered(CONCURRENCY).collect().await;
    Ok(slots.into_iter().flatten().collect())
}

async fn read_one(log: &dyn Objects, id: CheckpointId) -> Option<CheckpointView> {
    let key = Slot::key(id);
    let slot = Slot::from_bytes(id, &log.get(&key).await.ok()?).ok()?;
    let contents = Contents::of(&slot.pending);
    (slot.kind == SlotKind::Checkpoint).then(|| CheckpointView {
        id,
        state: CheckpointState::Completed,
        generation: slot.generation,
        is_savepoint: slot.is_savepoint(),
        late: false,
        triggered_at: None,
        completed_at: Some(slot.written_at),
        phases: None,
        files: contents.files,
        rows: contents.rows,
        dropped: contents.dropped,
        bytes: contents.bytes,
        acks: Vec::new(),
        location: Some(log.url(&Key::new(id.folder()))),
    })
}
