//! All metrics, each from the view. docs/metrics.md lists them; a test holds it against a service.

use std::fmt;

use super::exposition::Exposition;
use crate::jobs::view::{
    CheckpointsView, DroppedView, JobState, JobView, MemoryView, SplitView, StoreView, SubtaskView,
};
use crate::store::s3::requests::Outcome;

const STATES: [(JobState, &str); 7] = [
    (JobState::Created, "created"),
    (JobState::Running, "running"),
    (JobState::Stopping, "stopping"),
    (JobState::Cancelling, "cancelling"),
    (JobState::Finished, "finished"),
    (JobState::Canceled, "canceled"),
    (JobState::Failed, "failed"),
];

pub fn write(view: &JobView, to: &mut Exposition) -> fmt::Result {
    job(view, to)?;
    partitions(&view.splits, to)?;
    to.gauge(
        "lineage_lag_records",
        "Records that are in Kafka and not read yet, of all partitions; absent until it is known of each.",
        view.lag(),
    )?;
    subtasks(&view.subtasks, to)?;
    dropped(&view.dropped, to)?;
    checkpoints(&view.checkpoints, to)?;
    checkpoint_now(view, to)?;
    memory(&view.memory, to)?;
    store(&view.store, to)
}

fn job(view: &JobView, to: &mut Exposition) -> fmt::Result {
    let job = view.job.as_ref().map(ToString::to_string);
    let labels = [
        ("job_id", job.unwrap_or_default()),
        ("topic", view.topic.clone()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    to.gauges(
        "lineage_job_info",
        "The job, its topic and the version of the service, as labels.",
        [(labels, 1_u64)],
    )?;
    to.gauges(
        "lineage_job_state",
        "1 for the state of the job, 0 for all others.",
        STATES.map(|(state, name)| ([("state", name)], u64::from(state == view.state))),
    )?;
    to.counter(
        "lineage_job_starts_total",
        "Starts of the job so far, those of earlier processes included.",
        view.generation.map(|generation| generation.0),
    )?;
    to.gauge(
        "lineage_degraded",
        "1 while something is wrong that may pass by itself, else 0.",
        Some(u64::from(!view.troubles.is_empty())),
    )
}

fn partitions(splits: &[SplitView], to: &mut Exposition) -> fmt::Result {
    type Value = fn(&SplitView) -> Option<i64>;
    let families: [(&str, &str, Value); 5] = [
        (
            "lineage_partition_consumed_next_offset",
            "First offset that is not read yet.",
            |split| Some(split.consumed.0),
        ),
        (
            "lineage_partition_durable_next_offset",
            "First offset that is in no complete checkpoint.",
            |split| Some(split.durable.0),
        ),
        (
            "lineage_partition_committed_next_offset",
            "Next offset as this start committed it to the consumer group last.",
            |split| Some(split.committed?.0),
        ),
        (
            "lineage_partition_end_offset",
            "Where the partition ends in Kafka, as the last fetch has told.",
            |split| Some(split.end?.0),
        ),
        (
            "lineage_partition_lag_records",
            "Records that are in Kafka and not read yet.",
            |split| split.lag().and_then(|lag| i64::try_from(lag).ok()),
        ),
    ];
    for (name, help, value) in families {
        let samples = splits.iter().filter_map(|split| {
            let topic = [("topic", &*split.split.topic)];
            let partition = [("partition", split.split.partition)];
            Some(((topic, partition), value(split)?))
        });
        to.gauges(name, help, samples)?;
    }
    Ok(())
}

fn subtasks(subtasks: &[SubtaskView], to: &mut Exposition) -> fmt::Result {
    let each = |value: fn(&SubtaskView) -> u64| {
        let samples = subtasks.iter();
        samples.map(move |subtask| ([("subtask", subtask.index)], value(subtask)))
    };
    to.counters(
        "lineage_records_read_total",
        "Records that were read from Kafka by this start of the job.",
        each(|subtask| subtask.records_in),
    )?;
    to.counters(
        "lineage_read_bytes_total",
        "Bytes of their keys and values.",
        each(|subtask| subtask.bytes_in),
    )?;
    let rows = subtasks.iter().flat_map(|subtask| {
        let of = |output, rows| (([("subtask", subtask.index)], [("output", output)]), rows);
        [
            of("output", subtask.rows_out),
            of("dropped", subtask.rows_dropped),
        ]
    });
    to.counters(
        "lineage_rows_written_total",
        "Rows that were handed to part files, by the output that they are for.",
        rows,
    )?;
    to.counters(
        "lineage_written_bytes_total",
        "Bytes of Parquet that the store has taken.",
        each(|subtask| subtask.bytes_out),
    )?;
    to.gauges(
        "lineage_open_files",
        "Part files that are being written.",
        each(|subtask| subtask.open_files),
    )?;
    to.gauges(
        "lineage_consumer_queue_records",
        "Records that were fetched from Kafka and not read yet.",
        each(|subtask| subtask.queued),
    )?;
    let time = subtasks.iter().flat_map(|subtask| {
        let of = |activity, ms: u64| {
            let labels = ([("subtask", subtask.index)], [("activity", activity)]);
            (labels, seconds(ms))
        };
        [
            of("busy", subtask.busy_ms),
            of("idle", subtask.idle_ms),
            of("backpressured", subtask.backpressured_ms),
        ]
    });
    to.counters(
        "lineage_subtask_time_seconds_total",
        "Time spent working, waiting for records, and waiting because the memory budget is used up.",
        time,
    )
}

fn dropped(dropped: &DroppedView, to: &mut Exposition) -> fmt::Result {
    let by_reason = dropped.by_reason.iter();
    to.counters(
        "lineage_records_dropped_total",
        "Records that could not be decoded, by reason.",
        by_reason.map(|(reason, count)| ([("reason", reason)], *count)),
    )
}

fn checkpoints(checkpoints: &CheckpointsView, to: &mut Exposition) -> fmt::Result {
    to.counter(
        "lineage_checkpoints_completed_total",
        "Checkpoints that this start of the job has completed.",
        Some(checkpoints.completed),
    )?;
    to.counter(
        "lineage_checkpoints_late_total",
        "Checkpoints that were past their timeout, complete or not.",
        Some(checkpoints.late),
    )?;
    let phases = checkpoints.durations.named();
    to.histograms(
        "lineage_checkpoint_phase_duration_seconds",
        "How long each phase of the complete checkpoints took.",
        phases.map(|(phase, timings)| ([("phase", phase)], timings)),
    )
}

fn checkpoint_now(view: &JobView, to: &mut Exposition) -> fmt::Result {
    let newest = view.newest_complete();
    to.gauge(
        "lineage_checkpoint_last_size_bytes",
        "Size of the files of the newest complete checkpoint.",
        newest.map(|checkpoint| checkpoint.bytes),
    )?;
    to.gauge(
        "lineage_checkpoint_last_files",
        "Number of the files of the newest complete checkpoint.",
        newest.map(|checkpoint| checkpoint.files),
    )?;
    let takes_checkpoints = matches!(view.state, JobState::Running | JobState::Stopping);
    let since = view.last_complete_at().unwrap_or(view.running_since());
    let age = u64::try_from(view.now - since).unwrap_or(0);
    to.gauge(
        "lineage_checkpoint_age_seconds",
        "Time since the newest checkpoint of this start was complete, or, before the first one, since the \
         job runs; absent while it does not run.",
        takes_checkpoints.then(|| seconds(age)),
    )?;
    to.gauge(
        "lineage_checkpoint_interval_seconds",
        "Time between two checkpoints, by the settings.",
        Some(seconds(view.rhythm.between_ms())),
    )
}

fn memory(memory: &MemoryView, to: &mut Exposition) -> fmt::Result {
    let files = memory.budget.saturating_sub(memory.queues);
    to.gauges(
        "lineage_memory_budget_bytes",
        "The memory budget: what is set apart for the consumers' queues, and what files may use.",
        [
            ([("part", "queues")], memory.queues),
            ([("part", "files")], files),
        ],
    )?;
    to.gauges(
        "lineage_memory_used_bytes",
        "What open row groups, and pieces on their way to the store, use of the part for files.",
        [
            ([("part", "open_files")], memory.open_files),
            ([("part", "in_flight")], memory.in_flight),
        ],
    )
}

fn store(store: &StoreView, to: &mut Exposition) -> fmt::Result {
    to.counter(
        "lineage_store_retries_total",
        "Requests to the store that were made once more after they had failed.",
        Some(store.retries),
    )?;
    to.counter(
        "lineage_orphans_aborted_total",
        "Uploads of earlier starts, which nobody would have finished, aborted by this one.",
        Some(store.orphans_aborted),
    )?;
    let requests = store.s3.iter().flat_map(|(method, counts)| {
        Outcome::ALL.map(|outcome| {
            let count = counts.outcomes.get(&outcome).copied().unwrap_or(0);
            (
                [("method", method.as_str()), ("outcome", outcome.name())],
                count,
            )
        })
    });
    to.counters(
        "lineage_s3_requests_total",
        "HTTP requests to S3, by method and by how they ended.",
        requests,
    )?;
    let timings = store.s3.iter();
    to.histograms(
        "lineage_s3_request_duration_seconds",
        "Time from a request to S3 until the head of its answer, or until none was waited for.",
        timings.map(|(method, counts)| ([("method", method)], &counts.timings)),
    )
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
