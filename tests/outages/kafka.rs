//! Kafka goes away and comes back while the service reads from it.

use std::time::Duration;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Storage, Topic};
use crate::server::Server;

const FLAGS: [&str; 2] = ["--checkpoint-interval", "200ms"];

/// Either reader holds little, so that it cannot have fetched everything before something happens.
pub const DIRECT: [&str; 4] = [
    "--kafka-reader",
    "direct",
    "--kafka-property",
    "fetch.message.max.bytes=16384",
];
pub const BY_LIBRDKAFKA: [&str; 4] = [
    "--kafka-reader",
    "librdkafka",
    "--kafka-property",
    "queued.max.messages.kbytes=64",
];

/// A service in the middle of reading 400,000 records, of which it has archived some.
fn reading(archive: &Archive, topic: &Topic, reader: &[&str]) -> Lineage {
    topic.produce(400_000);
    let flags = [&FLAGS, reader].concat();
    let mut lineage = Lineage::start(archive, topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");
    lineage
}

/// It is still the same process, and ends with everything archived.
fn goes_on(archive: &Archive, topic: &Topic, lineage: Lineage) {
    topic.produce(1_000);
    archive.wait_for_all_of(topic);
    lineage.stop();
    assert_exact(archive, topic, Past::Calm);
}

fn is_killed_and_started_again(reader: &[&str]) {
    let kafka = Server::kafka();
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    let mut lineage = reading(&archive, &topic, reader);
    let again = kafka.kill();
    lineage.wait_until_it_says("degraded");
    kafka.start_again(again);
    lineage.wait_until_it_says("recovered");
    goes_on(&archive, &topic, lineage);
}

#[test]
fn a_broker_that_is_killed_and_started_again_costs_no_record_and_no_restart() {
    is_killed_and_started_again(&DIRECT);
}

#[test]
fn a_broker_that_is_killed_and_started_again_costs_librdkafka_no_record() {
    is_killed_and_started_again(&BY_LIBRDKAFKA);
}

fn hangs_for_a_while(reader: &[&str]) {
    let kafka = Server::kafka();
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    let lineage = reading(&archive, &topic, reader);
    kafka.pause();
    // After 9 s Kafka takes a broker for dead, which it finds when it goes on: for a moment it has
    // none then, and says so to whoever asks.
    std::thread::sleep(Duration::from_secs(12));
    kafka.resume();
    goes_on(&archive, &topic, lineage);
}

#[test]
fn a_broker_that_hangs_for_a_while_costs_no_record_and_no_restart() {
    hangs_for_a_while(&DIRECT);
}

#[test]
fn a_broker_that_hangs_for_a_while_costs_librdkafka_no_record() {
    hangs_for_a_while(&BY_LIBRDKAFKA);
}

#[test]
fn checkpoints_go_on_while_the_broker_is_away() {
    let kafka = Server::kafka();
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    topic.produce(1_000);
    let mut lineage = Lineage::start(&archive, &topic, &FLAGS);
    lineage.wait_until_it_says("checkpoint complete");
    let again = kafka.kill();
    lineage.wait_until_it_says("degraded");
    let before = lineage.says("checkpoint complete");
    lineage.wait_until_it_says_times("checkpoint complete", before + 3);
    kafka.start_again(again);
    lineage.wait_until_it_says("recovered");
    goes_on(&archive, &topic, lineage);
}
