//! A whole life of an archive on a server that is not MinIO.

use serde_json::Value;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::s3::{mc_with, s3_bucket};
use crate::harness::tls::bring_here;
use crate::harness::{Archive, Lineage, Storage, Topic, looking_with, server};
use crate::refusals::refused;

/// It takes the header without a word, and encrypts nothing.
#[test]
fn a_server_that_does_not_encrypt_is_refused_where_that_is_asked_for() {
    let url = server("LINEAGE_TEST_VERSITYGW");
    let bucket = format!("other/{}", s3_bucket());
    mc_with(&url, &["mb", "--ignore-existing", &bucket]);
    let (archive, topic) = (Archive::new(Storage::S3), Topic::absent());
    let settings = [("AWS_ENDPOINT_URL", url.as_str()), ("S3_SSE", "AES256")];
    let said = ["OUTPUT_PATH", "S3_SSE=AES256", "not encrypted"];
    refused(&archive, &topic, &[], &settings, 2, &said);
}

#[test]
fn versitygw_holds_an_archive_exactly_once_through_kills_and_restarts() {
    let url = server("LINEAGE_TEST_VERSITYGW");
    let bucket = format!("other/{}", s3_bucket());
    mc_with(&url, &["mb", "--ignore-existing", &bucket]);
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    let flow = topic.flow(20_000);
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let flags = ["--checkpoint-interval", "200ms"];
    for _ in 0..4 {
        let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
        lineage.wait_until_it_says_times("checkpoint complete", 2);
        lineage.kill();
    }
    flow.end();
    let text = |command: &[&str]| {
        let output = looking_with(&archive, command, &settings);
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (_, orphans) = text(&["orphans", "list"]);
    assert!(orphans.ends_with("orphans found\n"), "{orphans}");
    Lineage::start_with(&archive, &topic, &["--bounded"], &settings).ends_with(0);

    let (code, report) = text(&["verify", "--deep", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(
        report["orphans"],
        serde_json::json!([]),
        "each start clears them away"
    );
    assert_eq!(
        text(&["orphans", "abort"]),
        (Some(0), "0 orphans aborted\n".into())
    );
    bring_here(&url, &archive.place());
    assert_exact(&archive, &topic, Past::Killed);
}
