//! Archives that are whole, also while a service adds to them.

use std::fs;

use serde_json::json;

use super::{archived, is_exact, of_first_line, sum, verify};
use crate::harness::{Archive, Lineage, Root, Storage, Topic, looking, looking_unread};

#[test]
fn a_whole_archive_is_exact_with_all_its_rows() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        let report = is_exact(&archive);
        assert_eq!((sum(&report, "rows"), sum(&report, "dropped")), (810, 90));
        for partition in report["partitions"].as_array().unwrap() {
            let ends = (
                &partition["first"],
                &partition["last"],
                &partition["judged_to"],
            );
            assert_eq!(ends, (&json!(0), &json!(299), &json!(300)), "{partition}");
        }
        for nothing in [
            "lines_without_file",
            "files_without_line",
            "damaged_files",
            "orphans",
        ] {
            assert_eq!(report[nothing], json!([]), "{nothing}");
        }
        let text = looking(&archive, &["verify"]);
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(
            text.ends_with("Exact: 810 rows and 90 dropped records, every offset once.\n"),
            "{text}"
        );
    }
}

#[test]
fn who_leaves_before_an_answer_is_read_gets_its_exit_code_all_the_same() {
    let (archive, _) = archived(Storage::Local);
    for arguments in [
        &["verify"][..],
        &["checkpoints", "list"],
        &["orphans", "list"],
    ] {
        let status = looking_unread(&archive, arguments);
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
    for key in archive.keys(Root::Output) {
        archive.delete(Root::Output, &key);
    }
    assert_eq!(looking_unread(&archive, &["verify"]).code(), Some(1));
}

#[test]
fn a_copy_of_a_whole_archive_at_another_place_is_exact_too() {
    let (archive, _) = archived(Storage::Local);
    let copy = Archive::new(Storage::Local);
    for root in Root::ALL {
        for key in archive.keys(root) {
            let to = copy.mirror(root).join(&key);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(archive.mirror(root).join(&key), to).unwrap();
        }
    }
    let report = is_exact(&copy);
    assert_eq!(sum(&report, "rows"), 810);
    for nothing in ["lines_without_file", "files_without_line"] {
        assert_eq!(report[nothing], json!([]), "{nothing}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_exit_code_2_with_the_reason() {
    for (storage, said) in [
        (Storage::Local, "cannot look"),
        (Storage::S3, "no checkpoint log is at CHECKPOINTS_PATH"),
    ] {
        let output = looking(&Archive::new(storage), &["verify"]);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn verifying_a_folder_changes_nothing_in_it() {
    let (archive, _) = archived(Storage::Local);
    let parent = archive.mirror(Root::Output);
    let parent = parent.parent().unwrap();
    let state = || {
        let mut all = Vec::new();
        for root in Root::ALL {
            for key in archive.keys(root) {
                let path = parent.join(root.folder()).join(&key);
                let written = fs::metadata(path).unwrap().modified().unwrap();
                all.push((key, written));
            }
        }
        all
    };
    let before = state();
    is_exact(&archive);
    assert_eq!(state(), before);
}

#[test]
fn beside_a_running_service_nothing_is_missing() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    let flow = topic.flow(20_000);
    let flags = ["--checkpoint-interval", "100ms"];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");
    for _ in 0..5 {
        let (code, report) = verify(&archive, &[]);
        assert_eq!(code, 0, "{report}");
    }
    flow.end();
    lineage.stop();
    let report = is_exact(&archive);
    assert!(sum(&report, "rows") > 0);
}

#[test]
fn what_is_newer_than_the_newest_slot_is_not_judged_whatever_of_it_is_there() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        // As another process sees it that has read the log just before checkpoint 5 was complete.
        archive.delete(Root::Checkpoints, "chk-5/_metadata");
        let is_exact_without_it = || {
            let report = is_exact(&archive);
            assert_eq!(report["newest_slot"], 4);
            assert_eq!((sum(&report, "rows"), sum(&report, "dropped")), (540, 60));
            for nothing in ["lines_without_file", "files_without_line"] {
                assert_eq!(report[nothing], json!([]), "{nothing}");
            }
        };
        is_exact_without_it();
        let keys = archive.keys(Root::CommitLog);
        let newer: Vec<_> = keys.iter().filter(|k| k.starts_with("chk-5/")).collect();
        let lines: Vec<_> = newer
            .iter()
            .map(|k| archive.get(Root::CommitLog, k))
            .collect();
        newer
            .iter()
            .for_each(|key| archive.delete(Root::CommitLog, key));
        is_exact_without_it();
        for (key, lines) in newer.iter().zip(lines) {
            archive.put(Root::CommitLog, key, &lines);
        }
        let (key, _) = of_first_line(&archive, "chk-5/subtask-0.csv");
        archive.delete(Root::Output, &key);
        is_exact_without_it();
    }
}
