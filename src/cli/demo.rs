//! `lineage demo`: broker, generator and the main job in one process, with its files in a folder.
//!
//! The broker is librdkafka's own mock. It keeps some 5 MiB of a partition and nothing on disk:
//! enough to see how the service works, no proof of anything.

mod screen;
mod tally;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::mocking::MockCluster;
use tokio::sync::watch;

use super::run::stop_on_signals;
use crate::checkpoint::coordinator::{RETAINED_SLOTS, Rhythm};
use crate::config::args::DemoArgs;
use crate::config::location::Location;
use crate::config::settings::{Paths, ReaderSchema};
use crate::config::{DEFAULT_SCHEMA, Settings};
use crate::jobs::Supervisor;
use crate::rest;
use crate::rest::logs::LogRing;
use crate::rest::settings::RestSettings;
use crate::sink::bucket::Bucketing;
use crate::sink::parquet::ParquetOptions;
use crate::source::kafka::{KafkaSettings, ReaderChoice, Topics};
use crate::source::start_from::StartFrom;
use crate::store::s3::S3Access;
use crate::transform::ValueFormat;
use crate::transform::avro_schema::InputSchema;
use crate::transform::event_time::BucketBy;
use crate::transform::framing::AvroFormat;
use screen::{Read, Screen};

const TOPIC: &str = "lineage-input";
const PARTITIONS: i32 = 10;
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How long the job may take to read what the generator has written last.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Runs until Ctrl-C, for the given time, or until its output is closed, then says whether the numbers agree.
///
/// # Errors
/// If anything fails, or if records that were produced are not in the files.
pub async fn demo(args: DemoArgs, logs: LogRing) -> Result<()> {
    let folder = Folder::create(&args.folder)?;
    let broker = MockCluster::new(1).context("the broker of the demo does not start")?;
    // Lives as long as the process: a client that is still closing would report it as down.
    let broker = Box::leak(Box::new(broker));
    broker
        .create_topic(TOPIC, PARTITIONS, 1)
        .context("the broker of the demo makes no topic")?;
    let rest = RestSettings::resolve(args.rest)?;
    let settings = settings(&broker.bootstrap_servers(), &folder, rest)?;

    let (stop_all, mut all_stopped) = watch::channel(false);
    tokio::spawn(stop_on_signals(move || {
        stop_all.send_replace(true);
    }));

    let generator = Generator::start(&broker.bootstrap_servers(), args.rate);
    let rest = settings.rest.clone();
    let supervisor = Supervisor::new(settings);
    let (_served, stop_serving) = watch::channel(false);
    let page = match rest {
        Some(rest) => Some(serve(rest, &supervisor, logs, stop_serving).await?),
        None => None,
    };
    let screen = Screen::start(&folder, args.rate, page)?;
    let mut job = std::pin::pin!(supervisor.run());

    let ended_early = tokio::select! {
        result = &mut job => Some(result),
        unread = show(&screen, &generator, &supervisor) => {
            unread?;
            None
        }
        _ = all_stopped.wait_for(|stop| *stop) => None,
        () = for_duration(args.duration) => None,
    };
    if let Some(result) = ended_early {
        result?;
        bail!("the job ended before it was stopped");
    }
    screen.say("stopping: the last records, then a last checkpoint")?;
    let produced = generator.stop().await?;
    tokio::select! {
        result = &mut job => result?,
        () = caught_up(&supervisor, produced) => {}
    }
    supervisor.shut_down();
    job.await?;
    screen.show(produced, &supervisor)?;
    screen.finish();
    tally::conclude(&folder, produced)
}

/// On the port of the settings, or on any other if somebody listens there: it is only a demo, and it
/// says where.
async fn serve(
    settings: RestSettings,
    supervisor: &Arc<Supervisor>,
    logs: LogRing,
    stop: watch::Receiver<bool>,
) -> Result<SocketAddr> {
    let any = RestSettings {
        port: 0,
        ..settings.clone()
    };
    let serving =
        match rest::serve(settings, supervisor.control(), logs.clone(), stop.clone()).await {
            Err(rest::StartError::Taken { .. }) => {
                rest::serve(any, supervisor.control(), logs, stop).await?
            }
            serving => serving?,
        };
    Ok(serving.address)
}

async fn for_duration(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Until nobody reads what it prints any more: then nobody waits for the demo either.
async fn show(
    screen: &Screen,
    generator: &Generator,
    supervisor: &Arc<Supervisor>,
) -> std::io::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tick.tick().await;
        if !screen.show(generator.delivered(), supervisor)? {
            return Ok(());
        }
    }
}

/// Waits until everything is read; not for ever, for the tally says what is missing.
async fn caught_up(supervisor: &Arc<Supervisor>, produced: u64) {
    let reading = async {
        while Read::of(supervisor).consumed < produced {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(CATCH_UP, reading).await;
}

/// `lineage-data/<start time>/…`, with `lineage-data/latest` pointing there.
pub(super) struct Folder {
    /// As people type it.
    pub latest: PathBuf,
    /// Absolute.
    pub path: PathBuf,
}

impl Folder {
    fn create(parent: &Path) -> Result<Self> {
        let name = chrono::Utc::now().format("%Y-%m-%dT%H-%M-%SZ").to_string();
        let what = || format!("{} cannot be used for the demo's files", parent.display());
        std::fs::create_dir_all(parent).with_context(what)?;
        let latest = parent.join("latest");
        let parent = parent.canonicalize().with_context(what)?;
        let path = parent.join(&name);
        std::fs::create_dir(&path)
            .with_context(|| format!("{} is there already: start again", path.display()))?;
        // Made beside and renamed, so that `latest` is never missing.
        let link = parent.join(format!(".latest-{name}"));
        std::os::unix::fs::symlink(&name, &link).with_context(what)?;
        std::fs::rename(&link, parent.join("latest")).with_context(what)?;
        Ok(Self { latest, path })
    }

    fn location(&self, name: &str) -> Location {
        Location::Folder(self.path.join(name))
    }
}

fn settings(
    bootstrap_servers: &str,
    folder: &Folder,
    rest: Option<RestSettings>,
) -> Result<Settings> {
    Ok(Settings {
        kafka: KafkaSettings {
            bootstrap_servers: bootstrap_servers.to_owned(),
            group_id: "lineage-demo".into(),
            properties: Default::default(),
            security: Default::default(),
            topic_ids: false,
            queue_memory: 8 << 20,
        },
        reader: ReaderChoice::Auto,
        topics: Topics::Named([TOPIC.to_owned()].into()),
        start_from: StartFrom::Earliest,
        discovery_interval: Duration::from_secs(60),
        paths: Paths {
            output: folder.location("output"),
            dropped: folder.location("dropped"),
            commit_log: folder.location("write-ahead-commit-log"),
            checkpoints: folder.location("checkpoints"),
        },
        savepoints: folder.location("savepoints"),
        from_savepoint: None,
        s3: S3Access::default(),
        rhythm: Rhythm {
            interval: CHECKPOINT_INTERVAL,
            min_pause: Duration::ZERO,
            timeout: Duration::from_secs(60),
            retained: RETAINED_SLOTS,
        },
        stop_timeout: Duration::from_secs(30),
        parallelism: 2,
        schema: ReaderSchema::Given(InputSchema::parse(DEFAULT_SCHEMA)?),
        value_format: ValueFormat::Avro,
        avro_format: AvroFormat::Raw,
        kafka_columns: Vec::new(),
        registry: None,
        max_file_size: 128 << 20,
        parquet: ParquetOptions::default(),
        bucket_by: BucketBy::ProcessingTime,
        bucketing: Bucketing::by_hour(),
        markers: None,
        file_memory: 64 << 20,
        bounded: false,
        allow_lost_offsets: false,
        reread_lost_files: false,
        rest,
    })
}

/// The data generator on a thread of its own.
struct Generator {
    stop: Arc<AtomicBool>,
    progress: Arc<data_generator::Progress>,
    thread: tokio::task::JoinHandle<Result<data_generator::Produced, data_generator::Error>>,
}

impl Generator {
    fn start(bootstrap_servers: &str, rate: u64) -> Self {
        let settings = data_generator::Settings {
            bootstrap_servers: bootstrap_servers.to_owned(),
            topic: TOPIC.into(),
            rate_per_sec: rate,
            partitions: PARTITIONS,
            ..data_generator::Settings::default()
        };
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(data_generator::Progress::default());
        let thread = {
            let (stop, progress) = (stop.clone(), progress.clone());
            tokio::task::spawn_blocking(move || data_generator::run(&settings, &stop, &progress))
        };
        Self {
            stop,
            progress,
            thread,
        }
    }

    fn delivered(&self) -> u64 {
        self.progress.delivered()
    }

    /// Ends it; returns how many records the broker has acknowledged.
    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let produced = self.thread.await.context("the generator has died")?;
        Ok(produced.context("the generator failed")?.delivered)
    }
}
