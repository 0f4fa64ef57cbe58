//! The program against a real Kafka, whose address is in `LINEAGE_TEST_KAFKA`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy.toml allows them in tests, and does not see that the helpers here are of tests, too"
)]

use std::collections::{HashMap, HashSet};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use apache_avro::types::Value;
use apache_avro::{Schema, from_avro_datum};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const LONG_ENOUGH: Duration = Duration::from_secs(60);

fn kafka() -> String {
    std::env::var("LINEAGE_TEST_KAFKA")
        .expect("LINEAGE_TEST_KAFKA is not set to host:port of a Kafka: run scripts/test.sh")
}

fn fresh_topic(name: &str) -> String {
    format!("data-generator-{name}-{}", uuid::Uuid::new_v4())
}

fn generator(topic: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_data-generator"));
    command
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka())
        .env("KAFKA_TOPIC", topic)
        .env_remove("RATE_PER_SEC")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn generate(topic: &str, args: &[&str]) -> String {
    let output = generator(topic, args).output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    said
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One record: its partition and its value.
type Record = (i32, Option<Vec<u8>>);

/// Everything in the topic, by the high watermarks of its partitions.
fn consume_all(topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka())
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LONG_ENOUGH).unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut expected = 0;
    for partition in metadata.topics()[0].partitions() {
        assignment
            .add_partition_offset(topic, partition.id(), Offset::Beginning)
            .unwrap();
        let (low, high) = consumer
            .fetch_watermarks(topic, partition.id(), LONG_ENOUGH)
            .unwrap();
        expected += usize::try_from(high - low).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::with_capacity(expected);
    let until = Instant::now() + LONG_ENOUGH;
    while records.len() < expected {
        assert!(
            Instant::now() < until,
            "{} of {expected} came",
            records.len()
        );
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            records.push((message.partition(), message.payload().map(<[u8]>::to_vec)));
        }
    }
    records
}

fn per_partition(records: &[Record]) -> HashMap<i32, usize> {
    let mut counts = HashMap::new();
    for (partition, _) in records {
        *counts.entry(*partition).or_default() += 1;
    }
    counts
}

/// The uuid of a value that is exactly one whole event.
fn uuid_of(schema: &Schema, value: Option<&Vec<u8>>) -> Option<String> {
    let mut rest = value?.as_slice();
    let event = from_avro_datum(schema, &mut rest, None).ok()?;
    match event {
        Value::Record(fields) if rest.is_empty() => match &fields[0].1 {
            Value::String(uuid) => Some(uuid.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn schema() -> Schema {
    Schema::parse_str(data_generator::event::SCHEMA).unwrap()
}

#[test]
fn ten_thousand_events_arrive_once_each_and_evenly_over_ten_partitions() {
    let topic = fresh_topic("count");
    let said = generate(&topic, &["--rate-per-sec=0", "--count=10000"]);
    assert!(said.contains("delivered 10,000 records"), "{said}");
    let records = consume_all(&topic);
    assert_eq!(records.len(), 10_000);
    let schema = schema();
    let uuids: HashSet<String> = records
        .iter()
        .map(|(_, value)| uuid_of(&schema, value.as_ref()).unwrap())
        .collect();
    assert_eq!(uuids.len(), 10_000, "every uuid is there once");
    let evenly: HashMap<i32, usize> = (0..10).map(|partition| (partition, 1_000)).collect();
    assert_eq!(per_partition(&records), evenly);
}

#[test]
fn one_in_a_hundred_is_malformed_when_asked_for_and_the_others_are_whole() {
    let topic = fresh_topic("malformed");
    let args = ["--rate-per-sec=0", "--count=10000", "--malformed=0.01"];
    let said = generate(&topic, &args);
    assert!(said.contains("100 of them malformed"), "{said}");
    let records = consume_all(&topic);
    assert_eq!(records.len(), 10_000);
    let schema = schema();
    let broken: Vec<Record> = records
        .iter()
        .filter(|(_, value)| uuid_of(&schema, value.as_ref()).is_none())
        .cloned()
        .collect();
    let evenly: HashMap<i32, usize> = (0..10).map(|partition| (partition, 10)).collect();
    assert_eq!(per_partition(&broken), evenly);
    assert!(broken.iter().any(|(_, value)| value.is_none()));
    assert!(
        broken
            .iter()
            .any(|(_, value)| value.as_deref() == Some(&[]))
    );
}

#[test]
fn a_topic_that_exists_keeps_its_partitions_and_the_difference_is_said() {
    let topic = fresh_topic("exists");
    let made = generate(&topic, &["--count=3", "--rate-per-sec=0", "--partitions=3"]);
    assert!(made.contains("created topic"), "{made}");
    let used = generate(&topic, &["--count=30", "--rate-per-sec=0"]);
    assert!(used.contains("exists with 3 partitions, not 10"), "{used}");
    let evenly: HashMap<i32, usize> = (0..3).map(|partition| (partition, 11)).collect();
    assert_eq!(per_partition(&consume_all(&topic)), evenly);
}

#[test]
fn a_second_takes_as_many_records_as_the_rate_says() {
    let topic = fresh_topic("rate");
    let start = Instant::now();
    generate(&topic, &["--rate-per-sec=100", "--count=201"]);
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
    assert_eq!(consume_all(&topic).len(), 201);
}

/// Signals by the shell's own `kill`: the standard library has only SIGKILL.
fn signal(child: &Child, signal: &str) {
    let done = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(done.success());
}

/// Ends a run that goes on until stopped, and compares what it said with what is in the topic.
fn stopped_by(name: &str) {
    let topic = fresh_topic(name);
    generate(&topic, &["--count=10", "--rate-per-sec=0"]);
    let child = generator(&topic, &["--rate-per-sec=5000"]).spawn().unwrap();
    thread::sleep(Duration::from_secs(3));
    signal(&child, name);
    let output = child.wait_with_output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    let in_topic = consume_all(&topic).len() - 10;
    assert!(in_topic > 1_000, "{in_topic}");
    let claimed: String = said
        .rsplit("delivered ")
        .next()
        .and_then(|rest| rest.split(" records").next())
        .unwrap()
        .replace(',', "");
    assert_eq!(claimed.parse(), Ok(in_topic), "{said}");
}

#[test]
fn sigterm_delivers_what_is_under_way_and_exits_with_0() {
    stopped_by("TERM");
}

#[test]
fn ctrl_c_delivers_what_is_under_way_and_exits_with_0() {
    stopped_by("INT");
}

#[test]
fn a_topic_name_that_kafka_refuses_ends_in_an_error_that_names_the_setting() {
    let output = generator("no such/topic", &["--count=1"]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("KAFKA_TOPIC"), "{said}");
}

#[test]
fn a_broker_that_is_not_there_is_waited_for_by_its_address_and_a_signal_ends_the_wait() {
    // Nobody listens on port 1.
    let child = generator("any", &["--bootstrap-servers=127.0.0.1:1"])
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_secs(7));
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("waiting for Kafka at 127.0.0.1:1"), "{said}");
}

#[test]
fn bad_settings_end_with_2_before_anything_is_sent() {
    for args in [
        ["--rate-per-sec=fast"],
        ["--malformed=2"],
        ["--partitions=0"],
    ] {
        let output = generator("any", &args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let output = generator("any", &[])
        .env("RATE_PER_SEC", "many")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("RATE_PER_SEC") || said(&output).contains("--rate-per-sec"));
}
