//! `lineage verify`, `checkpoints` and `orphans`: what they say of archives that are whole, and of
//! ones that something was done to.

use std::fs;

use serde_json::{Value, json};

use crate::harness::proxy::{Fate, Proxy};
use crate::harness::{Archive, LONG, Lineage, Root, Storage, Topic, looking, wait_for};

/// Runs `lineage verify --json` with further flags; its exit code and its report.
fn verify(archive: &Archive, flags: &[&str]) -> (i32, Value) {
    let flags = [&["verify", "--json"], flags].concat();
    let output = looking(archive, &flags);
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text);
    let said = String::from_utf8_lossy(&output.stderr);
    (
        output.status.code().unwrap(),
        report.unwrap_or_else(|e| panic!("{e}: {text}{said}")),
    )
}

#[track_caller]
fn is_exact(archive: &Archive) -> Value {
    for flags in [&[][..], &["--deep"]] {
        let (code, report) = verify(archive, flags);
        assert_eq!(code, 0, "{flags:?}: {report}");
    }
    verify(archive, &["--deep"]).1
}

/// 3 runs of 300 records each, over 3 partitions.
fn archived(storage: Storage) -> (Archive, std::sync::Arc<Topic>) {
    let archive = Archive::new(storage);
    let topic = Topic::create(3);
    for _ in 0..3 {
        topic.produce_some_broken(300, |n, _| (n % 10 == 0).then_some(None));
        Lineage::run(&archive, &topic, &["--bounded"]);
    }
    (archive, topic)
}

fn sum(report: &Value, of: &str) -> u64 {
    let partitions = report["partitions"].as_array().unwrap();
    partitions.iter().map(|p| p[of].as_u64().unwrap()).sum()
}

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
fn a_file_that_was_taken_away_is_missing_with_its_offsets_and_its_line() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        let lines = archive.csv("chk-3/subtask-1.csv");
        let url = lines[0].split(',').nth(1).unwrap();
        let key = url.strip_prefix(&format!("{}/", archive.url(Root::Output)));
        archive.delete(Root::Output, key.unwrap());
        let (code, report) = verify(&archive, &[]);
        assert_eq!(code, 1);
        // Subtask 1 reads partition 1; every tenth number of all is a dropped one.
        assert_eq!(
            report["partitions"][1]["missing"][0],
            json!([100, 102]),
            "{report}"
        );
        let missing: Vec<_> = report["partitions"][1]["missing"]
            .as_array()
            .unwrap()
            .clone();
        let missing = missing
            .iter()
            .map(|r| r[1].as_i64().unwrap() - r[0].as_i64().unwrap() + 1);
        assert_eq!(missing.sum::<i64>(), 90);
        let line = json!([{"checkpoint": 3, "s3_key": url, "state": "complete"}]);
        assert_eq!(report["lines_without_file"], line);
    }
}

#[test]
fn records_are_missing_also_when_their_file_its_line_and_the_first_slots_are_gone() {
    let (archive, _) = archived(Storage::Local);
    let key = "chk-1/subtask-1.csv";
    let url = archive.csv(key)[0].split(',').nth(1).unwrap().to_owned();
    let file = url.strip_prefix(&format!("{}/", archive.url(Root::Output)));
    archive.delete(Root::Output, file.unwrap());
    archive.delete(Root::CommitLog, key);
    let ids = archive.slot_ids();
    for id in &ids[..ids.len() - 1] {
        archive.delete(Root::Checkpoints, &format!("chk-{id}/_metadata"));
    }
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 1, "{report}");
    let missing = &report["partitions"][1]["missing"];
    assert_eq!(missing[0], json!([0, 2]), "{report}");
}

#[test]
fn a_copy_of_a_file_is_there_twice_and_no_line_names_it() {
    let (archive, _) = archived(Storage::S3);
    let key = archive.keys(Root::Output).remove(0);
    let copy = key.replace(".parquet", "-copy.parquet");
    archive.put(Root::Output, &copy, &archive.get(Root::Output, &key));
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 1);
    let twice = report["partitions"].as_array().unwrap();
    assert!(
        twice.iter().any(|p| p["duplicates"] != json!([])),
        "{report}"
    );
    let url = format!("{}/{copy}", archive.url(Root::Output));
    assert_eq!(report["files_without_line"], json!([url]));
}

#[test]
fn a_file_of_somebody_else_is_named_and_its_rows_do_not_count() {
    let (archive, _) = archived(Storage::Local);
    let (other, _) = archived(Storage::Local);
    let key = other.keys(Root::Output).remove(0);
    let body = other.get(Root::Output, &key);
    archive.put(Root::Output, "foreign.parquet", &body);
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 0, "{report}");
    let url = format!("{}/foreign.parquet", archive.url(Root::Output));
    assert_eq!(report["foreign_files"][0]["url"], url);
}

#[test]
fn a_torn_file_is_damaged_and_rows_that_differ_from_the_footer_are_found_by_reading_them() {
    let (archive, _) = archived(Storage::Local);
    let key = archive.keys(Root::Output).remove(0);
    let whole = archive.get(Root::Output, &key);
    archive.put(Root::Output, &key, &whole[..whole.len() - 10]);
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 1);
    let url = format!("{}/{key}", archive.url(Root::Output));
    assert_eq!(report["damaged_files"][0]["url"], url);

    // The footer of one file and the rows of another of the same size: written by pyarrow, with
    // one offset changed.
    archive.put(Root::Output, &key, &whole);
    is_exact(&archive);
    let path = archive.mirror(Root::Output).join(&key);
    let script = r#"
import sys, pyarrow as pa, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1], partitioning=None)
place = table.schema.get_field_index("kafka_offset")
offsets = table.column(place).to_pylist()
offsets[5] = offsets[4]
table = table.set_column(place, table.schema.field(place), pa.array(offsets, pa.int64()))
table = table.replace_schema_metadata(None)
footer = {k: v for k, v in pq.read_metadata(sys.argv[1]).metadata.items() if k != b"ARROW:schema"}
with pq.ParquetWriter(sys.argv[1], table.schema, store_schema=False) as writer:
    writer.write_table(table)
    writer.add_key_value_metadata(footer)
"#;
    crate::harness::read_back::python(&["-c", script, path.to_str().unwrap()], "");
    assert_eq!(verify(&archive, &[]).0, 0, "footers alone are as before");
    let (code, report) = verify(&archive, &["--deep"]);
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["damaged_files"][0]["url"], url);
}

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
        assert_eq!(
            partition["missing"], partition["not_in_kafka"],
            "{partition}"
        );
        assert_ne!(partition["missing"], json!([]));
    }

    let key = archive.keys(Root::Output).remove(0);
    archive.delete(Root::Output, &key);
    let (code, report) = verify(&archive, &["--check-kafka"]);
    assert_eq!(code, 1, "a file is missing now: {report}");
}

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
fn beside_a_running_service_nothing_is_missing() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    let producing = topic.produce_slowly(60_000, 20_000);
    let flags = ["--checkpoint-interval", "100ms"];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");
    for _ in 0..5 {
        let (code, report) = verify(&archive, &[]);
        assert_eq!(code, 0, "{report}");
    }
    producing.join().unwrap();
    lineage.stop();
    let report = is_exact(&archive);
    assert!(sum(&report, "rows") > 0);
}

/// Killed with files pending in S3 and others open.
fn killed() -> (Archive, std::sync::Arc<Topic>) {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    topic.produce(1_000);
    let proxy = Proxy::judged_by(|request| {
        if request.completes_an_upload() {
            Fate::Hang
        } else {
            Fate::Pass
        }
    });
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let flags = ["--checkpoint-interval", "200ms"];
    let lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
    wait_for("completion", LONG, || (proxy.hung() > 0).then_some(()));
    // Open files of the checkpoint that will never be.
    topic.produce(1_000);
    wait_for("uploads of the next checkpoint", LONG, || {
        (archive.hidden().len() > 2).then_some(())
    });
    lineage.kill();
    (archive, topic)
}

#[test]
fn pending_files_are_not_missing_and_are_said() {
    let (archive, _) = killed();
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 0, "{report}");
    assert!(sum(&report, "pending") > 0);
    let lines = report["lines_without_file"].as_array().unwrap();
    assert!(
        lines.iter().all(|line| line["state"] == "pending"),
        "{report}"
    );
    archive.lose_pending_uploads(Root::Output, false);
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 1, "nobody can finalize them any more: {report}");
}

#[test]
fn orphans_are_listed_and_aborted_and_what_a_slot_references_is_not() {
    let (archive, topic) = killed();
    let text = |command: &str| {
        let output = looking(&archive, &["orphans", command]);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    // The newest slot is of the same generation: what it does not reference may still be written.
    assert_eq!(text("list"), "0 orphans found\n");
    let pending = archive.newest_slot()["pending"].as_array().unwrap().len();
    let open = archive.hidden().len();

    // A start that dies right after its claim: it cannot list the uploads.
    let proxy = Proxy::judged_by(|request| {
        if request.query.starts_with("uploads") || request.completes_an_upload() {
            Fate::Hang
        } else {
            Fate::Pass
        }
    });
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let lineage = Lineage::start_with(&archive, &topic, &[], &settings);
    wait_for("recovery", LONG, || (proxy.hung() > 0).then_some(()));
    lineage.kill();
    let listed = text("list");
    assert_eq!(listed.lines().count(), open - pending + 1, "{listed}");
    let (_, report) = verify(&archive, &[]);
    assert_eq!(report["orphans"].as_array().unwrap().len(), open - pending);
    let aborted = text("abort");
    assert!(
        aborted.ends_with(&format!("{} orphans aborted\n", open - pending)),
        "{aborted}"
    );
    assert_eq!(text("list"), "0 orphans found\n");
    assert_eq!(archive.hidden().len(), pending);

    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_eq!(sum(&is_exact(&archive), "rows"), 2_000);
}

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
            said.contains("slot 9 is not in the log, which holds 0 to 5"),
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
