// Views of a job as the service sends them, made up: what the page must show of each is known.

const MINUTE = 60_000;
/** When the job of all views has started, so that its counters grow. */
const BEGUN = Date.now() - 192 * MINUTE;
/** A moment of it that stays. */
export const FIXED = BEGUN + 191 * MINUTE;
/** When its newest checkpoint was complete. */
const NEWEST = Date.now() - 12_000;

function checkpoint(id, at, ms, more = {}) {
  const phases = { barrier: 0.08, upload: 0.45, commit_log: 0.07, slot: 0.1, finalize: 0.3 };
  return {
    id,
    state: "COMPLETED",
    generation: 3,
    is_savepoint: false,
    late: false,
    triggered_at: at - ms,
    completed_at: at,
    phases: Object.fromEntries(Object.entries(phases).map(([kind, share]) => [kind, Math.round(share * ms)])),
    files: 4,
    rows: 118_240 + id * 37,
    dropped: id % 4 === 0 ? 12 : 0,
    bytes: 2_411_724,
    acks: [0, 1].map((subtask) => ({ subtask, acked_at: at - ms / 2, files: 2, bytes: 1_205_862, rows: 59_120 })),
    location: `s3://flink-data/checkpoints/chk-${id}`,
    ...more,
  };
}

function splits(count, lagOf, now) {
  return Array.from({ length: count }, (_, partition) => {
    const consumed = 7_215_300 + partition * 1_009 + Math.floor((now - BEGUN) * 0.197);
    return {
      split: { topic: "lineage-input", partition },
      subtask: partition % 2,
      consumed,
      durable: consumed - 4_120,
      committed: consumed - 4_120,
      end: consumed + lagOf(partition),
    };
  });
}

export function running(now = Date.now()) {
  const begun = BEGUN;
  const read = Math.floor((now - begun) * 1.97);
  const history = Array.from({ length: 60 }, (_, n) => {
    const ms = 900 + ((n * 7919) % 700) + (n % 23 === 5 ? 2600 : 0);
    return checkpoint(204 - n, NEWEST - n * MINUTE, ms);
  });
  history[7].is_savepoint = true;
  for (const old of history.slice(50)) {
    Object.assign(old, { generation: 2, triggered_at: null, phases: null, acks: [] });
  }
  return {
    now,
    job: "0f3c5a7be21d4c0c9a1e6f2b7d8e9012",
    name: "lineage-input to s3://flink-data/output",
    state: "RUNNING",
    entered: { CREATED: begun - 900, RUNNING: begun },
    started_at: begun - 900,
    ended_at: null,
    generation: 3,
    identity: {
      cluster: "5L6g3nShT-eMCtK--X86sw",
      topic: "lineage-input",
      output: "s3://flink-data/output",
      dropped: "s3://flink-data/dropped",
      commit_log: "s3://flink-data/write-ahead-commit-log",
      schema_sha256: "00",
    },
    topic: "lineage-input",
    parallelism: 2,
    settings: {
      KAFKA_BOOTSTRAP_SERVERS: "kafka:9092",
      KAFKA_TOPIC: "lineage-input",
      OUTPUT_PATH: "s3://flink-data/output",
      DROPPED_PATH: "s3://flink-data/dropped",
      WRITE_AHEAD_COMMIT_LOG_PATH: "s3://flink-data/write-ahead-commit-log",
      CHECKPOINTS_PATH: "s3://flink-data/checkpoints",
      CHECKPOINT_INTERVAL: "60s",
      CHECKPOINT_TIMEOUT: "300s",
      MEMORY_BUDGET: "128MiB",
      PARALLELISM: "2",
    },
    rhythm: { interval_ms: MINUTE, min_pause_ms: 10_000, timeout_ms: 300_000, retained: 100 },
    subtasks: [0, 1].map((index) => ({
      index,
      records_in: Math.floor(read / 2),
      bytes_in: read * 21,
      rows_out: Math.floor(read / 2) - 620,
      rows_dropped: 620,
      bytes_out: read * 10,
      open_files: 1,
      busy_ms: Math.floor((now - begun) * (0.31 + 0.1 * index)),
      idle_ms: Math.floor((now - begun) * (0.66 - 0.1 * index)),
      backpressured_ms: Math.floor((now - begun) * 0.03),
    })),
    splits: splits(10, (partition) => [0, 31, 4, 0, 122, 9, 0, 0, 58, 3][partition], now),
    checkpoints: {
      completed: 50,
      late: 0,
      history,
      restored: { id: 153, restored_at: begun, is_savepoint: false, location: "s3://flink-data/checkpoints/chk-153" },
    },
    dropped: {
      by_reason: { "the record is shorter than its schema": 1_104, "no value": 136 },
      samples: [
        {
          split: { topic: "lineage-input", partition: 4 },
          offset: 7_218_776,
          reason: "the record is shorter than its schema: 11 bytes, and uuid needs 36",
          value_hex: "4837663331326534392d64",
        },
        { split: { topic: "lineage-input", partition: 1 }, offset: 7_201_003, reason: "no value", value_hex: "" },
      ],
    },
    troubles: {},
    exceptions: [
      { at: begun - 26_000, generation: 2, concern: "coordinator", message: "the process ended: s3://flink-data/output/year=2026/month=11/day=21/hour=04/part-0f3c-2-1-88.parquet: the pending upload is broken: it is still open, but the store has lost its parts" },
    ],
    starts: [
      { generation: 3, started_at: begun - 900, ended_at: null, ended: null },
      { generation: 2, started_at: begun - 600 * MINUTE, ended_at: begun - 26_000, ended: "failed: the store has lost the parts of a file" },
      { generation: 1, started_at: begun - 2900 * MINUTE, ended_at: begun - 601 * MINUTE, ended: "stopped" },
    ],
    memory: { budget: 134_217_728, queues: 50_331_648, open_files: 7_340_032, in_flight: 5_242_880 },
  };
}

export function lateCheckpoint(now = Date.now()) {
  const view = running(now);
  const { history } = view.checkpoints;
  const open = checkpoint(205, now, 0, { state: "IN_PROGRESS", late: true, triggered_at: now - 372_000, completed_at: null, phases: null, acks: [], files: 0, rows: 0, dropped: 0, bytes: 0, location: null });
  for (const one of history) {
    one.completed_at -= 6 * MINUTE;
    if (one.triggered_at !== null) one.triggered_at -= 6 * MINUTE;
  }
  history.unshift(open);
  history[9].late = true;
  view.checkpoints.late = 2;
  view.troubles = {
    checkpoint: { since: now - 72_000, message: "checkpoint 205 is late: begun 372 s ago, CHECKPOINT_TIMEOUT is 300 s" },
  };
  view.splits = splits(10, (partition) => 1_200_000 + partition * 90_000, now);
  return view;
}

export function degraded(now = Date.now()) {
  const view = running(now);
  view.troubles = {
    "uploading part 3 of s3://flink-data/output": { since: now - 41_000, message: "the store does not answer: connection refused (http://minio:9000). Retried; nothing is lost" },
    "partition lineage-input-7": { since: now - 12_000, message: "no broker leads it" },
  };
  for (const one of view.subtasks) one.backpressured_ms += 40_000;
  view.splits[7].end = null;
  return view;
}

export function manyPartitions(now = Date.now()) {
  const view = running(now);
  view.splits = splits(1_000, (partition) => (partition % 97 === 13 ? 250_000 + partition * 13 : (partition * 31) % 11 === 0 ? partition : 0), now);
  return view;
}

export function finished(now = Date.now()) {
  const view = running(now);
  view.state = "FINISHED";
  view.ended_at = now - 95_000;
  view.entered = { ...view.entered, STOPPING: now - 97_000, FINISHED: now - 95_000 };
  view.starts[0].ended_at = view.ended_at;
  view.starts[0].ended = "stopped";
  return view;
}

export function nothingYet(now = Date.now()) {
  const view = running(now);
  return {
    ...view,
    state: "CREATED",
    job: null,
    generation: null,
    identity: null,
    started_at: now - 1_500,
    entered: { CREATED: now - 1_500 },
    subtasks: [],
    splits: [],
    checkpoints: { completed: 0, late: 0, history: [], restored: null },
    dropped: { by_reason: {}, samples: [] },
    exceptions: [],
    starts: [],
    memory: { budget: 134_217_728, queues: 50_331_648, open_files: 0, in_flight: 0 },
  };
}

export function history(now = Date.now()) {
  const samples = Array.from({ length: 719 }, (_, n) => {
    const at = now - (719 - n) * 5_000;
    const wave = Math.sin(n / 60) * 320 + ((n * 7919) % 97);
    return { at, records_per_second: n === 0 ? null : 1_700 + wave, bytes_per_second: 42 * (1_700 + wave), lag: Math.max(0, Math.round(180 + wave * (n > 400 && n < 440 ? 60 : 0.3))) };
  });
  return { interval_ms: 5_000, samples };
}

export function files(id) {
  return Array.from({ length: 5 }, (_, n) => ({
    subtask: n % 2,
    dropped: n === 4,
    s3_key: `s3://flink-data/${n === 4 ? "dropped" : "output"}/year=2026/month=11/day=21/hour=07/part-0f3c5a7be21d4c0c9a1e6f2b7d8e9012-3-${n % 2}-${id + n}.parquet`,
    commit_timestamp: "1795234567890",
    rows: n === 4 ? 12 : 29_560,
    bytes: n === 4 ? 3_120 : 602_931,
  }));
}
