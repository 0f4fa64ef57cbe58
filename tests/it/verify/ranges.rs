//! `--from` and `--to`.

use std::time::{Duration, UNIX_EPOCH};

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
fn of_a_selected_time_only_its_checkpoints_are_judged() {
    let (archive, _) = archived(Storage::Local);
    // A checkpoint's time is that of its last line.
    let time = |checkpoint: u64| {
        let keys = archive.keys(Root::CommitLog).into_iter();
        let csvs = keys.filter(|key| key.starts_with(&format!("chk-{checkpoint}/")));
        let lines = csvs.flat_map(|key| archive.csv(&key));
        let times = lines.map(|line| line.rsplit(',').next().unwrap().parse().unwrap());
        let last = UNIX_EPOCH + Duration::from_millis(times.max().unwrap());
        humantime::format_rfc3339_millis(last).to_string()
    };
    let (third, fifth) = (time(3), time(5));
    for (flags, rows) in [
        (["--from", &third].as_slice(), 600),
        (&["--from", &fifth], 300),
        (&["--to", &third], 600),
        (&["--from", &third, "--to", &third], 300),
    ] {
        let (code, report) = verify(&archive, flags);
        assert_eq!(code, 0, "{flags:?}: {report}");
        let judged = sum(&report, "rows") + sum(&report, "dropped");
        assert_eq!(judged, rows, "{flags:?}");
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
