//! One simulated process of the job: its tasks, its subtasks, and how it starts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::task::{ArcWake, waker};
use tokio::sync::{mpsc, oneshot};

use super::chain::{SimOperator, SimSource, SimWriter, Topic};
use super::store::{Shared, SimStore};
use crate::checkpoint::coordinator::Request;
use crate::checkpoint::coordinator::{Coordinator, Rhythm};
use crate::checkpoint::driver::{Driver, DriverError, Event, OffsetCommitter, Subtasks, Waiting};
use crate::checkpoint::log::{CheckpointLog, LogError};
use crate::checkpoint::slot::{JobIdentity, TopicIds};
use crate::clock::{Clock, EpochMillis};
use crate::commit_log::CommitLog;
use crate::config::DEFAULT_SCHEMA;
use crate::ids::{NextOffset, Split, SubtaskIndex};
use crate::recovery::decide::Held;
use crate::recovery::execute::{Recovery, RecoveryError, Started, TopicLookup};
use crate::runtime::budget::Budget;
use crate::runtime::health::Health;
use crate::runtime::progress::Progress;
use crate::runtime::retry::Patience;
use crate::runtime::subtask::{Command, Subtask, Watch};
use crate::sink::upload::Uploader;
use crate::source::SplitStart;
use crate::source::kafka::{ClusterError, Topics, Watermarks};
use crate::source::start_from::StartFrom;
use crate::store::{Root, Stores};
use crate::transform::avro_schema::InputSchema;

pub const PARALLELISM: u32 = 2;
pub const TOPIC: &str = "t";

/// For the log; simulated records have none.
static SCHEMA: LazyLock<InputSchema> =
    LazyLock::new(|| InputSchema::parse(DEFAULT_SCHEMA).expect("it is a schema"));

/// The time of the simulation; sleepers are woken when the schedule lets time pass.
#[derive(Default)]
pub struct SimClock {
    pub now: Mutex<Duration>,
    pub sleepers: Mutex<Vec<(Duration, tokio::sync::oneshot::Sender<()>)>>,
    /// Milliseconds by which the wall clock is wrong.
    pub wrong_by: AtomicI64,
}

#[async_trait]
impl Clock for SimClock {
    fn wall(&self) -> EpochMillis {
        let right = 1_700_000_000_000 + self.monotonic().as_millis() as i64;
        EpochMillis(right + self.wrong_by.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        *self.now.lock().expect("no check has failed before")
    }

    async fn sleep(&self, time: Duration) {
        let (wake, woken) = tokio::sync::oneshot::channel();
        let at = self.monotonic() + time;
        self.sleepers.lock().expect("as above").push((at, wake));
        let _ = woken.await;
    }
}

pub struct Flag(AtomicBool);

impl ArcWake for Flag {
    fn wake_by_ref(flag: &Arc<Self>) {
        flag.0.store(true, Ordering::Relaxed);
    }
}

pub struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    ready: Arc<Flag>,
    done: bool,
}

impl Task {
    pub fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            future: Box::pin(future),
            ready: Arc::new(Flag(AtomicBool::new(true))),
            done: false,
        }
    }

    pub fn is_ready(&self) -> bool {
        !self.done && self.ready.0.load(Ordering::Relaxed)
    }

    pub fn poll(&mut self) {
        self.ready.0.store(false, Ordering::Relaxed);
        let waker = waker(self.ready.clone());
        let poll = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        self.done = poll == Poll::Ready(());
    }
}

pub type SimSubtask = Subtask<SimSource, SimOperator, SimWriter>;

/// What a process's tasks share with the schedule.
#[derive(Default)]
pub struct Inside {
    pub subtasks: Vec<SimSubtask>,
    pub commands: Vec<VecDeque<Command>>,
    /// Tasks that want to be started.
    pub spawned: Vec<Task>,
    pub ended: Option<Result<(), End>>,
    pub events: Option<mpsc::UnboundedSender<Event>>,
    /// Splits that the process reads.
    pub known: BTreeSet<Split>,
}

#[derive(Debug)]
pub enum End {
    Recovery(RecoveryError),
    Driver(DriverError),
}

impl End {
    pub fn is_fencing(&self) -> bool {
        matches!(
            self,
            End::Recovery(RecoveryError::Log(LogError::Fenced { .. }))
                | End::Driver(DriverError::Log(LogError::Fenced { .. }))
        )
    }

    /// A start that does not trust what it finds.
    pub fn is_refusal_of_damage(&self) -> bool {
        use crate::recovery::execute::RecoveryError as E;
        matches!(
            self,
            Self::Recovery(
                E::Log(LogError::Damaged { .. }) | E::CommitLogAhead { .. } | E::Disagreement(_)
            )
        )
    }

    /// A process whose files are lost ends too; the next one reads them again.
    pub fn is_loss(&self) -> bool {
        matches!(self, End::Driver(DriverError::FilesLost { .. }))
    }
}

pub struct Process {
    pub tasks: Vec<Task>,
    pub inside: Arc<Mutex<Inside>>,
    pub paused: bool,
}

struct SimSubtasks(Arc<Mutex<Inside>>);

impl Subtasks for SimSubtasks {
    fn send(&self, subtask: SubtaskIndex, command: Command) {
        let mut inside = self.0.lock().expect("no check has failed before");
        inside.commands[subtask.0 as usize].push_back(command);
    }

    fn parallelism(&self) -> u32 {
        PARALLELISM
    }
}

/// What lag monitors would see.
struct SimOffsets(Arc<Mutex<Shared>>);

#[async_trait]
impl OffsetCommitter for SimOffsets {
    async fn commit(&self, next_offsets: &BTreeMap<Split, NextOffset>) -> bool {
        let mut shared = self.0.lock().expect("no check has failed before");
        shared.committed.push(next_offsets.clone());
        true
    }
}

/// What all processes have in common.
#[derive(Clone)]
pub struct Outside {
    pub shared: Arc<Mutex<Shared>>,
    pub clock: Arc<SimClock>,
    pub topic: Topic,
    pub reread_lost_files: bool,
    /// For what has choices of its own.
    pub seeds: Arc<Mutex<fastrand::Rng>>,
}

impl Outside {
    fn new_seed(&self) -> u64 {
        let mut seeds = self.seeds.lock().expect("no check has failed before");
        seeds.u64(..)
    }

    fn root(&self, root: &'static str) -> Arc<SimStore> {
        Arc::new(SimStore {
            root,
            shared: self.shared.clone(),
        })
    }

    pub fn ends(&self) -> MutexGuard<'_, BTreeMap<i32, i64>> {
        self.topic.lock().expect("no check has failed before")
    }

    pub fn held_now(&self) -> Held {
        let ends = self.ends();
        let marks = |end: i64| Watermarks {
            earliest: NextOffset(0),
            end: NextOffset(end),
        };
        let splits = ends.iter();
        let splits = splits.map(|(&p, &end)| (Split::new(TOPIC, p), marks(end)));
        Held {
            ids: TopicIds::from([(TOPIC.into(), TOPIC.into())]),
            splits: splits.collect(),
            ..Held::default()
        }
    }
}

#[async_trait]
impl TopicLookup for Outside {
    async fn look(&self, _saved: &BTreeSet<Arc<str>>) -> Result<Held, ClusterError> {
        Ok(self.held_now())
    }
}

impl Process {
    pub fn start(outside: Outside) -> Self {
        let inside = Arc::new(Mutex::new(Inside::default()));
        let main = {
            let inside = inside.clone();
            async move {
                let end = run(outside, inside.clone()).await;
                inside.lock().expect("no check has failed before").ended = Some(end);
            }
        };
        Self {
            tasks: vec![Task::new(main)],
            inside,
            paused: false,
        }
    }

    /// Somebody asks for a checkpoint now.
    pub fn request(&self, request: Request) {
        let inside = self.inside.lock().expect("no check has failed before");
        let (complete, _) = oneshot::channel();
        if let Some(events) = &inside.events {
            // Unheard when the process is ending already.
            let _ = events.send(Event::Requested {
                request,
                then_stop: false,
                complete,
            });
        }
    }

    /// Finds the partitions that were added since.
    pub fn discover(&self, held: &Held) {
        let mut inside = self.inside.lock().expect("no check has failed before");
        let Inside { known, events, .. } = &mut *inside;
        let Some(events) = events else { return };
        let new = held.splits.iter().filter(|(s, _)| !known.contains(s));
        let starts = new.map(|(split, held)| SplitStart {
            split: split.clone(),
            from: held.earliest,
            reread: None,
            until: None,
        });
        let starts: Vec<_> = starts.collect();
        known.extend(starts.iter().map(|start| start.split.clone()));
        // Unheard when the process is ending already.
        let topic_ids = held.ids.clone();
        let _ = events.send(Event::NewSplits { starts, topic_ids });
    }
}

async fn run(outside: Outside, inside: Arc<Mutex<Inside>>) -> Result<(), End> {
    let patience = Patience {
        clock: outside.clock.clone(),
        health: Arc::new(Health::default()),
    };
    let stores = Stores {
        output: outside.root("output"),
        dropped: outside.root("dropped"),
        commit_log: outside.root("wal"),
        checkpoints: outside.root("log"),
    };
    let log = CheckpointLog::new(stores.checkpoints.clone(), patience.clone());
    let commit_log = CommitLog::new(stores.commit_log.clone(), patience.clone());
    let identity = JobIdentity {
        cluster: "c".into(),
        topic: TOPIC.into(),
        output: "output".into(),
        dropped: "dropped".into(),
        commit_log: "wal".into(),
        schema_sha256: SCHEMA.sha256(),
    };
    let recovery = Recovery {
        log: &log,
        commit_log: &commit_log,
        stores: &stores,
        patience: &patience,
        identity: &identity,
        schema: &SCHEMA,
        topics: &Topics::Named([TOPIC.to_owned()].into()),
        lookup: &outside,
        start_from: &StartFrom::Earliest,
        from_savepoint: None,
        allow_lost_offsets: false,
        reread_lost_files: outside.reread_lost_files,
        attempt: &AtomicU64::new(0),
    };
    let started = recovery.start().await.map_err(End::Recovery)?;
    let (events, receive_events) = mpsc::unbounded_channel();
    let progress = Arc::new(Progress::new(PARALLELISM));
    for index in (0..PARALLELISM).map(SubtaskIndex) {
        let (uploader, commands) = mpsc::unbounded_channel();
        let upload = Uploader {
            subtask: index,
            stores: stores.clone(),
            commit_log: commit_log.clone(),
            patience: patience.clone(),
            progress: progress.clone(),
            commands,
            events: events.clone(),
        };
        let subtask = subtask(index, &started, &outside, uploader, progress.clone());
        let mut inside = inside.lock().expect("no check has failed before");
        inside.spawned.push(Task::new(upload.run()));
        inside.subtasks.push(subtask);
        inside.commands.push(VecDeque::new());
    }
    {
        let mut inside = inside.lock().expect("no check has failed before");
        inside.events = Some(events);
        inside.known = started.splits.keys().cloned().collect();
    }
    let driver = Driver {
        coordinator: Coordinator::new(
            &started.record,
            started.owner.clone(),
            Rhythm {
                interval: Duration::from_secs(10),
                min_pause: Duration::from_secs(1),
                timeout: Duration::from_secs(60),
                retained: 1,
            },
            PARALLELISM,
            started.next_offsets.clone(),
            patience.clock.monotonic(),
        ),
        own: started.record,
        log,
        stores,
        markers: None,
        patience,
        subtasks: Arc::new(SimSubtasks(inside)),
        offsets: Arc::new(SimOffsets(outside.shared.clone())),
        progress,
        events: receive_events,
        waiting: Waiting::default(),
    };
    driver.run().await.map_err(End::Driver)
}

fn subtask(
    index: SubtaskIndex,
    started: &Started,
    outside: &Outside,
    uploader: mpsc::UnboundedSender<crate::sink::upload::Command>,
    progress: Arc<Progress>,
) -> SimSubtask {
    let budget = Budget::new(200);
    let writer = |root| SimWriter {
        root,
        job: started.owner.job.clone(),
        generation: started.owner.generation,
        subtask: index,
        uploader: uploader.clone(),
        budget: budget.clone(),
        sequence: 0,
        open: None,
        rolled: Vec::new(),
    };
    let own = started.next_offsets.iter();
    let own = own.filter(|(split, _)| split.subtask(PARALLELISM) == index);
    let starts = own.map(|(split, &from)| SplitStart {
        split: split.clone(),
        from,
        reread: started.reread(split, false),
        until: None,
    });
    let mut subtask = Subtask {
        index,
        source: SimSource::new(outside.topic.clone()),
        operator: SimOperator::new(outside.new_seed()),
        output: writer(Root::Output),
        dropped: writer(Root::Dropped),
        uploader: uploader.clone(),
        clock: outside.clock.clone(),
        budget: budget.clone(),
        progress,
        open: started.record.id.next(),
        bounded: true,
        end_reported: false,
        held: None,
        parked: None,
        finished: false,
        tracker: None,
        watch: Watch::default(),
    };
    let splits = Command::AddSplits(starts.collect());
    subtask.command(splits).expect("splits can be added");
    subtask
}
