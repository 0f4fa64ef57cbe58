//! Checkpoints and commit logs that somebody has damaged: refused by name, with what to do, and
//! nothing is changed.

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Lineage, Root, Storage};
use crate::refusals::{refused, used};

#[test]
fn a_commit_log_without_its_checkpoints_is_refused() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, topic) = used(storage);
        for key in archive.keys(Root::Checkpoints) {
            archive.delete(Root::Checkpoints, &key);
        }
        let said = ["the commit log is ahead", "CHECKPOINTS_PATH"];
        refused(&archive, &topic, &["--bounded"], &[], 4, &said);
    }
}

#[test]
fn checkpoints_put_back_to_an_older_state_are_refused() {
    let (archive, topic) = used(Storage::S3);
    for _ in 0..2 {
        topic.produce(100);
        Lineage::run(&archive, &topic, &["--bounded"]);
    }
    for id in archive.slot_ids().into_iter().skip(2) {
        archive.delete(Root::Checkpoints, &format!("chk-{id}/_metadata"));
    }
    refused(
        &archive,
        &topic,
        &["--bounded"],
        &[],
        4,
        &["the commit log is ahead"],
    );
}

#[test]
fn a_newest_slot_that_is_empty_torn_or_edited_is_refused_by_name_and_no_older_one_is_used() {
    let (archive, topic) = used(Storage::S3);
    let newest = format!("chk-{}/_metadata", archive.slot_ids().last().unwrap());
    let whole = archive.get(Root::Checkpoints, &newest);
    let text = String::from_utf8(whole.clone()).unwrap();
    let edited = text.replacen("\"next_offset\": 500", "\"next_offset\": 400", 1);
    assert_ne!(edited, text);
    let url = format!("{}/{newest}", archive.url(Root::Checkpoints));
    for (damaged, said) in [
        (&[][..], "it is empty"),
        (&whole[..whole.len() / 2], "it is not a slot"),
        (edited.as_bytes(), "it was torn or edited"),
    ] {
        archive.put(Root::Checkpoints, &newest, damaged);
        refused(
            &archive,
            &topic,
            &["--bounded"],
            &[],
            4,
            &[&url, said, "DROPPED_PATH"],
        );
    }
    archive.put(Root::Checkpoints, &newest, &whole);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_newest_slot_that_is_gone_from_its_folder_is_refused() {
    let (archive, topic) = used(Storage::Local);
    let newest = format!("chk-{}", archive.slot_ids().last().unwrap());
    let folder = archive.mirror(Root::Checkpoints).join(&newest);
    std::fs::rename(folder.join("_metadata"), folder.join("elsewhere")).unwrap();
    let said = ["its folder is there and it is not", newest.as_str()];
    refused(&archive, &topic, &["--bounded"], &[], 4, &said);
}

#[test]
fn a_commit_log_that_was_edited_torn_or_taken_away_is_refused_with_the_lines_that_it_lacks() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, topic) = used(storage);
        let key = "chk-1/subtask-0.csv";
        let whole = archive.get(Root::CommitLog, key);
        let text = String::from_utf8(whole.clone()).unwrap();
        let url = format!("{}/{key}", archive.url(Root::CommitLog));
        let s3_key = text.lines().nth(1).unwrap().split(',').nth(1).unwrap();
        let lacks = format!("the line '1,{s3_key}' is missing");
        let other = text.replace("part-", "port-");
        let header = text.lines().next().unwrap().to_owned() + "\n";
        for (damaged, said) in [
            (&b""[..], "it is empty or its last line is torn"),
            (&whole[..whole.len() - 3], "its last line is torn"),
            (b"no csv\n1\n", "is not a commit log"),
            (other.as_bytes(), &lacks),
            (header.as_bytes(), &lacks),
        ] {
            archive.put(Root::CommitLog, key, damaged);
            refused(&archive, &topic, &["--bounded"], &[], 4, &[&url, said]);
        }
        archive.delete(Root::CommitLog, key);
        let said = [url.as_str(), "is gone, though its checkpoint is complete"];
        refused(&archive, &topic, &["--bounded"], &[], 4, &said);

        // Mended by hand, with another time.
        let mended = format!("{header}1,{s3_key},0\n");
        assert_eq!(text.lines().count(), 2, "one file: {text}");
        archive.put(Root::CommitLog, key, mended.as_bytes());
        Lineage::run(&archive, &topic, &["--bounded"]);
        assert_exact(&archive, &topic, Past::Calm);
    }
}
