//! Metrics by Flink's names: lists of names, values as text, or aggregates as numbers. Those that
//! nobody counts here are not in the lists.

use axum::extract::{Path, State};
use axum::response::Response;
use http::Uri;
use serde_json::{Map, Value, json};

use super::checkpoints::{duration, external_path};
use super::cluster::free_slots;
use super::path::{Job, OneSubtask, OneVertex, query};
use super::state;
use super::task_manager;
use super::vertex::{Vertex, metric_name};
use crate::jobs::view::{CheckpointState, JobState, JobView, SubtaskView};
use crate::rest::Shared;
use crate::rest::answer::{self, Answer, Refusal};
use crate::rest::sampler::SubtaskRates;

/// A name and its value.
type Metrics = Vec<(String, Number)>;

#[derive(Debug, Clone)]
enum Number {
    Whole(i64),
    Real(f64),
    Text(String),
}

impl Number {
    fn text(&self) -> String {
        match self {
            Self::Whole(value) => value.to_string(),
            Self::Real(value) => format!("{value:?}"),
            Self::Text(value) => value.clone(),
        }
    }

    fn real(&self) -> Option<f64> {
        match self {
            Self::Whole(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            Self::Text(_) => None,
        }
    }
}

fn whole(name: impl Into<String>, value: u64) -> (String, Number) {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    (name.into(), Number::Whole(value))
}

fn real(name: impl Into<String>, value: f64) -> (String, Number) {
    (name.into(), Number::Real(value))
}

/// The names; with `get=` those of the values that there are.
fn listed(metrics: &Metrics, uri: &Uri) -> Answer {
    let Some(wanted) = query(uri, "get") else {
        let names = metrics.iter().map(|(name, _)| json!({"id": name}));
        return answer::ok(names.collect::<Vec<_>>());
    };
    let found = wanted.iter().filter_map(|wanted| {
        let (name, value) = metrics.iter().find(|(name, _)| name == wanted)?;
        Some(json!({"id": name, "value": value.text()}))
    });
    answer::ok(found.collect::<Vec<_>>())
}

/// Over several sources: the names, or with `get=` what `agg=` asks for of each.
fn aggregated(sources: &[Metrics], uri: &Uri) -> Result<Response, Refusal> {
    let Some(wanted) = query(uri, "get") else {
        let mut names: Vec<_> = sources.iter().flatten().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.into_iter().map(|name| json!({"id": name}));
        return answer::ok(names.collect::<Vec<_>>());
    };
    let kinds = query(uri, "agg").unwrap_or_else(|| AGGREGATES.map(str::to_owned).into());
    if let Some(unknown) = kinds
        .iter()
        .find(|kind| !AGGREGATES.contains(&kind.as_str()))
    {
        return Err(Refusal::bad_request(format!(
            "agg={unknown} is not known: use {}",
            AGGREGATES.join(", ")
        )));
    }
    let mut answer = Vec::new();
    for wanted in &wanted {
        let values = sources.iter().flatten().filter(|(name, _)| name == wanted);
        let values: Vec<f64> = values.filter_map(|(_, value)| value.real()).collect();
        if values.is_empty() {
            continue;
        }
        let mut one = Map::from_iter([("id".to_owned(), Value::from(wanted.as_str()))]);
        for kind in &kinds {
            one.insert(kind.clone(), aggregate(kind, &values).into());
        }
        answer.push(one);
    }
    answer::ok(answer)
}

const AGGREGATES: [&str; 5] = ["min", "max", "avg", "sum", "skew"];

fn aggregate(kind: &str, values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let average = sum / values.len() as f64;
    match kind {
        "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "avg" => average,
        "sum" => sum,
        // The mean distance from the mean, in percent of it, and 100 at most.
        _ if average == 0.0 => 0.0,
        _ => {
            let away: f64 = values.iter().map(|value| (value - average).abs()).sum();
            (away / values.len() as f64 / average * 100.0).min(100.0)
        }
    }
}

pub async fn jobs(State(app): State<Shared>, uri: Uri) -> Answer {
    let view = app.control.view();
    let id = view.job.as_ref().map(ToString::to_string);
    let wanted = query(&uri, "jobs");
    let ours = id.filter(|id| wanted.is_none_or(|wanted| wanted.contains(id)));
    let sources: Vec<_> = ours.iter().map(|_| of_job(&view)).collect();
    aggregated(&sources, &uri)
}

/// Flink has no metrics of an unknown job, and says so with an empty list.
pub async fn job(job: Result<Job, Refusal>, uri: Uri) -> Answer {
    match job {
        Ok(job) => listed(&of_job(&job.view), &uri),
        Err(refusal) => none_of_unknown(refusal),
    }
}

fn none_of_unknown(refusal: Refusal) -> Answer {
    if refusal.status == http::StatusCode::NOT_FOUND {
        answer::ok(json!([]))
    } else {
        Err(refusal)
    }
}

pub async fn vertex(vertex: Result<OneVertex, Refusal>, uri: Uri) -> Answer {
    let OneVertex { job, vertex } = match vertex {
        Ok(vertex) => vertex,
        Err(refusal) => return none_of_unknown(refusal),
    };
    let sources = of_subtasks(vertex, &job);
    let all = sources
        .into_iter()
        .enumerate()
        .flat_map(|(index, metrics)| {
            let metrics = metrics.into_iter();
            metrics.map(move |(name, value)| (format!("{index}.{name}"), value))
        });
    listed(&all.collect(), &uri)
}

pub async fn subtasks(vertex: Result<OneVertex, Refusal>, uri: Uri) -> Answer {
    let OneVertex { job, vertex } = match vertex {
        Ok(vertex) => vertex,
        Err(refusal) => return none_of_unknown(refusal),
    };
    let mut sources = of_subtasks(vertex, &job);
    if let Some(wanted) = query(&uri, "subtasks") {
        let ranges = wanted.iter().map(|range| parse_range(range));
        let ranges: Vec<_> = ranges.collect::<Result<_, _>>()?;
        let mut index = 0;
        sources.retain(|_| {
            let kept = ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&index));
            index += 1;
            kept
        });
    }
    aggregated(&sources, &uri)
}

/// `3` or `0-2`.
fn parse_range(text: &str) -> Result<(u32, u32), Refusal> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) => Ok((first, last)),
        _ => Err(Refusal::bad_request(format!(
            "subtasks: '{text}' is no range such as 0-2"
        ))),
    }
}

pub async fn subtask(subtask: Result<OneSubtask, Refusal>, uri: Uri) -> Answer {
    match subtask {
        Ok(one) => {
            let metrics = of_subtasks(one.vertex, &one.job);
            listed(&metrics[one.index as usize], &uri)
        }
        Err(refusal) => none_of_unknown(refusal),
    }
}

pub async fn job_manager(State(app): State<Shared>, uri: Uri) -> Answer {
    let view = app.control.view();
    let running = view.job.is_some() && !view.state.is_terminal();
    let metrics = vec![
        whole("numRegisteredTaskManagers", 1),
        whole("numRunningJobs", u64::from(running)),
        whole("taskSlotsTotal", view.parallelism.into()),
        whole("taskSlotsAvailable", free_slots(&view).into()),
    ];
    listed(&metrics, &uri)
}

pub async fn task_managers(State(app): State<Shared>, uri: Uri) -> Answer {
    let wanted = query(&uri, "taskmanagers");
    let ours = wanted.is_none_or(|wanted| wanted.contains(&app.here.task_manager));
    let sources: Vec<_> = ours.then(|| of_task_manager(&app)).into_iter().collect();
    aggregated(&sources, &uri)
}

pub async fn task_manager(State(app): State<Shared>, Path(id): Path<String>, uri: Uri) -> Answer {
    match task_manager::known(&app, &id) {
        Ok(()) => listed(&of_task_manager(&app), &uri),
        Err(refusal) => none_of_unknown(refusal),
    }
}

fn of_task_manager(app: &Shared) -> Metrics {
    let memory = app.control.view().memory;
    let used = memory.queues + memory.open_files + memory.in_flight;
    vec![
        whole("Status.Flink.Memory.Managed.Total", memory.budget),
        whole("Status.Flink.Memory.Managed.Used", used),
    ]
}

fn of_job(view: &JobView) -> Metrics {
    let restarts = view.generation.map_or(0, |generation| generation.0 - 1);
    let checkpoints = &view.checkpoints;
    let history = checkpoints.history.iter();
    let open = history
        .clone()
        .filter(|one| one.state == CheckpointState::InProgress);
    let open = open.count() as u64;
    let mut newest = history.filter(|one| one.state == CheckpointState::Completed);
    let newest = newest.next();
    let of_newest = |of: &dyn Fn(&crate::jobs::view::CheckpointView) -> i64| {
        Number::Whole(newest.map_or(-1, of))
    };
    let size = of_newest(&|one| i64::try_from(one.bytes).unwrap_or(i64::MAX));
    let restored = checkpoints.restored.as_ref();
    let running = state::entered(view, JobState::Running);
    let uptime = match running {
        Some(running) if !view.state.is_terminal() => view.now - running,
        _ if view.state.is_terminal() => -1,
        _ => 0,
    };
    let in_state = |now: bool, since: Option<i64>| {
        Number::Whole(since.filter(|_| now).map_or(0, |since| view.now - since))
    };
    let path = newest.map_or("n/a", external_path);
    let mut metrics = vec![
        whole("numRestarts", restarts),
        whole("fullRestarts", restarts),
        ("uptime".into(), Number::Whole(uptime)),
        whole("numberOfCompletedCheckpoints", checkpoints.completed),
        whole("numberOfInProgressCheckpoints", open),
        whole("numberOfFailedCheckpoints", 0),
        whole("totalNumberOfCheckpoints", checkpoints.completed + open),
        ("lastCheckpointDuration".into(), of_newest(&duration)),
        ("lastCheckpointSize".into(), size.clone()),
        ("lastCheckpointFullSize".into(), size),
        (
            "lastCheckpointExternalPath".into(),
            Number::Text(path.to_owned()),
        ),
        (
            "lastCheckpointRestoreTimestamp".into(),
            Number::Whole(restored.map_or(-1, |restored| restored.restored_at)),
        ),
    ];
    if let Some(newest) = newest {
        metrics.push(whole("lastCompletedCheckpointId", newest.id.0));
    }
    for (name, state) in [
        ("createdTime", JobState::Created),
        ("runningTime", JobState::Running),
        ("cancellingTime", JobState::Cancelling),
    ] {
        let now = state::of_job(view.state) == state::of_job(state);
        metrics.push((name.into(), in_state(now, state::entered(view, state))));
    }
    metrics
}

/// By subtask, without its number in the names.
fn of_subtasks(vertex: Vertex, job: &Job) -> Vec<Metrics> {
    let view = &job.view;
    let rates = job.app.sampler.rates().unwrap_or_default();
    (0..vertex.parallelism(view))
        .map(|index| {
            let subtask = view.subtasks.iter().find(|s| s.index == index);
            let rates = rates.get(index as usize);
            match (vertex, subtask) {
                (Vertex::Source, Some(subtask)) => of_source(view, subtask, rates),
                (Vertex::Writer, Some(subtask)) => of_writer(view, subtask, rates),
                _ => Vec::new(),
            }
        })
        .collect()
}

fn of_source(view: &JobView, subtask: &SubtaskView, rates: Option<&SubtaskRates>) -> Metrics {
    let rows = subtask.rows_out + subtask.rows_dropped;
    let operator = Vertex::Source.main_operator(&view.topic);
    let mut metrics = vec![
        whole("numRecordsIn", subtask.records_in),
        whole("numBytesIn", subtask.bytes_in),
        whole("numRecordsOut", rows),
        whole(format!("{operator}.numRecordsIn"), subtask.records_in),
        whole(format!("{operator}.numBytesIn"), subtask.bytes_in),
        whole(format!("{operator}.numRecordsOut"), rows),
        whole(
            format!("{operator}.numRecordsInErrors"),
            subtask.rows_dropped,
        ),
    ];
    metrics.extend(of_thread(subtask, rates));
    if let Some(rates) = rates {
        metrics.extend([
            real("numRecordsInPerSecond", rates.records_in),
            real("numBytesInPerSecond", rates.bytes_in),
            real("numRecordsOutPerSecond", rates.rows),
            real(
                format!("{operator}.numRecordsInPerSecond"),
                rates.records_in,
            ),
            real(format!("{operator}.numBytesInPerSecond"), rates.bytes_in),
            real(format!("{operator}.numRecordsOutPerSecond"), rates.rows),
        ]);
    }
    let splits = view.splits.iter();
    let splits: Vec<_> = splits.filter(|s| s.subtask.0 == subtask.index).collect();
    if let Some(lag) = splits.iter().map(|split| split.lag()).sum::<Option<u64>>() {
        metrics.push(whole(format!("{operator}.pendingRecords"), lag));
    }
    for split in splits {
        let name = format!(
            "{operator}.KafkaSourceReader.topic.{}.partition.{}",
            metric_name(&split.split.topic),
            split.split.partition
        );
        // Flink's is the offset of the last record; ours that of the next one.
        let current = Number::Whole(split.consumed.0 - 1);
        metrics.push((format!("{name}.currentOffset"), current));
        if let Some(committed) = split.committed {
            metrics.push((
                format!("{name}.committedOffset"),
                Number::Whole(committed.0),
            ));
        }
    }
    metrics
}

fn of_writer(view: &JobView, subtask: &SubtaskView, rates: Option<&SubtaskRates>) -> Metrics {
    let rows = subtask.rows_out + subtask.rows_dropped;
    let operator = Vertex::Writer.main_operator(&view.topic);
    let mut metrics = vec![
        whole("numRecordsIn", rows),
        whole("numRecordsOut", rows),
        whole("numBytesOut", subtask.bytes_out),
        whole(format!("{operator}.numRecordsSend"), rows),
        whole(format!("{operator}.numBytesSend"), subtask.bytes_out),
    ];
    metrics.extend(of_thread(subtask, rates));
    if let Some(rates) = rates {
        metrics.extend([
            real("numRecordsInPerSecond", rates.rows),
            real("numRecordsOutPerSecond", rates.rows),
            real("numBytesOutPerSecond", rates.bytes_out),
        ]);
    }
    metrics
}

/// Source and writer of a subtask are one thread, whose time is that of both.
fn of_thread(subtask: &SubtaskView, rates: Option<&SubtaskRates>) -> Metrics {
    let mut metrics = vec![
        whole("accumulateBusyTimeMs", subtask.busy_ms),
        whole("accumulateIdleTimeMs", subtask.idle_ms),
        whole("accumulateBackPressuredTimeMs", subtask.backpressured_ms),
    ];
    if let Some(rates) = rates {
        metrics.extend([
            real("busyTimeMsPerSecond", rates.busy),
            whole("idleTimeMsPerSecond", rates.idle.round() as u64),
            whole(
                "backPressuredTimeMsPerSecond",
                rates.backpressured.round() as u64,
            ),
        ]);
    }
    metrics
}
