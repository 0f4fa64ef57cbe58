//! A second broker of the cluster, which clients reach through a proxy that can cut connections.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::admin::TopicReplication;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Folder, LONG, Lineage, Storage, Topic, server, wait_for};
use crate::kafka::{BY_LIBRDKAFKA, DIRECT};
use crate::server::Server;

const FIRST: i32 = 1;
const SECOND: i32 = 2;

struct SecondBroker {
    // Dropped in this order: the broker ends before the first one may be used by another test.
    process: Child,
    folder: Folder,
    cuts: Arc<AtomicUsize>,
    _first: Server,
}

impl SecondBroker {
    fn start() -> Self {
        let first = Server::kafka();
        // The cluster's own topics shall not be made on a broker that goes again.
        Topic::create(1).committed_offsets();
        let port = free_port();
        let cuts = Arc::new(AtomicUsize::new(0));
        let proxy = start_proxy(([127, 0, 0, 1], port).into(), cuts.clone());
        let folder = Folder::new();
        let dir = folder.path();
        fs::write(dir.join("server.properties"), properties(&dir, port, proxy)).unwrap();
        let format = java(&dir, "format")
            .args(["kafka.tools.StorageTool", "format", "-t", &cluster_id()])
            .args(["-c", "server.properties"])
            .status();
        assert!(format.unwrap().success(), "storage in {}", dir.display());
        let broker = Self {
            process: launch(&dir),
            folder,
            cuts,
            _first: first,
        };
        broker.await_start();
        broker
    }

    fn await_start(&self) {
        let log = self.folder.path().join("broker.log");
        wait_for("second broker", LONG, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            log.contains("Kafka Server started").then_some(())
        });
    }

    /// Kill -9.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = launch(&self.folder.path());
        self.await_start();
    }

    /// The next so many answers of some size end in their middle, with their connection.
    fn cut(&self, times: usize) {
        self.cuts.store(times, Ordering::Relaxed);
    }

    fn await_cuts(&self) {
        wait_for("cut connections", LONG, || {
            (self.cuts.load(Ordering::Relaxed) == 0).then_some(())
        });
    }
}

impl Drop for SecondBroker {
    /// It says goodbye: a broker that was killed is still one of the cluster for some seconds, in
    /// which clients ask it and new topics are put on it.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let pid = self.process.id().to_string();
            let asked = Command::new("kill").args(["-TERM", &pid]).status();
            assert!(asked.unwrap().success());
            wait_for("goodbye of the second broker", LONG, || {
                self.process.try_wait().unwrap()
            });
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Of the first broker, as `scripts/servers.sh` has set it up.
fn first_broker(file: &str, property: &str) -> String {
    let path = Path::new(&server("LINEAGE_TEST_SERVERS")).join(file);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(property)?.strip_prefix('='));
    value.unwrap().to_owned()
}

fn cluster_id() -> String {
    first_broker("kafka-data/meta.properties", "cluster.id")
}

fn properties(dir: &Path, port: u16, advertised: SocketAddr) -> String {
    let voters = first_broker("server.properties", "controller.quorum.voters");
    let data = dir.join("data");
    format!(
        "process.roles=broker\n\
         node.id={SECOND}\n\
         controller.quorum.voters={voters}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port}\n\
         advertised.listeners=PLAINTEXT://{advertised}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={}\n",
        data.display()
    )
}

fn java(dir: &Path, log: &str) -> Command {
    let log = fs::File::create(dir.join(format!("{log}.log"))).unwrap();
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-cp"])
        .arg(format!("{}/*", server("LINEAGE_TEST_KAFKA_LIBS")))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    java
}

fn launch(dir: &Path) -> Child {
    let mut broker = java(dir, "broker");
    broker.args(["kafka.Kafka", "server.properties"]);
    broker.spawn().unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Smaller answers are no fetched records.
const SOME_SIZE: usize = 4_096;

fn start_proxy(broker: SocketAddr, cuts: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // While the broker is away its clients find nobody.
            let Ok(upstream) = TcpStream::connect(broker) else {
                continue;
            };
            let (requests, cuts) = (client.try_clone().unwrap(), cuts.clone());
            let to_broker = upstream.try_clone().unwrap();
            std::thread::spawn(move || drop(pass(&requests, &to_broker, &AtomicUsize::new(0))));
            std::thread::spawn(move || drop(pass(&upstream, &client, &cuts)));
        }
    });
    address
}

/// Copies until one side ends, or until it has cut an answer in its middle.
fn pass(mut from: &TcpStream, mut to: &TcpStream, cuts: &AtomicUsize) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let result = loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => count,
            Err(error) => break Err(error),
        };
        let left = |left: usize| left.checked_sub(1);
        let cut = count > SOME_SIZE
            && cuts
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
                .is_ok();
        let passed = if cut { count / 2 } else { count };
        if let Err(error) = to.write_all(&buffer[..passed]) {
            break Err(error);
        }
        if cut {
            break Ok(());
        }
    };
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    result
}

/// A topic whose partition P is on the broker with the P-th of these ids.
fn topic_on(brokers: &[i32]) -> Arc<Topic> {
    let topic = Topic::absent();
    let replicas: Vec<_> = brokers.iter().map(std::slice::from_ref).collect();
    topic.make_as(brokers.len(), TopicReplication::Variable(&replicas));
    topic
}

const OFTEN: [&str; 4] = [
    "--checkpoint-interval",
    "200ms",
    "--partition-discovery-interval",
    "300ms",
];
/// Its own waits up to 10 s after some failures.
const RECONNECTS: [&str; 2] = ["--kafka-property", "reconnect.backoff.max.ms=500"];

fn direct() -> Vec<&'static str> {
    [&OFTEN[..], &DIRECT].concat()
}

fn by_librdkafka() -> Vec<&'static str> {
    [&OFTEN[..], &BY_LIBRDKAFKA, &RECONNECTS].concat()
}

fn catches_up(archive: &Archive, topic: &Topic, lineage: Lineage) {
    topic.produce(1_000);
    archive.wait_for_all_of(topic);
    lineage.stop();
    assert_exact(archive, topic, Past::Calm);
    topic.delete();
}

fn connections_are_cut_in_the_middle_of_a_fetch(flags: &[&str]) {
    let broker = SecondBroker::start();
    let (archive, topic) = (
        Archive::new(Storage::Local),
        topic_on(&[FIRST, SECOND, SECOND, SECOND]),
    );
    topic.produce(400_000);
    broker.cut(8);
    let mut lineage = Lineage::start(&archive, &topic, flags);
    lineage.wait_until_it_says("checkpoint complete");
    broker.await_cuts();
    catches_up(&archive, &topic, lineage);
}

#[test]
fn connections_that_are_cut_in_the_middle_of_a_fetch_cost_no_record_and_double_none() {
    connections_are_cut_in_the_middle_of_a_fetch(&direct());
}

#[test]
fn connections_that_are_cut_in_the_middle_of_a_fetch_cost_librdkafka_no_record() {
    connections_are_cut_in_the_middle_of_a_fetch(&by_librdkafka());
}

fn a_partition_has_no_leader_for_a_while(flags: &[&str]) {
    let mut broker = SecondBroker::start();
    let (archive, topic) = (
        Archive::new(Storage::Local),
        topic_on(&[FIRST, FIRST, SECOND, SECOND]),
    );
    topic.produce(200_000);
    let mut lineage = Lineage::start(&archive, &topic, flags);
    lineage.wait_until_it_says("checkpoint complete");
    broker.kill();
    let name = &topic.name;
    lineage.wait_until_it_says(&format!("no broker leads {name}-2, {name}-3"));
    topic.produce_to(0, 500);
    wait_for("records of the other partitions", LONG, || {
        (archive.next_offsets()[0] == 50_500).then_some(())
    });
    broker.start_again();
    lineage.wait_until_it_says("recovered");
    catches_up(&archive, &topic, lineage);
}

#[test]
fn a_partition_without_a_leader_is_said_and_waited_for_while_the_others_go_on() {
    a_partition_has_no_leader_for_a_while(&direct());
}

#[test]
fn a_partition_without_a_leader_is_said_and_waited_for_also_where_librdkafka_reads() {
    a_partition_has_no_leader_for_a_while(&by_librdkafka());
}

#[test]
fn a_start_waits_until_every_partition_has_a_leader() {
    let mut broker = SecondBroker::start();
    let (archive, topic) = (
        Archive::new(Storage::Local),
        topic_on(&[FIRST, FIRST, SECOND, SECOND]),
    );
    topic.produce(2_000);
    broker.kill();
    let mut lineage = Lineage::start(&archive, &topic, &direct());
    lineage.wait_until_it_says("waiting for kafka");
    assert_eq!(archive.slot_ids(), [] as [u64; 0], "nothing was begun");
    broker.start_again();
    lineage.wait_until_it_says("checkpoint complete");
    catches_up(&archive, &topic, lineage);
}
