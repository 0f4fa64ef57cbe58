//! The states of a job and of its tasks in Flink's words.

use serde_json::{Map, Value};

use crate::jobs::view::{JobState, JobView};

/// Flink shows a job that stops with a savepoint as running.
pub fn of_job(state: JobState) -> &'static str {
    match state {
        JobState::Created => "CREATED",
        JobState::Running | JobState::Stopping => "RUNNING",
        JobState::Cancelling => "CANCELLING",
        JobState::Finished => "FINISHED",
        JobState::Canceled => "CANCELED",
        JobState::Failed => "FAILED",
    }
}

/// All subtasks are in the same state, since one that fails ends all.
pub fn of_tasks(state: JobState) -> &'static str {
    match state {
        JobState::Cancelling => "CANCELING",
        other => of_job(other),
    }
}

const OF_TASKS: [&str; 10] = [
    "CREATED",
    "SCHEDULED",
    "DEPLOYING",
    "INITIALIZING",
    "RUNNING",
    "FINISHED",
    "CANCELING",
    "CANCELED",
    "FAILED",
    "RECONCILING",
];

/// How many tasks are in each state.
pub fn task_counts(state: JobState, tasks: impl Into<Value>) -> Map<String, Value> {
    let now = of_tasks(state);
    let tasks: Value = tasks.into();
    let count = |name| if name == now { tasks.clone() } else { 0.into() };
    OF_TASKS
        .iter()
        .map(|name| ((*name).to_owned(), count(*name)))
        .collect()
}

/// When this start of the job entered a state.
pub fn entered(view: &JobView, state: JobState) -> Option<i64> {
    let at = view.entered.get(&state).copied();
    at.filter(|at| *at >= view.started_at)
}

/// When it began to consume, or -1.
pub fn running_since(view: &JobView) -> i64 {
    entered(view, JobState::Running).unwrap_or(-1)
}

pub fn end_time(view: &JobView) -> i64 {
    view.ended_at
        .filter(|_| view.state.is_terminal())
        .unwrap_or(-1)
}

/// From `since` to the end of the job or to now.
pub fn duration(view: &JobView, since: i64) -> i64 {
    let end = match end_time(view) {
        -1 => view.now,
        end => end,
    };
    (end - since).max(0)
}

/// Those that have a name of their own in Flink.
const STATES: [JobState; 6] = [
    JobState::Created,
    JobState::Running,
    JobState::Cancelling,
    JobState::Finished,
    JobState::Canceled,
    JobState::Failed,
];

/// When the job entered each state; 0: not yet.
pub fn job_times(view: &JobView) -> Map<String, Value> {
    let mut times = Map::new();
    for never in ["SUSPENDED", "RESTARTING", "RECONCILING", "FAILING"] {
        times.insert(never.to_owned(), 0.into());
    }
    times.insert("INITIALIZING".to_owned(), view.started_at.into());
    for state in STATES {
        let at = entered(view, state).unwrap_or(0);
        times.insert(of_job(state).to_owned(), at.into());
    }
    times
}

/// Likewise of each of its tasks.
pub fn task_times(view: &JobView) -> Map<String, Value> {
    let at = |name: &str| {
        let state = STATES.iter().find(|state| of_tasks(**state) == name);
        state.and_then(|state| entered(view, *state)).unwrap_or(0)
    };
    OF_TASKS
        .iter()
        .map(|name| ((*name).to_owned(), at(name).into()))
        .collect()
}

/// How long the tasks were in the states before their end; those that there are none of took no time.
pub fn task_durations(view: &JobView) -> [(&'static str, i64); 5] {
    let running = entered(view, JobState::Running);
    let created = entered(view, JobState::Created).map_or(0, |created| match running {
        Some(running) => (running - created).max(0),
        None => duration(view, created),
    });
    [
        ("CREATED", created),
        ("SCHEDULED", 0),
        ("DEPLOYING", 0),
        ("INITIALIZING", 0),
        (
            "RUNNING",
            running.map_or(0, |running| duration(view, running)),
        ),
    ]
}
