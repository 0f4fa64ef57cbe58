//! Topics that know what was delivered to them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lineage::ids::Split;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::records::Delivered;
use super::sender::Sender;
use super::transactions::Transactions;
use super::{LONG, block_on, server};

/// For one answer of Kafka, where it may be asked again.
const ANSWER: Duration = Duration::from_secs(10);

pub fn servers() -> String {
    server("LINEAGE_TEST_KAFKA")
}

pub fn client_config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    config
}

/// A topic of one test.
pub struct Topic {
    pub name: String,
    /// Where the test itself reaches its brokers, in plaintext.
    servers: String,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Next number of each partition.
    pub(super) next: Vec<u64>,
    pub(super) delivered: Vec<Delivered>,
}

impl Topic {
    /// Creates one with a name of its own.
    pub fn create(partitions: usize) -> Arc<Self> {
        let topic = Self::absent();
        topic.make(partitions);
        topic
    }

    /// A name that no topic has.
    pub fn absent() -> Arc<Self> {
        Self::absent_at(servers())
    }

    /// The same on other brokers.
    pub fn absent_at(servers: String) -> Arc<Self> {
        loop {
            let name = format!("it-{}", Uuid::new_v4());
            // Partition P is then read by subtask P modulo the parallelism, for all that tests have.
            if Split::new(name.as_str(), 0).subtask(12).0 == 0 {
                return Self::named_at(name, servers);
            }
        }
    }

    /// With a name that the test has chosen.
    pub fn named(name: String) -> Arc<Self> {
        Self::named_at(name, servers())
    }

    fn named_at(name: String, servers: String) -> Arc<Self> {
        Arc::new(Self {
            name,
            servers,
            state: Mutex::default(),
        })
    }

    pub fn make(&self, partitions: usize) {
        self.make_as(partitions, TopicReplication::Fixed(1));
    }

    /// Creates it with partitions on brokers as said.
    pub fn make_as(&self, partitions: usize, replication: TopicReplication<'_>) {
        let count = i32::try_from(partitions).unwrap();
        let topic = NewTopic::new(&self.name, count, replication);
        let made = block_on(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap();
        assert_eq!(made, [Ok(self.name.clone())]);
        self.lock().next = vec![0; partitions];
        self.await_partitions(partitions);
    }

    /// Deletes it; the broker may go on with that for a moment.
    pub fn delete(&self) {
        let deleted = block_on(
            self.admin()
                .delete_topics(&[&self.name], &AdminOptions::new()),
        )
        .unwrap();
        assert_eq!(deleted, [Ok(self.name.clone())]);
        let consumer = self.consumer();
        super::wait_for("end of the topic", LONG, || {
            let metadata = consumer.fetch_metadata(Some(&self.name), LONG).ok()?;
            metadata.topics().first()?.error().map(drop)
        });
    }

    pub fn grow(&self, partitions: usize) {
        let grown = NewPartitions::new(&self.name, partitions);
        let made = block_on(
            self.admin()
                .create_partitions([&grown], &AdminOptions::new()),
        )
        .unwrap();
        assert_eq!(made, [Ok(self.name.clone())]);
        self.lock().next.resize(partitions, 0);
        self.await_partitions(partitions);
    }

    /// The broker answers for new partitions a moment after it has made them.
    fn await_partitions(&self, partitions: usize) {
        let consumer = self.consumer();
        super::wait_for("leader of every partition", LONG, || {
            let metadata = consumer.fetch_metadata(Some(&self.name), LONG).ok()?;
            let found = metadata.topics().first()?.partitions();
            let led = found
                .iter()
                .filter(|p| p.error().is_none() && p.leader() >= 0);
            (led.count() == partitions).then_some(())
        });
    }

    /// Deletes the records of a partition below an offset, as retention would.
    pub fn delete_below(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset))
            .unwrap();
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    }

    pub fn partitions(&self) -> usize {
        self.lock().next.len()
    }

    /// Sets what Kafka is to do with the topic.
    pub fn configure(&self, settings: &[(&str, &str)]) {
        let topic = AlterConfig::new(ResourceSpecifier::Topic(&self.name));
        let topic = settings
            .iter()
            .fold(topic, |topic, (name, value)| topic.set(name, value));
        block_on(self.admin().alter_configs([&topic], &AdminOptions::new())).unwrap()[0]
            .as_ref()
            .unwrap();
    }

    /// Offsets of the records that Kafka still delivers, by partition.
    pub fn held(&self) -> Vec<Vec<i64>> {
        let ends: Vec<_> = self.watermarks().iter().map(|w| w.1).collect();
        let consumer = self.consumer();
        let mut held = Vec::new();
        for (place, end) in ends.into_iter().enumerate() {
            let partition = i32::try_from(place).unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&self.name, partition, Offset::Beginning)
                .unwrap();
            consumer.assign(&list).unwrap();
            let mut offsets = Vec::new();
            // Compaction keeps the newest record of a partition.
            while offsets.last().is_none_or(|&last| last + 1 < end) {
                let message = super::wait_for("record", LONG, || consumer.poll(LONG)).unwrap();
                offsets.push(message.offset());
            }
            held.push(offsets);
        }
        held
    }

    /// A producer of transactions.
    pub fn transactions(self: &Arc<Self>) -> Transactions {
        let id = format!("{}-{}", self.name, Uuid::new_v4());
        let sender = self.sender(&[("transactional.id", &id)]);
        Transactions::new(self.clone(), sender)
    }

    /// All records that an archive must hold.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.lock().delivered.clone()
    }

    /// They are not expected any more.
    pub fn forget(&self, gone: impl Fn(&Delivered) -> bool) {
        self.lock().delivered.retain(|delivered| !gone(delivered));
    }

    pub fn count(&self) -> usize {
        self.lock().delivered.len()
    }

    /// The sum over all expected records of the first 8 bytes of a hash of each, as
    /// `tests/read_back.py` computes it from the files.
    pub fn fingerprint(&self) -> u64 {
        let state = self.lock();
        let hashes = state.delivered.iter().map(|d| {
            let row = format!(
                "{}|{}|{}|{}",
                d.partition,
                d.offset,
                d.uuid(),
                d.timestamp()
            );
            let digest = Sha256::digest(row.as_bytes());
            u64::from_be_bytes(digest[..8].try_into().unwrap())
        });
        hashes.fold(0, u64::wrapping_add)
    }

    /// Earliest and end offset of each partition, as Kafka says it.
    pub fn watermarks(&self) -> Vec<(i64, i64)> {
        let partitions = 0..i32::try_from(self.partitions()).unwrap();
        partitions
            .map(|partition| {
                // After an outage Kafka may name no broker for a moment, and a client that was told so asks
                // nobody any more: so it is another one each time.
                super::wait_for("earliest and end offset", LONG, || {
                    let consumer = self.consumer();
                    let answer = consumer.fetch_watermarks(&self.name, partition, ANSWER);
                    answer.ok()
                })
            })
            .collect()
    }

    /// What the group of this topic has committed, by partition.
    pub fn committed_offsets(&self) -> Vec<Offset> {
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::try_from(self.partitions()).unwrap() {
            list.add_partition(&self.name, partition);
        }
        let committed = self.consumer().committed_offsets(list, LONG).unwrap();
        committed.elements().iter().map(|e| e.offset()).collect()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        client_config(&self.servers).create().unwrap()
    }

    pub fn sender(&self, config: &[(&str, &str)]) -> Sender {
        Sender::new(&self.servers, config)
    }

    fn consumer(&self) -> BaseConsumer {
        client_config(&self.servers)
            .set("group.id", &self.name)
            .create()
            .unwrap()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
