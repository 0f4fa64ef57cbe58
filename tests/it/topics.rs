//! Several topics in one archive: by name or by a pattern, together or each in its own folder.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::read_back::{Past, assert_exact_of};
use crate::harness::{Archive, Lineage, Root, Storage, Topic, looking};
use crate::refusals::refused;
use crate::verify::verify;

/// Topics whose names begin alike, and with nothing else.
struct Family {
    name: String,
}

impl Family {
    fn new() -> Self {
        Self {
            name: format!("it-{}", Uuid::new_v4()),
        }
    }

    fn absent(&self, member: &str) -> Arc<Topic> {
        Topic::named(format!("{}-{member}", self.name))
    }

    fn create(&self, member: &str, partitions: usize) -> Arc<Topic> {
        let topic = self.absent(member);
        topic.make(partitions);
        topic
    }

    fn pattern(&self) -> String {
        format!("^{}-", self.name)
    }
}

fn names(topics: &[&Topic]) -> String {
    let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    names.join(",")
}

/// Reads all there is of a selection of topics.
#[track_caller]
fn archived(archive: &Archive, topics: &str, flags: &[&str]) {
    let any = Topic::absent();
    let settings = [("KAFKA_TOPIC", topics)];
    let flags = [&["--bounded"], flags].concat();
    Lineage::start_with(archive, &any, &flags, &settings).ends_with(0);
}

#[test]
fn several_topics_are_archived_once_each_and_told_apart() {
    let (archive, family) = (Archive::new(Storage::S3), Family::new());
    let (a, b) = (family.create("a", 2), family.create("b", 3));
    a.produce(400);
    b.produce(600);
    let both = names(&[&a, &b]);
    archived(&archive, &both, &["--parallelism", "3"]);
    a.produce(40);
    archived(&archive, &both, &[]);
    assert_exact_of(&archive, &[&a, &b], Past::Calm);

    let (code, report) = verify(&archive, &["--deep", "--check-kafka"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["partitions"].as_array().unwrap().len(), 5);
    let find = |flags: &[&str]| {
        let offset = ["--partition", "1", "--offset", "7", "--json"];
        let output = looking(&archive, &[&["find"], &offset[..], flags].concat());
        (output.status.code().unwrap(), output)
    };
    for topic in [&a, &b] {
        let (code, output) = find(&["--topic", &topic.name]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((code, &found["topic"]), (0, &json!(topic.name)), "{found}");
        assert_eq!(found["place"], "file", "{found}");
    }
    let (code, output) = find(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        code == 2 && said.contains("--topic") && said.contains(&a.name),
        "{code}: {said}"
    );
}

#[test]
fn a_topic_that_comes_to_a_pattern_while_it_runs_is_read_from_its_first_record() {
    let (archive, family) = (Archive::new(Storage::Local), Family::new());
    let first = family.create("first", 1);
    first.produce(100);
    let pattern = family.pattern();
    let flags = [
        "--checkpoint-interval",
        "200ms",
        "--partition-discovery-interval",
        "500ms",
    ];
    let settings = [("KAFKA_TOPIC", pattern.as_str())];
    let mut lineage = Lineage::start_with(&archive, &first, &flags, &settings);
    lineage.wait_until_it_says("checkpoint complete");
    let second = family.create("second", 2);
    second.produce(300);
    lineage.wait_until_it_says_times("new partition", 2);
    archive.wait_until_archived(400);
    lineage.stop();
    assert_exact_of(&archive, &[&first, &second], Past::Calm);
    // Its id is known too: one that is made again is noticed.
    second.delete();
    second.make(2);
    let said = ["was deleted and made again", &second.name];
    refused(&archive, &first, &[], &settings, 4, &said);
}

#[test]
fn each_topic_has_a_folder_of_its_own_where_that_is_asked_for() {
    let (archive, family) = (Archive::new(Storage::S3), Family::new());
    let (a, b) = (family.create("a", 1), family.create("b", 1));
    a.produce(50);
    b.produce(60);
    b.produce_raw(0, [Some(&b"not avro"[..])]);
    archived(&archive, &names(&[&a, &b]), &["--topic-folders"]);
    assert_exact_of(&archive, &[&a, &b], Past::Calm);
    let folders = |root| {
        let keys = archive.keys(root).into_iter();
        let tops = keys.map(|key| key.split_once("/year=").unwrap().0.to_owned());
        tops.collect::<Vec<_>>()
    };
    assert_eq!(folders(Root::Output), [a.name.clone(), b.name.clone()]);
    assert_eq!(folders(Root::Dropped), [b.name.as_str()]);
}

#[test]
fn further_topics_may_come_to_an_archive_and_none_may_be_left_out() {
    let (archive, family) = (Archive::new(Storage::Local), Family::new());
    let (a, b) = (family.create("a", 1), family.create("b", 1));
    a.produce(100);
    b.produce(100);
    archived(&archive, &a.name, &[]);
    archived(&archive, &names(&[&a, &b]), &[]);
    assert_exact_of(&archive, &[&a, &b], Past::Calm);
    refused(
        &archive,
        &b,
        &[],
        &[],
        4,
        &["KAFKA_TOPIC", &a.name, &b.name],
    );
    // A pattern that holds them all is as good.
    b.produce(50);
    archived(&archive, &family.pattern(), &[]);
    assert_exact_of(&archive, &[&a, &b], Past::Calm);
}

#[test]
fn a_topic_that_is_gone_is_refused_until_one_goes_on_without_it() {
    let (archive, family) = (Archive::new(Storage::Local), Family::new());
    let (a, b) = (family.create("a", 1), family.create("b", 1));
    a.produce(100);
    b.produce(100);
    let pattern = family.pattern();
    archived(&archive, &pattern, &[]);
    b.delete();
    let settings = [("KAFKA_TOPIC", pattern.as_str())];
    let said = ["--allow-lost-offsets", &b.name, "not there any more"];
    refused(&archive, &a, &[], &settings, 4, &said);
    a.produce(10);
    archived(&archive, &pattern, &["--allow-lost-offsets"]);
    assert_exact_of(&archive, &[&a, &b], Past::Calm);

    // Another one of its name is a new topic.
    let flags = ["--partition-discovery-interval", "200ms"];
    let mut lineage = Lineage::start_with(&archive, &a, &flags, &settings);
    lineage.wait_until_it_says("checkpoint complete");
    let another = family.create("b", 1);
    another.produce(30);
    archive.wait_until_archived(110 + 30);
    lineage.stop();
}

#[test]
fn a_named_topic_that_is_gone_is_refused_and_may_be_left_out_for_good() {
    let (archive, family) = (Archive::new(Storage::Local), Family::new());
    let (a, b) = (family.create("a", 1), family.create("b", 1));
    a.produce(100);
    b.produce(100);
    let both = names(&[&a, &b]);
    archived(&archive, &both, &[]);
    // As long as it is there, it could be taken back, and be archived twice.
    let said = ["leaves out topic", b.name.as_str()];
    refused(&archive, &a, &["--allow-lost-offsets"], &[], 4, &said);
    b.delete();
    let settings = [("KAFKA_TOPIC", both.as_str())];
    let said = ["--allow-lost-offsets", &b.name, "not there any more"];
    refused(&archive, &a, &[], &settings, 4, &said);
    refused(&archive, &a, &[], &[], 4, &said);
    a.produce(10);
    archived(&archive, &a.name, &["--allow-lost-offsets"]);
    a.produce(10);
    archived(&archive, &a.name, &[]);
    assert_exact_of(&archive, &[&a, &b], Past::Calm);
}

#[test]
fn a_named_topic_that_is_not_there_yet_is_waited_for() {
    let (archive, family) = (Archive::new(Storage::Local), Family::new());
    let (a, late) = (family.create("a", 1), family.absent("late"));
    a.produce(10);
    let both = names(&[&a, &late]);
    let settings = [("KAFKA_TOPIC", both.as_str())];
    let mut lineage = Lineage::start_with(&archive, &a, &[], &settings);
    lineage.wait_until_it_says(&format!("topic {} does not exist", late.name));
    late.make(1);
    late.produce(20);
    archive.wait_until_archived(30);
    lineage.stop();
    assert_exact_of(&archive, &[&a, &late], Past::Calm);
}
