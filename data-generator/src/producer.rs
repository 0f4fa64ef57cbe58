//! Hands records to Kafka and counts what Kafka acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use uuid::Uuid;

use crate::event::{Encoder, frame};
use crate::malformed::Plan;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::settings::{Error, Settings};
use crate::topic::client_config;

/// What a run delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Produced {
    /// Records that the broker acknowledged, the malformed ones among them.
    pub delivered: u64,
    /// How many of them no decoder can read.
    pub malformed: u64,
    /// Partitions that the topic has; 0 if the run was stopped before it knew.
    pub partitions: i32,
    /// From the first record to the last acknowledgement.
    pub elapsed: Duration,
}

/// Records between two looks at the clock, the stop flag and the acknowledgements.
const BURST: u64 = 512;
/// A shorter sleep costs more in waking up than it is late; a longer one would answer a stop late.
const SHORTEST_SLEEP: Duration = Duration::from_micros(500);
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
const FLUSH_AFTER_STOP: Duration = Duration::from_secs(30);
const BETWEEN_NOTES: Duration = Duration::from_secs(5);

/// A client for many small records. Measured with the broker on the same two cores: compression costs
/// more than it saves, since uuids do not compress, and longer queues cost memory alone.
///
/// A batch holds records of one partition, so with many partitions batches need longer to fill.
fn producer(
    settings: &Settings,
    partitions: i32,
    counts: Arc<Counts>,
) -> Result<BaseProducer<Context>, Error> {
    let linger_ms = (i64::from(partitions) * 2).clamp(50, 2_000);
    let queued = (i64::from(partitions) * 1_000).clamp(200_000, 1_000_000);
    let mut config = client_config(settings);
    config
        .set("acks", "all")
        // A retry after a lost answer would otherwise deliver twice, and more than was counted.
        .set("enable.idempotence", "true")
        .set("linger.ms", linger_ms.to_string())
        .set("batch.size", "1000000")
        .set("batch.num.messages", "20000")
        .set("queue.buffering.max.messages", queued.to_string())
        .set("compression.type", "none");
    config
        .create_with_context(Context { counts })
        .map_err(Error::client)
}

/// Deliveries as they are reported by the polling thread.
struct Counts {
    progress: Progress,
    /// Of this run alone: a caller may use one `Progress` for several.
    delivered: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
    last_note: Mutex<Option<Instant>>,
}

impl Counts {
    fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

struct Context {
    counts: Arc<Counts>,
}

impl ClientContext for Context {
    /// Troubles that librdkafka goes on to mend by itself. They come many a second when a broker
    /// is away, and one in a while says it.
    fn error(&self, _: KafkaError, reason: &str) {
        let mut last = self
            .counts
            .last_note
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= BETWEEN_NOTES) {
            *last = Some(Instant::now());
            self.counts.progress.note(&format!("Kafka: {reason}"));
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                self.counts.progress.add_delivered();
            }
            Err((error, _)) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                self.counts
                    .first_failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Produces round robin over `partitions` until the count is reached, `stop` is set or a delivery
/// fails, and waits for the acknowledgements.
pub(crate) fn produce(
    settings: &Settings,
    partitions: i32,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Produced, Error> {
    let counts = Arc::new(Counts {
        progress: progress.clone(),
        delivered: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        first_failure: Mutex::new(None),
        last_note: Mutex::new(None),
    });
    let mut sender = Sender {
        producer: producer(settings, partitions, Arc::clone(&counts))?,
        topic: &settings.topic,
        encoder: Encoder::new()?,
        plan: Plan::new(settings.malformed, usize::try_from(partitions).unwrap_or(1)),
        broken: Vec::new(),
        schema_id: settings.schema_id,
        framed: Vec::new(),
        partitions,
        next_partition: 0,
    };
    let start = Instant::now();
    let mut pace = Pace::new(settings.rate_per_sec);
    let count = settings.count.unwrap_or(u64::MAX);
    let mut sent = 0;
    while sent < count && !stop.load(Ordering::Relaxed) && counts.failed() == 0 {
        let elapsed = start.elapsed();
        let now = pace.due(sent, elapsed).min(count - sent).min(BURST);
        let timestamp = now_millis();
        for _ in 0..now {
            if !sender.send(timestamp, stop, &counts)? {
                break;
            }
            sent += 1;
        }
        if now == 0 {
            rest(&sender.producer, pace.wait(sent, elapsed));
        } else {
            sender.producer.poll(Duration::ZERO);
        }
    }
    let flushed = flush(&sender.producer, stop);
    let delivered = counts.delivered();
    if delivered == sent {
        return Ok(Produced {
            delivered,
            malformed: sender.plan.broken(),
            partitions,
            elapsed: start.elapsed(),
        });
    }
    let first_failure = counts
        .first_failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    Err(Error::Undelivered {
        undelivered: sent - delivered,
        delivered,
        reason: match (first_failure, flushed) {
            (Some(failure), _) => format!("The first one failed with: {failure}"),
            (None, false) => format!(
                "Stopped, and the broker did not acknowledge them within {} s",
                FLUSH_AFTER_STOP.as_secs()
            ),
            (None, true) => "librdkafka reported nothing about them".into(),
        },
    })
}

/// Everything between one record's turn and Kafka's client.
struct Sender<'a> {
    producer: BaseProducer<Context>,
    topic: &'a str,
    encoder: Encoder,
    plan: Plan,
    broken: Vec<u8>,
    schema_id: Option<u32>,
    /// The datum behind its schema id.
    framed: Vec<u8>,
    partitions: i32,
    next_partition: i32,
}

impl Sender<'_> {
    /// Sends the next record; waits while the client's queue is full. `false` if it was not sent,
    /// because of a stop or a failed delivery.
    fn send(&mut self, timestamp: i64, stop: &AtomicBool, counts: &Counts) -> Result<bool, Error> {
        let whole = self.encoder.encode(Uuid::new_v4(), timestamp)?;
        let turn = usize::try_from(self.next_partition).unwrap_or(0);
        let payload = match self.plan.next(turn) {
            None => Some(whole),
            Some(kind) => kind.apply(whole, &mut self.broken),
        };
        let payload = match (self.schema_id, payload) {
            (Some(id), Some(datum)) => {
                frame(id, datum, &mut self.framed);
                Some(&self.framed[..])
            }
            (_, payload) => payload,
        };
        let mut record = BaseRecord::<(), [u8]>::to(self.topic)
            .partition(self.next_partition)
            .timestamp(timestamp);
        record.payload = payload;
        while let Err((error, refused)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(Error::Undelivered {
                    undelivered: 1,
                    delivered: counts.delivered(),
                    reason: format!("librdkafka did not take it: {error}"),
                });
            }
            if stop.load(Ordering::Relaxed) || counts.failed() > 0 {
                return Ok(false);
            }
            rest(&self.producer, SHORTEST_SLEEP);
            record = refused;
        }
        self.next_partition = (self.next_partition + 1) % self.partitions;
        Ok(true)
    }
}

/// Waits for the acknowledgement, or the failure, of every record. `false` if a stop ended it first.
fn flush(producer: &BaseProducer<Context>, stop: &AtomicBool) -> bool {
    let mut stopped_at = None;
    while producer.in_flight_count() > 0 {
        if stop.load(Ordering::Relaxed)
            && stopped_at.get_or_insert_with(Instant::now).elapsed() >= FLUSH_AFTER_STOP
        {
            return false;
        }
        rest(producer, Duration::from_millis(2));
    }
    true
}

/// Sleeps, then takes the acknowledgements. `BaseProducer::poll` with a time limit would rather spin
/// for the last millisecond of it.
fn rest(producer: &BaseProducer<Context>, time: Duration) {
    thread::sleep(time.clamp(SHORTEST_SLEEP, LONGEST_SLEEP));
    producer.poll(Duration::ZERO);
}

fn now_millis() -> i64 {
    // A clock before 1970 is no reason to stop.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
