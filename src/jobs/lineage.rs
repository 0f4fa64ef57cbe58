//! The lineage job: Kafka → decode → enrich → Parquet, with the commit log.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::plumbing::{KafkaOffsets, Known, Threads, discover};
use super::{JobError, open};
use crate::checkpoint::coordinator::Coordinator;
use crate::checkpoint::driver::{Driver, Event, OffsetCommitter, Waiting};
use crate::checkpoint::log::CheckpointLog;
use crate::checkpoint::slot::JobIdentity;
use crate::commit_log::CommitLog;
use crate::config::Settings;
use crate::ids::SubtaskIndex;
use crate::recovery::execute::{FromSavepoint, Recovery, Started};
use crate::registry::schemas::Schemas;
use crate::runtime::budget::Budget;
use crate::runtime::progress::Progress;
use crate::runtime::retry::Patience;
use crate::runtime::subtask::{Command, Subtask, Watch};
use crate::runtime::watermark::Tracker;
use crate::runtime::{thread, until};
use crate::sink::upload::Uploader;
use crate::sink::writer::{ParquetSinkWriter, PartSettings};
use crate::source::kafka::Reader;
use crate::source::{SourceReader, SplitStart};
use crate::store::s3::requests::Requests;
use crate::store::{Objects, Root, Stores};
use crate::transform::decode::WriterSchemas;
use crate::transform::kafka_columns::KafkaColumn;
use crate::transform::{DecodeAndEnrich, RowOptions};

/// How long a start that is refused waits for what Kafka is just being asked.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// How long the end of the client that asks the cluster may take.
const CLOSING: Duration = Duration::from_secs(5);

/// What somebody wants of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    GoOn,
    /// Take a last checkpoint and end.
    Stop,
    /// End as it is.
    Cancel,
}

/// How a run ended, if not by an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a last checkpoint, or before it had started.
    Finished,
    Canceled,
}

/// What a run shares with who controls and watches it.
#[derive(Clone)]
pub struct Environment {
    pub patience: Patience,
    pub progress: Arc<Progress>,
    pub budget: Arc<Budget>,
    pub requests: Arc<Requests>,
    pub wish: watch::Receiver<Wish>,
    /// True: the process is to end, and waits for a last checkpoint no longer than it may.
    pub ending: watch::Receiver<bool>,
}

/// One run whose stores and cluster are there; nothing is written yet.
pub struct Opened<'a> {
    settings: &'a Settings,
    env: Environment,
    pub stores: Stores,
    source: open::Source,
    identity: JobIdentity,
}

/// One run, recovered, before its threads are started.
pub struct Run<'a> {
    settings: &'a Settings,
    env: Environment,
    stores: Stores,
    log: CheckpointLog,
    commit_log: CommitLog,
    source: open::Source,
    pub started: Started,
    events: mpsc::UnboundedSender<Event>,
    receive_events: mpsc::UnboundedReceiver<Event>,
    /// All of the run that is no thread.
    tasks: JoinSet<()>,
}

impl<'a> Opened<'a> {
    pub async fn new(settings: &'a Settings, env: Environment) -> Result<Self, JobError> {
        let patience = env.patience.clone();
        let stores = open::stores(settings, &patience, &env.requests);
        let source = open::Source::open(settings, &patience);
        // Each takes some dozens of milliseconds, most of which are waiting.
        let (stores, source) = match select(pin!(stores), pin!(source)).await {
            Either::Left((Ok(stores), source)) => (stores, source.await?),
            Either::Left((Err(refused), source)) => {
                // The process ends now, and a client that is just connecting may not survive that.
                let _ = timeout(LAST_ANSWER, source).await;
                return Err(refused);
            }
            // What is wrong with a path is said first, and what its trial has written is removed again.
            Either::Right((source, stores)) => (stores.await?, source?),
        };
        let identity = JobIdentity {
            cluster: source.cluster_id.clone(),
            topic: settings.topics.to_string(),
            output: settings.paths.output.to_string(),
            dropped: settings.paths.dropped.to_string(),
            commit_log: settings.paths.commit_log.to_string(),
            schema_sha256: source.schema.sha256(),
        };
        Ok(Self {
            settings,
            env,
            stores,
            source,
            identity,
        })
    }

    /// Claims the log and finishes what was left. `attempt` is told which generation it tries to take.
    pub async fn recover(self, attempt: &AtomicU64) -> Result<Run<'a>, JobError> {
        let (settings, patience) = (self.settings, self.env.patience.clone());
        let log = CheckpointLog::new(self.stores.checkpoints.clone(), patience.clone());
        let commit_log = CommitLog::new(self.stores.commit_log.clone(), patience.clone());
        let from_savepoint = from_savepoint(settings, &self.env.requests)?;
        let recovery = Recovery {
            log: &log,
            commit_log: &commit_log,
            stores: &self.stores,
            patience: &patience,
            identity: &self.identity,
            schema: &self.source.schema,
            topics: &settings.topics,
            lookup: &open::Lookup {
                cluster: &self.source.cluster,
                topics: &settings.topics,
                start_from: &settings.start_from,
                patience: &patience,
            },
            start_from: &settings.start_from,
            from_savepoint: from_savepoint.as_ref(),
            allow_lost_offsets: settings.allow_lost_offsets,
            reread_lost_files: settings.reread_lost_files,
            attempt,
        };
        let started = recovery.start().await?;
        self.env.progress.set_durable_offsets(&started.next_offsets);
        let (events, receive_events) = mpsc::unbounded_channel();
        Ok(Run {
            settings,
            env: self.env,
            stores: self.stores,
            log,
            commit_log,
            source: self.source,
            started,
            events,
            receive_events,
            tasks: JoinSet::new(),
        })
    }
}

fn from_savepoint(
    settings: &Settings,
    requests: &Arc<Requests>,
) -> Result<Option<FromSavepoint>, JobError> {
    let Some(location) = &settings.from_savepoint else {
        return Ok(None);
    };
    let objects = open::existing(location, &settings.s3, requests);
    let objects = objects.map_err(|source| JobError::Path {
        setting: "FROM_SAVEPOINT",
        location: location.clone(),
        source,
    })?;
    Ok(Some(FromSavepoint {
        location: location.to_string(),
        objects,
    }))
}

impl Run<'_> {
    /// The way to the driver, as long as there is one.
    pub fn events(&self) -> mpsc::WeakUnboundedSender<Event> {
        self.events.downgrade()
    }

    /// Runs until the end of a bounded run, until a stop or a cancellation, or until the process must
    /// end. With an end that is no error, nothing of the run is left.
    pub async fn run_to_the_end(mut self) -> Result<End, JobError> {
        let (threads, handles) = self.spawn_subtasks()?;
        let patience = self.env.patience.clone();
        let offsets = Arc::new(KafkaOffsets::new(
            self.source.cluster.clone(),
            patience.clone(),
        ));
        let (first, next_offsets) = (offsets.clone(), self.started.next_offsets.clone());
        // They are durable, so this is true; and it says at the start whether the group may be used.
        self.tasks.spawn(async move {
            let _ = first.commit(&next_offsets).await;
        });
        if !self.settings.bounded {
            let splits: BTreeSet<_> = self.started.splits.keys().cloned().collect();
            // Of one that was given up, another may come.
            let mut topic_ids = self.started.owner.topic_ids.clone();
            topic_ids.retain(|topic, _| splits.iter().any(|split| split.topic == *topic));
            self.tasks.spawn(discover(
                self.source.cluster.clone(),
                self.settings.topics.clone(),
                Known { splits, topic_ids },
                self.settings.discovery_interval,
                patience.clone(),
                self.events.clone(),
            ));
        }
        let markers = match self.settings.markers {
            Some(_) => Some(self.marker_store()?),
            None => None,
        };
        let driver = Driver {
            coordinator: Coordinator::new(
                &self.started.record,
                self.started.owner.clone(),
                self.settings.rhythm,
                self.settings.parallelism,
                self.started.next_offsets.clone(),
                patience.clock.monotonic(),
            ),
            own: self.started.record,
            log: self.log,
            stores: self.stores,
            markers,
            patience,
            subtasks: Arc::new(threads),
            offsets,
            progress: self.env.progress.clone(),
            events: self.receive_events,
            waiting: Waiting::default(),
        };
        // With the driver the subtasks' command channels go, which ends their threads.
        let end = drive(driver, self.events, self.env, self.settings).await;
        self.tasks.shutdown().await;
        let cluster = self.source.cluster;
        // It blocks for a tenth of a second, and longer where a broker is away.
        let closed = tokio::task::spawn_blocking(move || drop(cluster));
        let _ = timeout(CLOSING, closed).await;
        let end = end?;
        for handle in handles {
            // It has ended, or said why it failed.
            let _ = tokio::task::spawn_blocking(move || handle.join()).await;
        }
        Ok(end)
    }

    fn marker_store(&self) -> Result<Arc<dyn Objects>, JobError> {
        let (location, requests) = (&self.settings.paths.output, &self.env.requests);
        let opened = open::existing(location, &self.settings.s3, requests);
        opened.map_err(|source| JobError::Path {
            setting: "OUTPUT_PATH",
            location: location.clone(),
            source,
        })
    }

    fn spawn_subtasks(&mut self) -> Result<(Threads, Vec<JoinHandle<()>>), JobError> {
        let schemas = self.schemas();
        let mut senders = Vec::new();
        let mut handles = Vec::new();
        for index in (0..self.settings.parallelism).map(SubtaskIndex) {
            let subtask = self.subtask(index, schemas.clone())?;
            let waker = subtask.source.waker();
            let (commands, receive_commands) = std_mpsc::channel();
            // Sent before the thread starts, so that a bounded run does not end before it began.
            let _ = commands.send(Command::AddSplits(self.assignment(index)));
            handles.push(thread::spawn(
                subtask,
                receive_commands,
                self.events.clone(),
            )?);
            senders.push((commands, waker));
        }
        Ok((Threads(senders), handles))
    }

    fn assignment(&self, index: SubtaskIndex) -> Vec<SplitStart> {
        let own = self
            .started
            .next_offsets
            .iter()
            .filter(|(split, _)| split.subtask(self.settings.parallelism) == index);
        own.map(|(split, &from)| SplitStart {
            split: split.clone(),
            from,
            reread: self.started.reread(split, self.settings.allow_lost_offsets),
            until: (self.settings.bounded).then(|| self.started.splits[split].end),
        })
        .collect()
    }

    /// The writers' schemas for all subtasks, asked for in the background.
    fn schemas(&mut self) -> Option<Arc<dyn WriterSchemas>> {
        let client = self.source.registry.clone()?;
        let retry = self.settings.registry.as_ref()?.retry;
        let (schemas, asking) = Schemas::new(client, self.env.patience.clone(), retry);
        self.tasks.spawn(asking);
        Some(schemas)
    }

    fn subtask(
        &mut self,
        index: SubtaskIndex,
        schemas: Option<Arc<dyn WriterSchemas>>,
    ) -> Result<Subtask<Reader, DecodeAndEnrich, ParquetSinkWriter>, JobError> {
        let Patience { clock, health } = self.env.patience.clone();
        let (uploader, commands) = mpsc::unbounded_channel();
        let (budget, progress) = (self.env.budget.clone(), self.env.progress.clone());
        self.tasks.spawn(
            Uploader {
                subtask: index,
                stores: self.stores.clone(),
                commit_log: self.commit_log.clone(),
                patience: self.env.patience.clone(),
                progress: progress.clone(),
                commands,
                events: self.events.clone(),
            }
            .run(),
        );
        let writer = |root| {
            let mut parquet = self.settings.parquet.clone();
            if root == Root::Dropped {
                // They are of the rows' columns, which these files do not have.
                parquet.bloom_columns.clear();
            }
            let settings = PartSettings {
                root,
                job: self.started.owner.job.clone(),
                generation: self.started.owner.generation,
                subtask: index,
                roll_size: self.settings.max_file_size,
                parquet,
                bucketing: self.settings.bucketing.clone(),
                markers: self.settings.markers.is_some(),
            };
            ParquetSinkWriter::new(settings, uploader.clone(), budget.clone())
        };
        let source = Reader::new(
            self.source.read_by,
            &self.settings.kafka,
            health,
            clock.clone(),
        );
        let mut source = source.map_err(JobError::reader)?;
        if self.settings.kafka_columns.contains(&KafkaColumn::Headers) {
            source.keep_headers();
        }
        Ok(Subtask {
            index,
            source,
            operator: DecodeAndEnrich::new(
                &self.source.schema,
                schemas,
                RowOptions {
                    values: self.settings.value_format,
                    event_time: self.source.event_time,
                    columns: self.settings.kafka_columns.clone(),
                },
                progress.dropped.clone(),
            )?,
            output: writer(Root::Output),
            dropped: writer(Root::Dropped),
            uploader,
            clock,
            budget,
            progress,
            open: self.started.record.id.next(),
            bounded: self.settings.bounded,
            end_reported: false,
            held: None,
            parked: None,
            finished: false,
            tracker: self.settings.markers.map(Tracker::new),
            watch: Watch::default(),
        })
    }
}

/// Runs the driver; once the process is to end, for no longer than a stop may take.
async fn drive(
    driver: Driver,
    events: mpsc::UnboundedSender<Event>,
    mut env: Environment,
    settings: &Settings,
) -> Result<End, JobError> {
    let mut driver = pin!(driver.run());
    let mut overdue = pin!(async {
        until(&mut env.ending, |ending| *ending).await;
        tokio::time::sleep(settings.stop_timeout).await;
    });
    let (mut stop, mut cancel) = (env.wish.clone(), env.wish);
    let mut stopping = false;
    loop {
        tokio::select! {
            result = &mut driver => return Ok(result.map(|()| End::Finished)?),
            () = until(&mut cancel, |wish| *wish == Wish::Cancel) => {
                tracing::info!("canceled: what no checkpoint holds is read again by the next start");
                return Ok(End::Canceled);
            }
            () = until(&mut stop, |wish| *wish == Wish::Stop), if !stopping => {
                tracing::info!("stopping: taking a last checkpoint");
                stopping = true;
                // Unheard only if the driver has just ended.
                let _ = events.send(Event::Stop);
            }
            () = &mut overdue => return Err(JobError::StopTimeout(settings.stop_timeout)),
        }
    }
}
