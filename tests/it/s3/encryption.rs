//! Objects are encrypted by the store as the settings say, all of them.

use serde_json::Value;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::s3::mc;
use crate::harness::{Archive, Lineage, Storage, Topic};
use crate::refusals::refused;

/// How the store has encrypted each object of the archive: algorithm and key.
fn encrypted(archive: &Archive) -> Vec<(String, String)> {
    let place = format!("it/{}/", archive.place());
    let stats = mc(&["stat", "--json", "--recursive", &place]);
    let objects = stats.lines().map(|line| {
        let stat: Value = serde_json::from_str(line).unwrap();
        let of = |header: &str| {
            let value = &stat["metadata"][format!("X-Amz-Server-Side-Encryption{header}")];
            value.as_str().unwrap_or_default().to_owned()
        };
        (of(""), of("-Aws-Kms-Key-Id"))
    });
    objects.collect()
}

/// A whole run whose objects are all encrypted like this.
fn run(settings: &[(&str, &str)], algorithm: &str, key: &str) {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    topic.produce_some_broken(3_000, |n, value| {
        (n % 100 == 7).then(|| Some(value[..20].to_vec()))
    });
    let mut lineage = Lineage::start_with(&archive, &topic, &["--bounded"], settings);
    lineage.ends_with(0);
    assert_exact(&archive, &topic, Past::Calm);
    let found = encrypted(&archive);
    // Output, dropped output, both CSVs, slots.
    assert!(found.len() >= 6, "{found:?}");
    for (by, with) in &found {
        assert_eq!(by, algorithm, "{found:?}");
        assert!(with.ends_with(key), "{found:?}");
    }
}

#[test]
fn with_keys_of_the_store() {
    run(&[("S3_SSE", "AES256")], "AES256", "");
}

#[test]
fn with_a_key_of_its_key_management() {
    let settings = [
        ("S3_SSE", "aws:kms"),
        ("S3_SSE_KMS_KEY_ID", "lineage-key"),
        ("S3_SSE_BUCKET_KEY", "true"),
    ];
    run(&settings, "aws:kms", "lineage-key");
}

#[test]
fn without_the_setting_nothing_is_asked_for() {
    run(&[], "", "");
}

#[test]
fn a_key_that_does_not_exist_is_refused_at_the_start() {
    let settings = [("S3_SSE", "aws:kms"), ("S3_SSE_KMS_KEY_ID", "no-such-key")];
    let (archive, topic) = (Archive::new(Storage::S3), Topic::absent());
    let said = ["OUTPUT_PATH", "S3_SSE_KMS_KEY_ID"];
    refused(&archive, &topic, &[], &settings, 2, &said);
}
