//! A job that is made up: its time goes on by a second whenever somebody looks, and each subtask reads
//! a thousand records in it.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use lineage::ids::CheckpointId;
use lineage::jobs::control::{
    CommitLogLine, Control, Operation, Refused, SavepointRequest, TriggerId,
};
use lineage::jobs::view::JobView;

use super::sample;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Savepoint(SavepointRequest),
    Checkpoint,
    Stop,
    Cancel,
    Resume,
}

pub struct FakeControl {
    state: Mutex<State>,
}

struct State {
    view: JobView,
    looks: u64,
    calls: Vec<Call>,
    operations: HashMap<TriggerId, Operation>,
    refusal: Option<fn() -> Refused>,
}

impl FakeControl {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                view: sample::view(),
                looks: 0,
                calls: Vec::new(),
                operations: HashMap::new(),
                refusal: None,
            }),
        }
    }

    pub fn change(&self, change: impl FnOnce(&mut JobView)) {
        change(&mut self.state.lock().unwrap().view);
    }

    /// What was asked of the job, which is nothing if it was refused before.
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    pub fn looks(&self) -> u64 {
        self.state.lock().unwrap().looks
    }

    pub fn refuse(&self, refusal: fn() -> Refused) {
        self.state.lock().unwrap().refusal = Some(refusal);
    }

    /// Ends all operations that are in progress.
    pub fn complete(&self, operation: &Operation) {
        let mut state = self.state.lock().unwrap();
        for known in state.operations.values_mut() {
            *known = operation.clone();
        }
    }

    fn called(&self, call: Call) -> Result<TriggerId, Refused> {
        let mut state = self.state.lock().unwrap();
        if let Some(refusal) = state.refusal {
            return Err(refusal());
        }
        state.calls.push(call);
        let id = TriggerId::random();
        state.operations.insert(id.clone(), Operation::InProgress);
        Ok(id)
    }
}

#[async_trait]
impl Control for FakeControl {
    fn view(&self) -> JobView {
        let mut state = self.state.lock().unwrap();
        state.looks += 1;
        if !state.view.state.is_terminal() {
            state.view.now += 1_000;
            for subtask in &mut state.view.subtasks {
                subtask.records_in += 1_000;
                subtask.busy_ms += 300;
                subtask.idle_ms += 500;
                subtask.backpressured_ms += 200;
            }
        }
        state.view.clone()
    }

    fn savepoint(&self, request: SavepointRequest) -> Result<TriggerId, Refused> {
        self.called(Call::Savepoint(request))
    }

    fn checkpoint(&self) -> Result<TriggerId, Refused> {
        self.called(Call::Checkpoint)
    }

    fn stop(&self) -> Result<(), Refused> {
        self.called(Call::Stop).map(|_| ())
    }

    fn cancel(&self) -> Result<(), Refused> {
        self.called(Call::Cancel).map(|_| ())
    }

    fn resume(&self) -> Result<(), Refused> {
        self.called(Call::Resume).map(|_| ())
    }

    fn operation(&self, id: &TriggerId) -> Option<Operation> {
        self.state.lock().unwrap().operations.get(id).cloned()
    }

    async fn commit_log(&self, id: CheckpointId) -> Result<Vec<CommitLogLine>, String> {
        if id != CheckpointId(24) {
            return Err(format!("chk-{id}: the store does not answer"));
        }
        Ok(vec![CommitLogLine {
            subtask: 1,
            dropped: false,
            s3_key: "s3://archive/output/year=2026/part-0.parquet".into(),
            commit_timestamp: "1795225460473".into(),
            rows: Some(1_800),
            bytes: Some(40_000),
        }])
    }
}
