//! The store loses files of a complete checkpoint before they are visible: their records are read
//! again, exactly these, or a person is asked first.

use crate::harness::proxy::{Fate, Proxy};
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Root, Storage, Topic};

const SAID: &str = "reading the records of lost files again";

/// An archive whose last process was killed between its slot and the completion of its uploads: a
/// proxy has let none pass. Every ninth record is in the dropped output.
pub fn killed_before_completion() -> (Archive, std::sync::Arc<Topic>) {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    topic.produce_some_broken(1_000, |n, _| (n % 9 == 3).then(|| Some(b"broken".to_vec())));
    let (lineage, _proxy) = Lineage::held_before_completion(&archive, &topic);
    lineage.kill();
    assert_eq!(archive.keys(Root::Output), [""; 0]);
    // More than was read, so that there is something behind the lost records.
    topic.produce(500);
    (archive, topic)
}

/// Everything is there once; the lost files are not, and their lines are.
#[track_caller]
fn assert_read_again(archive: &Archive, topic: &Topic) {
    let report = assert_exact(archive, topic, Past::Killed);
    for (partition, found) in report["partitions"].as_object().unwrap() {
        assert_eq!(found["missing_count"], 0, "{partition}: {found}");
    }
}

#[test]
fn uploads_that_are_gone_are_refused_with_their_offsets_and_read_again_when_allowed() {
    let (archive, topic) = killed_before_completion();
    archive.lose_pending_uploads(Root::Output, false);
    // Refused as often as it is tried: a refusal changes nothing.
    for _ in 0..2 {
        let mut lineage = Lineage::start(&archive, &topic, &["--bounded"]);
        lineage.ends_with(4);
        let log = lineage.log();
        let last = log.lines().last().unwrap();
        let range = format!("{}-0 offsets 0 to", topic.name);
        for said in [&archive.url(Root::Output), &range, "--reread-lost-files"] {
            assert!(last.contains(said), "'{said}' is not in: {last}");
        }
    }
    let flags = ["--bounded", "--reread-lost-files"];
    Lineage::run(&archive, &topic, &flags);
    assert_read_again(&archive, &topic);
}

#[test]
fn uploads_that_the_store_has_broken_are_read_again_without_asking() {
    let (archive, topic) = killed_before_completion();
    archive.lose_pending_uploads(Root::Output, true);
    let lineage = Lineage::run(&archive, &topic, &["--bounded"]);
    assert_eq!(lineage.says(SAID), 2, "{}", lineage.log());
    assert_read_again(&archive, &topic);
}

#[test]
fn of_a_lost_dropped_file_only_the_dropped_records_are_read_again() {
    let (archive, topic) = killed_before_completion();
    archive.lose_pending_uploads(Root::Dropped, true);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_read_again(&archive, &topic);
}

#[test]
fn a_kill_while_lost_records_are_read_again_costs_none_and_doubles_none() {
    let (archive, topic) = killed_before_completion();
    archive.lose_pending_uploads(Root::Output, true);
    for _ in 0..2 {
        let mut lineage = Lineage::start(&archive, &topic, &["--checkpoint-interval", "1h"]);
        lineage.wait_until_it_says(SAID);
        lineage.kill();
    }
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_read_again(&archive, &topic);
}

#[test]
fn a_running_process_whose_upload_is_broken_says_which_and_the_next_start_mends_it() {
    let archive = std::sync::Arc::new(Archive::new(Storage::S3));
    let topic = Topic::create(2);
    topic.produce(1_000);
    let (broken, mut done) = (archive.clone(), false);
    let proxy = Proxy::judged_by(move |request| {
        if request.completes_an_upload() && !std::mem::replace(&mut done, true) {
            broken.lose_pending_uploads(Root::Output, true);
        }
        Fate::Pass
    });
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let flags = ["--checkpoint-interval", "200ms"];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
    lineage.ends_with(1);
    let log = lineage.log();
    let last = log.lines().last().unwrap();
    for said in [&archive.url(Root::Output), "start again", "offsets 0 to"] {
        assert!(last.contains(said), "'{said}' is not in: {last}");
    }
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_read_again(&archive, &topic);
}

#[test]
fn lost_records_that_kafka_has_removed_are_refused_and_can_be_given_up() {
    let (archive, topic) = killed_before_completion();
    archive.lose_pending_uploads(Root::Output, true);
    topic.delete_below(1, 100);
    let mut lineage = Lineage::start(&archive, &topic, &["--bounded"]);
    lineage.ends_with(4);
    let said = format!("{}-1: offsets 0 to 99 were removed", topic.name);
    assert!(lineage.log().contains(&said), "{}", lineage.log());
    let flags = ["--bounded", "--allow-lost-offsets"];
    Lineage::run(&archive, &topic, &flags);
    topic.forget(|d| d.partition == 1 && d.offset < 100);
    assert_exact(&archive, &topic, Past::Killed);
}
