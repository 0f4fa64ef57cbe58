//! What was written at a moment, and where a uuid is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{archived, find, prune_all_but_the_newest, rows};
use crate::harness::read_back::python;
use crate::harness::{Archive, Folder, Lineage, Root, Storage, Topic, looking};

/// Milliseconds since 1970 as `--time` takes them.
fn moment(millis: i64) -> String {
    let since = std::time::Duration::from_millis(millis.unsigned_abs());
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
}

/// Checkpoint and URL of each file of an answer.
fn files(found: &Value) -> BTreeSet<(u64, String)> {
    let files = found["files"].as_array().unwrap().iter();
    let file = |file: &Value| {
        let url = file["s3_key"].as_str().unwrap().to_owned();
        (file["checkpoint"].as_u64().unwrap(), url)
    };
    files.map(file).collect()
}

#[test]
fn at_a_moment_it_names_the_files_that_were_being_written() {
    for storage in [Storage::S3, Storage::Local] {
        let archive = Archive::new(storage);
        let topic = Topic::create(2);
        // Partition 1 is in the third run only.
        for run in 0..3 {
            topic.produce_to(0, 200);
            if run == 2 {
                topic.produce_to(1, 50);
            }
            Lineage::run(&archive, &topic, &["--bounded"]);
        }
        // Checkpoints 1, 3 and 5; every start takes a slot.
        let committed = |id: u64, subtask: u32| -> (i64, String) {
            let lines = archive.csv(&format!("chk-{id}/subtask-{subtask}.csv"));
            let mut line = lines[0].split(',').skip(1);
            let url = line.next().unwrap().to_owned();
            (line.next().unwrap().parse().unwrap(), url)
        };
        let [first, second, third] = [1, 3, 5].map(|id| committed(id, 0));
        for pruned in [false, true] {
            // Just before the lines of checkpoint 3: after those of 1, so in 3.
            let (code, found) = find(&archive, &["--time", &moment(second.0 - 1)]);
            assert_eq!(code, 0, "{found}");
            assert_eq!(files(&found), BTreeSet::from([(3, second.1.clone())]));
            assert_eq!(found["before"]["checkpoint"], 1);
            assert_eq!(found["before"]["commit_timestamp"], first.0);
            assert_eq!(found["after"]["checkpoint"], 3);

            let time = moment(third.0);
            let (code, found) = find(&archive, &["--time", &time, "--partition", "1"]);
            assert_eq!(code, 0, "{found}");
            assert_eq!(files(&found), BTreeSet::from([(5, committed(5, 1).1)]));
            let held = json!({"first": 0, "last": 49, "records": 50});
            assert_eq!(found["files"][0]["offsets"], held);
            let (code, _) = find(&archive, &["--time", &moment(first.0), "--partition", "1"]);
            assert_eq!(code, 1, "partition 1 had no records then");
            if !pruned {
                prune_all_but_the_newest(&archive);
            }
        }
        for never in [third.0 + 60_000, first.0 - 7_200_000] {
            let (code, found) = find(&archive, &["--time", &moment(never)]);
            assert_eq!((code, &found["files"]), (1, &json!([])), "{found}");
        }
    }
}

#[test]
fn a_uuid_is_found_in_the_range_that_was_given_and_nowhere_else() {
    let (archive, topic) = archived(Storage::S3);
    let rows = rows(&archive);
    let newest = archive.newest_slot()["id"].to_string();
    let delivered = topic.delivered();
    let record = delivered[delivered.len() / 2];
    let row = &rows[&(i64::from(record.partition), record.offset)];
    let (uuid, checkpoint) = (record.uuid().to_string(), row[8].to_string());
    let with = |from: &str, to: &str| {
        let (code, found) = find(&archive, &["--uuid", &uuid, "--from", from, "--to", to]);
        (code, found)
    };
    let (from, to) = (moment(0), moment(4_000_000_000_000));
    for (from, to) in [("1", &*newest), (&*checkpoint, &*checkpoint), (&from, &to)] {
        let (code, found) = with(from, to);
        let records = found["records"].as_array().unwrap();
        assert_eq!((code, records.len()), (0, 1), "{from} to {to}: {found}");
        let said = [
            "partition",
            "offset",
            "row_group",
            "row_in_group",
            "row_in_file",
        ];
        let said = said.map(|key| records[0][key].clone());
        let wanted = [0, 1, 3, 4, 5].map(|place| row[place].clone());
        assert_eq!(said, wanted);
        let url = format!("{}/{}", archive.url(Root::Output), row[2].as_str().unwrap());
        assert_eq!(records[0]["s3_key"], json!(url));
    }
    let range = ["--from", "1", "--to", &newest];
    let written = record.uuid();
    for uuid in [uuid.to_uppercase(), written.simple().to_string()] {
        let (code, found) = find(&archive, &[&["--uuid", &uuid][..], &range].concat());
        assert_eq!(code, 0, "{uuid}: {found}");
    }
    let behind = (checkpoint.parse::<u64>().unwrap() + 1).to_string();
    let (code, found) = with(&behind, &newest);
    assert_eq!((code, &found["records"]), (1, &json!([])), "{found}");
}

#[test]
fn a_field_of_the_type_uuid_is_found_also_where_older_files_do_not_have_it() {
    let (archive, topic, folder) = (Archive::new(Storage::S3), Topic::create(1), Folder::new());
    let run = |name: &str, fields: &str, datum: &[u8], flags: &[&str]| {
        let schema = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        let path = folder.path().join(name);
        std::fs::write(&path, schema).unwrap();
        topic.produce_raw(0, [Some(datum)]);
        let fixed = ["--bounded", "--avro-schema", path.to_str().unwrap()];
        Lineage::run(&archive, &topic, &[&fixed[..], flags].concat());
    };
    let uuid = "0a0b0c0d-0102-4304-8506-0708090a0b0c";
    let of = |uuid: &str| find(&archive, &["--uuid", uuid, "--from", "1", "--to", "9"]);
    let number = r#"{"name":"a","type":"int"}"#;
    run("first.avsc", number, &[2], &[]);
    let flags = ["find", "--uuid", uuid, "--from", "1", "--to", "9"];
    let said = looking(&archive, &flags);
    assert_eq!(
        said.status.code(),
        Some(2),
        "no file has the field: {said:?}"
    );
    let both =
        format!(r#"{number},{{"name":"uuid","type":{{"type":"string","logicalType":"uuid"}}}}"#);
    let datum = [&[4, 72][..], uuid.as_bytes()].concat();
    run(
        "second.avsc",
        &both,
        &datum,
        &["--parquet-bloom-columns=uuid"],
    );
    let (code, found) = of(uuid);
    assert_eq!(
        (code, &found["records"][0]["offset"]),
        (0, &json!(1)),
        "{found}"
    );
    for absent in ["0a0b0c0d-0102-4304-8506-0708090a0b0d", "no uuid"] {
        assert_eq!(of(absent).0, 1);
    }
}

#[test]
fn with_a_bloom_filter_only_row_groups_that_may_hold_the_uuid_are_read() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(1));
    topic.produce(20_000);
    let flags = [
        "--bounded",
        "--parquet-bloom-columns=uuid",
        "--parquet-row-group-rows=1000",
    ];
    Lineage::run(&archive, &topic, &flags);
    let record = topic.delivered()[12_345];
    let uuid = record.uuid().to_string();
    let of = |uuid: &str| find(&archive, &["--uuid", uuid, "--from", "1", "--to", "1"]);
    let (code, found) = of(&uuid);
    assert_eq!(
        (code, &found["records"][0]["offset"]),
        (0, &json!(record.offset))
    );
    assert_eq!(found["records"][0]["row_group"], 12);
    // One in a hundred of the other 19 by chance; always the same, since the uuids are.
    let read = found["row_groups_read"].as_u64().unwrap();
    assert!((1..=3).contains(&read), "{read}");
    let (code, found) = of("00000000-0000-4000-8000-000000000000");
    assert_eq!(code, 1);
    assert!(found["row_groups_read"].as_u64().unwrap() <= 2, "{found}");

    // The filters are what other readers take them for.
    let script = "import duckdb, glob, sys; print(duckdb.sql(\"SELECT row_group_id FROM parquet_bloom_probe('\" \
                  + glob.glob(sys.argv[1] + '/**/*.parquet', recursive=True)[0] + \"', 'uuid', '\" + sys.argv[2] \
                  + \"') WHERE NOT bloom_filter_excludes\").fetchall())";
    let root = archive.mirror(Root::Output);
    let said = python(&["-c", script, root.to_str().unwrap(), &uuid], "");
    assert!(said.contains("(12,)"), "{said}");
    assert_eq!(said.matches(',').count() as u64, read * 2 - 1, "{said}");
}
