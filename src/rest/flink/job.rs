//! The job as a whole: state, plan, settings.

use axum::response::Response;
use serde_json::{Value, json};

use super::path::Job;
use super::vertex::{self, Vertex};
use super::{cluster, state};
use crate::ids::JobId;
use crate::jobs::view::{JobState, JobView};
use crate::rest::answer::{self, Answer, Refusal};

/// As many as `PARALLELISM` allows.
pub const MAX_PARALLELISM: u32 = 256;

pub async fn detail(job: Job) -> Result<Response, Refusal> {
    let Job { id, view, .. } = &job;
    let vertices: Vec<_> = Vertex::ALL
        .iter()
        .map(|v| vertex_in_job(*v, id, view))
        .collect();
    answer::ok(json!({
        "jid": id,
        "name": view.name,
        "isStoppable": false,
        "state": state::of_job(view.state),
        "job-type": "STREAMING",
        "start-time": view.started_at,
        "end-time": state::end_time(view),
        "duration": state::duration(view, view.started_at),
        "maxParallelism": MAX_PARALLELISM,
        "now": view.now,
        "timestamps": state::job_times(view),
        "vertices": vertices,
        "status-counts": state::task_counts(view.state, Vertex::ALL.len()),
        "plan": plan_of(id, view),
    }))
}

fn vertex_in_job(vertex: Vertex, id: &JobId, view: &JobView) -> Value {
    let running = state::running_since(view);
    json!({
        "id": vertex.id(id),
        // The subtasks of all vertices share the slots, so it is the job's.
        "slotSharingGroupId": id,
        "name": vertex.name(&view.topic),
        "maxParallelism": MAX_PARALLELISM,
        "parallelism": vertex.parallelism(view),
        "status": state::of_tasks(view.state),
        "start-time": running,
        "end-time": state::end_time(view),
        "duration": if running < 0 { -1 } else { state::duration(view, running) },
        "tasks": state::task_counts(view.state, vertex.parallelism(view)),
        "metrics": vertex::io_metrics(&vertex.work(view)),
    })
}

pub async fn plan(job: Job) -> Answer {
    answer::ok(json!({"plan": plan_of(&job.id, &job.view)}))
}

/// The last vertex first, as Flink has them.
fn plan_of(id: &JobId, view: &JobView) -> Value {
    let nodes = Vertex::ALL.iter().rev().map(|vertex| {
        let mut node = json!({
            "id": vertex.id(id),
            "parallelism": vertex.parallelism(view),
            "operator": "",
            "operator_strategy": "",
            "description": vertex.description(&view.topic),
            "optimizer_properties": {},
        });
        if let Some((input, strategy)) = vertex.input() {
            node["inputs"] = json!([{
                "num": 0,
                "id": input.id(id),
                "ship_strategy": strategy,
                "exchange": "pipelined_bounded",
            }]);
        }
        node
    });
    json!({
        "jid": id,
        "name": view.name,
        "type": "STREAMING",
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

pub async fn config(job: Job) -> Answer {
    let Job { id, view, .. } = &job;
    answer::ok(json!({
        "jid": id,
        "name": view.name,
        "execution-config": {
            "execution-mode": "PIPELINED",
            "restart-strategy": "none: the process ends, and whoever runs it starts it again",
            "job-parallelism": view.parallelism,
            "object-reuse-mode": false,
            "user-config": view.settings,
        },
    }))
}

pub async fn settings(job: Job) -> Answer {
    answer::ok(cluster::key_values(&job.view))
}

pub async fn status(job: Job) -> Answer {
    answer::ok(json!({"status": state::of_job(job.view.state)}))
}

pub async fn accumulators(_: Job) -> Answer {
    answer::ok(json!({
        "job-accumulators": [],
        "user-task-accumulators": [],
        "serialized-user-task-accumulators": {},
    }))
}

pub async fn execution_result(job: Job) -> Answer {
    let Job { id, view, .. } = &job;
    let outcome = match view.state {
        JobState::Finished => "SUCCEEDED",
        JobState::Canceled => "CANCELED",
        JobState::Failed => "FAILED",
        _ => return answer::ok(json!({"status": {"id": "IN_PROGRESS"}})),
    };
    answer::ok(json!({
        "status": {"id": "COMPLETED"},
        "job-execution-result": {
            "id": id,
            "application-status": outcome,
            "accumulator-results": {},
            "net-runtime": state::duration(view, view.started_at),
        },
    }))
}
