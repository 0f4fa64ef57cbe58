//! This process as the one TaskManager. Its managed memory is the memory budget; of a JVM there is
//! nothing to say, and those numbers are 0 as Flink sends them when it has none.

use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::cluster::{free_slots, list_of_logs, text_of_log};
use super::numbers::same;
use crate::jobs::view::JobView;
use crate::rest::Shared;
use crate::rest::answer::{self, Answer, Refusal};

const MIB: u64 = 1024 * 1024;

pub async fn all(State(app): State<Shared>) -> Answer {
    let view = app.control.view();
    answer::ok(json!({"taskmanagers": [described(&app, &view)]}))
}

pub async fn one(State(app): State<Shared>, Path(id): Path<String>) -> Answer {
    known(&app, &id)?;
    let view = app.control.view();
    let mut answer = described(&app, &view);
    let taken = if view.job.is_some() {
        view.parallelism - free_slots(&view)
    } else {
        0
    };
    let slot = json!({"jobId": view.job, "resource": resource(&view, 1)});
    answer["allocatedSlots"] = vec![slot; taken as usize].into();
    let mut metrics = same(
        [
            "heapUsed",
            "heapCommitted",
            "heapMax",
            "nonHeapUsed",
            "nonHeapCommitted",
            "nonHeapMax",
            "directCount",
            "directUsed",
            "directMax",
            "mappedCount",
            "mappedUsed",
            "mappedMax",
            "memorySegmentsAvailable",
            "memorySegmentsTotal",
            "nettyShuffleMemorySegmentsAvailable",
            "nettyShuffleMemorySegmentsUsed",
            "nettyShuffleMemorySegmentsTotal",
            "nettyShuffleMemoryAvailable",
            "nettyShuffleMemoryUsed",
            "nettyShuffleMemoryTotal",
        ],
        &0.into(),
    );
    metrics.insert("garbageCollectors".into(), json!([]));
    answer["metrics"] = metrics.into();
    answer::ok(answer)
}

/// Flink has 500 here, which a client takes for a fault of the service.
pub fn known(app: &Shared, id: &str) -> Result<(), Refusal> {
    let ours = &app.here.task_manager;
    if id == ours {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::NOT_FOUND,
        format!("TaskManager {id} not found: this process is {ours}"),
    ))
}

pub async fn logs(State(app): State<Shared>, Path(id): Path<String>) -> Answer {
    known(&app, &id)?;
    list_of_logs(&app)
}

pub async fn log(State(app): State<Shared>, Path(id): Path<String>) -> Answer {
    known(&app, &id)?;
    text_of_log(&app, super::cluster::LOG)
}

pub async fn named_log(
    State(app): State<Shared>,
    Path((id, name)): Path<(String, String)>,
) -> Answer {
    known(&app, &id)?;
    text_of_log(&app, &name)
}

fn described(app: &Shared, view: &JobView) -> Value {
    let machine = Machine::look();
    let budget = view.memory.budget;
    let free = free_slots(view);
    json!({
        "id": app.here.task_manager,
        "path": format!("http://{}", app.here.endpoint()),
        "dataPort": -1,
        "jmxPort": -1,
        "timeSinceLastHeartbeat": view.now,
        "slotsNumber": view.parallelism,
        "freeSlots": free,
        "totalResource": resource(view, view.parallelism),
        "freeResource": resource(view, free),
        "hardware": {
            "cpuCores": machine.cores,
            "physicalMemory": machine.memory,
            "freeMemory": machine.free,
            "managedMemory": budget,
        },
        "memoryConfiguration": {
            "frameworkHeap": 0,
            "taskHeap": 0,
            "frameworkOffHeap": 0,
            "taskOffHeap": 0,
            "networkMemory": 0,
            "managedMemory": budget,
            "jvmMetaspace": 0,
            "jvmOverhead": 0,
            "totalFlinkMemory": budget,
            "totalProcessMemory": budget,
        },
    })
}

/// Of so many slots, which share the memory budget evenly. In MiB, as Flink has it.
fn resource(view: &JobView, slots: u32) -> Value {
    let share = view.memory.budget * u64::from(slots) / u64::from(view.parallelism.max(1));
    json!({
        "cpuCores": f64::from(slots),
        "taskHeapMemory": 0,
        "taskOffHeapMemory": 0,
        "managedMemory": share / MIB,
        "networkMemory": 0,
        "extendedResources": {},
    })
}

/// The machine that this runs on; 0 is not known.
struct Machine {
    cores: usize,
    /// Bytes.
    memory: u64,
    free: u64,
}

impl Machine {
    fn look() -> Self {
        let known = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let field = |name: &str| {
            let line = known.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kib * 1024)
        };
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: field("MemTotal:").unwrap_or(0),
            free: field("MemAvailable:").unwrap_or(0),
        }
    }
}
