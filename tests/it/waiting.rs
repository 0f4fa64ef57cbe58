//! What may still come up is waited for, and the log says so.

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Folder, LONG, Lineage, Root, Storage, Topic, wait_for};

#[test]
fn a_topic_that_is_absent_is_waited_for_and_read_when_it_comes() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::absent();
    let mut lineage = Lineage::start(&archive, &topic, &["--checkpoint-interval", "200ms"]);
    lineage.wait_until_it_says(&format!("topic {} does not exist", topic.name));
    assert!(
        Root::ALL.iter().all(|&root| archive.keys(root).is_empty()),
        "written before it began"
    );
    topic.make(3);
    topic.produce(3_000);
    wait_for("slot with all records", LONG, || {
        (lineage.says("checkpoint complete") > 0 && archive.next_offsets() == [1_000; 3])
            .then_some(())
    });
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_broker_and_a_store_that_are_absent_are_waited_for() {
    let topic = Topic::absent();
    // Port 9 is for discarding; nothing listens there.
    let local = Archive::new(Storage::Local);
    let no_broker = [("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")];
    let mut lineage = Lineage::start_with(&local, &topic, &[], &no_broker);
    lineage.wait_until_it_says("waiting for kafka");
    assert!(lineage.log().contains("127.0.0.1:9"), "{}", lineage.log());
    assert!(lineage.ended().is_none());

    let remote = Archive::new(Storage::S3);
    let no_store = [("AWS_ENDPOINT_URL", "http://127.0.0.1:9")];
    let mut lineage = Lineage::start_with(&remote, &topic, &[], &no_store);
    lineage.wait_until_it_says("waiting for the store");
    assert!(lineage.ended().is_none());
}

#[test]
fn a_path_that_is_refused_is_said_though_another_one_is_waited_for() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::absent());
    let folder = Folder::new();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    // The last of the paths: those before it wait for a store that is not there.
    let checkpoints = format!("file://{}/below", file.display());
    let settings = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("CHECKPOINTS_PATH", checkpoints.as_str()),
    ];
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings);
    lineage.ends_with(2);
    let log = lineage.log();
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("CHECKPOINTS_PATH") && last.contains("a-file"),
        "{log}"
    );
}
