//! Our answers against those of a real JobManager to the same requests: keys, types and statuses. What
//! differs is listed, with the reason; what is listed and does not differ any more fails too.

use std::collections::BTreeSet;

use serde_json::Value;

use super::server::{self, Server};
use super::shape::differences;

/// File, status, request.
const GOLDENS: &[(&str, u16, &str)] = &[
    ("config", 200, "/config"),
    ("overview", 200, "/overview"),
    ("jobs", 200, "/jobs"),
    ("jobs-overview", 200, "/jobs/overview"),
    ("jobs-metrics", 200, "/jobs/metrics"),
    (
        "jobs-metrics-get",
        200,
        "/jobs/metrics?get=numRestarts,uptime&agg=min,max,avg,sum",
    ),
    ("datasets", 200, "/datasets"),
    ("jobmanager-config", 200, "/jobmanager/config"),
    ("jobmanager-metrics", 200, "/jobmanager/metrics"),
    (
        "jobmanager-metrics-get",
        200,
        "/jobmanager/metrics?get=Status.JVM.Memory.Heap.Used,Status.JVM.Memory.Heap.Max,Status.JVM.Memory.Heap.Committed,Status.JVM.Memory.Metaspace.Used,Status.JVM.Memory.Metaspace.Max",
    ),
    ("cluster", 404, "/cluster"),
    ("taskmanagers", 200, "/taskmanagers"),
    ("taskmanagers-metrics", 200, "/taskmanagers/metrics"),
    ("taskmanager", 200, "/taskmanagers/{taskmanager}"),
    (
        "taskmanager-metrics",
        200,
        "/taskmanagers/{taskmanager}/metrics",
    ),
    (
        "taskmanager-metrics-get",
        200,
        "/taskmanagers/{taskmanager}/metrics?get=Status.JVM.Memory.Heap.Used,Status.JVM.CPU.Load",
    ),
    ("job", 200, "/jobs/{job}"),
    ("job-plan", 200, "/jobs/{job}/plan"),
    ("job-config", 200, "/jobs/{job}/config"),
    ("job-status", 200, "/jobs/{job}/status"),
    ("job-exceptions", 200, "/jobs/{job}/exceptions"),
    (
        "job-exceptions-one",
        200,
        "/jobs/{job}/exceptions?maxExceptions=1",
    ),
    (
        "job-accumulators",
        200,
        "/jobs/{job}/accumulators?includeSerializedValue=true",
    ),
    ("job-execution-result", 200, "/jobs/{job}/execution-result"),
    (
        "job-jobmanager-config",
        200,
        "/jobs/{job}/jobmanager/config",
    ),
    ("job-metrics", 200, "/jobs/{job}/metrics"),
    (
        "job-metrics-get",
        200,
        "/jobs/{job}/metrics?get=numRestarts,uptime,fullRestarts,numberOfCompletedCheckpoints,lastCheckpointDuration",
    ),
    ("job-checkpoints", 200, "/jobs/{job}/checkpoints"),
    (
        "job-checkpoints-config",
        200,
        "/jobs/{job}/checkpoints/config",
    ),
    ("job-checkpoint", 200, "/jobs/{job}/checkpoints/details/24"),
    (
        "job-checkpoint-subtasks",
        200,
        "/jobs/{job}/checkpoints/details/24/subtasks/{writer}",
    ),
    ("vertex-source", 200, "/jobs/{job}/vertices/{source}"),
    (
        "vertex-source-metrics",
        200,
        "/jobs/{job}/vertices/{source}/metrics",
    ),
    (
        "vertex-source-metrics-get",
        200,
        "/jobs/{job}/vertices/{source}/metrics?get=0.numRecordsIn,0.numRecordsOut,0.currentInputWatermark,0.busyTimeMsPerSecond",
    ),
    (
        "vertex-source-metrics-get-no-subtask",
        200,
        "/jobs/{job}/vertices/{source}/metrics?get=numRecordsIn,numRecordsOut",
    ),
    (
        "vertex-source-subtasks-metrics",
        200,
        "/jobs/{job}/vertices/{source}/subtasks/metrics",
    ),
    (
        "vertex-source-subtasks-metrics-get",
        200,
        "/jobs/{job}/vertices/{source}/subtasks/metrics?get=numRecordsIn,numRecordsOut,numBytesIn,numBytesOut",
    ),
    (
        "vertex-source-subtasks-metrics-agg",
        200,
        "/jobs/{job}/vertices/{source}/subtasks/metrics?get=numRecordsOut&agg=sum,max&subtasks=0-1",
    ),
    (
        "vertex-source-subtask",
        200,
        "/jobs/{job}/vertices/{source}/subtasks/0",
    ),
    (
        "vertex-source-subtask-metrics",
        200,
        "/jobs/{job}/vertices/{source}/subtasks/0/metrics",
    ),
    (
        "vertex-source-attempt",
        200,
        "/jobs/{job}/vertices/{source}/subtasks/0/attempts/2",
    ),
    (
        "vertex-source-attempt-accumulators",
        200,
        "/jobs/{job}/vertices/{source}/subtasks/0/attempts/2/accumulators",
    ),
    (
        "vertex-source-subtasks-accumulators",
        200,
        "/jobs/{job}/vertices/{source}/subtasks/accumulators",
    ),
    (
        "vertex-source-subtasktimes",
        200,
        "/jobs/{job}/vertices/{source}/subtasktimes",
    ),
    (
        "vertex-source-taskmanagers",
        200,
        "/jobs/{job}/vertices/{source}/taskmanagers",
    ),
    (
        "vertex-source-watermarks",
        200,
        "/jobs/{job}/vertices/{source}/watermarks",
    ),
    (
        "vertex-source-backpressure",
        200,
        "/jobs/{job}/vertices/{source}/backpressure",
    ),
    (
        "vertex-source-accumulators",
        200,
        "/jobs/{job}/vertices/{source}/accumulators",
    ),
    (
        "vertex-source-jm-operator-metrics",
        200,
        "/jobs/{job}/vertices/{source}/jm-operator-metrics",
    ),
    (
        "vertex-source-flamegraph",
        200,
        "/jobs/{job}/vertices/{source}/flamegraph?type=full",
    ),
    ("vertex-committer", 200, "/jobs/{job}/vertices/{committer}"),
    (
        "vertex-committer-metrics",
        200,
        "/jobs/{job}/vertices/{committer}/metrics",
    ),
    (
        "vertex-committer-taskmanagers",
        200,
        "/jobs/{job}/vertices/{committer}/taskmanagers",
    ),
    (
        "vertex-committer-watermarks",
        200,
        "/jobs/{job}/vertices/{committer}/watermarks",
    ),
    (
        "vertex-committer-backpressure",
        200,
        "/jobs/{job}/vertices/{committer}/backpressure",
    ),
    (
        "vertex-committer-flamegraph",
        200,
        "/jobs/{job}/vertices/{committer}/flamegraph?type=full",
    ),
    ("error-job-id", 400, "/jobs/abc"),
    ("error-path", 404, "/nosuchpath"),
    ("error-trigger-id", 400, "/jobs/{job}/checkpoints/1"),
    ("error-vertices", 404, "/jobs/{job}/vertices"),
    ("jobs-slash", 200, "/jobs/"),
];

/// The same requests for the sink writer.
fn of_the_writer() -> impl Iterator<Item = (String, u16, String)> {
    let of_the_source = GOLDENS
        .iter()
        .filter(|(name, ..)| name.starts_with("vertex-source"));
    of_the_source.map(|(name, status, path)| {
        (
            name.replace("source", "writer"),
            *status,
            path.replace("{source}", "{writer}"),
        )
    })
}

/// What a JobManager answers and we do not, and why: 404, as Flink answers for what it does not have.
const ABSENT: &[(&str, &str)] = &[
    ("/jars", "there is nothing to submit"),
    ("/jobmanager/environment", "there is no JVM"),
    ("/jobmanager/thread-dump", "there is no JVM"),
    ("/taskmanagers/{taskmanager}/thread-dump", "there is no JVM"),
    ("/jobs/{job}/jobmanager/environment", "there is no JVM"),
    (
        "/jobs/{job}/jobmanager/log-url",
        "there is one log: /jobmanager/log",
    ),
    (
        "/jobs/{job}/resource-requirements",
        "the number of subtasks is a setting; Flink's own scheduler refuses it, too",
    ),
];

/// File or the beginning of several, difference, reason.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "jobs",
        "$.jobs[].state: only ours",
        "some clients read it instead of status",
    ),
    (
        "job-config",
        "$.execution-config.user-config.CHECKPOINT_INTERVAL: only ours",
        "the settings are there; Flink's job had none of its own",
    ),
    (
        "job-config",
        "$.execution-config.user-config.KAFKA_TOPIC: only ours",
        "likewise",
    ),
    (
        "job-checkpoints",
        "$.history[].savepointFormat: null, text, Flink null",
        "ours has a savepoint; Flink's had none, whose format is text too",
    ),
    (
        "job-checkpoints",
        "$.latest.savepoint: object, Flink null",
        "likewise",
    ),
    (
        "job",
        "$.vertices[].metrics.accumulated-busy-time: real, text, Flink real",
        "the committer's is not counted: NaN, as Flink writes it in text",
    ),
    (
        "vertex-committer",
        "$.subtasks[].metrics.accumulated-busy-time: text, Flink real",
        "likewise",
    ),
    (
        "vertex-committer-taskmanagers",
        "$.taskmanagers[].metrics.accumulated-busy-time: text, Flink real",
        "likewise",
    ),
    (
        "vertex-committer-metrics",
        "$[]: only Flink's",
        "nothing of the committer is counted",
    ),
    (
        "vertex-committer-backpressure",
        "$.subtasks: null, Flink list",
        "likewise: what Flink answers while it has no numbers",
    ),
    (
        "vertex-committer-backpressure",
        "$.backpressureLevel: null, Flink text",
        "likewise",
    ),
    (
        "vertex-committer-backpressure",
        "$.backpressure-level: null, Flink text",
        "likewise",
    ),
    (
        "vertex-committer-backpressure",
        "$.end-timestamp: null, Flink whole",
        "likewise",
    ),
    (
        "vertex-committer-watermarks",
        "$[]: only Flink's",
        "there is no event time",
    ),
    (
        "vertex-writer-watermarks",
        "$[]: only Flink's",
        "there is no event time",
    ),
    (
        "jobmanager-metrics-get",
        "$[]: only Flink's",
        "there is no JVM; a metric that is not there is left out, as by Flink",
    ),
    ("taskmanager-metrics-get", "$[]: only Flink's", "likewise"),
    (
        "vertex-source-jm-operator-metrics",
        "$[]: only Flink's",
        "there is no operator coordinator",
    ),
    (
        "taskmanager",
        "$.metrics.garbageCollectors[]: only Flink's",
        "there is no garbage collector",
    ),
];

pub fn golden(name: &str) -> Value {
    let path = format!(
        "{}/tests/rest/goldens/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Puts the ids of our job into a request.
async fn ids(server: &Server) -> [(&'static str, String); 4] {
    let (_, plan) = server.get("/jobs/{job}/plan").await;
    let node = |place: usize| {
        plan["plan"]["nodes"][place]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (_, all) = server.get("/taskmanagers").await;
    let task_manager = all["taskmanagers"][0]["id"].as_str().unwrap().to_owned();
    [
        ("{source}", node(2)),
        ("{writer}", node(1)),
        ("{committer}", node(0)),
        ("{taskmanager}", task_manager),
    ]
}

fn with_ids(ids: &[(&'static str, String)], path: &str) -> String {
    let path = path.to_owned();
    ids.iter()
        .fold(path, |path, (from, to)| path.replace(from, to))
}

#[tokio::test]
async fn what_is_listed_as_absent_is_answered_as_what_flink_does_not_have() {
    let server = server::start().await.warm().await;
    let ids = ids(&server).await;
    for (path, why) in ABSENT {
        let path = with_ids(&ids, path);
        for prefix in ["", "/v1"] {
            let (status, ours) = server.get(&format!("{prefix}{path}")).await;
            assert_eq!(status, 404, "{path}, since {why}: {ours}");
            let differ = differences(&golden("error-path"), &ours);
            assert!(differ.is_empty(), "{path}: {differ:?}");
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_keys_types_and_status_of_flinks() {
    let server = server::start().await.warm().await;
    let ids = ids(&server).await;
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    let given = GOLDENS
        .iter()
        .map(|(name, status, path)| ((*name).to_owned(), *status, (*path).to_owned()));
    for (name, status, path) in given.chain(of_the_writer()) {
        let path = with_ids(&ids, &path);
        for prefix in ["", "/v1"] {
            let (given, ours) = server.get(&format!("{prefix}{path}")).await;
            if given != status {
                wrong.push(format!("{prefix}{path}: {given}, Flink {status}: {ours}"));
            }
            let of_this = differences(&golden(&name), &ours);
            found.extend(of_this.into_iter().map(|one| format!("{name}: {one}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    hold_against_the_list(&found, DIFFERENCES);
}

/// Both ways.
fn hold_against_the_list(found: &BTreeSet<String>, listed: &[(&str, &str, &str)]) {
    let explains = |one: &str, (file, difference, _): &(&str, &str, &str)| {
        one.split_once(": ")
            .is_some_and(|(name, what)| name.starts_with(file) && what == *difference)
    };
    let unexplained: Vec<_> = found
        .iter()
        .filter(|one| !listed.iter().any(|entry| explains(one, entry)))
        .collect();
    assert!(unexplained.is_empty(), "not listed: {unexplained:#?}");
    let stale: Vec<_> = listed
        .iter()
        .filter(|entry| !found.iter().any(|one| explains(one, entry)))
        .collect();
    assert!(stale.is_empty(), "listed, and no longer so: {stale:#?}");
}
