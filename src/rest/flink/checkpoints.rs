//! Checkpoints as a JobManager shows them. The size of one is that of the files that it closed; of a
//! checkpoint of which only the slot tells, only the end is known: its times are -1 then.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::numbers::{Summary, same};
use super::path::Job;
use super::vertex::Vertex;
use crate::jobs::view::{AckView, CheckpointState, CheckpointView, JobView};
use crate::rest::answer::{self, Answer, Refusal};
use crate::rest::trigger;

/// What Flink writes for a time that is not known.
const UNKNOWN: i64 = -1;

pub async fn config(job: Job) -> Answer {
    let rhythm = &job.view.rhythm;
    answer::ok(json!({
        "mode": "exactly_once",
        "interval": rhythm.interval_ms,
        "timeout": rhythm.timeout_ms,
        "min_pause": rhythm.min_pause_ms,
        "max_concurrent": 1,
        "externalization": {"enabled": true, "delete_on_cancellation": false},
        "state_backend": "CheckpointLog",
        "checkpoint_storage": "CheckpointLog",
        "unaligned_checkpoints": false,
        "tolerable_failed_checkpoints": 0,
        "aligned_checkpoint_timeout": 0,
        "checkpoints_after_tasks_finish": false,
        "state_changelog_enabled": false,
        "changelog_periodic_materialization_interval": 0,
        "changelog_storage": "none",
    }))
}

pub async fn all(job: Job) -> Result<Response, Refusal> {
    let view = &job.view;
    let checkpoints = &view.checkpoints;
    let history = &checkpoints.history;
    let shown = |one: &CheckpointView| shown(one, view, Map::new());
    let complete = || history.iter().filter(|one| is_complete(one));
    let in_progress = history.len() - complete().count();
    let sizes = Summary::of(complete().map(size)).of_checkpoints();
    let durations = complete().map(duration).filter(|ms| *ms != UNKNOWN);
    let nothing = same(
        ["processed_data", "persisted_data"],
        &Summary::of(complete().map(|_| 0)).of_checkpoints(),
    );
    let mut summary = json!({
        "checkpointed_size": sizes,
        "state_size": sizes,
        "end_to_end_duration": Summary::of(durations).of_checkpoints(),
        "alignment_buffered": Summary::nothing_buffered(),
    });
    for (name, value) in nothing {
        summary[name] = value;
    }
    let restored = checkpoints.restored.as_ref().map(|restored| {
        json!({
            "id": restored.id,
            "restore_timestamp": restored.restored_at,
            "is_savepoint": restored.is_savepoint,
            "external_path": restored.location,
        })
    });
    answer::ok(json!({
        "counts": {
            "restored": u8::from(restored.is_some()),
            "total": checkpoints.completed + in_progress as u64,
            "in_progress": in_progress,
            "completed": checkpoints.completed,
            // One that takes too long is late, and completes.
            "failed": 0,
        },
        "summary": summary,
        "latest": {
            "completed": complete().next().map(shown),
            "savepoint": complete().find(|one| one.is_savepoint).map(shown),
            "failed": null,
            "restored": restored,
        },
        "history": history.iter().map(shown).collect::<Vec<_>>(),
    }))
}

pub async fn one(job: Job) -> Result<Response, Refusal> {
    let checkpoint = find(&job)?;
    let view = &job.view;
    let tasks = Vertex::ALL.iter().map(|vertex| {
        let part = Value::Object(part_of(*vertex, checkpoint, view));
        (vertex.id(&job.id), part)
    });
    answer::ok(shown(checkpoint, view, tasks.collect()))
}

/// The part of one vertex, by its subtasks.
pub async fn subtasks(job: Job) -> Result<Response, Refusal> {
    let checkpoint = find(&job)?;
    let asked = job.param("vertexid");
    let asked = trigger::id_of(asked).ok_or_else(|| Refusal::malformed("vertexid", asked))?;
    let mut vertices = Vertex::ALL.into_iter();
    let vertex = vertices.find(|vertex| vertex.id(&job.id) == asked);
    let vertex = vertex.ok_or_else(|| {
        Refusal::not_found(format!(
            "There is no checkpoint statistics for task {asked}."
        ))
    })?;
    let view = &job.view;
    let acks = acks_of(vertex, checkpoint, view);
    let over =
        |of: &dyn Fn(&AckView) -> i64| Summary::of(acks.iter().map(of)).without_percentiles();
    let nothing = over(&|_| 0);
    let unknown = over(&|_| UNKNOWN);
    let sizes = over(&|ack| whole(bytes_of(vertex, ack)));
    let mut answer = part_of(vertex, checkpoint, view);
    answer.insert(
        "summary".into(),
        json!({
            "checkpointed_size": sizes,
            "state_size": sizes,
            "end_to_end_duration": over(&|ack| since_trigger(checkpoint, ack.acked_at)),
            "checkpoint_duration": {
                "sync": over(&|ack| millis(ack.sync_ms)),
                "async": over(&|ack| millis(ack.async_ms)),
            },
            "alignment": {
                "buffered": Summary::nothing_buffered(),
                "processed": nothing,
                "persisted": nothing,
                "duration": nothing,
            },
            "start_delay": unknown,
        }),
    );
    let subtasks = (0..vertex.parallelism(view)).map(|index| {
        let ack = acks.iter().find(|ack| ack.subtask.0 == index);
        ack.map_or_else(
            || json!({"className": "pending", "index": index, "status": "pending_or_failed"}),
            |ack| acknowledged(vertex, checkpoint, ack),
        )
    });
    answer.insert("subtasks".into(), subtasks.collect());
    answer::ok(answer)
}

fn find(job: &Job) -> Result<&CheckpointView, Refusal> {
    let asked = job.param("checkpointid");
    let number: u64 = asked
        .parse()
        .map_err(|_| Refusal::malformed("checkpointid", asked))?;
    let history = &job.view.checkpoints.history;
    history
        .iter()
        .find(|one| one.id.0 == number)
        .ok_or_else(|| {
            Refusal::not_found(format!(
                "Could not find checkpointing statistics for checkpoint {number}: it is not \
                 known, or not any more"
            ))
        })
}

fn is_complete(checkpoint: &CheckpointView) -> bool {
    checkpoint.state == CheckpointState::Completed
}

fn size(checkpoint: &CheckpointView) -> i64 {
    whole(checkpoint.bytes)
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn millis(duration: Option<u64>) -> i64 {
    duration.map_or(UNKNOWN, whole)
}

fn since_trigger(checkpoint: &CheckpointView, end: i64) -> i64 {
    let trigger = checkpoint.triggered_at;
    trigger.map_or(UNKNOWN, |trigger| (end - trigger).max(0))
}

fn latest_ack(checkpoint: &CheckpointView) -> i64 {
    let acks = checkpoint.acks.iter().map(|ack| ack.acked_at);
    let latest = checkpoint.completed_at.or_else(|| acks.max());
    latest.unwrap_or(UNKNOWN)
}

/// Until it was complete; while it is in progress, until the last ack.
pub fn duration(checkpoint: &CheckpointView) -> i64 {
    match latest_ack(checkpoint) {
        UNKNOWN => UNKNOWN,
        end => since_trigger(checkpoint, end),
    }
}

pub fn external_path(checkpoint: &CheckpointView) -> &str {
    let location = checkpoint.location.as_deref();
    location.unwrap_or("<checkpoint-not-externally-addressable>")
}

fn shown(checkpoint: &CheckpointView, view: &JobView, tasks: Map<String, Value>) -> Value {
    let acknowledged = |vertex: &Vertex| acks_of(*vertex, checkpoint, view).len() as u64;
    let subtasks = |vertex: &Vertex| u64::from(vertex.parallelism(view));
    let all: u64 = Vertex::ALL.iter().map(subtasks).sum();
    let acks: u64 = Vertex::ALL.iter().map(acknowledged).sum();
    let complete = is_complete(checkpoint);
    let mut shown = common(
        checkpoint,
        size(checkpoint),
        all,
        if complete { all } else { acks },
    );
    shown.insert("className".into(), class(checkpoint).into());
    shown.insert("is_savepoint".into(), checkpoint.is_savepoint.into());
    let (kind, format) = if checkpoint.is_savepoint {
        ("SAVEPOINT", "NATIVE".into())
    } else {
        ("CHECKPOINT", Value::Null)
    };
    shown.insert("checkpoint_type".into(), kind.into());
    shown.insert("savepointFormat".into(), format);
    let triggered = checkpoint.triggered_at.unwrap_or(UNKNOWN);
    shown.insert("trigger_timestamp".into(), triggered.into());
    shown.insert("tasks".into(), tasks.into());
    if complete {
        shown.insert("external_path".into(), external_path(checkpoint).into());
        shown.insert("discarded".into(), is_pruned(checkpoint, view).into());
    }
    shown.into()
}

/// The checkpoint log keeps its newest slots, and all savepoints.
fn is_pruned(checkpoint: &CheckpointView, view: &JobView) -> bool {
    let all = view.checkpoints.history.iter();
    let newest = all.filter(|one| is_complete(one)).map(|one| one.id.0).max();
    !checkpoint.is_savepoint
        && newest.is_some_and(|newest| checkpoint.id.0 + view.rhythm.retained <= newest)
}

fn class(checkpoint: &CheckpointView) -> &'static str {
    match checkpoint.state {
        CheckpointState::InProgress => "in_progress",
        CheckpointState::Completed => "completed",
    }
}

/// What is said of a checkpoint and of a vertex's part of it alike.
fn common(checkpoint: &CheckpointView, size: i64, subtasks: u64, acks: u64) -> Map<String, Value> {
    let fields = [
        ("id", json!(checkpoint.id)),
        ("status", json!(checkpoint.state)),
        ("latest_ack_timestamp", latest_ack(checkpoint).into()),
        ("checkpointed_size", size.into()),
        ("state_size", size.into()),
        ("end_to_end_duration", duration(checkpoint).into()),
        ("alignment_buffered", 0.into()),
        ("processed_data", 0.into()),
        ("persisted_data", 0.into()),
        ("num_subtasks", subtasks.into()),
        ("num_acknowledged_subtasks", acks.into()),
    ];
    let fields = fields.into_iter();
    fields.map(|(name, value)| (name.into(), value)).collect()
}

fn part_of(vertex: Vertex, checkpoint: &CheckpointView, view: &JobView) -> Map<String, Value> {
    let subtasks = u64::from(vertex.parallelism(view));
    let acks = acks_of(vertex, checkpoint, view);
    let known = if is_complete(checkpoint) {
        subtasks
    } else {
        acks.len() as u64
    };
    let size = match vertex {
        Vertex::Writer => size(checkpoint),
        Vertex::Source | Vertex::Committer => 0,
    };
    common(checkpoint, size, subtasks, known)
}

/// Source and writer of a subtask acknowledge together; the committer has its part with the slot.
fn acks_of(vertex: Vertex, checkpoint: &CheckpointView, view: &JobView) -> Vec<AckView> {
    match vertex {
        Vertex::Source | Vertex::Writer => {
            let acks = checkpoint.acks.iter();
            let acks = acks.filter(|ack| ack.subtask.0 < view.parallelism);
            acks.cloned().collect()
        }
        Vertex::Committer => {
            let complete = checkpoint.completed_at.into_iter();
            let of_one = |acked_at| AckView {
                subtask: crate::ids::SubtaskIndex(0),
                acked_at,
                files: checkpoint.files,
                bytes: 0,
                rows: 0,
                sync_ms: None,
                async_ms: None,
            };
            complete.map(of_one).collect()
        }
    }
}

/// Files belong to the writer.
fn bytes_of(vertex: Vertex, ack: &AckView) -> u64 {
    match vertex {
        Vertex::Writer => ack.bytes,
        Vertex::Source | Vertex::Committer => 0,
    }
}

fn acknowledged(vertex: Vertex, checkpoint: &CheckpointView, ack: &AckView) -> Value {
    let size = bytes_of(vertex, ack);
    json!({
        "className": "completed",
        "index": ack.subtask,
        "ack_timestamp": ack.acked_at,
        "end_to_end_duration": since_trigger(checkpoint, ack.acked_at),
        "checkpointed_size": size,
        "state_size": size,
        "checkpoint": {"sync": millis(ack.sync_ms), "async": millis(ack.async_ms)},
        "alignment": same(["buffered", "processed", "persisted", "duration"], &0.into()),
        "start_delay": UNKNOWN,
        "unaligned_checkpoint": false,
        "aborted": false,
        "status": "completed",
    })
}
