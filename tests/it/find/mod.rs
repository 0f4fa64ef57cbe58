//! `lineage find`: what it says of a record is where a reader that is not ours finds it.

mod by_value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::read_back::python;
use crate::harness::{Archive, Lineage, Random, Root, Storage, Topic, looking};
use crate::lost_files::killed_before_completion;

/// Runs `lineage find --json` with flags; its exit code and its answer.
#[track_caller]
fn find(archive: &Archive, flags: &[&str]) -> (i32, Value) {
    let output = looking(archive, &[&["find", "--json"], flags].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|e| panic!("{flags:?}: {e}: {said}"));
    (output.status.code().unwrap(), answer)
}

#[track_caller]
fn record(archive: &Archive, (partition, offset): (i64, i64)) -> (i32, Value) {
    let (partition, offset) = (partition.to_string(), offset.to_string());
    find(archive, &["--partition", &partition, "--offset", &offset])
}

/// Where every record is, as PyArrow reads the files: by partition and offset, the file below its
/// root, row group, row in it, row in the file, uuid and reason.
fn rows(archive: &Archive) -> BTreeMap<(i64, i64), Value> {
    let script = r#"
import glob, json, sys
import pyarrow.parquet as pq
rows = []
for root in sys.argv[1:]:
    for path in glob.glob(root + "/**/*.parquet", recursive=True):
        file, before = pq.ParquetFile(path), 0
        for group in range(file.metadata.num_row_groups):
            for n, row in enumerate(file.read_row_group(group).to_pylist()):
                rows.append([row["kafka_partition"], row["kafka_offset"], path[len(root) + 1:], group, n,
                             before + n, row.get("uuid"), row.get("error"), row["checkpoint_id"]])
            before += file.metadata.row_group(group).num_rows
json.dump(rows, sys.stdout)
"#;
    let roots = [Root::Output, Root::Dropped].map(|root| archive.mirror(root));
    let roots = roots.each_ref().map(|root| root.to_str().unwrap());
    let rows = python(&[&["-c", script][..], &roots].concat(), "");
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let by_origin = rows.into_iter().map(|row| {
        let origin = (row[0].as_i64().unwrap(), row[1].as_i64().unwrap());
        (origin, row)
    });
    by_origin.collect()
}

#[track_caller]
fn assert_found(archive: &Archive, origin: (i64, i64), row: &Value) {
    let (code, found) = record(archive, origin);
    assert_eq!(
        (code, &found["place"]),
        (0, &json!("file")),
        "{origin:?}: {found}"
    );
    let root = match row[7].is_null() {
        true => Root::Output,
        false => Root::Dropped,
    };
    let url = format!("{}/{}", archive.url(root), row[2].as_str().unwrap());
    let wanted = json!([url, row[3], row[4], row[5], row[7], row[8], root.folder()]);
    let said = [
        "s3_key",
        "row_group",
        "row_in_group",
        "row_in_file",
        "error",
        "checkpoint",
        "output",
    ];
    let said = said.map(|key| found[key].clone());
    assert_eq!(json!(said), wanted, "{origin:?}");
    let line = format!(
        "{},{url},{}",
        found["checkpoint"], found["commit_timestamp"]
    );
    let folder = format!("chk-{}/", found["checkpoint"]);
    let csvs = archive.keys(Root::CommitLog).into_iter();
    let mut csvs = csvs.filter(|csv| csv.starts_with(&folder));
    assert!(csvs.any(|csv| archive.csv(&csv).contains(&line)), "{line}");
}

/// The first and the last records of every partition and file, and some between.
fn sample(
    rows: &BTreeMap<(i64, i64), Value>,
    random: &mut Random,
    count: usize,
) -> Vec<(i64, i64)> {
    let all: Vec<_> = rows.keys().copied().collect();
    let mut chosen = vec![all[0], all[all.len() - 1]];
    let edges = all.windows(2).filter(|w| rows[&w[0]][2] != rows[&w[1]][2]);
    let edges: Vec<_> = edges.flatten().copied().collect();
    for from in [&edges, &all] {
        for _ in 0..count.min(from.len()) {
            let place = random.between(0, from.len() as u64);
            chosen.push(from[usize::try_from(place).unwrap()]);
        }
    }
    chosen
}

/// So that only the commit log and the footers can tell.
fn prune_all_but_the_newest(archive: &Archive) {
    let mut ids = archive.slot_ids();
    ids.pop();
    for id in ids {
        archive.delete(Root::Checkpoints, &format!("chk-{id}/_metadata"));
    }
}

/// Four starts with one, two or three subtasks; many small files, some of dropped records; partition 2 has
/// nothing in many checkpoints.
fn archived(storage: Storage) -> (Archive, Arc<Topic>) {
    let archive = Archive::new(storage);
    let topic = Topic::create(4);
    for (run, parallelism) in ["2", "1", "3", "2"].into_iter().enumerate() {
        topic.produce_some_broken(3_000, |n, _| (n % 97 == run).then_some(None));
        let flags = [
            "--checkpoint-interval",
            "50ms",
            "--max-file-size",
            "8KiB",
            "--parallelism",
            parallelism,
        ];
        let mut lineage = Lineage::start(&archive, &topic, &flags);
        lineage.wait_until_it_says("checkpoint complete");
        for _ in 0..4 {
            topic.produce_to(0, 300);
            topic.produce_to(1, 40);
            let said = lineage.says("checkpoint complete");
            lineage.wait_until_it_says_times("checkpoint complete", said + 2);
        }
        topic.produce_to(2, 7);
        topic.produce_to(3, 100);
        lineage.stop();
        Lineage::run(
            &archive,
            &topic,
            &["--bounded", "--parallelism", parallelism],
        );
    }
    (archive, topic)
}

fn every_record_is_found(storage: Storage) {
    let mut random = Random::seeded();
    let (archive, _) = archived(storage);
    let rows = rows(&archive);
    for origin in sample(&rows, &mut random, 15) {
        assert_found(&archive, origin, &rows[&origin]);
    }
    prune_all_but_the_newest(&archive);
    for origin in sample(&rows, &mut random, 25) {
        assert_found(&archive, origin, &rows[&origin]);
    }
}

#[test]
fn a_record_is_where_another_reader_finds_it_with_and_without_older_slots_in_s3() {
    every_record_is_found(Storage::S3);
}

#[test]
fn a_record_is_where_another_reader_finds_it_with_and_without_older_slots_in_a_folder() {
    every_record_is_found(Storage::Local);
}

#[test]
fn in_a_file_of_several_row_groups_it_says_which_and_the_row() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    topic.produce(260_000);
    let flags = ["--bounded", "--parallelism", "1"];
    Lineage::run(
        &archive,
        &topic,
        &[&flags[..], &["--checkpoint-interval", "1h"]].concat(),
    );
    let rows = rows(&archive);
    let groups: BTreeSet<_> = rows.values().map(|r| r[3].as_i64()).collect();
    assert_eq!(groups.len(), 3);
    for origin in sample(&rows, &mut Random::seeded(), 12) {
        assert_found(&archive, origin, &rows[&origin]);
    }
}

#[test]
fn what_is_not_in_the_archive_is_exit_code_1_with_the_reason() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    topic.produce(400);
    topic.delete_below(1, 50);
    Lineage::run(&archive, &topic, &["--bounded"]);
    topic.produce(100);
    for (origin, place, said, number) in [
        ((0, 200), "not_yet", "next_offset", 200),
        ((1, 49), "before_begin", "begin", 50),
        ((2, 0), "no_partition", "newest_slot", 1),
    ] {
        let (code, found) = record(&archive, origin);
        assert_eq!(
            (code, &found["place"], &found[said]),
            (1, &json!(place), &json!(number)),
            "{origin:?}: {found}"
        );
    }
    assert_eq!(record(&archive, (1, 50)).0, 0);
    let text = looking(&archive, &["find", "--partition", "0", "--offset", "200"]);
    let text = String::from_utf8(text.stdout).unwrap();
    let said = "offset 200 is in no complete checkpoint yet";
    assert!(text.contains(said), "{text}");
}

#[test]
fn what_cannot_be_looked_at_is_exit_code_2_with_the_reason() {
    let nothing = Archive::new(Storage::S3);
    for (flags, said) in [
        (
            &["--partition", "0", "--offset", "1"][..],
            "no checkpoint log is at CHECKPOINTS_PATH",
        ),
        (&["--offset", "1"], "--partition"),
        (&["--partition", "0"], "--offset"),
        (&["--time", "yesterday"], "2026-11-21T07:00:00"),
        (&["--uuid", "u"], "--from"),
    ] {
        let output = looking(&nothing, &[&["find"], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(said), "{flags:?}: {stderr}");
    }
}

#[test]
fn a_range_without_files_proves_nothing() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    for _ in 0..2 {
        topic.produce(40);
        Lineage::run(&archive, &topic, &["--bounded"]);
    }
    let newest = archive.newest_slot()["id"].clone();
    for range in [
        ["--from", "77", "--to", "99"],
        // The slot of a start.
        ["--from", "2", "--to", "2"],
        ["--from", "1", "--to", "0"],
        [
            "--from",
            "2100-01-01T00:00:00",
            "--to",
            "2100-01-02T00:00:00",
        ],
    ] {
        let output = looking(&archive, &[&["find", "--uuid", "u"], &range[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{range:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let why =
            format!("nothing was looked at; the newest slot of the checkpoint log is {newest}");
        assert!(said.contains(&why), "{range:?}: {said}");
    }
}

#[test]
fn gaps_of_kafka_are_in_no_file() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(1);
    let transactions = topic.transactions();
    for commit in [true, false, true] {
        transactions.run(20, commit);
        Lineage::run(&archive, &topic, &["--bounded"]);
    }
    // 20 records and a marker each; the second 20 were aborted.
    for pruned in [false, true] {
        for gap in [20, 21, 40, 41] {
            let (code, found) = record(&archive, (0, gap));
            assert_eq!((code, &found["place"]), (1, &json!("no_file")), "{gap}");
        }
        for offset in [0, 19, 42, 61] {
            assert_eq!(record(&archive, (0, offset)).0, 0, "{offset}");
        }
        if !pruned {
            prune_all_but_the_newest(&archive);
        }
    }
}

#[test]
fn records_that_a_start_has_given_up_are_told_while_its_slot_is_there() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    topic.produce(400);
    Lineage::run(&archive, &topic, &["--bounded"]);
    topic.produce(400);
    topic.delete_below(1, 300);
    Lineage::run(&archive, &topic, &["--bounded", "--allow-lost-offsets"]);
    for lost in [200, 299] {
        let (code, found) = record(&archive, (1, lost));
        let said = (code, &found["place"], &found["start"]);
        assert_eq!(said, (1, &json!("given_up"), &json!(2)), "{lost}");
    }
    prune_all_but_the_newest(&archive);
    let (code, found) = record(&archive, (1, 250));
    assert_eq!((code, &found["place"]), (1, &json!("no_file")));
    for there in [199, 300] {
        assert_eq!(record(&archive, (1, there)).0, 0, "{there}");
    }
}

#[test]
fn a_record_whose_file_is_not_visible_yet_is_pending() {
    let (archive, topic) = killed_before_completion();
    let newest = archive.newest_slot();
    for number in [0, topic.partitions() - 1] {
        let (code, found) = record(&archive, (number as i64, 0));
        assert_eq!((code, &found["place"]), (0, &json!("pending")), "{found}");
        assert_eq!(found["checkpoint"], newest["id"]);
    }
}

#[test]
fn records_of_lost_files_are_found_where_they_were_read_again() {
    for root in [Root::Output, Root::Dropped] {
        let (archive, topic) = killed_before_completion();
        archive.lose_pending_uploads(root, true);
        // The newest slot, which stays, must not be the one that names them.
        for _ in 0..3 {
            Lineage::run(&archive, &topic, &["--bounded"]);
            topic.produce(100);
        }
        let rows = rows(&archive);
        let mut random = Random::seeded();
        for _ in 0..2 {
            for origin in sample(&rows, &mut random, 10) {
                assert_found(&archive, origin, &rows[&origin]);
            }
            prune_all_but_the_newest(&archive);
        }
    }
}

#[test]
fn a_file_that_is_gone_is_named() {
    let (archive, _) = archived(Storage::Local);
    let rows = rows(&archive);
    // Not at the ends, decoded, and of a checkpoint whose slot is kept and has one before it.
    let kept = archive.slot_ids();
    let (&origin, row) = rows
        .iter()
        .skip(rows.len() / 3)
        .find(|(_, row)| row[7].is_null() && row[8].as_u64().unwrap() > kept[0])
        .unwrap();
    let key = row[2].as_str().unwrap();
    let url = format!("{}/{key}", archive.url(Root::Output));
    archive.delete(Root::Output, key);
    let (code, found) = record(&archive, origin);
    assert_eq!((code, &found["place"]), (1, &json!("gone")), "{found}");
    assert_eq!(found["s3_key"], json!(url));
    prune_all_but_the_newest(&archive);
    let (code, found) = record(&archive, origin);
    assert_eq!((code, &found["place"]), (1, &json!("no_file")), "{found}");
    let lines = found["lines_without_file"].as_array().unwrap();
    assert!(lines.contains(&json!(url)), "{found}");
}

#[test]
fn a_damaged_file_in_the_way_is_told_and_never_taken_for_nothing() {
    let (archive, _) = archived(Storage::Local);
    let rows = rows(&archive);
    prune_all_but_the_newest(&archive);
    let of_files: BTreeMap<_, _> = rows
        .iter()
        .map(|(origin, row)| {
            let root = match row[7].is_null() {
                true => Root::Output,
                false => Root::Dropped,
            };
            // Files of both may have the same key.
            ((root, row[2].as_str().unwrap()), origin)
        })
        .collect();
    for ((root, key), origin) in of_files {
        let url = format!("{}/{key}", archive.url(root));
        let whole = archive.get(root, key);
        archive.put(root, key, b"PAR1 it is not");
        let (partition, offset) = (origin.0.to_string(), origin.1.to_string());
        let flags = ["find", "--partition", &partition, "--offset", &offset];
        let output = looking(&archive, &flags);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{url}: {said}");
        let last = said.lines().last().unwrap();
        assert!(last.contains(&url), "{url}: {said}");
        archive.put(root, key, &whole);
    }
}
