//! What reading costs alone, by librdkafka's batch call or directly: reads a topic from its beginning to its end, as
//! the service would, and lets every record go. Prints how many there were.
//!
//! `fetch BROKERS TOPIC PARALLELISM direct|librdkafka`

#![allow(
    clippy::print_stdout,
    reason = "what it prints is what it is started for"
)]

use std::collections::BTreeMap;
use std::env::args;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use lineage::clock::SystemClock;
use lineage::ids::{NextOffset, Split};
use lineage::runtime::budget;
use lineage::runtime::health::Health;
use lineage::source::kafka::{DirectReader, KafkaReader, KafkaSettings};
use lineage::source::{RawBatch, SourceReader, SplitStart};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::runtime::Runtime;

// The service's, so that the ratio of the two says nothing of allocators.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const WAIT: Duration = Duration::from_millis(100);
const MESSAGES: usize = 1_024;
/// What the service has by default.
const MEMORY: usize = 128 << 20;

fn main() -> anyhow::Result<()> {
    let usage = "fetch BROKERS TOPIC PARALLELISM direct|librdkafka";
    let [_, brokers, topic, parallelism, reader] = &args().collect::<Vec<_>>()[..] else {
        bail!(usage);
    };
    let fetch: Fetch = match reader.as_str() {
        "direct" => directly,
        "librdkafka" => by_librdkafka,
        _ => bail!(usage),
    };
    let parallelism: u32 = parallelism.parse()?;
    let settings = KafkaSettings {
        bootstrap_servers: brokers.clone(),
        group_id: "bare-fetch".into(),
        properties: BTreeMap::new(),
        security: Default::default(),
        topic_ids: false,
        queue_memory: budget::of_queues(MEMORY) / parallelism as usize,
    };
    let splits = splits(brokers, topic)?;
    let subtasks = (0..parallelism).map(|index| {
        let own = splits
            .iter()
            .filter(|(s, _)| s.split.subtask(parallelism).0 == index);
        let (own, counts): (Vec<_>, Vec<_>) = own.cloned().unzip();
        let settings = settings.clone();
        std::thread::spawn(move || fetch(&settings, own, counts.iter().sum()))
    });
    let mut all = 0;
    for subtask in subtasks.collect::<Vec<_>>() {
        all += subtask.join().ok().context("a thread panicked")??;
    }
    println!("{all}");
    Ok(())
}

/// Every partition, and how many records it has.
fn splits(brokers: &str, topic: &str) -> anyhow::Result<Vec<(SplitStart, usize)>> {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer = config.set("bootstrap.servers", brokers).create()?;
    let timeout = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let partitions = metadata.topics().iter().flat_map(|t| t.partitions());
    partitions
        .map(|partition| {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), timeout)?;
            let start = SplitStart {
                split: Split::new(topic, partition.id()),
                from: NextOffset(low),
                reread: None,
                // Without an end brokers would gather what is left for half a second.
                until: Some(NextOffset(high)),
            };
            Ok((start, usize::try_from(high - low)?))
        })
        .collect()
}

/// Fetches so many records of these splits.
type Fetch = fn(&KafkaSettings, Vec<SplitStart>, usize) -> anyhow::Result<usize>;

fn by_librdkafka(
    settings: &KafkaSettings,
    splits: Vec<SplitStart>,
    wanted: usize,
) -> anyhow::Result<usize> {
    let (health, clock) = (Arc::new(Health::default()), Arc::new(SystemClock::new()));
    let mut reader = KafkaReader::new(settings, health, clock)?;
    reader.add_splits(splits)?;
    let mut count = 0;
    while count < wanted {
        let messages = reader.queue().consume(WAIT, MESSAGES);
        // Ends of partitions come between them.
        count += (0..messages.len())
            .filter(|&place| messages.get(place).error.is_none())
            .count();
    }
    Ok(count)
}

fn directly(
    settings: &KafkaSettings,
    splits: Vec<SplitStart>,
    wanted: usize,
) -> anyhow::Result<usize> {
    let runtime = Runtime::new()?;
    let _in_runtime = runtime.enter();
    let (health, clock) = (Arc::new(Health::default()), Arc::new(SystemClock::new()));
    let reader = DirectReader::new(settings, health, clock);
    let mut reader = reader.map_err(anyhow::Error::msg)?;
    reader.add_splits(splits)?;
    let mut count = 0;
    while count < wanted {
        count += reader.fetch(WAIT)?.len();
    }
    Ok(count)
}
