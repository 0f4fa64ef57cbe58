//! Kafka names no broker for a moment, as it does when it holds none for alive: after all of them
//! have hung, or while the last of them is exchanged. Librdkafka forgets its brokers then, and
//! does not look for them again; the reader of ours asks those that the settings name.

use rdkafka::Offset;

use crate::harness::kafka_proxy::KafkaProxy;
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Storage, Topic, wait_for};

const OFTEN: [&str; 4] = [
    "--checkpoint-interval",
    "200ms",
    "--partition-discovery-interval",
    "200ms",
];
/// Its clients ask for brokers all the time.
const LIBRDKAFKA: [&str; 6] = [
    "--kafka-reader",
    "librdkafka",
    "--kafka-property",
    "topic.metadata.refresh.interval.ms=100",
    "--kafka-property",
    "queued.max.messages.kbytes=64",
];

#[test]
fn clients_that_have_lost_all_brokers_are_made_anew_and_go_on_exactly() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(4));
    topic.produce(1_000);
    let proxy = KafkaProxy::start();
    let servers = proxy.servers();
    let settings = [("KAFKA_BOOTSTRAP_SERVERS", servers.as_str())];
    let flags = [&OFTEN[..], &LIBRDKAFKA].concat();
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
    lineage.wait_until_it_says("checkpoint complete");
    proxy.name_brokers(false);
    topic.produce(100_000);
    lineage.wait_until_it_says("trying a new kafka client");
    proxy.name_brokers(true);
    archive.wait_for_all_of(&topic);
    wait_for("offsets committed", LONG, || {
        (topic.committed_offsets() == [Offset::Offset(25_250); 4]).then_some(())
    });
    wait_for("end of all troubles", LONG, || {
        (lineage.says("degraded") == lineage.says("recovered")).then_some(())
    });
    assert!(lineage.ended().is_none());
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_direct_reader_whose_connections_end_meanwhile_goes_on_exactly() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(4));
    topic.produce(1_000);
    let proxy = KafkaProxy::start();
    let servers = proxy.servers();
    let settings = [
        ("KAFKA_BOOTSTRAP_SERVERS", servers.as_str()),
        ("KAFKA_READER", "direct"),
    ];
    let mut lineage = Lineage::start_with(&archive, &topic, &OFTEN, &settings);
    // Now it has the connections that are cut.
    archive.wait_for_all_of(&topic);
    proxy.name_brokers(false);
    proxy.cut();
    topic.produce(100_000);
    lineage.wait_until_it_says("it names no broker");
    proxy.name_brokers(true);
    archive.wait_for_all_of(&topic);
    wait_for("end of all troubles", LONG, || {
        (lineage.says("degraded") == lineage.says("recovered")).then_some(())
    });
    assert!(lineage.ended().is_none());
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}
