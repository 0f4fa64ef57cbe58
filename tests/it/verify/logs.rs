//! The commit log and the checkpoint log: read, and damaged by somebody.

use serde_json::{Value, json};

use super::{archived, is_exact, of_first_line, sum, verify};
use crate::harness::{Archive, Lineage, Root, Storage, looking};

#[test]
fn the_checkpoint_log_is_listed_and_shown_when_nothing_runs() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        let output = looking(&archive, &["checkpoints", "list", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let slots: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        let kinds: Vec<_> = slots.iter().map(|s| s["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["start", "checkpoint"].repeat(3));
        assert_eq!(
            (&slots[3]["rows"], &slots[3]["dropped"]),
            (&json!(270), &json!(30))
        );

        let output = looking(&archive, &["checkpoints", "show", "3"]);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown, archive.slot(3));
        let output = looking(&archive, &["checkpoints", "show", "9"]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("slot 9 is not in the log, whose slots are between 0 and 5"),
            "{said}"
        );

        let newest = format!("chk-{}/_metadata", archive.slot_ids().last().unwrap());
        archive.put(Root::Checkpoints, &newest, b"{}");
        let output = looking(&archive, &["checkpoints", "list"]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&newest), "{said}");
    }
}

/// What is said of damaged commit logs; the offsets are all there.
#[track_caller]
fn damaged_csvs(archive: &Archive) -> String {
    let (code, report) = verify(archive, &[]);
    assert_eq!(code, 1, "{report}");
    assert_eq!(sum(&report, "rows"), 810);
    let text = looking(archive, &["verify"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("Exact: 810 rows"), "{text}");
    assert!(text.contains("The logs are NOT whole"), "{text}");
    report["damaged_csvs"].to_string()
}

#[test]
fn an_older_commit_log_that_was_torn_edited_or_cut_is_damage() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        let key = "chk-1/subtask-0.csv";
        let (_, s3_key) = of_first_line(&archive, key);
        let whole = archive.get(Root::CommitLog, key);
        let text = String::from_utf8(whole.clone()).unwrap();
        let header = text.lines().next().unwrap().to_owned() + "\n";
        let other = text.replace("\n1,", "\n3,");
        let (_, twice) = of_first_line(&archive, "chk-5/subtask-0.csv");
        let twice = format!("{text}1,{twice},1\n");
        for (damaged, said) in [
            (&b""[..], "it is empty or its last line is torn"),
            (&whole[..whole.len() - 3], "its last line is torn"),
            (header.as_bytes(), "it names no file"),
            (other.as_bytes(), "says checkpoint 3, its folder chk-1"),
            (twice.as_bytes(), "chk-1/subtask-0.csv names too"),
        ] {
            archive.put(Root::CommitLog, key, damaged);
            let found = damaged_csvs(&archive);
            assert!(found.contains(said), "'{said}' is not in: {found}");
        }
        archive.put(Root::CommitLog, key, &whole);
        is_exact(&archive);

        // In the CSV of another checkpoint instead: only the file's footer knows.
        archive.delete(Root::CommitLog, key);
        let moved = format!("{header}3,{s3_key},1\n");
        archive.put(Root::CommitLog, "chk-3/subtask-9.csv", moved.as_bytes());
        let found = damaged_csvs(&archive);
        assert!(
            found.contains("for checkpoint 3, its footer says 1"),
            "{found}"
        );
    }
}

#[test]
fn lines_of_a_checkpoint_that_was_never_complete_are_told_from_loss() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, topic) = archived(storage);
        topic.produce(300);
        // The slots of its start record, and of the checkpoint whose lines are written.
        let settings = [("LINEAGE_DIE_AT", "slot-put-before:2")];
        let flags = ["--bounded", "--checkpoint-interval", "1h"];
        Lineage::start_with(&archive, &topic, &flags, &settings).dies();
        let lines = archive.csv("chk-7/subtask-0.csv");
        let (code, report) = verify(&archive, &[]);
        assert_eq!((code, sum(&report, "rows")), (0, 810), "{report}");

        // The next start takes slot 7, and writes these rows to files of its own checkpoint.
        Lineage::run(&archive, &topic, &["--bounded"]);
        let report = is_exact(&archive);
        assert_eq!(sum(&report, "rows"), 1_110);
        let found = report["lines_without_file"].as_array().unwrap();
        let state = |line: &str| {
            let url = line.split(',').nth(1).unwrap();
            let of_it = |found: &&Value| found["s3_key"] == url && found["checkpoint"] == 7;
            found.iter().find(of_it).map(|found| found["state"].clone())
        };
        for line in &lines {
            assert_eq!(
                state(line),
                Some(json!("never_complete")),
                "{line} {report}"
            );
        }
        let text = looking(&archive, &["verify"]);
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("never complete"), "{text}");
    }
}

#[test]
fn files_whose_commit_log_is_gone_in_part_or_wholly_are_named() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        let key = "chk-3/subtask-0.csv";
        let (_, url) = of_first_line(&archive, key);
        archive.delete(Root::CommitLog, key);
        for flags in [&[][..], &["--from", "3"]] {
            let (code, report) = verify(&archive, flags);
            assert_eq!((code, &report["files_without_line"]), (1, &json!([url])));
        }
        assert_eq!(
            verify(&archive, &["--from", "4"]).0,
            0,
            "it is not of these"
        );

        for key in archive.keys(Root::CommitLog) {
            archive.delete(Root::CommitLog, &key);
        }
        let (code, report) = verify(&archive, &[]);
        let files = [Root::Output, Root::Dropped].map(|root| archive.keys(root).len());
        let unnamed = report["files_without_line"].as_array().unwrap().len();
        assert_eq!((code, unnamed), (1, files[0] + files[1]));
    }
}

#[test]
fn an_older_slot_that_was_torn_is_named_and_hinders_nothing() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        let key = "chk-1/_metadata";
        let whole = archive.get(Root::Checkpoints, key);
        archive.put(Root::Checkpoints, key, &whole[..whole.len() / 2]);
        let url = format!("{}/{key}", archive.url(Root::Checkpoints));
        let (code, report) = verify(&archive, &[]);
        assert_eq!((code, &report["damaged_slots"][0]["url"]), (1, &json!(url)));
        for nothing in ["lines_without_file", "files_without_line", "damaged_csvs"] {
            assert_eq!(report[nothing], json!([]), "{nothing}");
        }
        for (command, code) in [
            (&["checkpoints", "list"][..], 0),
            (&["checkpoints", "show", "3"], 0),
            (&["checkpoints", "show", "latest"], 0),
            (&["checkpoints", "show", "1"], 2),
            (&["orphans", "list"], 0),
        ] {
            let output = looking(&archive, command);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
            assert!(said.contains(&url), "{command:?}: {said}");
            assert!(
                said.contains("restore it from a copy"),
                "{command:?}: {said}"
            );
        }
    }
}
