//! What cannot go well is refused at the start, with the name of what to change, and nothing is
//! written.

use std::fs;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::s3::s3_bucket;
use crate::harness::{Archive, Folder, Lineage, Root, Storage, Topic};

/// It ends with `code` and a last line with all of these texts. Its output is as it was.
#[track_caller]
pub fn refused(
    archive: &Archive,
    topic: &Topic,
    flags: &[&str],
    settings: &[(&str, &str)],
    code: i32,
    said: &[&str],
) {
    let keys = || Root::ALL.map(|root| protocol_keys(archive, root));
    let before = keys();
    let mut lineage = Lineage::start_with(archive, topic, flags, settings);
    lineage.ends_with(code);
    let log = lineage.log();
    for text in said {
        assert!(log.contains(text), "'{text}' is not in:\n{log}");
    }
    assert_eq!(keys(), before, "{flags:?} {settings:?}");
}

/// All but the history, which says why a start was refused and is no part of the protocol.
fn protocol_keys(archive: &Archive, root: Root) -> Vec<String> {
    let mut keys = archive.keys(root);
    keys.retain(|key| root != Root::Checkpoints || !key.starts_with("history/"));
    keys
}

#[test]
fn settings_that_cannot_be_used_are_refused_by_name() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::absent();
    for (flags, said) in [
        (vec!["--unknown"], "--unknown"),
        (vec!["--parallelism", "0"], "--parallelism"),
        (
            vec!["--checkpoint-interval", "soon"],
            "--checkpoint-interval",
        ),
        (vec!["--output-path", "no-url"], "--output-path"),
        (vec!["--output-path", "http://x/y"], "--output-path"),
        (
            vec!["--kafka-property", "isolation.level=read_uncommitted"],
            "isolation.level",
        ),
        (
            vec!["--kafka-property", "enable.auto.commit=true"],
            "enable.auto.commit",
        ),
        (
            vec!["--kafka-property", "no.such.property=1"],
            "no.such.property",
        ),
        (vec!["--avro-schema", "/nowhere.avsc"], "AVRO_SCHEMA"),
    ] {
        refused(&archive, &topic, &flags, &[], 2, &[said]);
    }
    for (setting, value) in [
        ("PARALLELISM", "many"),
        ("OUTPUT_PATH", "s3://"),
        ("MAX_FILE_SIZE", "0"),
    ] {
        let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
        refused(&archive, &topic, &[], &[(setting, value)], 2, &[&flag]);
    }
}

#[test]
fn what_only_librdkafka_knows_is_refused_to_a_direct_reader_and_left_to_librdkafka_otherwise() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    topic.produce(1_000);
    let property = "queued.max.messages.kbytes";
    let flags = ["--bounded", "--kafka-property", &format!("{property}=64")];
    let direct = [("KAFKA_READER", "direct")];
    refused(
        &archive,
        &topic,
        &flags,
        &direct,
        2,
        &["KAFKA_READER=direct", property],
    );
    let lineage = Lineage::run(&archive, &topic, &flags);
    assert_eq!(
        lineage.says("librdkafka reads, instead of lineage directly"),
        1
    );
    assert_eq!(lineage.says(property), 1);
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn schemas_that_cannot_be_archived_are_refused_with_the_field_named() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::absent();
    let folder = Folder::new();
    for (name, fields, said) in [
        (
            "recursive",
            r#"{"name":"next","type":["null","R"]}"#,
            "'next'",
        ),
        (
            "union",
            r#"{"name":"either","type":["int","string"]}"#,
            "'either'",
        ),
        (
            "lineage",
            r#"{"name":"kafka_offset","type":"long"}"#,
            "'kafka_offset'",
        ),
    ] {
        let path = folder.path().join(name);
        let schema = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        fs::write(&path, schema).unwrap();
        let path = path.to_str().unwrap();
        refused(
            &archive,
            &topic,
            &["--avro-schema", path],
            &[],
            2,
            &["AVRO_SCHEMA", path, said],
        );
    }
}

#[test]
fn an_s3_bucket_that_does_not_exist_and_wrong_credentials_are_refused() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::absent();
    let nowhere = format!("s3://no-{}/output", s3_bucket());
    let settings = [("OUTPUT_PATH", nowhere.as_str())];
    refused(
        &archive,
        &topic,
        &[],
        &settings,
        2,
        &["OUTPUT_PATH", &nowhere, "there is no S3 bucket"],
    );
    let settings = [("AWS_SECRET_ACCESS_KEY", "wrong")];
    let said = ["OUTPUT_PATH", "check AWS_SECRET_ACCESS_KEY"];
    refused(&archive, &topic, &[], &settings, 2, &said);
    let settings = [
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
    ];
    let said = ["OUTPUT_PATH", "check AWS_ACCESS_KEY_ID"];
    refused(&archive, &topic, &[], &settings, 2, &said);
}

#[test]
fn credentials_that_may_only_read_are_refused_before_anything_is_claimed() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(1);
    let user = crate::harness::s3::read_only_user();
    refused(
        &archive,
        &topic,
        &[],
        &user.settings(),
        2,
        &[
            "OUTPUT_PATH",
            "s3:PutObject is not permitted",
            "AccessDenied",
        ],
    );
}

/// An archive that holds something.
pub fn used(storage: Storage) -> (Archive, std::sync::Arc<Topic>) {
    let archive = Archive::new(storage);
    let topic = Topic::create(2);
    topic.produce(1_000);
    // One checkpoint, the last, however slow the machine is.
    Lineage::run(
        &archive,
        &topic,
        &["--bounded", "--checkpoint-interval", "1h"],
    );
    (archive, topic)
}

#[test]
fn checkpoints_of_another_job_are_refused_with_both_values() {
    let (archive, topic) = used(Storage::Local);
    let other = Topic::create(2);
    let said = ["another topic", &topic.name, &other.name];
    refused(&archive, &other, &["--bounded"], &[], 4, &said);

    let elsewhere = Archive::new(Storage::Local);
    for (root, said) in [
        (Root::Output, "another output (OUTPUT_PATH)"),
        (Root::Dropped, "another dropped output (DROPPED_PATH)"),
        (
            Root::CommitLog,
            "another commit log (WRITE_AHEAD_COMMIT_LOG_PATH)",
        ),
    ] {
        let url = elsewhere.url(root);
        let said = [said, &url, &archive.url(root)];
        refused(
            &archive,
            &topic,
            &["--bounded"],
            &[(root.setting(), &url)],
            4,
            &said,
        );
    }

    let folder = Folder::new();
    let schema = folder.path().join("other.avsc");
    fs::write(
        &schema,
        r#"{"type":"record","name":"R","fields":[{"name":"uuid","type":"long"}]}"#,
    )
    .unwrap();
    let flags = ["--bounded", "--avro-schema", schema.to_str().unwrap()];
    refused(
        &archive,
        &topic,
        &flags,
        &[],
        4,
        &["column 'uuid' is Int64 in it, and Utf8 in the files"],
    );

    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_topic_that_was_made_again_is_refused_also_when_it_has_grown_past_the_saved_offset() {
    let (archive, topic) = used(Storage::Local);
    topic.delete();
    topic.make(2);
    let bytes = crate::harness::records::encode(0, 0);
    topic.produce_raw(0, vec![Some(bytes.as_slice()); 700]);
    let said = ["was deleted and made again", &topic.name];
    refused(&archive, &topic, &["--bounded"], &[], 4, &said);
    let flags = ["--bounded", "--allow-lost-offsets"];
    Lineage::run(&archive, &topic, &flags);
    assert_eq!(archive.next_offsets(), [700, 0]);
}

#[test]
fn a_topic_that_is_made_again_while_it_is_read_ends_the_process_with_that_reason() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(1);
    topic.produce(100);
    let flags = [
        "--checkpoint-interval",
        "100ms",
        "--partition-discovery-interval",
        "200ms",
    ];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");
    topic.delete();
    topic.make(1);
    lineage.ends_with(1);
    let log = lineage.log();
    // Whichever notices first: the look for partitions, or a fetch behind the new topic's end.
    let noticed = ["was deleted and made again", "is not in Kafka any more"];
    assert!(noticed.iter().any(|said| log.contains(said)), "{log}");
}

#[test]
fn offsets_that_retention_took_are_refused_with_their_range_and_can_be_given_up() {
    let (archive, topic) = used(Storage::Local);
    topic.produce(1_000);
    topic.delete_below(1, 750);
    let split = format!("{}-1: offsets 500 to 749", topic.name);
    refused(
        &archive,
        &topic,
        &["--bounded"],
        &[],
        4,
        &[&split, "--allow-lost-offsets"],
    );
    Lineage::run(&archive, &topic, &["--bounded", "--allow-lost-offsets"]);
    topic.forget(|d| d.partition == 1 && (500..750).contains(&d.offset));
    let report = assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(
        report["partitions"]["1"]["missing"],
        serde_json::json!([[500, 749]])
    );
}

#[test]
fn a_foreign_file_at_the_name_of_a_pending_one_is_refused_and_left_as_it_is() {
    let (archive, topic) = used(Storage::Local);
    let key = archive.keys(Root::Output).remove(0);
    let path = archive.mirror(Root::Output).join(&key);
    let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap());
    let hidden = folder.join(format!(".{}.inprogress", name.to_str().unwrap()));
    fs::rename(&path, &hidden).unwrap();
    fs::write(&path, "foreign").unwrap();
    let mut lineage = Lineage::start(&archive, &topic, &["--bounded"]);
    lineage.ends_with(4);
    let said = format!("another file is at {}/{key}", archive.url(Root::Output));
    assert!(lineage.log().contains(&said), "{}", lineage.log());
    assert_eq!(fs::read_to_string(&path).unwrap(), "foreign");

    fs::remove_file(&path).unwrap();
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
}
