//! What a JobManager of Flink 1.20 answers, for this one job. Types, names and statuses are Flink's;
//! what has no meaning here is answered as Flink answers when it is empty.

mod cause;
mod checkpoints;
mod cluster;
mod exceptions;
pub mod here;
mod job;
mod metrics;
mod numbers;
mod path;
mod state;
mod task_manager;
mod triggers;
mod vertex;
mod vertices;

use axum::Router;
use axum::routing::get;

use super::Shared;

/// The version whose API this is.
pub const FLINK_VERSION: &str = "1.20.5";

pub fn router(app: &Shared) -> Router<Shared> {
    Router::new()
        .route("/config", get(cluster::config))
        .route("/overview", get(cluster::overview))
        .route("/datasets", get(cluster::datasets))
        .route("/jobs", get(cluster::jobs))
        .route("/jobs/overview", get(cluster::jobs_overview))
        .route("/jobs/metrics", get(metrics::jobs))
        .route("/jobmanager/config", get(cluster::settings))
        .route("/jobmanager/metrics", get(metrics::job_manager))
        .route("/jobmanager/logs", get(cluster::logs))
        .route("/jobmanager/logs/{name}", get(cluster::named_log))
        .route("/jobmanager/log", get(cluster::log))
        .nest("/jobs/{jobid}", one_job())
        .nest("/taskmanagers", task_managers())
        .merge(triggers::router(app))
}

fn one_job() -> Router<Shared> {
    Router::new()
        .route("/", get(job::detail))
        .route("/plan", get(job::plan))
        .route("/config", get(job::config))
        .route("/status", get(job::status))
        .route("/execution-result", get(job::execution_result))
        .route("/accumulators", get(job::accumulators))
        .route("/jobmanager/config", get(job::settings))
        .route("/exceptions", get(exceptions::exceptions))
        .route("/metrics", get(metrics::job))
        .route("/checkpoints", get(checkpoints::all))
        .route("/checkpoints/config", get(checkpoints::config))
        .route("/checkpoints/details/{checkpointid}", get(checkpoints::one))
        .route(
            "/checkpoints/details/{checkpointid}/subtasks/{vertexid}",
            get(checkpoints::subtasks),
        )
        .nest("/vertices/{vertexid}", one_vertex())
}

fn one_vertex() -> Router<Shared> {
    Router::new()
        .route("/", get(vertices::detail))
        .route("/metrics", get(metrics::vertex))
        .route("/subtasks/metrics", get(metrics::subtasks))
        .route(
            "/subtasks/accumulators",
            get(vertices::subtasks_accumulators),
        )
        .route("/subtasktimes", get(vertices::subtask_times))
        .route("/taskmanagers", get(vertices::task_managers))
        .route("/watermarks", get(vertices::watermarks))
        .route("/backpressure", get(vertices::back_pressure))
        .route("/accumulators", get(vertices::accumulators))
        .route("/flamegraph", get(vertices::flame_graph))
        .route("/jm-operator-metrics", get(vertices::operator_metrics))
        .route("/subtasks/{subtaskindex}", get(vertices::subtask))
        .route("/subtasks/{subtaskindex}/metrics", get(metrics::subtask))
        .route(
            "/subtasks/{subtaskindex}/attempts/{attempt}",
            get(vertices::attempt),
        )
        .route(
            "/subtasks/{subtaskindex}/attempts/{attempt}/accumulators",
            get(vertices::attempt_accumulators),
        )
}

fn task_managers() -> Router<Shared> {
    Router::new()
        .route("/", get(task_manager::all))
        .route("/metrics", get(metrics::task_managers))
        .route("/{taskmanagerid}", get(task_manager::one))
        .route("/{taskmanagerid}/metrics", get(metrics::task_manager))
        .route("/{taskmanagerid}/logs", get(task_manager::logs))
        .route("/{taskmanagerid}/logs/{name}", get(task_manager::named_log))
        .route("/{taskmanagerid}/log", get(task_manager::log))
}
