//! The producer of the tests.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Message};

use super::LONG;
use super::kafka::client_config;
use super::records::Delivered;

/// Notes what was delivered, and the first failure.
#[derive(Default)]
pub struct Deliveries {
    delivered: Mutex<Vec<Delivered>>,
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(message) => self.delivered.lock().unwrap().push(Delivered {
                partition: message.partition(),
                offset: message.offset(),
                number: number as u64,
            }),
            Err((error, _)) => *self.failed.lock().unwrap() = Some(error.clone()),
        }
    }
}

/// A producer that keeps the order and loses nothing.
pub struct Sender(pub BaseProducer<Deliveries>);

impl Sender {
    pub fn new(servers: &str, config: &[(&str, &str)]) -> Self {
        let mut all = client_config(servers);
        all.set("enable.idempotence", "true").set("linger.ms", "5");
        for (key, value) in config {
            all.set(*key, *value);
        }
        Self(all.create_with_context(Deliveries::default()).unwrap())
    }

    pub fn send(&self, topic: &str, partition: i32, number: u64, value: Option<&[u8]>) {
        self.send_keyed(topic, partition, number, None, value);
    }

    pub fn send_keyed(
        &self,
        topic: &str,
        partition: i32,
        number: u64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let number = usize::try_from(number).unwrap();
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, number).partition(partition);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.payload(value);
        }
        loop {
            match self.0.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    self.0.poll(Duration::from_millis(5));
                }
                Err((error, _)) => panic!("not produced: {error}"),
            }
        }
    }

    /// Waits until all is acknowledged; returns what was.
    pub fn flush(&self) -> Vec<Delivered> {
        self.0.flush(LONG).unwrap();
        let failed = self.0.context().failed.lock().unwrap().take();
        assert!(failed.is_none(), "not delivered: {failed:?}");
        std::mem::take(&mut self.0.context().delivered.lock().unwrap())
    }
}
