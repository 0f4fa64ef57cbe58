//! The archive as readers see it that are not ours: `tests/read_back.py`.

use std::process::Command;

use serde_json::{Value, json};

use super::{Archive, Root, Topic, fed, server};

/// What the report lists when something is wrong.
const FINDINGS: [&str; 10] = [
    "schema_differences",
    "unreadable_files",
    "other_files",
    "checkpoint_id_mismatches",
    "files_without_line",
    "lines_without_file",
    "duplicate_lines",
    "misplaced_lines",
    "bad_csvs",
    "footer_mismatches",
];

/// Whether the process was killed, so that the commit log may be ahead of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    Calm,
    /// Lines of a checkpoint that never completed may be left; readers filter by the file.
    Killed,
}

/// Runs a Python program with the given standard input, returns its standard output.
pub fn python(args: &[&str], input: &str) -> String {
    let mut program = Command::new(server("LINEAGE_TEST_PYTHON"));
    let output = fed(program.args(args), input);
    assert!(
        output.status.success(),
        "python {args:?}: {}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The whole report. `topic` says where offsets begin.
pub fn report(archive: &Archive, topic: &Topic) -> Value {
    report_of(archive, &[topic])
}

fn report_of(archive: &Archive, topics: &[&Topic]) -> Value {
    let mut first = serde_json::Map::new();
    for topic in topics {
        for delivered in topic.delivered() {
            let partition = delivered.partition;
            let name = match topics.len() {
                1 => partition.to_string(),
                _ => format!("{}/{partition}", topic.name),
            };
            let begin = first.entry(name).or_insert(json!(delivered.offset));
            if begin.as_i64().unwrap() > delivered.offset {
                *begin = json!(delivered.offset);
            }
        }
    }
    let request = json!({
        "output": archive.mirror(Root::Output),
        "dropped": archive.mirror(Root::Dropped),
        "commit_log": archive.mirror(Root::CommitLog),
        "output_url": archive.url(Root::Output),
        "dropped_url": archive.url(Root::Dropped),
        "first": first,
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read_back.py");
    serde_json::from_str(&python(&[script], &request.to_string())).unwrap()
}

/// The archive holds exactly the topic's records, each once and with its value, and everything
/// about it agrees: rows, footers, commit log. Nothing invisible is left. Returns the report.
#[track_caller]
pub fn assert_exact(archive: &Archive, topic: &Topic, past: Past) -> Value {
    assert_exact_of(archive, &[topic], past)
}

/// The same of several topics.
#[track_caller]
pub fn assert_exact_of(archive: &Archive, topics: &[&Topic], past: Past) -> Value {
    let report = report_of(archive, topics);
    assert_consistent(&report, past);
    let rows = &report["output_rows"];
    assert_eq!(
        *rows,
        topics.iter().map(|topic| topic.count()).sum::<usize>(),
        "rows of the output: {}",
        report["partitions"]
    );
    for (partition, found) in report["partitions"].as_object().unwrap() {
        assert_eq!(
            found["duplicate_count"], 0,
            "duplicates in {partition}: {found}"
        );
    }
    let values = report["values"].as_str().unwrap();
    let expected = topics.iter().map(|topic| topic.fingerprint());
    assert_eq!(
        values,
        expected.fold(0, u64::wrapping_add).to_string(),
        "values of the rows"
    );
    assert_eq!(archive.hidden(), [""; 0], "left and invisible");
    report
}

/// Whatever it holds, it agrees with itself.
#[track_caller]
pub fn assert_consistent(report: &Value, past: Past) {
    for finding in FINDINGS {
        if finding == "lines_without_file" && past == Past::Killed {
            continue;
        }
        assert_eq!(report[finding], json!([]), "{finding}");
    }
}
