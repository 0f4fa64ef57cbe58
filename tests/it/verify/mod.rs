//! `lineage verify`, `checkpoints` and `orphans`: what they say of archives that are whole, and of
//! ones that something was done to.

mod files;
mod kafka;
mod logs;
mod ranges;
mod uploads;
mod whole;

use serde_json::Value;

use crate::harness::{Archive, Lineage, Root, Storage, Topic, looking};

/// Runs `lineage verify --json` with further flags; its exit code and its report.
pub fn verify(archive: &Archive, flags: &[&str]) -> (i32, Value) {
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

/// The output file that the first line of a CSV names: its key and its URL.
fn of_first_line(archive: &Archive, csv: &str) -> (String, String) {
    let url = archive.csv(csv)[0].split(',').nth(1).unwrap().to_owned();
    let key = url.strip_prefix(&format!("{}/", archive.url(Root::Output)));
    (key.unwrap().to_owned(), url)
}
