//! Files that are gone, there twice, torn, or somebody else's.

use serde_json::json;

use super::{archived, is_exact, of_first_line, verify};
use crate::harness::{Root, Storage};

#[test]
fn a_file_that_was_taken_away_is_missing_with_its_offsets_and_its_line() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, _) = archived(storage);
        let (key, url) = of_first_line(&archive, "chk-3/subtask-1.csv");
        archive.delete(Root::Output, &key);
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
    let (file, _) = of_first_line(&archive, key);
    archive.delete(Root::Output, &file);
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
