//! The lineage job: Kafka → decode → enrich → Parquet, with the commit log.

use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use super::plumbing::{KafkaOffsets, Threads, discover};
use super::{JobError, open};
use crate::checkpoint::coordinator::Coordinator;
use crate::checkpoint::driver::{Driver, Event};
use crate::checkpoint::log::CheckpointLog;
use crate::checkpoint::slot::JobIdentity;
use crate::commit_log::CommitLog;
use crate::config::Settings;
use crate::ids::SubtaskIndex;
use crate::recovery::execute::{Recovery, Started};
use crate::runtime::budget::Budget;
use crate::runtime::progress::Progress;
use crate::runtime::retry::Patience;
use crate::runtime::subtask::{Command, Subtask};
use crate::runtime::thread;
use crate::sink::upload::Uploader;
use crate::sink::writer::{ParquetSinkWriter, PartSettings};
use crate::source::SplitStart;
use crate::source::kafka::{Cluster, KafkaReader};
use crate::store::{Root, Stores};
use crate::transform::DecodeAndEnrich;

/// What a run shares with who watches it.
#[derive(Clone)]
pub struct Environment {
    pub patience: Patience,
    pub progress: Arc<Progress>,
    /// True asks for a last checkpoint.
    pub stop: watch::Receiver<bool>,
}

/// One run, opened and recovered, before its threads are started.
struct Run<'a> {
    settings: &'a Settings,
    env: Environment,
    stores: Stores,
    log: CheckpointLog,
    commit_log: CommitLog,
    cluster: Arc<Cluster>,
    started: Started,
}

/// Runs until the end of a bounded run, until a stop, or until the process must end.
pub async fn run(settings: &Settings, env: Environment) -> Result<(), JobError> {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        topic = settings.topic,
        brokers = settings.kafka.bootstrap_servers,
        output = %settings.paths.output,
        "starting"
    );
    let mut stop = env.stop.clone();
    let run = tokio::select! {
        run = Run::start(settings, env) => run?,
        // Nothing has been read yet, so there is nothing to checkpoint.
        _ = stop.wait_for(|stop| *stop) => {
            tracing::info!("stopped before it had started: nothing was read or written");
            return Ok(());
        }
    };
    run.run_to_the_end().await
}

impl<'a> Run<'a> {
    async fn start(settings: &'a Settings, env: Environment) -> Result<Self, JobError> {
        let patience = env.patience.clone();
        let stores = open::stores(settings, &patience).await?;
        let cluster = Cluster::new(
            &settings.kafka,
            patience.health.clone(),
            patience.clock.clone(),
        );
        let cluster = Arc::new(cluster.map_err(JobError::KafkaSettings)?);
        let identity = JobIdentity {
            cluster: open::cluster_id(&cluster, &patience).await?,
            topic: settings.topic.clone(),
            output: settings.paths.output.to_string(),
            dropped: settings.paths.dropped.to_string(),
            commit_log: settings.paths.commit_log.to_string(),
            schema_sha256: settings.schema.sha256(),
        };
        let log = CheckpointLog::new(stores.checkpoints.clone(), patience.clone());
        let commit_log = CommitLog::new(stores.commit_log.clone(), patience.clone());
        let recovery = Recovery {
            log: &log,
            commit_log: &commit_log,
            stores: &stores,
            patience: &patience,
            identity: &identity,
            topic: &open::Topic {
                cluster: &cluster,
                name: &settings.topic,
                patience: &patience,
            },
            allow_lost_offsets: settings.allow_lost_offsets,
            reread_lost_files: settings.reread_lost_files,
        };
        let started = recovery.start().await?;
        Ok(Self {
            settings,
            env,
            stores,
            log,
            commit_log,
            cluster,
            started,
        })
    }

    async fn run_to_the_end(self) -> Result<(), JobError> {
        let (events, receive_events) = mpsc::unbounded_channel();
        let (threads, handles) = self.spawn_subtasks(&events)?;
        let patience = self.env.patience.clone();
        if !self.settings.bounded {
            tokio::spawn(discover(
                self.cluster.clone(),
                self.settings.topic.clone(),
                self.started.splits.keys().cloned().collect(),
                self.started.owner.topic_id.clone(),
                self.settings.discovery_interval,
                patience.clone(),
                events.clone(),
            ));
        }
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
            patience,
            subtasks: Arc::new(threads),
            offsets: Arc::new(KafkaOffsets(self.cluster)),
            progress: self.env.progress,
            events: receive_events,
        };
        drive(driver, events, self.env.stop, self.settings).await?;
        for handle in handles {
            // It has ended, or said why it failed.
            let _ = tokio::task::spawn_blocking(move || handle.join()).await;
        }
        Ok(())
    }

    fn spawn_subtasks(
        &self,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Result<(Threads, Vec<JoinHandle<()>>), JobError> {
        let budget = Budget::new(self.settings.file_memory);
        let mut senders = Vec::new();
        let mut handles = Vec::new();
        for index in (0..self.settings.parallelism).map(SubtaskIndex) {
            let subtask = self.subtask(index, &budget, events)?;
            let (commands, receive_commands) = std_mpsc::channel();
            // Sent before the thread starts, so that a bounded run does not end before it began.
            let _ = commands.send(Command::AddSplits(self.assignment(index)));
            handles.push(thread::spawn(subtask, receive_commands, events.clone())?);
            senders.push(commands);
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

    fn subtask(
        &self,
        index: SubtaskIndex,
        budget: &Arc<Budget>,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Result<Subtask<KafkaReader, DecodeAndEnrich, ParquetSinkWriter>, JobError> {
        let Patience { clock, health } = self.env.patience.clone();
        let (uploader, commands) = mpsc::unbounded_channel();
        tokio::spawn(
            Uploader {
                subtask: index,
                stores: self.stores.clone(),
                commit_log: self.commit_log.clone(),
                patience: self.env.patience.clone(),
                commands,
                events: events.clone(),
            }
            .run(),
        );
        let writer = |root| {
            let settings = PartSettings {
                root,
                job: self.started.owner.job.clone(),
                generation: self.started.owner.generation,
                subtask: index,
                roll_size: self.settings.max_file_size,
                compression: self.settings.compression,
            };
            ParquetSinkWriter::new(settings, uploader.clone(), budget.clone())
        };
        let source = KafkaReader::new(&self.settings.kafka, health, clock.clone());
        Ok(Subtask {
            index,
            source: source.map_err(JobError::KafkaSettings)?,
            operator: DecodeAndEnrich::new(&self.settings.schema)?,
            output: writer(Root::Output),
            dropped: writer(Root::Dropped),
            uploader,
            clock,
            budget: budget.clone(),
            progress: self.env.progress.clone(),
            open: self.started.record.id.next(),
            bounded: self.settings.bounded,
            end_reported: false,
            held: None,
            finished: false,
        })
    }
}

/// Runs the driver; from a stop on, for no longer than the stop may take.
async fn drive(
    driver: Driver,
    events: mpsc::UnboundedSender<Event>,
    mut stop: watch::Receiver<bool>,
    settings: &Settings,
) -> Result<(), JobError> {
    let mut driver = std::pin::pin!(driver.run());
    tokio::select! {
        result = &mut driver => return Ok(result?),
        _ = stop.wait_for(|stop| *stop) => {}
    }
    tracing::info!("stopping: taking a last checkpoint");
    // Unheard only if the driver has just ended.
    let _ = events.send(Event::Stop);
    match tokio::time::timeout(settings.stop_timeout, driver).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(JobError::StopTimeout(settings.stop_timeout)),
    }
}
