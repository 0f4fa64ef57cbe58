//! The lifecycle of the one job of a process: it owns its runs, and is behind [`Control`].
//!
//! ```text
//! Created ──► Running ──► Stopping ────► Finished ──┐
//!    │           │           │                      ├─ resume ─► Created (a new generation)
//!    └───────────┴───────────┴► Cancelling ► Canceled┘
//! any of the first four, by an error: Failed, which ends the process
//! ```
//!
//! A job that is finished or canceled leaves the process up; nothing of its run is left then, so that
//! the next one begins like one of a new process.

mod collect;
mod commit_lines;
mod lifecycle;
mod past;
mod requests;
mod savepoint;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::JobError;
use super::control::Control;
use super::history::History;
use super::lineage::{End, Environment, Opened, Run, Wish};
use super::operations::Operations;
use super::view::{CheckpointView, JobState};
use crate::checkpoint::driver::{DriverError, Event};
use crate::checkpoint::slot::JobIdentity;
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::ids::{CheckpointId, Generation, JobId};
use crate::recovery::decide::Refusal;
use crate::recovery::execute::{RecoveryError, Restored};
use crate::runtime::budget::Budget;
use crate::runtime::health::Health;
use crate::runtime::progress::Progress;
use crate::runtime::retry::{Patience, with_causes};
use crate::runtime::until;
use crate::store::Stores;

/// A store that hangs must not hold up the end of the process for its history.
const LAST_WORD: Duration = Duration::from_secs(3);

pub struct Supervisor {
    settings: Settings,
    /// The settings as people see them.
    shown: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    /// True: the process is to end.
    ending: watch::Sender<bool>,
    resumed: Notify,
    state: Mutex<State>,
    operations: Operations,
    history: Arc<History>,
}

struct State {
    job: JobState,
    entered: BTreeMap<JobState, i64>,
    started_at: i64,
    ended_at: Option<i64>,
    wish: watch::Sender<Wish>,
    live: Arc<Live>,
    stores: Option<Stores>,
    /// Known from the first start on: the next ones have the same.
    id: Option<JobId>,
    /// As the log had them when this process first opened it, the newest first.
    of_the_log: Vec<CheckpointView>,
    /// Where savepoints of this process were copied to.
    copies: BTreeMap<CheckpointId, String>,
    /// What savepoints still have to do.
    copying: JoinSet<()>,
}

/// One run, for those who look at it.
struct Live {
    env: Environment,
    started: OnceLock<LiveStart>,
    /// How it has ended.
    ended: watch::Sender<Option<String>>,
}

/// What is known once the start record is confirmed.
struct LiveStart {
    generation: Generation,
    identity: JobIdentity,
    restored: Option<Restored>,
    orphans_aborted: u64,
    at: i64,
    events: mpsc::WeakUnboundedSender<Event>,
}

impl Supervisor {
    /// A job that is not started yet. To be called within a runtime.
    pub fn new(settings: Settings) -> Arc<Self> {
        Self::with_clock(settings, Arc::new(SystemClock::new()))
    }

    pub fn with_clock(settings: Settings, clock: Arc<dyn Clock>) -> Arc<Self> {
        let ending = watch::Sender::new(false);
        let wish = watch::Sender::new(Wish::GoOn);
        let now = clock.wall().0;
        let state = State {
            job: JobState::Created,
            entered: BTreeMap::from([(JobState::Created, now)]),
            started_at: now,
            ended_at: None,
            live: Arc::new(Live::new(&settings, clock.clone(), &wish, &ending)),
            wish,
            stores: None,
            id: None,
            of_the_log: Vec::new(),
            copies: BTreeMap::new(),
            copying: JoinSet::new(),
        };
        Arc::new(Self {
            shown: settings.shown(),
            settings,
            clock,
            runtime: Handle::current(),
            ending,
            resumed: Notify::new(),
            state: Mutex::new(state),
            operations: Operations::default(),
            history: Arc::default(),
        })
    }

    /// Runs the job, again whenever it is resumed, until the process is to end or the job has failed.
    /// A bounded job ends the process.
    ///
    /// # Errors
    /// If the job fails.
    pub async fn run(self: &Arc<Self>) -> Result<(), JobError> {
        loop {
            let end = self.run_once().await;
            self.has_ended(&end).await;
            if end.is_err() || self.settings.bounded || !self.is_resumed().await {
                self.await_copies().await;
                return end.map(drop);
            }
        }
    }

    /// What the control plane asks.
    pub fn control(self: &Arc<Self>) -> Arc<dyn Control> {
        Arc::new(self.clone())
    }

    /// The process is to end: with a last checkpoint if the job runs, at once if it does not.
    pub fn shut_down(&self) {
        self.ending.send_replace(true);
        let mut state = self.lock();
        if matches!(state.job, JobState::Created | JobState::Running) {
            self.enter(&mut state, JobState::Stopping);
            state.wish.send_replace(Wish::Stop);
        }
    }

    /// Counters of the run that is under way, or was last.
    pub fn progress(&self) -> Arc<Progress> {
        self.live().env.progress.clone()
    }

    pub fn health(&self) -> Arc<Health> {
        self.live().env.patience.health.clone()
    }

    async fn run_once(self: &Arc<Self>) -> Result<End, JobError> {
        let live = self.live();
        self.history.begin(self.lock().started_at);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            topics = %self.settings.topics,
            brokers = self.settings.kafka.bootstrap_servers,
            output = %self.settings.paths.output,
            "starting"
        );
        let mut wish = live.env.wish.clone();
        let run = tokio::select! {
            run = self.start(&live) => run?,
            // Nothing has been read yet, so there is nothing to checkpoint.
            () = until(&mut wish, |wish| *wish != Wish::GoOn) => {
                tracing::info!("stopped before it had started: nothing was read or written");
                let canceled = self.lock().job == JobState::Cancelling;
                return Ok(if canceled { End::Canceled } else { End::Finished });
            }
        };
        run.run_to_the_end().await
    }

    /// What the next run shares with others: counters, health and wishes of its own.
    fn renew(&self, state: &mut State) {
        let wish = watch::Sender::new(Wish::GoOn);
        let live = Live::new(&self.settings, self.clock.clone(), &wish, &self.ending);
        (state.live, state.wish) = (Arc::new(live), wish);
        state.started_at = self.now();
        state.ended_at = None;
        self.enter(state, JobState::Created);
    }

    async fn start(self: &Arc<Self>, live: &Arc<Live>) -> Result<Run<'_>, JobError> {
        let opened = Opened::new(&self.settings, live.env.clone()).await?;
        let checkpoints = opened.stores.checkpoints.clone();
        self.lock().stores = Some(opened.stores.clone());
        self.history.open(checkpoints.clone());
        let attempt = AtomicU64::new(0);
        let run = match opened.recover(&attempt).await {
            Ok(run) => run,
            Err(error) => {
                // Without a log there is no job yet, or it was lost: nothing is begun in its place.
                if let generation @ 2.. = attempt.into_inner()
                    && is_of_this_job(&error)
                {
                    self.history.tried(Generation(generation));
                }
                return Err(error);
            }
        };
        let record = &run.started.record;
        self.history.started(record.generation, record.job.clone());
        let start = LiveStart {
            generation: record.generation,
            identity: record.identity.clone(),
            restored: run.started.restored.clone(),
            orphans_aborted: run.started.orphans_aborted,
            at: self.now(),
            events: run.events(),
        };
        // Set once: this is the one start of this run.
        let _ = live.started.set(start);
        let (newest, id) = (record.id, record.job.clone());
        let (supervisor, live) = (self.clone(), live.clone());
        tokio::spawn(async move {
            supervisor.history.write().await;
            supervisor.read_the_log(newest).await;
            supervisor.keep_checkpoints(&live).await;
        });
        let mut state = self.lock();
        state.id = Some(id);
        if state.job == JobState::Created {
            self.enter(&mut state, JobState::Running);
        }
        Ok(run)
    }

    async fn has_ended(&self, end: &Result<End, JobError>) {
        let (job, how, failed) = match end {
            Ok(End::Canceled) => (JobState::Canceled, "canceled".to_owned(), None),
            Ok(End::Finished) if self.settings.bounded => {
                (JobState::Finished, "finished".to_owned(), None)
            }
            Ok(End::Finished) => (JobState::Finished, "stopped".to_owned(), None),
            Err(error) => {
                let kind = if error.is_fencing() {
                    "fenced"
                } else {
                    "failed"
                };
                let how = format!("{kind}: {}", with_causes(error));
                (JobState::Failed, how, Some(concern(error)))
            }
        };
        let now = self.now();
        let run = {
            let mut state = self.lock();
            self.note_checkpoints(&state, &state.live);
            state.ended_at = Some(now);
            self.enter(&mut state, job);
            // From here on it may be resumed, and another run be the live one.
            state.live.clone()
        };
        if end.is_ok() {
            tracing::info!(how, "the job has ended");
        }
        if let (Err(error), Some(concern)) = (end, failed) {
            self.history.exception(now, concern, with_causes(error));
        }
        run.ended.send_replace(Some(how.clone()));
        self.history.ended(now, how);
        self.write_history().await;
    }

    /// Where somebody waits for it.
    async fn write_history(&self) {
        let _ = tokio::time::timeout(LAST_WORD, self.history.write()).await;
    }

    /// False when the process is to end instead.
    async fn is_resumed(&self) -> bool {
        let mut ending = self.ending.subscribe();
        if *ending.borrow() {
            return false;
        }
        tracing::info!("the job can be resumed; SIGTERM ends the process");
        tokio::select! {
            biased;
            () = until(&mut ending, |ending| *ending) => false,
            () = self.resumed.notified() => true,
        }
    }

    /// Copies of savepoints that are complete; not for ever, for their slots are kept anyway.
    async fn await_copies(&self) {
        let mut copying = std::mem::take(&mut self.lock().copying);
        let all = async { while copying.join_next().await.is_some() {} };
        if tokio::time::timeout(self.settings.stop_timeout, all)
            .await
            .is_err()
        {
            tracing::warn!("a savepoint was not copied; its slot is kept in the checkpoint log");
        }
    }

    fn enter(&self, state: &mut State, job: JobState) {
        state.job = job;
        state.entered.insert(job, self.now());
    }

    fn now(&self) -> i64 {
        self.clock.wall().0
    }

    fn live(&self) -> Arc<Live> {
        self.lock().live.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole enough after every statement above, also if a thread died in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn new(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        wish: &watch::Sender<Wish>,
        ending: &watch::Sender<bool>,
    ) -> Self {
        let env = Environment {
            patience: Patience {
                clock,
                health: Arc::default(),
            },
            progress: Arc::new(Progress::new(settings.parallelism)),
            budget: Budget::new(settings.file_memory),
            requests: Arc::default(),
            wish: wish.subscribe(),
            ending: ending.subscribe(),
        };
        Self {
            env,
            started: OnceLock::new(),
            ended: watch::Sender::new(None),
        }
    }
}

/// What an error concerns.
fn concern(error: &JobError) -> String {
    match error {
        JobError::Path { .. }
        | JobError::KafkaSettings(_)
        | JobError::Reader(_)
        | JobError::Settings(_)
        | JobError::Schema(_) => "settings".into(),
        JobError::Registry(_)
        | JobError::NoSubject { .. }
        | JobError::RegistryAnswer { .. }
        | JobError::RegistrySchema { .. } => "schema registry".into(),
        JobError::Cluster(_) => "kafka".into(),
        JobError::Recovery(_) => "recovery".into(),
        JobError::Driver(DriverError::Chain { subtask, .. }) => format!("subtask {subtask}"),
        JobError::Driver(_) | JobError::Thread(_) | JobError::Task(_) => "coordinator".into(),
        JobError::StopTimeout(_) => "stop".into(),
    }
}

/// Whether the checkpoint log is that of this job, as far as the error says; to another's nothing is
/// written.
fn is_of_this_job(error: &JobError) -> bool {
    let JobError::Recovery(RecoveryError::Refused(refusal)) = error else {
        return !matches!(error, JobError::Recovery(RecoveryError::Savepoint { .. }));
    };
    !matches!(
        refusal,
        Refusal::OtherJob { .. }
            | Refusal::SavepointOfThisArchive { .. }
            | Refusal::SavepointOfOther { .. }
            | Refusal::BegunOtherwise { .. }
            | Refusal::NotACheckpoint(_)
    )
}
