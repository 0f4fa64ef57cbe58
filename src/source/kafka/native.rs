//! What rdkafka has no safe call for, librdkafka's batch call above all: the one file with unsafe
//! code.
//!
//! `rd_kafka_consume_batch_queue` costs less than half of a poll for each message. It takes only
//! messages: any other event on its queue would be dropped. So partitions are forwarded to a queue
//! of their own, which this file owns, and everything else stays on the consumer's queue.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;

use super::context::Context;
use crate::source::{Header, Wake};

pub type KafkaConsumer = BaseConsumer<Context>;

struct Queue {
    raw: NonNull<rd::rd_kafka_queue_t>,
    /// The queue must go before the client does.
    consumer: Arc<KafkaConsumer>,
}

// SAFETY: librdkafka's queues may be used from any thread, and from several at a time; it guards them
// with their own locks.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ours since it was made, and the client is alive until `consumer` is dropped after this.
        unsafe { rd::rd_kafka_queue_destroy(self.raw.as_ptr()) }
    }
}

/// Wakes whoever waits for messages of a queue, as long as there is that queue.
#[derive(Default)]
pub struct QueueWaker(Mutex<Weak<Queue>>);

impl QueueWaker {
    fn lock(&self) -> MutexGuard<'_, Weak<Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for QueueWaker {
    fn wake(&self) {
        let queue = self.lock();
        if let Some(queue) = queue.upgrade() {
            // SAFETY: the queue is alive; librdkafka sets its flag under the queue's own lock.
            unsafe { rd::rd_kafka_queue_yield(queue.raw.as_ptr()) }
        }
    }
}

/// Messages of the partitions that were forwarded here.
pub struct MessageQueue {
    queue: Arc<Queue>,
    waker: Arc<QueueWaker>,
}

impl Drop for MessageQueue {
    /// Waits for a call of the waker, which would else be the last to hold the queue, and so have to end
    /// the client, which takes its time.
    fn drop(&mut self) {
        let mut woken = self.waker.lock();
        if Weak::ptr_eq(&woken, &Arc::downgrade(&self.queue)) {
            *woken = Weak::new();
        }
    }
}

impl MessageQueue {
    /// `waker` is this queue's from now on.
    pub fn new(consumer: Arc<KafkaConsumer>, waker: Arc<QueueWaker>) -> Option<Self> {
        // SAFETY: the client is alive, the consumer is held by the result.
        let raw = unsafe { rd::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let raw = NonNull::new(raw)?;
        let queue = Arc::new(Queue { raw, consumer });
        *waker.lock() = Arc::downgrade(&queue);
        Some(Self { queue, waker })
    }

    /// Messages of this partition come here from now on; to be called before it is assigned.
    /// False when there is no such partition queue.
    pub fn forward(&self, topic: &str, partition: i32) -> bool {
        let Ok(topic) = CString::new(topic) else {
            return false;
        };
        // SAFETY: the client is alive and `topic` ends with a zero. The partition's queue is a new
        // reference, given back below; librdkafka keeps references of its own for the forwarding.
        unsafe {
            let client = self.queue.consumer.client().native_ptr();
            let partition = rd::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if partition.is_null() {
                return false;
            }
            rd::rd_kafka_queue_forward(partition, self.queue.raw.as_ptr());
            rd::rd_kafka_queue_destroy(partition);
        }
        true
    }

    /// Where a partition ends, as the last fetch has told; a look into the client's memory, no
    /// request. `None` before the first fetch.
    pub fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (0, 0);
        // SAFETY: the client is alive, `topic` ends with a zero and is copied where it is kept, and
        // both numbers are written to before the call returns, under librdkafka's own lock.
        let error = unsafe {
            let client = self.queue.consumer.client().native_ptr();
            let (low, high) = (&mut low, &mut high);
            rd::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition, low, high)
        };
        let ok = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        // Below 0 it stands for 'not known'.
        (error == ok && high >= 0).then_some(high)
    }

    /// Messages that wait here, events of partitions among them.
    pub fn len(&self) -> usize {
        // SAFETY: the queue is alive; librdkafka looks at its length under the queue's own lock.
        unsafe { rd::rd_kafka_queue_length(self.queue.raw.as_ptr()) }
    }

    /// Up to `most` messages; fewer when `timeout` has passed, or when it is woken.
    pub fn consume(&self, timeout: Duration, most: usize) -> Messages {
        let mut messages: Vec<*mut rd::rd_kafka_message_t> = vec![ptr::null_mut(); most];
        let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive and `messages` has room for `most` pointers, of which the call
        // fills as many as it returns. Each is ours to destroy, once.
        let count = unsafe {
            rd::rd_kafka_consume_batch_queue(
                self.queue.raw.as_ptr(),
                timeout,
                messages.as_mut_ptr(),
                most,
            )
        };
        messages.truncate(usize::try_from(count).unwrap_or(0));
        Messages {
            messages,
            _consumer: self.queue.consumer.clone(),
        }
    }
}

/// Messages of one call, destroyed together.
pub struct Messages {
    /// None of them is null: librdkafka fills the array from its start.
    messages: Vec<*mut rd::rd_kafka_message_t>,
    /// Messages point into the client.
    _consumer: Arc<KafkaConsumer>,
}

/// One message, borrowed. `error` is set instead of a payload where the partition has an event.
pub struct Message<'a> {
    pub error: Option<RDKafkaErrorCode>,
    pub source: MessageSource,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

/// Where a message comes from: two of the same topic and partition compare equal, as a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageSource {
    /// Address of librdkafka's handle of the topic.
    topic: usize,
    pub partition: i32,
}

impl Messages {
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn get(&self, index: usize) -> Message<'_> {
        // SAFETY: not null, and alive until `self` is dropped. Key and payload are either null or
        // point to as many bytes as their lengths say, inside the message's memory.
        unsafe {
            let message = &*self.messages[index];
            let ok = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            Message {
                error: (message.err != ok).then(|| message.err.into()),
                source: MessageSource {
                    topic: message.rkt.addr(),
                    partition: message.partition,
                },
                offset: message.offset,
                key: bytes(message.key, message.key_len),
                payload: bytes(message.payload, message.len),
            }
        }
    }

    /// Topic of the message.
    pub fn topic(&self, index: usize) -> String {
        // SAFETY: as above; a message's topic handle is valid as long as the message.
        unsafe {
            let topic = (*self.messages[index]).rkt;
            if topic.is_null() {
                return String::new();
            }
            let name = rd::rd_kafka_topic_name(topic);
            std::ffi::CStr::from_ptr(name)
                .to_string_lossy()
                .into_owned()
        }
    }

    /// Headers of the message, in their order. A name that is not UTF-8 is shown as near to it as may be.
    pub fn headers(&self, index: usize) -> Vec<Header> {
        let mut found = Vec::new();
        let mut all = ptr::null_mut();
        let ok = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        // SAFETY: as above. The headers are parts of the message; each call writes to our variables and
        // says whether there is a header of this number. A name ends with a null byte, a value is null
        // or has as many bytes as its length says.
        unsafe {
            if rd::rd_kafka_message_headers(self.messages[index], &mut all) != ok {
                return found;
            }
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            while rd::rd_kafka_header_get_all(all, found.len(), &mut name, &mut value, &mut length)
                == ok
            {
                found.push(Header {
                    name: std::ffi::CStr::from_ptr(name)
                        .to_string_lossy()
                        .into_owned(),
                    value: bytes(value.cast_mut(), length).map(<[u8]>::to_vec),
                });
            }
        }
        found
    }

    /// Kafka's time of the message, milliseconds since 1970.
    pub fn timestamp(&self, index: usize) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: as above; `kind` is only written to.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.messages[index], &mut kind) };
        (time >= 0).then_some(time)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for &message in &self.messages {
            // SAFETY: each was handed to us once and is destroyed once.
            unsafe { rd::rd_kafka_message_destroy(message) }
        }
    }
}

/// Events that wait to be polled: log lines, errors, requests for a token.
pub fn waiting_events(consumer: &KafkaConsumer) -> usize {
    // SAFETY: the client outlives the call; librdkafka looks at its queues under their own locks.
    let count = unsafe { rd::rd_kafka_outq_len(consumer.client().native_ptr()) };
    usize::try_from(count).unwrap_or(0)
}

/// Kafka's own id of a topic, which a topic that was deleted and made again does not share: `None`
/// only where the brokers are too old to have ids. Whatever else keeps them from saying it is an
/// error, so that a slow broker is not taken for an old one.
pub fn topic_id(
    consumer: &KafkaConsumer,
    topic: &str,
    timeout: Duration,
) -> Result<Option<String>, RDKafkaErrorCode> {
    let topic = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut names = [topic.as_ptr()];
    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client outlives the call. Collection, options and queue are ours from their
    // making to their destruction at the end, names are copied. The event is ours once it is polled
    // and is destroyed after the last look at what it holds: result, description, id and text are
    // parts of it. An answer after the timeout goes to a queue that librdkafka keeps until then.
    unsafe {
        let client = consumer.client().native_ptr();
        let topics = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let describe = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = rd::rd_kafka_AdminOptions_new(client, describe);
        let queue = rd::rd_kafka_queue_new(client);
        rd::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
        rd::rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, timeout);
        let id = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            let id = described_id(event);
            rd::rd_kafka_event_destroy(event);
            id
        };
        rd::rd_kafka_queue_destroy(queue);
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_TopicCollection_destroy(topics);
        id
    }
}

/// # Safety
/// `event` is alive.
unsafe fn described_id(
    event: *mut rd::rd_kafka_event_t,
) -> Result<Option<String>, RDKafkaErrorCode> {
    let bad = RDKafkaErrorCode::BadMessage;
    let ok = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: librdkafka's getters answer null, or a part of the event; each is looked at before
    // it is used. One topic was asked for, so the first description is its.
    unsafe {
        let error = rd::rd_kafka_event_error(event);
        if error != ok {
            return match error.into() {
                RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion => {
                    Ok(None)
                }
                error => Err(error),
            };
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(bad);
        }
        let mut count = 0;
        let descriptions = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if descriptions.is_null() || count == 0 {
            return Err(bad);
        }
        let description = *descriptions;
        let error = rd::rd_kafka_TopicDescription_error(description);
        if !error.is_null() && rd::rd_kafka_error_code(error) != ok {
            return Err(rd::rd_kafka_error_code(error).into());
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(description);
        if id.is_null()
            || (rd::rd_kafka_Uuid_most_significant_bits(id) == 0
                && rd::rd_kafka_Uuid_least_significant_bits(id) == 0)
        {
            return Ok(None);
        }
        let text = rd::rd_kafka_Uuid_base64str(id);
        if text.is_null() {
            return Err(bad);
        }
        let text = std::ffi::CStr::from_ptr(text);
        Ok(Some(text.to_string_lossy().into_owned()))
    }
}

/// # Safety
/// `data` is null or points to `len` bytes that live as long as `'a`.
unsafe fn bytes<'a>(data: *mut std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { slice::from_raw_parts(data.cast::<u8>(), len) })
}
