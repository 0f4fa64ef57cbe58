//! `--from` and `--to`.

use serde_json::json;

use super::{archived, of_first_line, sum, verify};
use crate::harness::{Root, Storage, looking};

#[test]
fn of_selected_checkpoints_only_those_are_judged() {
    let (archive, _) = archived(Storage::S3);
    // Checkpoints are 1, 3 and 5; every start takes a slot.
    for (flags, rows) in [
        (&["--from", "3"][..], 600),
        (&["--to", "1"], 300),
        (&["--from", "3", "--to", "3"], 300),
        (&["--from", "2026-01-01T00:00:00"], 900),
    ] {
        let (code, report) = verify(&archive, flags);
        assert_eq!(code, 0, "{flags:?}: {report}");
        assert_eq!(
            sum(&report, "rows") + sum(&report, "dropped"),
            rows,
            "{flags:?}"
        );
    }
}

#[test]
fn a_selection_of_nothing_proves_nothing() {
    let (archive, _) = archived(Storage::Local);
    for flags in [
        &["--to", "2026-01-01T00:00:00"][..],
        &["--from", "77"],
        &["--from", "3", "--to", "1"],
    ] {
        let output = looking(&archive, &[&["verify"], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("lines of checkpoints 1 to 5"), "{said}");
    }
}

#[test]
fn a_file_that_is_gone_at_an_end_of_a_range_is_missing() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        let (key, _) = of_first_line(&archive, "chk-3/subtask-1.csv");
        archive.delete(Root::Output, &key);
        for flags in [
            &["--from", "3", "--to", "3"][..],
            &["--from", "2"],
            &["--to", "4"],
        ] {
            let (code, report) = verify(&archive, flags);
            assert_eq!(code, 1, "{flags:?}: {report}");
            assert_eq!(report["partitions"][1]["missing"][0], json!([100, 102]));
        }
        for flags in [&["--from", "4"][..], &["--to", "2"]] {
            assert_eq!(
                verify(&archive, flags).0,
                0,
                "{flags:?}: it is not of these"
            );
        }
    }
}

#[test]
fn a_line_without_its_file_is_no_proof_when_the_slots_of_a_range_are_pruned() {
    let (archive, _) = archived(Storage::Local);
    for id in 0..4 {
        archive.delete(Root::Checkpoints, &format!("chk-{id}/_metadata"));
    }
    let flags = ["--from", "3", "--to", "3"];
    let (code, report) = verify(&archive, &flags);
    assert_eq!(
        (code, &report["unknown_ends"]),
        (0, &json!([3, 2])),
        "{report}"
    );
    let (key, url) = of_first_line(&archive, "chk-3/subtask-1.csv");
    archive.delete(Root::Output, &key);
    let (code, report) = verify(&archive, &flags);
    assert_eq!(code, 1, "{report}");
    // Other files of checkpoint 3 are visible, so it was complete.
    let line = json!([{"checkpoint": 3, "s3_key": url, "state": "complete"}]);
    assert_eq!(report["lines_without_file"], line);
    let text = looking(&archive, &[&["verify"], &flags[..]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("NOT known: 1 of these checkpoints' files are gone"),
        "{text}"
    );
}
