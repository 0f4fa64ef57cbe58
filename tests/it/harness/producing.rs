//! How records get into the topic of a test, and are noted as expected.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::producer::BaseRecord;

use super::kafka::Topic;
use super::records::{Delivered, encode};
use super::sender::Sender;

/// Partition P is produced with codec P modulo their number.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Records that come until `end`, or until it is dropped by a test that fails.
pub struct Flow {
    seen: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flow {
    /// Returns when all that were produced are there.
    pub fn end(mut self) {
        self.seen.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.seen.store(true, Ordering::Relaxed);
    }
}

impl Topic {
    /// Produces so many records, evenly over all partitions, each with its own codec.
    pub fn produce(&self, count: usize) {
        let partitions = self.partitions();
        self.produce_while(|n| n < count, 0..partitions, None);
    }

    /// Produces to one partition.
    pub fn produce_to(&self, partition: usize, count: usize) {
        self.produce_while(|n| n < count, partition..partition + 1, None);
    }

    /// Produces beside the test, so many records a second. `handle.join()` says that all are there.
    pub fn produce_slowly(self: &Arc<Self>, count: usize, per_second: usize) -> JoinHandle<()> {
        let topic = self.clone();
        std::thread::spawn(move || {
            let partitions = topic.partitions();
            topic.produce_while(|n| n < count, 0..partitions, Some(per_second));
        })
    }

    /// Produces beside the test until it has seen what it needs records for, however long that takes on
    /// this machine. Nothing else may produce meanwhile.
    pub fn flow(self: &Arc<Self>, per_second: usize) -> Flow {
        let (topic, seen) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let ended = seen.clone();
        let thread = std::thread::spawn(move || {
            let partitions = topic.partitions();
            let goes_on = |_| !ended.load(Ordering::Relaxed);
            topic.produce_while(goes_on, 0..partitions, Some(per_second));
        });
        Flow {
            seen,
            thread: Some(thread),
        }
    }

    /// `goes_on` is asked before each record, with the number of those before it.
    fn produce_while(
        &self,
        goes_on: impl Fn(usize) -> bool,
        partitions: std::ops::Range<usize>,
        per_second: Option<usize>,
    ) {
        let senders = CODECS.map(|codec| self.sender(&[("compression.type", codec)]));
        let begin = Instant::now();
        let mut numbers = self.lock().next.clone();
        for n in (0..).take_while(|&n| goes_on(n)) {
            let place = partitions.start + n % partitions.len();
            let partition = i32::try_from(place).unwrap();
            let value = encode(partition, numbers[place]);
            senders[place % CODECS.len()].send(&self.name, partition, numbers[place], Some(&value));
            numbers[place] += 1;
            if n % 512 == 0 {
                for sender in &senders {
                    sender.0.poll(Duration::ZERO);
                }
                let due = per_second.map_or(0.0, |rate| n as f64 / rate as f64);
                let early = Duration::from_secs_f64(due).saturating_sub(begin.elapsed());
                if !early.is_zero() {
                    std::thread::sleep(early);
                }
            }
        }
        let delivered = senders.iter().flat_map(Sender::flush);
        let mut state = self.lock();
        state.delivered.extend(delivered);
        state.next = numbers;
    }

    /// Produces so many records, evenly over all partitions, each with the value that `form` makes of it.
    /// They count as expected.
    pub fn produce_as(&self, count: usize, form: impl Fn(usize, Delivered) -> Vec<u8>) {
        let sender = self.sender(&[]);
        let mut state = self.lock();
        for n in 0..count {
            let place = n % state.next.len();
            let number = state.next[place];
            state.next[place] += 1;
            let partition = i32::try_from(place).unwrap();
            let record = Delivered {
                partition,
                offset: 0,
                number,
            };
            let value = form(n, record);
            sender.send(&self.name, partition, number, Some(&value));
        }
        state.delivered.extend(sender.flush());
    }

    /// Produces values as they are, which the expected records do not count.
    pub fn produce_raw<'a>(
        &self,
        partition: i32,
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) {
        let sender = self.sender(&[]);
        for value in values {
            sender.send(&self.name, partition, 0, value);
        }
        sender.flush();
    }

    /// Produces a value with this time, in milliseconds since 1970, to the first partition.
    pub fn produce_at(&self, time: i64, value: &[u8]) {
        let sender = self.sender(&[]);
        let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.name, 0);
        let record = record.partition(0).timestamp(time).payload(value);
        sender.0.send(record).map_err(|(error, _)| error).unwrap();
        sender.flush();
    }

    /// Produces so many records of each key to every partition; the newest of each come last.
    pub fn produce_keyed(&self, keys: u64, of_each: u64) {
        let sender = self.sender(&[]);
        let mut state = self.lock();
        for (place, next) in state.next.iter_mut().enumerate() {
            let partition = i32::try_from(place).unwrap();
            for n in 0..keys * of_each {
                let (key, value) = ((n % keys).to_be_bytes(), encode(partition, *next));
                sender.send_keyed(&self.name, partition, *next, Some(&key), Some(&value));
                *next += 1;
            }
        }
        state.delivered.extend(sender.flush());
    }

    /// Good and broken records together: `broken` says how, for each number. Returns the offsets
    /// of the broken ones; the good ones count as expected.
    pub fn produce_some_broken(
        &self,
        count: usize,
        mut broken: impl FnMut(usize, &[u8]) -> Option<Option<Vec<u8>>>,
    ) -> Vec<(i32, i64)> {
        let sender = self.sender(&[]);
        let mut state = self.lock();
        let mut is_broken = HashSet::new();
        for n in 0..count {
            let place = n % state.next.len();
            let partition = i32::try_from(place).unwrap();
            let number = state.next[place];
            state.next[place] += 1;
            let value = encode(partition, number);
            match broken(n, &value) {
                None => sender.send(&self.name, partition, number, Some(&value)),
                Some(instead) => {
                    is_broken.insert((partition, number));
                    sender.send(&self.name, partition, number, instead.as_deref());
                }
            }
            if n % 512 == 0 {
                sender.0.poll(Duration::ZERO);
            }
        }
        let (bad, good): (Vec<_>, Vec<_>) = sender
            .flush()
            .into_iter()
            .partition(|d| is_broken.contains(&(d.partition, d.number)));
        state.delivered.extend(good);
        bad.iter().map(|d| (d.partition, d.offset)).collect()
    }
}
