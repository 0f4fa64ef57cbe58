//! A job as it might be: two subtasks, ten splits, checkpoints of two starts, one in progress, one late,
//! and something wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use lineage::checkpoint::slot::JobIdentity;
use lineage::ids::{CheckpointId, Generation, NextOffset, Offset, Split, SubtaskIndex};
use lineage::jobs::view::{
    AckView, CheckpointState, CheckpointView, CheckpointsView, DroppedSample, DroppedView,
    ExceptionView, JobState, JobView, MemoryView, PhasesView, RestoredView, RhythmView, SplitView,
    StartView, StoreView, SubtaskView, TroubleView,
};
use lineage::runtime::progress::checkpoints::PhaseTimings;
use lineage::runtime::progress::timings::Timings;
use lineage::store::s3::requests::{MethodCounts, Outcome};

pub const JOB: &str = "5f1d7a9c0b3e42d68a71c4e2f09b6d35";
pub const TOPIC: &str = "orders";
/// When this start of the job began.
pub const STARTED: i64 = 1_795_225_000_000;
const INTERVAL: u64 = 10_000;

pub fn view() -> JobView {
    JobView {
        now: STARTED + 65_000,
        job: Some(JOB.parse().unwrap()),
        name: format!("{TOPIC} to s3://archive/output"),
        state: JobState::Running,
        entered: BTreeMap::from([
            (JobState::Created, STARTED + 10),
            (JobState::Running, STARTED + 900),
        ]),
        started_at: STARTED,
        ended_at: None,
        generation: Some(Generation(3)),
        identity: Some(JobIdentity {
            cluster: "kafka-cluster".into(),
            topic: TOPIC.into(),
            output: "s3://archive/output".into(),
            dropped: "s3://archive/dropped".into(),
            commit_log: "s3://archive/commit-log".into(),
            schema_sha256: "0".repeat(64),
        }),
        topic: TOPIC.into(),
        parallelism: 2,
        settings: BTreeMap::from([
            ("KAFKA_TOPIC".to_owned(), TOPIC.to_owned()),
            ("CHECKPOINT_INTERVAL".to_owned(), "10s".to_owned()),
        ]),
        rhythm: RhythmView {
            interval_ms: INTERVAL,
            min_pause_ms: 1_000,
            timeout_ms: 60_000,
            retained: 100,
        },
        subtasks: (0..2).map(subtask).collect(),
        splits: (0..10).map(split).collect(),
        checkpoints: CheckpointsView {
            completed: 3,
            late: 1,
            durations: durations(),
            history: vec![
                in_progress(25),
                complete(24, false),
                savepoint(23),
                complete(22, true),
                of_earlier_start(20),
                of_earlier_start(19),
            ],
            restored: Some(RestoredView {
                id: CheckpointId(20),
                restored_at: STARTED + 400,
                is_savepoint: false,
                location: location(20),
            }),
        },
        dropped: DroppedView {
            by_reason: BTreeMap::from([("not Avro of this schema".to_owned(), 2)]),
            samples: vec![DroppedSample {
                split: Split::new(TOPIC, 4),
                offset: Offset(4_321),
                reason: "not Avro of this schema".into(),
                value_hex: "deadbeef".into(),
            }],
        },
        troubles: BTreeMap::from([(
            "subtask 1".to_owned(),
            TroubleView {
                since: STARTED + 60_000,
                message: "upload of a part: the store does not answer".into(),
            },
        )]),
        exceptions: vec![
            exception(
                STARTED + 30_000,
                3,
                "subtask 1",
                "the store does not answer",
            ),
            exception(STARTED - 5_000, 2, "coordinator", "the disk is full"),
        ],
        starts: vec![
            StartView {
                generation: Generation(3),
                started_at: STARTED,
                ended_at: None,
                ended: None,
            },
            StartView {
                generation: Generation(2),
                started_at: STARTED - 900_000,
                ended_at: Some(STARTED - 5_000),
                ended: Some("failed: the disk is full".into()),
            },
        ],
        memory: MemoryView {
            budget: 128 << 20,
            queues: 10 << 20,
            open_files: 20 << 20,
            in_flight: 5 << 20,
        },
        store: StoreView {
            retries: 3,
            orphans_aborted: 2,
            s3: BTreeMap::from([("PUT".to_owned(), requests())]),
        },
    }
}

fn requests() -> MethodCounts {
    let mut timings = Timings::default();
    timings.add(Duration::from_millis(20));
    timings.add(Duration::from_secs(5));
    MethodCounts {
        outcomes: BTreeMap::from([(Outcome::Success, 1), (Outcome::NoAnswer, 1)]),
        timings,
    }
}

/// Of three checkpoints.
fn durations() -> PhaseTimings {
    let of = |ms| {
        let mut timings = Timings::default();
        (0..3).for_each(|_| timings.add(Duration::from_millis(ms)));
        timings
    };
    PhaseTimings {
        barrier: of(20),
        upload: of(280),
        commit_log: of(50),
        slot: of(60),
        finalize: of(40),
    }
}

fn subtask(index: u32) -> SubtaskView {
    SubtaskView {
        index,
        records_in: 10_000 + u64::from(index) * 1_000,
        bytes_in: 430_000,
        rows_out: 9_900,
        rows_dropped: 2,
        bytes_out: 210_000,
        open_files: 1,
        queued: 12,
        busy_ms: 20_000,
        idle_ms: 40_000,
        backpressured_ms: 4_000,
    }
}

fn split(partition: i32) -> SplitView {
    let split = Split::new(TOPIC, partition);
    let consumed = 5_000 + i64::from(partition);
    SplitView {
        subtask: split.subtask(2),
        split,
        consumed: NextOffset(consumed),
        durable: NextOffset(consumed - 100),
        committed: Some(NextOffset(consumed - 100)),
        end: Some(NextOffset(consumed + 7)),
    }
}

fn location(id: u64) -> String {
    format!("s3://archive/checkpoints/chk-{id}")
}

fn ack(subtask: u32, acked_at: i64) -> AckView {
    AckView {
        subtask: SubtaskIndex(subtask),
        acked_at,
        files: 2,
        bytes: 40_000,
        rows: 1_800,
        sync_ms: Some(3),
        async_ms: Some(41),
    }
}

fn in_progress(id: u64) -> CheckpointView {
    let triggered_at = STARTED + 64_000;
    CheckpointView {
        id: CheckpointId(id),
        state: CheckpointState::InProgress,
        generation: Generation(3),
        is_savepoint: false,
        late: false,
        triggered_at: Some(triggered_at),
        completed_at: None,
        phases: None,
        files: 2,
        rows: 1_800,
        dropped: 0,
        bytes: 40_000,
        acks: vec![ack(0, triggered_at + 300)],
        location: None,
    }
}

fn complete(id: u64, late: bool) -> CheckpointView {
    let triggered_at = STARTED + 10_000 * (i64::try_from(id).unwrap() - 18);
    CheckpointView {
        id: CheckpointId(id),
        state: CheckpointState::Completed,
        late,
        triggered_at: Some(triggered_at),
        completed_at: Some(triggered_at + 450),
        phases: Some(PhasesView {
            barrier: 20,
            upload: 280,
            commit_log: 50,
            slot: 60,
            finalize: 40,
        }),
        files: 4,
        rows: 3_600,
        dropped: 1,
        bytes: 80_000,
        acks: vec![ack(0, triggered_at + 300), ack(1, triggered_at + 350)],
        location: Some(location(id)),
        ..in_progress(id)
    }
}

fn savepoint(id: u64) -> CheckpointView {
    CheckpointView {
        is_savepoint: true,
        location: Some(format!("s3://archive/savepoints/savepoint-5f1d7a-{id}")),
        ..complete(id, false)
    }
}

fn of_earlier_start(id: u64) -> CheckpointView {
    CheckpointView {
        generation: Generation(2),
        triggered_at: None,
        completed_at: Some(STARTED - 10_000 * (30 - i64::try_from(id).unwrap())),
        phases: None,
        acks: Vec::new(),
        ..complete(id, false)
    }
}

fn exception(at: i64, generation: u64, concern: &str, message: &str) -> ExceptionView {
    ExceptionView {
        at,
        generation: Some(Generation(generation)),
        concern: concern.into(),
        message: message.into(),
    }
}
