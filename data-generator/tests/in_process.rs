//! The library as other programs use it, against librdkafka's own mock of a broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use data_generator::{Error, Progress, Settings, run};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

fn settings(address: String) -> Settings {
    Settings {
        bootstrap_servers: address,
        topic: "events".into(),
        rate_per_sec: 0,
        ..Settings::default()
    }
}

#[test]
fn a_topic_that_is_there_is_used_without_trying_to_create_it() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events", 4, 1).unwrap();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let progress = Progress::with_notes({
        let notes = Arc::clone(&notes);
        move |note| notes.lock().unwrap().push(note.to_owned())
    });
    let settings = Settings {
        count: Some(1_000),
        malformed: 0.1,
        ..settings(cluster.bootstrap_servers())
    };
    let produced = run(&settings, &AtomicBool::new(false), &progress).unwrap();
    assert_eq!(
        (produced.delivered, produced.malformed, produced.partitions),
        (1_000, 100, 4)
    );
    assert_eq!(progress.delivered(), 1_000);
    let notes = notes.lock().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("exists with 4 partitions"), "{notes:?}");
}

#[test]
fn a_stop_ends_it_with_what_was_acknowledged_while_others_watch() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events", 10, 1).unwrap();
    let settings = Settings {
        rate_per_sec: 1_000,
        ..settings(cluster.bootstrap_servers())
    };
    let (stop, progress) = (AtomicBool::new(false), Progress::default());
    let produced = thread::scope(|threads| {
        let running = threads.spawn(|| run(&settings, &stop, &progress));
        while progress.delivered() < 100 {
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap().unwrap()
    });
    assert!(produced.delivered >= 100);
    assert_eq!(produced.delivered, progress.delivered());
}

#[test]
fn a_record_that_the_broker_refuses_ends_in_an_error_that_counts_it() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events", 1, 1).unwrap();
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refusal; 100]);
    let settings = Settings {
        count: Some(10),
        ..settings(cluster.bootstrap_servers())
    };
    let progress = Progress::default();
    let error = run(&settings, &AtomicBool::new(false), &progress).unwrap_err();
    let Error::Undelivered {
        undelivered,
        delivered,
        reason,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((undelivered, delivered), (10, 0));
    assert!(reason.contains("authorization"), "{reason}");
}
