//! A vertex, its subtasks, and where they run: all of them in this process.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::path::{Job, OneSubtask, OneVertex};
use super::state;
use super::vertex::{Vertex, Work, aggregated, io_metrics};
use crate::digest::sha256_hex;
use crate::jobs::view::JobView;
use crate::rest::answer::{self, Answer, Refusal};
use crate::rest::sampler::SubtaskRates;

/// As Flink calls it: above a tenth it is low, above a half high.
const LOW: f64 = 0.1;
const HIGH: f64 = 0.5;

/// How many starts of the job came before: to clients, each start is an attempt.
fn attempt_of(view: &JobView) -> u64 {
    view.generation.map_or(0, |generation| generation.0 - 1)
}

pub async fn detail(OneVertex { job, vertex }: OneVertex) -> Result<Response, Refusal> {
    let view = &job.view;
    let work = vertex.work(view);
    let subtasks = (0..)
        .zip(&work)
        .map(|(index, work)| one_subtask(&job, index, work));
    answer::ok(json!({
        "id": vertex.id(&job.id),
        "name": vertex.name(&view.topic),
        "parallelism": vertex.parallelism(view),
        "maxParallelism": super::job::MAX_PARALLELISM,
        "now": view.now,
        "subtasks": subtasks.collect::<Vec<_>>(),
        "aggregated": aggregated(&work, &state::task_durations(view)),
    }))
}

pub async fn subtask(one: OneSubtask) -> Result<Response, Refusal> {
    let work = one.vertex.work(&one.job.view);
    answer::ok(one_subtask(&one.job, one.index, &work[one.index as usize]))
}

pub async fn attempt(one: OneSubtask) -> Result<Response, Refusal> {
    known_attempt(&one.job)?;
    subtask(one).await
}

fn known_attempt(job: &Job) -> Result<u64, Refusal> {
    let asked = job.param("attempt");
    let number: u64 = asked
        .parse()
        .map_err(|_| Refusal::malformed("attempt", asked))?;
    let now = attempt_of(&job.view);
    if number != now {
        return Err(Refusal::not_found(format!(
            "Could not find execution attempt {number}: it runs attempt {now}"
        )));
    }
    Ok(number)
}

fn one_subtask(job: &Job, index: u32, work: &Work) -> Value {
    let view = &job.view;
    let start = state::running_since(view);
    let durations = state::task_durations(view).into_iter();
    let durations = durations.map(|(name, ms)| (name.to_owned(), ms.into()));
    json!({
        "subtask": index,
        "status": state::of_tasks(view.state),
        "attempt": attempt_of(view),
        "host": job.app.here.host,
        "endpoint": job.app.here.endpoint(),
        "start-time": start,
        "start_time": start,
        "end-time": state::end_time(view),
        "duration": if start < 0 { -1 } else { state::duration(view, start) },
        "metrics": io_metrics(std::slice::from_ref(work)),
        "taskmanager-id": job.app.here.task_manager,
        "status-duration": durations.collect::<Map<_, _>>(),
    })
}

pub async fn subtask_times(OneVertex { job, vertex }: OneVertex) -> Answer {
    let view = &job.view;
    let times = state::task_times(view);
    let subtasks = (0..vertex.parallelism(view)).map(|index| {
        json!({
            "subtask": index,
            "host": job.app.here.host,
            "endpoint": job.app.here.endpoint(),
            "duration": state::duration(view, view.started_at),
            "timestamps": times,
        })
    });
    answer::ok(json!({
        "id": vertex.id(&job.id),
        "name": vertex.name(&view.topic),
        "now": view.now,
        "subtasks": subtasks.collect::<Vec<_>>(),
    }))
}

pub async fn task_managers(OneVertex { job, vertex }: OneVertex) -> Result<Response, Refusal> {
    let view = &job.view;
    let work = vertex.work(view);
    let start = state::running_since(view);
    let endpoint = job.app.here.endpoint();
    answer::ok(json!({
        "id": vertex.id(&job.id),
        "name": vertex.name(&view.topic),
        "now": view.now,
        "taskmanagers": [{
            "host": endpoint,
            "endpoint": endpoint,
            "status": state::of_tasks(view.state),
            "start-time": start,
            "end-time": state::end_time(view),
            "duration": if start < 0 { -1 } else { state::duration(view, start) },
            "metrics": io_metrics(&work),
            "status-counts": state::task_counts(view.state, vertex.parallelism(view)),
            "taskmanager-id": job.app.here.task_manager,
            "aggregated": aggregated(&work, &state::task_durations(view)),
        }],
    }))
}

/// There is no event time.
pub async fn watermarks(_: OneVertex) -> Answer {
    answer::ok(json!([]))
}

pub async fn operator_metrics(_: OneVertex) -> Answer {
    answer::ok(json!([]))
}

/// What Flink answers where flame graphs are switched off, as they are by default.
pub async fn flame_graph(_: OneVertex) -> Answer {
    answer::ok(json!({ "endTimestamp": -3 }))
}

pub async fn back_pressure(OneVertex { job, vertex }: OneVertex) -> Answer {
    let rates = match vertex {
        Vertex::Source | Vertex::Writer => job.app.sampler.rates(),
        Vertex::Committer => None,
    };
    let Some(rates) = rates.filter(|rates| !rates.is_empty()) else {
        // What Flink says while there are no numbers.
        return answer::ok(json!({
            "status": "deprecated",
            "backpressureLevel": null,
            "backpressure-level": null,
            "end-timestamp": null,
            "subtasks": null,
        }));
    };
    let worst = rates.iter().map(|rates| ratio(rates.backpressured));
    let worst = level(worst.fold(0.0, f64::max));
    let subtasks = (0..)
        .zip(&rates)
        .map(|(index, rates)| pressed(index, rates));
    answer::ok(json!({
        "status": "ok",
        "backpressureLevel": worst,
        "backpressure-level": worst,
        "end-timestamp": job.view.now,
        "subtasks": subtasks.collect::<Vec<_>>(),
    }))
}

fn pressed(index: u32, rates: &SubtaskRates) -> Value {
    let backpressured = ratio(rates.backpressured);
    json!({
        "subtask": index,
        "backpressureLevel": level(backpressured),
        "backpressure-level": level(backpressured),
        "ratio": backpressured,
        "idleRatio": ratio(rates.idle),
        "busyRatio": ratio(rates.busy),
    })
}

/// Of milliseconds in a second, to three places.
fn ratio(ms_per_second: f64) -> f64 {
    ms_per_second.round() / 1000.0
}

fn level(ratio: f64) -> &'static str {
    if ratio <= LOW {
        "ok"
    } else if ratio <= HIGH {
        "low"
    } else {
        "high"
    }
}

pub async fn accumulators(OneVertex { job, vertex }: OneVertex) -> Answer {
    answer::ok(json!({"id": vertex.id(&job.id), "user-accumulators": []}))
}

pub async fn subtasks_accumulators(OneVertex { job, vertex }: OneVertex) -> Answer {
    let subtasks = (0..vertex.parallelism(&job.view)).map(|index| {
        json!({
            "subtask": index,
            "attempt": attempt_of(&job.view),
            "host": job.app.here.host,
            "endpoint": job.app.here.endpoint(),
            "user-accumulators": [],
        })
    });
    answer::ok(json!({
        "id": vertex.id(&job.id),
        "parallelism": vertex.parallelism(&job.view),
        "subtasks": subtasks.collect::<Vec<_>>(),
    }))
}

pub async fn attempt_accumulators(one: OneSubtask) -> Answer {
    let attempt = known_attempt(&one.job)?;
    let vertex = one.vertex.id(&one.job.id);
    // Of the form of Flink's: execution graph, vertex, subtask, attempt.
    let graph = &sha256_hex(&format!("{} {attempt}", one.job.id))[..32];
    answer::ok(json!({
        "subtask": one.index,
        "attempt": attempt,
        "id": format!("{graph}_{vertex}_{}_{attempt}", one.index),
        "user-accumulators": [],
    }))
}
