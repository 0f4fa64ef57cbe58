//! The three vertices of the job's graph. The first two are one thread for each subtask; the third is
//! a task of the process.

use serde_json::{Map, Value, json};

use super::numbers::{Summary, double};
use crate::digest::sha256_hex;
use crate::ids::JobId;
use crate::jobs::view::{JobView, SubtaskView};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vertex {
    /// Kafka source with decode and enrich.
    Source,
    /// Sink writer with commit log.
    Writer,
    Committer,
}

impl Vertex {
    pub const ALL: [Self; 3] = [Self::Source, Self::Writer, Self::Committer];

    /// The same after a restart.
    pub fn id(self, job: &JobId) -> String {
        let place = match self {
            Self::Source => "source",
            Self::Writer => "writer",
            Self::Committer => "committer",
        };
        sha256_hex(&format!("{job} {place}"))[..32].to_owned()
    }

    /// Its operators, the first to the last.
    fn operators(self, topic: &str) -> Vec<String> {
        match self {
            // Metadata crawlers find the topic by this form.
            Self::Source => vec![
                format!("Source: KafkaSource-{topic}"),
                "decode".into(),
                "enrich".into(),
            ],
            Self::Writer => vec!["FileSink: Writer".into(), "commit log".into()],
            Self::Committer => vec!["FileSink: Committer".into()],
        }
    }

    pub fn name(self, topic: &str) -> String {
        self.operators(topic).join(" -> ")
    }

    /// The operator whose metrics it has, as their names begin.
    pub fn main_operator(self, topic: &str) -> String {
        metric_name(&self.operators(topic)[0])
    }

    /// As a plan draws it.
    pub fn description(self, topic: &str) -> String {
        let operators = self.operators(topic);
        let lines = operators.iter().enumerate().map(|(depth, operator)| {
            let branch = match depth {
                0 => String::new(),
                deeper => format!("{}+- ", "   ".repeat(deeper - 1)),
            };
            format!("{branch}{operator}<br/>")
        });
        lines.collect()
    }

    pub fn parallelism(self, view: &JobView) -> u32 {
        match self {
            Self::Source | Self::Writer => view.parallelism,
            Self::Committer => 1,
        }
    }

    /// What it reads from, and how.
    pub fn input(self) -> Option<(Self, &'static str)> {
        match self {
            Self::Source => None,
            Self::Writer => Some((Self::Source, "FORWARD")),
            Self::Committer => Some((Self::Writer, "REBALANCE")),
        }
    }

    /// Of each of its subtasks.
    pub fn work(self, view: &JobView) -> Vec<Work> {
        let subtask = |index| view.subtasks.iter().find(|s| s.index == index);
        (0..self.parallelism(view))
            .map(|index| match self {
                Self::Committer => Work::default(),
                _ => subtask(index).map_or_else(Work::default, |s| Work::of(self, s)),
            })
            .collect()
    }
}

/// As Flink writes a name within that of a metric.
pub fn metric_name(name: &str) -> String {
    name.replace([' ', '.', ':', ','], "_")
}

/// What a subtask has done; `None` is not counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    pub read_bytes: Option<u64>,
    pub write_bytes: Option<u64>,
    pub read_records: Option<u64>,
    pub write_records: Option<u64>,
    /// Milliseconds, of the thread.
    pub busy: Option<u64>,
    pub idle: Option<u64>,
    pub backpressured: Option<u64>,
}

impl Work {
    fn of(vertex: Vertex, subtask: &SubtaskView) -> Self {
        let rows = Some(subtask.rows_out + subtask.rows_dropped);
        let times = Self {
            busy: Some(subtask.busy_ms),
            idle: Some(subtask.idle_ms),
            backpressured: Some(subtask.backpressured_ms),
            ..Self::default()
        };
        match vertex {
            // Between the two, rows pass in memory: nobody counts their bytes.
            Vertex::Source => Self {
                read_bytes: Some(subtask.bytes_in),
                read_records: Some(subtask.records_in),
                write_records: rows,
                ..times
            },
            Vertex::Writer => Self {
                write_bytes: Some(subtask.bytes_out),
                read_records: rows,
                write_records: rows,
                ..times
            },
            Vertex::Committer => Self::default(),
        }
    }

    fn counters(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("read-bytes", self.read_bytes),
            ("write-bytes", self.write_bytes),
            ("read-records", self.read_records),
            ("write-records", self.write_records),
        ]
    }
}

/// Their sum. A counter that there is none of is 0 and not complete, as Flink says it.
pub fn io_metrics(work: &[Work]) -> Value {
    let mut metrics = Map::new();
    let sum = |of: &dyn Fn(&Work) -> Option<u64>| work.iter().map(of).sum::<Option<u64>>();
    for (place, (name, _)) in Work::default().counters().into_iter().enumerate() {
        let total = sum(&|work| work.counters()[place].1);
        metrics.insert(name.to_owned(), total.unwrap_or(0).into());
        metrics.insert(format!("{name}-complete"), total.is_some().into());
    }
    let busy = sum(&|work| work.busy).map_or(f64::NAN, |ms| ms as f64);
    metrics.insert("accumulated-busy-time".into(), double(busy));
    for (name, total) in [
        ("accumulated-idle-time", sum(&|work| work.idle)),
        (
            "accumulated-backpressured-time",
            sum(&|work| work.backpressured),
        ),
    ] {
        metrics.insert(name.into(), total.unwrap_or(0).into());
    }
    Value::Object(metrics)
}

/// Their spread over the subtasks.
pub fn aggregated(work: &[Work], durations: &[(&'static str, i64)]) -> Value {
    let over = |of: &dyn Fn(&Work) -> Option<u64>| {
        let values = work.iter().map(|work| of(work).unwrap_or(0));
        Summary::of(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX))).of_subtasks()
    };
    let durations = durations.iter().map(|(name, ms)| {
        let each = work.iter().map(|_| *ms);
        ((*name).to_owned(), Summary::of(each).of_subtasks())
    });
    json!({
        "metrics": {
            "read-bytes": over(&|work| work.read_bytes),
            "write-bytes": over(&|work| work.write_bytes),
            "read-records": over(&|work| work.read_records),
            "write-records": over(&|work| work.write_records),
            "accumulated-busy-time": over(&|work| work.busy),
            "accumulated-idle-time": over(&|work| work.idle),
            "accumulated-backpressured-time": over(&|work| work.backpressured),
        },
        "status-duration": durations.collect::<Map<_, _>>(),
    })
}
