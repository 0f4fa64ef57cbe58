//! Each right that is missing is found at the start and named; those of docs/s3.md suffice.

use serde_json::Value;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::s3::{User, s3_bucket};
use crate::harness::{Archive, Lineage, Root, Storage, Topic, looking};
use crate::refusals::refused;

/// The policy of docs/s3.md for the bucket of the tests, without some of its rights.
fn documented(without: &[&str]) -> String {
    let page = include_str!("../../../docs/s3.md");
    let (_, policy) = page.split_once("```json\n").unwrap();
    let (policy, _) = policy.split_once("```").unwrap();
    let mut policy: Value =
        serde_json::from_str(&policy.replace("my-bucket/archive/", "my-bucket/")).unwrap();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        let actions = statement["Action"].as_array_mut().unwrap();
        actions.retain(|action| !without.contains(&action.as_str().unwrap()));
    }
    policy.to_string().replace("my-bucket", s3_bucket())
}

#[test]
fn the_policy_of_the_docs_suffices_for_a_whole_run() {
    let user = User::with_rights(&documented(&[]));
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    topic.produce(3_000);
    for _ in 0..2 {
        let flags = ["--bounded"];
        let mut lineage = Lineage::start_with(&archive, &topic, &flags, &user.settings());
        lineage.ends_with(0);
        assert_eq!(lineage.says("WARN"), 0, "{}", lineage.log());
    }
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn each_right_that_is_missing_is_refused_at_the_start_by_its_name() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(1));
    for (right, action) in [
        ("s3:ListBucket", "listing"),
        ("s3:PutObject", "opening an upload of"),
        ("s3:AbortMultipartUpload", "aborting the upload of"),
        ("s3:GetObject", "reading"),
    ] {
        let user = User::with_rights(&documented(&[right]));
        let said = [
            "OUTPUT_PATH",
            &format!("{action} {}", archive.url(Root::Output)),
            &format!("{right} is not permitted"),
        ];
        refused(&archive, &topic, &[], &user.settings(), 2, &said);
    }
}

#[test]
fn a_right_that_is_missing_at_one_path_only_is_refused_with_that_path() {
    let topic = Topic::create(1);
    for root in Root::ALL {
        let archive = Archive::new(Storage::S3);
        let place = archive.url(root).replace("s3://", "arn:aws:s3:::");
        let policy = documented(&[]);
        let mut policy: Value = serde_json::from_str(&policy).unwrap();
        let denied =
            format!(r#"{{"Effect":"Deny","Action":["s3:PutObject"],"Resource":["{place}/*"]}}"#);
        let statements = policy["Statement"].as_array_mut().unwrap();
        statements.push(serde_json::from_str(&denied).unwrap());
        let user = User::with_rights(&policy.to_string());
        let said = [
            root.setting(),
            &archive.url(root),
            "s3:PutObject is not permitted",
        ];
        refused(&archive, &topic, &[], &user.settings(), 2, &said);
    }
}

#[test]
fn without_the_rights_to_delete_and_to_list_uploads_it_runs_and_says_what_stays() {
    let user = User::with_rights(&documented(&[
        "s3:DeleteObject",
        "s3:ListBucketMultipartUploads",
    ]));
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    topic.produce(3_000);
    let flags = ["--bounded"];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &user.settings());
    lineage.ends_with(0);
    assert_eq!(
        lineage.says("what a start has tried stays"),
        4,
        "{}",
        lineage.log()
    );
    assert_eq!(lineage.says("s3:DeleteObject is not permitted"), 4);
    assert_eq!(
        lineage.says("orphans are not looked for"),
        2,
        "{}",
        lineage.log()
    );
    for root in Root::ALL {
        assert_eq!(archive.trials(root).len(), 1, "{root:?}");
    }
    // It takes none of them for data.
    let verified = looking(&archive, &["verify", "--deep"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    assert_exact(&archive, &topic, Past::Calm);
}
