//! What stays of a job's starts, and of how their checkpoints went, when their processes are gone:
//! `history/generation-000007.json` below the checkpoint log, one object for each generation.
//!
//! For people only, and no part of the protocol: nothing reads it to decide anything, and a failure to
//! write it is tried again with the next write and harms nobody. A start that was refused before it
//! had a generation is noted under the one that it has tried to take; the start that takes it carries
//! its causes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::view::{CheckpointView, ExceptionView, StartView};
use crate::ids::{Generation, JobId};
use crate::runtime::progress::checkpoints::REMEMBERED;
use crate::runtime::retry::with_causes;
use crate::store::{Key, Objects, StoreError};

const FOLDER: &str = "history";
/// Starts that are shown.
const READ: usize = 20;
/// Starts that are kept in the store.
const KEPT: usize = 100;
/// Exceptions of one start that are kept: its first and its last ones tell most.
const MOST_EXCEPTIONS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    pub at: i64,
    pub concern: String,
    pub message: String,
}

/// One start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Record {
    /// `None` until it has one, or has tried to take one: then it is not written.
    generation: Option<Generation>,
    job: Option<JobId>,
    started_at: i64,
    ended_at: Option<i64>,
    ended: Option<String>,
    exceptions: Vec<Exception>,
    /// Its newest complete ones, the newest first.
    #[serde(default, deserialize_with = "those_that_are_known")]
    checkpoints: Vec<CheckpointView>,
}

#[derive(Default)]
struct State {
    objects: Option<Arc<dyn Objects>>,
    /// The start of this process that is under way, or was last.
    current: Record,
    /// By generation: what earlier starts have left, of this process and of others.
    past: BTreeMap<Generation, Record>,
    was_read: bool,
}

#[derive(Default)]
pub struct History {
    state: Mutex<State>,
    /// One write after the other, so that the last one says most.
    writing: tokio::sync::Mutex<()>,
}

impl History {
    /// A start begins; the one before it is history.
    pub fn begin(&self, now: i64) {
        let mut state = self.lock();
        let current = Record {
            started_at: now,
            ..Record::default()
        };
        let before = std::mem::replace(&mut state.current, current);
        state.remember(before);
    }

    /// Where it is kept, below the root of the checkpoint log.
    pub fn open(&self, objects: Arc<dyn Objects>) {
        self.lock().objects = Some(objects);
    }

    pub fn started(&self, generation: Generation, job: JobId) {
        let mut state = self.lock();
        state.current.generation = Some(generation);
        state.current.job = Some(job);
    }

    /// The start has failed before it had a generation, and tried to take this one.
    pub fn tried(&self, generation: Generation) {
        self.lock().current.generation.get_or_insert(generation);
    }

    pub fn exception(&self, at: i64, concern: String, message: String) {
        let exceptions = &mut self.lock().current.exceptions;
        if exceptions.len() == MOST_EXCEPTIONS {
            exceptions.remove(MOST_EXCEPTIONS / 2);
        }
        exceptions.push(Exception {
            at,
            concern,
            message,
        });
    }

    /// What this start has completed, the newest first.
    pub fn completed(&self, generation: Generation, checkpoints: Vec<CheckpointView>) {
        let current = &mut self.lock().current;
        if current.generation == Some(generation) {
            current.checkpoints = checkpoints;
        }
    }

    /// Complete checkpoints of all starts of a job, as far as they are known, the newest first.
    pub fn checkpoints(&self, job: &JobId) -> Vec<CheckpointView> {
        let state = self.lock();
        let of_the_job = state.newest_first().filter(|r| r.job.as_ref() == Some(job));
        let checkpoints = of_the_job.flat_map(|record| &record.checkpoints);
        checkpoints.take(REMEMBERED).cloned().collect()
    }

    pub fn ended(&self, at: i64, how: String) {
        let current = &mut self.lock().current;
        current.ended_at = Some(at);
        current.ended = Some(how);
    }

    /// Reads what is there, the first time, and writes what is known now.
    pub async fn write(&self) {
        let _turn = self.writing.lock().await;
        if let Err(error) = self.try_write().await {
            tracing::debug!(error = with_causes(&error), "the history is not written");
        }
    }

    async fn try_write(&self) -> Result<(), StoreError> {
        let Some(objects) = self.lock().objects.clone() else {
            return Ok(());
        };
        if !self.lock().was_read {
            let past = read(&*objects).await?;
            let mut state = self.lock();
            for (generation, record) in past {
                if !state.past.contains_key(&generation) {
                    state.remember(record);
                }
            }
            state.was_read = true;
        }
        let Some((generation, record)) = self.lock().take_over() else {
            return Ok(());
        };
        let body = serde_json::to_vec(&record).unwrap_or_default();
        objects.put(&key(generation), Bytes::from(body)).await
    }

    /// Starts, the newest first.
    pub fn starts(&self) -> Vec<StartView> {
        let state = self.lock();
        state
            .newest_first()
            .filter_map(Record::view)
            .take(READ)
            .collect()
    }

    /// Exceptions of all starts, the newest first.
    pub fn exceptions(&self) -> Vec<ExceptionView> {
        let state = self.lock();
        let mut all = Vec::new();
        for record in state.past.values().chain([&state.current]) {
            all.extend(record.exceptions.iter().map(|exception| ExceptionView {
                at: exception.at,
                generation: record.generation,
                concern: exception.concern.clone(),
                message: exception.message.clone(),
            }));
        }
        all.sort_by_key(|exception| std::cmp::Reverse(exception.at));
        all.truncate(KEPT);
        all
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole enough after every statement above, also if a thread died in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn newest_first(&self) -> impl Iterator<Item = &Record> {
        [&self.current].into_iter().chain(self.past.values().rev())
    }

    /// No more than is shown.
    fn remember(&mut self, record: Record) {
        let Some(generation) = record.generation else {
            return;
        };
        self.past.insert(generation, record);
        while self.past.len() > READ {
            self.past.pop_first();
        }
    }

    /// The record to be written. A start that has failed on the way to the same generation gives its
    /// exceptions to it.
    fn take_over(&mut self) -> Option<(Generation, Record)> {
        let generation = self.current.generation?;
        if let Some(failed) = self.past.remove(&generation) {
            let mut exceptions = failed.exceptions;
            exceptions.append(&mut self.current.exceptions);
            let surplus = exceptions.len().saturating_sub(MOST_EXCEPTIONS);
            self.current.exceptions = exceptions.split_off(surplus);
        }
        Some((generation, self.current.clone()))
    }
}

impl Record {
    fn view(&self) -> Option<StartView> {
        Some(StartView {
            generation: self.generation?,
            started_at: self.started_at,
            ended_at: self.ended_at,
            ended: self.ended.clone(),
        })
    }
}

/// Passes over what another version has written otherwise: the rest of the record is still good.
fn those_that_are_known<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<CheckpointView>, D::Error> {
    let all = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let known = all.into_iter().map(serde_json::from_value);
    Ok(known.filter_map(Result::ok).collect())
}

fn key(generation: Generation) -> Key {
    Key::new(format!("{FOLDER}/generation-{:06}.json", generation.0))
}

fn generation(name: &str) -> Option<Generation> {
    let number = name.strip_prefix("generation-")?.strip_suffix(".json")?;
    number.parse().ok().map(Generation)
}

/// The newest records; what is no record is passed over. Removes what is older than all that is kept.
async fn read(objects: &dyn Objects) -> Result<Vec<(Generation, Record)>, StoreError> {
    let names = objects.list(FOLDER, "generation-").await?;
    let mut generations: Vec<_> = names.iter().filter_map(|name| generation(name)).collect();
    generations.sort_unstable();
    let surplus = generations.len().saturating_sub(KEPT);
    for old in generations.drain(..surplus) {
        objects.delete(&key(old)).await?;
    }
    let mut records = Vec::new();
    for generation in generations.into_iter().rev().take(READ) {
        let body = match objects.get(&key(generation)).await {
            Err(StoreError::NotFound { .. }) => continue,
            body => body?,
        };
        match serde_json::from_slice::<Record>(&body) {
            Ok(record) if record.generation == Some(generation) => {
                records.push((generation, record));
            }
            _ => tracing::debug!(generation = generation.0, "no record of a start"),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CheckpointId;
    use crate::jobs::view::CheckpointState;
    use crate::store::local::LocalStore;

    fn history(folder: &tempfile::TempDir) -> History {
        let history = History::default();
        history.begin(100);
        history.open(Arc::new(LocalStore::open(folder.path()).unwrap()));
        history
    }

    fn ended(history: &History) -> Vec<(u64, Option<String>)> {
        let starts = history.starts().into_iter();
        starts.map(|s| (s.generation.0, s.ended)).collect()
    }

    #[tokio::test]
    async fn a_start_is_read_by_the_next_and_one_that_was_killed_has_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let first = history(&folder);
        first.started(Generation(1), JobId::random());
        first.write().await;

        let second = history(&folder);
        second.started(Generation(2), JobId::random());
        second.exception(200, "subtask 0".into(), "it broke".into());
        second.ended(201, "failed: it broke".into());
        second.write().await;

        let third = history(&folder);
        third.write().await;
        let failed = Some("failed: it broke".to_owned());
        assert_eq!(ended(&third), [(2, failed), (1, None)]);
        let exceptions = third.exceptions();
        assert_eq!(exceptions.len(), 1);
        assert_eq!(exceptions[0].generation, Some(Generation(2)));
    }

    #[tokio::test]
    async fn checkpoints_are_read_by_the_next_start_of_the_same_job() {
        let folder = tempfile::tempdir().unwrap();
        let job = JobId::random();
        for generation in [1, 2].map(Generation) {
            let history = history(&folder);
            history.started(generation, job.clone());
            history.completed(generation, vec![checkpoint(generation)]);
            history.write().await;
        }
        let next = history(&folder);
        next.write().await;
        let ids = |history: &History| -> Vec<_> {
            let found = history.checkpoints(&job).into_iter();
            found.map(|c| c.id.0).collect()
        };
        assert_eq!(ids(&next), [20, 10]);
        assert!(next.checkpoints(&JobId::random()).is_empty());

        // Of another version, with a field that is not known as such.
        let file = folder.path().join("history/generation-000002.json");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("COMPLETED", "PONDERED")).unwrap();
        let next = history(&folder);
        next.write().await;
        assert_eq!((ids(&next), next.starts().len()), (vec![10], 2));
    }

    fn checkpoint(generation: Generation) -> CheckpointView {
        CheckpointView {
            id: CheckpointId(10 * generation.0),
            state: CheckpointState::Completed,
            generation,
            is_savepoint: false,
            late: true,
            triggered_at: Some(1),
            completed_at: Some(2),
            phases: None,
            files: 0,
            rows: 0,
            dropped: 0,
            bytes: 0,
            acks: Vec::new(),
            location: None,
        }
    }

    #[tokio::test]
    async fn the_cause_of_a_refused_start_is_carried_on_by_who_takes_its_generation() {
        let folder = tempfile::tempdir().unwrap();
        for at in [1, 2] {
            let refused = history(&folder);
            refused.tried(Generation(5));
            refused.exception(at, "recovery".into(), format!("refused {at}"));
            refused.ended(at, "failed".into());
            refused.write().await;
        }
        let next = history(&folder);
        next.started(Generation(5), JobId::random());
        next.write().await;
        assert_eq!(ended(&next), [(5, None)]);
        let after = history(&folder);
        after.write().await;
        let messages: Vec<_> = after.exceptions().into_iter().map(|e| e.message).collect();
        assert_eq!(messages, ["refused 2", "refused 1"]);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_somebody_looks_at() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        for generation in 1..=KEPT as u64 + 5 {
            let body = Bytes::from("{}");
            store.put(&key(Generation(generation)), body).await.unwrap();
        }
        history(&folder).write().await;
        let names = store.list(FOLDER, "").await.unwrap();
        assert_eq!(names.len(), KEPT);
        assert!(!names.contains(&"generation-000005.json".to_owned()));
        assert!(history(&folder).starts().is_empty(), "none is a record");
    }
}
