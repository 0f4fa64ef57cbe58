//! Records that are produced in transactions.

use std::sync::Arc;

use rdkafka::producer::Producer;

use super::LONG;
use super::kafka::Topic;
use super::records::{Delivered, encode};
use super::sender::Sender;

pub struct Transactions {
    topic: Arc<Topic>,
    sender: Sender,
}

impl Transactions {
    /// `sender` has a transactional id.
    pub fn new(topic: Arc<Topic>, sender: Sender) -> Self {
        sender.0.init_transactions(LONG).unwrap();
        Self { topic, sender }
    }

    /// Produces so many records to each partition in one transaction. Aborted ones are in Kafka
    /// too, and expected nowhere.
    pub fn run(&self, per_partition: usize, commit: bool) {
        let delivered = self.begin(per_partition);
        self.end(delivered, commit);
    }

    /// The same without the end of the transaction.
    pub fn begin(&self, per_partition: usize) -> Vec<Delivered> {
        let mut state = self.topic.lock();
        self.sender.0.begin_transaction().unwrap();
        for place in 0..state.next.len() {
            let partition = i32::try_from(place).unwrap();
            for _ in 0..per_partition {
                let value = encode(partition, state.next[place]);
                self.sender
                    .send(&self.topic.name, partition, state.next[place], Some(&value));
                state.next[place] += 1;
            }
        }
        self.sender.flush()
    }

    pub fn end(&self, delivered: Vec<Delivered>, commit: bool) {
        if commit {
            self.sender.0.commit_transaction(LONG).unwrap();
            self.topic.lock().delivered.extend(delivered);
        } else {
            self.sender.0.abort_transaction(LONG).unwrap();
        }
    }
}
