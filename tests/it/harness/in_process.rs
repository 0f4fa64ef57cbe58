//! The job in a thread of the test's own process, with its supervisor at hand.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use lineage::clock::{Clock, SystemClock};
use lineage::config::Settings;
use lineage::config::args::{Cli, Command};
use lineage::ids::CheckpointId;
use lineage::jobs::control::{Control, Operation, SavepointRequest, TriggerId};
use lineage::jobs::view::{JobState, JobView};
use lineage::jobs::{JobError, Supervisor};

use super::{Archive, LONG, Topic, kafka, wait_for};

/// Settings of `lineage run` for a topic and an archive, with further flags.
pub fn settings(archive: &Archive, topic: &Topic, flags: &[&str]) -> Settings {
    let mut args = vec!["lineage".to_owned(), "run".to_owned()];
    let own = [
        ("KAFKA_BOOTSTRAP_SERVERS".to_owned(), kafka::servers()),
        ("KAFKA_TOPIC".to_owned(), topic.name.clone()),
        ("KAFKA_GROUP_ID".to_owned(), topic.name.clone()),
        ("SAVEPOINTS_PATH".to_owned(), archive.savepoints()),
    ];
    for (setting, value) in archive.settings().into_iter().chain(own) {
        let flag = setting.to_lowercase().replace('_', "-");
        args.extend([format!("--{flag}"), value]);
    }
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    match Cli::try_parse_from(args).unwrap().command {
        Command::Run(run) => Settings::try_from(*run).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub struct InProcess {
    pub supervisor: Arc<Supervisor>,
    pub control: Arc<dyn Control>,
    job: Option<JoinHandle<Result<(), JobError>>>,
}

impl InProcess {
    pub fn start(settings: Settings) -> Self {
        Self::start_with(settings, Arc::new(SystemClock::new()))
    }

    pub fn start_with(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let supervisor = {
            let _inside = runtime.enter();
            Supervisor::with_clock(settings, clock)
        };
        let running = supervisor.clone();
        let job = std::thread::spawn(move || {
            let result = runtime.block_on(running.run());
            runtime.shutdown_timeout(Duration::from_secs(5));
            result
        });
        Self {
            control: supervisor.control(),
            supervisor,
            job: Some(job),
        }
    }

    /// A running job that takes checkpoints only when it is asked to.
    pub fn idle(archive: &Archive, topic: &Topic, flags: &[&str]) -> Self {
        let flags = [&["--checkpoint-interval", "1h"], flags].concat();
        let job = Self::start(settings(archive, topic, &flags));
        job.wait_for_state(JobState::Running);
        job
    }

    /// Takes one now; returns its place.
    #[track_caller]
    pub fn savepoint(&self, request: SavepointRequest) -> String {
        let id = self.control.savepoint(request).unwrap();
        match self.outcome(&id) {
            Operation::Savepoint { location } => location,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn checkpoint(&self) -> CheckpointId {
        let id = self.control.checkpoint().unwrap();
        match self.outcome(&id) {
            Operation::Checkpoint { id } => id,
            other => panic!("{other:?}"),
        }
    }

    pub fn view(&self) -> JobView {
        self.control.view()
    }

    /// Waits until what is seen of it is so.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut so: impl FnMut(&JobView) -> bool) -> JobView {
        wait_for(what, LONG, || {
            let view = self.view();
            let found = so(&view);
            let alive = self.job.as_ref().is_some_and(|job| !job.is_finished());
            assert!(found || alive, "ended before there was {what}: {view:?}");
            found.then_some(view)
        })
    }

    #[track_caller]
    pub fn wait_for_state(&self, state: JobState) -> JobView {
        self.wait_until(&format!("{state:?}"), |view| view.state == state)
    }

    /// Waits until so many records were read since the start.
    #[track_caller]
    pub fn wait_until_consumed(&self, count: u64) {
        self.wait_until(&format!("{count} rows"), |_| {
            self.supervisor.progress().consumed() == count
        });
    }

    /// Waits until the operation has ended.
    #[track_caller]
    pub fn outcome(&self, id: &TriggerId) -> Operation {
        wait_for("end of the operation", LONG, || {
            let now = self.control.operation(id).expect("it is known");
            (now != Operation::InProgress).then_some(now)
        })
    }

    /// As by SIGTERM; waits for the end of the process's part.
    pub fn terminate(mut self) -> Result<(), JobError> {
        self.supervisor.shut_down();
        self.ends()
    }

    /// Waits for the end.
    pub fn ends(&mut self) -> Result<(), JobError> {
        let job = self.job.take().expect("it is running");
        wait_for("end of the job", LONG, || job.is_finished().then_some(()));
        job.join().unwrap()
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        // Of a test that has failed; its thread must not outlive its servers.
        if self.job.is_some() {
            let _ = self.control.cancel();
            self.supervisor.shut_down();
        }
    }
}
