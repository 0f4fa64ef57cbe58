//! The view of the job at one moment, put together from what its parts publish.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::{Live, State, Supervisor};
use crate::checkpoint::coordinator::Rhythm;
use crate::ids::Generation;
use crate::jobs::history::History;
use crate::jobs::view::{
    AckView, CheckpointState, CheckpointView, CheckpointsView, DroppedSample, DroppedView, JobView,
    MemoryView, PhasesView, RestoredView, RhythmView, SplitView, StoreView, SubtaskView,
    TroubleView,
};
use crate::runtime::progress::checkpoints::{Checkpoint, Phases};
use crate::runtime::progress::subtask::{Spent, SubtaskProgress};
use crate::store::Key;

/// Complete checkpoints that are shown.
pub const HISTORY: usize = 100;

impl Supervisor {
    pub(super) fn collect(&self) -> JobView {
        let state = self.lock();
        let live = &state.live;
        let started = live.started.get();
        let settings = &self.settings;
        JobView {
            now: self.now(),
            job: state.id.clone(),
            name: format!("lineage: {} → {}", settings.topics, settings.paths.output),
            state: state.job,
            entered: state.entered.clone(),
            started_at: state.started_at,
            ended_at: state.ended_at,
            generation: started.map(|start| start.generation),
            identity: started.map(|start| start.identity.clone()),
            topic: settings.topics.to_string(),
            parallelism: settings.parallelism,
            settings: self.shown.clone(),
            rhythm: rhythm(&settings.rhythm),
            subtasks: subtasks(live),
            splits: splits(live, settings.parallelism),
            checkpoints: checkpoints(&state, &self.history),
            dropped: dropped(live),
            troubles: if state.job.is_terminal() {
                BTreeMap::new()
            } else {
                self.troubles(live)
            },
            exceptions: self.history.exceptions(),
            starts: self.history.starts(),
            memory: self.memory(live),
            store: self.store(live),
        }
    }

    fn troubles(&self, live: &Live) -> BTreeMap<String, TroubleView> {
        let (wall, monotonic) = (self.now(), self.clock.monotonic());
        let troubles = live.env.patience.health.troubles().into_iter();
        let view = troubles.map(|(concern, trouble)| {
            let since = wall - ms(monotonic.saturating_sub(trouble.since)).cast_signed();
            let message = trouble.message;
            (concern, TroubleView { since, message })
        });
        view.collect()
    }

    fn store(&self, live: &Live) -> StoreView {
        let started = live.started.get();
        StoreView {
            retries: live.env.patience.health.retries(),
            orphans_aborted: started.map_or(0, |start| start.orphans_aborted),
            s3: live.env.requests.by_method(),
        }
    }

    fn memory(&self, live: &Live) -> MemoryView {
        let usage = live.env.budget.usage();
        MemoryView {
            budget: self.settings.memory_budget() as u64,
            queues: self.settings.queue_memory() as u64,
            open_files: usage.open_files as u64,
            in_flight: usage.in_flight as u64,
        }
    }
}

/// Complete checkpoints of a run, the newest first.
pub fn completed(state: &State, run: &Live, generation: Generation) -> Vec<CheckpointView> {
    let newest = run.env.progress.checkpoints().newest.clone();
    let views = newest.iter().map(|of| checkpoint(of, generation, state));
    views.collect()
}

/// Names the copy of each savepoint that has one. It may be there only after the savepoint's run has ended,
/// and another one has begun.
pub fn name_copies(history: &mut [CheckpointView], state: &State) {
    for checkpoint in history {
        if let Some(copy) = state.copies.get(&checkpoint.id) {
            checkpoint.location = Some(copy.clone());
        }
    }
}

fn checkpoints(state: &State, kept: &History) -> CheckpointsView {
    let started = state.live.started.get();
    let (in_progress, completed_count, late, durations) = {
        let progress = state.live.env.progress.checkpoints();
        (
            progress.in_progress.clone(),
            progress.completed,
            progress.late,
            progress.durations.clone(),
        )
    };
    let mut history = Vec::new();
    if let Some(start) = started {
        // One that was under way when the job ended is none.
        let now = in_progress.filter(|_| !state.job.is_terminal());
        history.extend(now.map(|now| checkpoint(&now, start.generation, state)));
        history.extend(completed(state, &state.live, start.generation));
    }
    // Of one that several know, the first of them knows most.
    let kept = state.id.as_ref().map(|job| kept.checkpoints(job));
    for earlier in [kept.as_deref().unwrap_or_default(), &state.of_the_log] {
        let known: BTreeSet<_> = history.iter().map(|checkpoint| checkpoint.id).collect();
        let new = earlier.iter().filter(|c| !known.contains(&c.id));
        history.extend(new.cloned());
    }
    history.sort_by_key(|checkpoint| Reverse(checkpoint.id));
    history.truncate(HISTORY);
    name_copies(&mut history, state);
    let restored = started.and_then(|start| {
        let restored = start.restored.clone()?;
        Some(RestoredView {
            id: restored.id,
            restored_at: start.at,
            is_savepoint: restored.is_savepoint,
            location: restored.url,
        })
    });
    CheckpointsView {
        completed: completed_count,
        late,
        durations,
        history,
        restored,
    }
}

fn checkpoint(of: &Checkpoint, generation: Generation, state: &State) -> CheckpointView {
    let complete = of.completed_at.is_some();
    let stores = state.stores.as_ref().filter(|_| complete);
    let acks = of.acks.iter().map(|ack| AckView {
        subtask: ack.subtask,
        acked_at: ack.at.0,
        files: ack.contents.files,
        bytes: ack.contents.bytes,
        rows: ack.contents.rows + ack.contents.dropped,
        sync_ms: Some(ms(ack.sync)),
        async_ms: Some(ms(ack.asynchronous)),
    });
    CheckpointView {
        id: of.id,
        state: if complete {
            CheckpointState::Completed
        } else {
            CheckpointState::InProgress
        },
        generation,
        is_savepoint: of.is_savepoint,
        late: of.late,
        triggered_at: Some(of.triggered_at.0),
        completed_at: of.completed_at.map(|at| at.0),
        phases: complete.then(|| phases(of.phases)),
        files: of.contents.files,
        rows: of.contents.rows,
        dropped: of.contents.dropped,
        bytes: of.contents.bytes,
        acks: acks.collect(),
        location: stores.map(|stores| stores.checkpoints.url(&Key::new(of.id.folder()))),
    }
}

fn phases(phases: Phases) -> PhasesView {
    PhasesView {
        barrier: ms(phases.barrier),
        upload: ms(phases.upload),
        commit_log: ms(phases.commit_log),
        slot: ms(phases.slot),
        finalize: ms(phases.finalize),
    }
}

fn rhythm(rhythm: &Rhythm) -> RhythmView {
    RhythmView {
        interval_ms: ms(rhythm.interval),
        min_pause_ms: ms(rhythm.min_pause),
        timeout_ms: ms(rhythm.timeout),
        retained: rhythm.retained,
    }
}

fn subtasks(live: &Live) -> Vec<SubtaskView> {
    let subtasks = live.env.progress.subtasks().iter();
    let view = |(index, of): (u32, &SubtaskProgress)| SubtaskView {
        index,
        records_in: of.records_in(),
        bytes_in: of.bytes_in(),
        rows_out: of.rows_out(),
        rows_dropped: of.rows_dropped(),
        bytes_out: of.bytes_out(),
        open_files: of.open_files(),
        queued: of.queued(),
        busy_ms: of.spent_ms(Spent::Working),
        idle_ms: of.spent_ms(Spent::Idle),
        backpressured_ms: of.spent_ms(Spent::Backpressured),
    };
    (0..).zip(subtasks).map(view).collect()
}

fn splits(live: &Live, parallelism: u32) -> Vec<SplitView> {
    let progress = &live.env.progress;
    let committed = progress.committed_offsets();
    let positions = progress
        .subtasks()
        .iter()
        .flat_map(SubtaskProgress::positions);
    let mut positions: HashMap<_, _> = positions.map(|p| (p.split.clone(), p)).collect();
    let durable = progress.durable_offsets();
    let views = durable.iter().map(|(split, &durable)| {
        let position = positions.remove(split);
        SplitView {
            split: split.clone(),
            subtask: split.subtask(parallelism),
            consumed: position.as_ref().map_or(durable, |p| p.consumed),
            durable,
            committed: committed.as_ref().and_then(|c| c.get(split).copied()),
            end: position.and_then(|p| p.end),
        }
    });
    views.collect()
}

fn dropped(live: &Live) -> DroppedView {
    let kinds = live.env.progress.dropped.kinds();
    let samples = kinds.values().map(|kind| {
        let sample = &kind.newest;
        let hex = sample.value.iter().map(|byte| format!("{byte:02x}"));
        DroppedSample {
            split: sample.split.clone(),
            offset: sample.offset,
            reason: sample.reason.clone(),
            value_hex: hex.collect(),
        }
    });
    DroppedView {
        samples: samples.collect(),
        by_reason: kinds.into_iter().map(|(kind, k)| (kind, k.count)).collect(),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
