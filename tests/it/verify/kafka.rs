//! `--check-kafka`: losses, gaps of Kafka's own, and what nothing tells of any more.

use serde_json::{Value, json};

use super::{archived, of_first_line, verify};
use crate::harness::{Archive, Lineage, Root, Storage, Topic, looking};

#[test]
fn gaps_that_kafka_made_itself_are_told_from_losses_by_asking_it() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    let transactions = topic.transactions();
    for commit in [true, false, true] {
        transactions.run(50, commit);
    }
    Lineage::run(&archive, &topic, &["--bounded"]);
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 1, "markers look like losses: {report}");
    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 0, "{report}");
    for partition in report["partitions"].as_array().unwrap() {
        let gaps = &partition["kafka"]["not_delivered"];
        assert_eq!(&partition["missing"], gaps, "{partition}");
        assert_ne!(partition["missing"], json!([]));
    }

    let key = archive.keys(Root::Output).remove(0);
    archive.delete(Root::Output, &key);
    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 1, "a file is missing now: {report}");
}

/// Of all partitions.
fn all(report: &Value, of: impl Fn(&Value) -> &Value) -> Vec<&Value> {
    report["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

fn text(archive: &Archive) -> String {
    let output = looking(archive, &["verify", "--check-kafka"]);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_lost_file_is_no_gap_of_kafkas_own_when_retention_has_taken_its_records_since() {
    let (archive, topic) = archived(Storage::Local);
    let (key, _) = of_first_line(&archive, "chk-3/subtask-1.csv");
    archive.delete(Root::Output, &key);
    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 1);
    let partition = &report["partitions"][1];
    assert_eq!(partition["kafka"]["delivered"], partition["missing"]);

    topic.delete_below(1, 290);
    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 1, "{report}");
    let partition = &report["partitions"][1];
    assert_eq!(partition["kafka"]["not_held"], partition["missing"]);
    let text = text(&archive);
    assert!(text.contains("NOT known: 90 more are missing"), "{text}");
}

#[test]
fn markers_stay_gaps_of_kafkas_own_when_retention_has_taken_them() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    let transactions = topic.transactions();
    for commit in [true, false, true] {
        transactions.run(50, commit);
    }
    Lineage::run(&archive, &topic, &["--bounded"]);
    for partition in 0..2 {
        topic.delete_below(partition, 153);
    }
    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 0, "{report}");
    let missing = all(&report, |p| &p["missing"]);
    assert_eq!(missing, vec![&json!([[50, 101], [152, 152]]); 2]);
    assert_eq!(missing, all(&report, |p| &p["kafka"]["not_held"]));
    assert_eq!(missing, all(&report, |p| &p["passed_over"]));
}

#[test]
fn offsets_that_retention_took_before_they_were_archived_are_said_while_a_slot_tells() {
    let (archive, topic) = archived(Storage::Local);
    topic.produce(300);
    topic.delete_below(1, 350);
    Lineage::run(&archive, &topic, &["--bounded", "--allow-lost-offsets"]);
    for flags in [&[][..], &["--check-kafka"]] {
        let (code, report) = verify(&archive, flags);
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["partitions"][1]["given_up"], json!([[300, 349]]));
    }
    let said = text(&archive);
    assert!(
        said.contains("50 were gone from Kafka before they could be archived"),
        "{said}"
    );

    for id in 0..7 {
        archive.delete(Root::Checkpoints, &format!("chk-{id}/_metadata"));
    }
    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 1, "{report}");
    let said = text(&archive);
    assert!(said.contains("NOT known: 50 more are missing"), "{said}");
    assert_eq!(verify(&archive, &["--from", "7"]).0, 0);
}

#[test]
fn another_topic_of_the_same_name_is_not_asked() {
    let (archive, topic) = archived(Storage::Local);
    let (key, _) = of_first_line(&archive, "chk-3/subtask-1.csv");
    archive.delete(Root::Output, &key);
    topic.delete();
    topic.make(3);
    let output = looking(&archive, &["verify", "--check-kafka"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("was deleted and made again since it was archived"),
        "{said}"
    );
    assert!(said.contains("leave --check-kafka out"), "{said}");
}
