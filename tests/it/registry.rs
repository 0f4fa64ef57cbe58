//! Records in Confluent's wire format, with a real schema registry.

use std::fs;

use serde_json::{Value, json};

use crate::harness::certificates::Authority;
use crate::harness::read_back::{Past, assert_consistent, assert_exact, python, report};
use crate::harness::records::{Delivered, avro_bytes, avro_long, encode, framed};
use crate::harness::registry::Registry;
use crate::harness::{Archive, Folder, LONG, Lineage, Root, Storage, Topic, looking, wait_for};
use crate::refusals::refused;

/// The reader's schema of these tests: the default one.
const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/avro/input_event.avsc");

fn event(fields: Value) -> Value {
    json!({"type": "record", "name": "InputEvent", "namespace": "com.lineage", "fields": fields})
}

fn first() -> Value {
    serde_json::from_str(&fs::read_to_string(READER).unwrap()).unwrap()
}

/// Other order, one more field, text as bytes.
fn second() -> Value {
    event(json!([
        {"name": "note", "type": ["null", "string"]},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "uuid", "type": "bytes"},
    ]))
}

/// Nullable, without the meaning of the time.
fn third() -> Value {
    event(json!([
        {"name": "uuid", "type": ["null", "string"]},
        {"name": "timestamp", "type": "long"},
    ]))
}

/// The record as the n-th of the three schemas writes it.
fn written(ids: [u32; 3], n: usize, record: Delivered) -> Vec<u8> {
    let (uuid, time) = (record.uuid().to_string(), record.timestamp());
    let mut datum = Vec::new();
    match n % 3 {
        0 => datum = encode(record.partition, record.number),
        1 => {
            avro_long(1, &mut datum);
            avro_bytes(b"a note", &mut datum);
            avro_long(time, &mut datum);
            avro_bytes(uuid.as_bytes(), &mut datum);
        }
        _ => {
            avro_long(1, &mut datum);
            avro_bytes(uuid.as_bytes(), &mut datum);
            avro_long(time, &mut datum);
        }
    }
    framed(ids[n % 3], &datum)
}

fn flags<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let own = ["--avro-format", "confluent", "--schema-registry-url", url];
    [&own, more].concat()
}

/// Offset and reason of every dropped record, in the order of the offsets.
fn dropped(archive: &Archive) -> Vec<(i64, String)> {
    let script = r#"
import glob, json, sys
import pyarrow.parquet as pq
files = glob.glob(sys.argv[1] + "/**/*.parquet", recursive=True)
rows = [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]
json.dump(sorted([row["kafka_offset"], row["error"]] for row in rows), sys.stdout)
"#;
    let folder = archive.mirror(Root::Dropped);
    serde_json::from_str(&python(&["-c", script, folder.to_str().unwrap()], "")).unwrap()
}

#[test]
fn records_of_several_writers_are_archived_exactly_and_in_as_many_files_as_those_of_one() {
    let registry = Registry::get();
    for storage in [Storage::Local, Storage::S3] {
        let files = [true, false].map(|several| {
            let (archive, topic) = (Archive::new(storage), Topic::create(4));
            let ids = [first(), second(), third()].map(|schema| {
                let subject = format!("{}-value", topic.name);
                registry.register(&subject, &schema)
            });
            topic.produce_as(20_000, |n, record| {
                // By another count than that of the partitions.
                written(ids, if several { n / 4 } else { 0 }, record)
            });
            let url = registry.url();
            let more = [
                "--bounded",
                "--avro-schema",
                READER,
                "--checkpoint-interval",
                "1h",
            ];
            Lineage::run(&archive, &topic, &flags(&url, &more));
            assert_exact(&archive, &topic, Past::Calm);
            archive.keys(Root::Output).len()
        });
        assert_eq!(files[0], files[1]);
    }
}

#[test]
fn an_outage_of_the_registry_pauses_and_drops_nothing_while_checkpoints_go_on() {
    let registry = Registry::get();
    let door = registry.door();
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    let ids = [first(), second(), third()].map(|schema| registry.register(&topic.name, &schema));
    let url = door.url();
    let more = ["--avro-schema", READER, "--checkpoint-interval", "300ms"];
    let mut lineage = Lineage::start(&archive, &topic, &flags(&url, &more));
    lineage.wait_until_it_says("started");
    topic.produce_as(1_000, |_, record| written(ids, 0, record));
    archive.wait_for_all_of(&topic);

    door.shut();
    topic.produce_as(1_000, |_, record| written(ids, 1, record));
    lineage.wait_until_it_says("degraded");
    assert!(lineage.says("schema registry") > 0, "{}", lineage.log());
    let saved: i64 = archive.next_offsets().iter().sum();
    assert_eq!(saved, 1_000);
    let now = *archive.slot_ids().last().unwrap();
    wait_for("checkpoints", LONG, || {
        (*archive.slot_ids().last()? >= now + 3).then_some(())
    });
    assert_eq!(archive.next_offsets().iter().sum::<i64>(), saved);

    door.open();
    lineage.wait_until_it_says("recovered");
    archive.wait_for_all_of(&topic);
    // A stop, and a kill, while a batch waits: the next start reads it.
    door.shut();
    topic.produce_as(1_000, |_, record| written(ids, 2, record));
    lineage.wait_until_it_says_times("degraded", 2);
    lineage.stop();
    assert_eq!(archive.next_offsets().iter().sum::<i64>(), 2_000);
    door.open();
    let mut lineage = Lineage::start(&archive, &topic, &flags(&url, &more));
    archive.wait_for_all_of(&topic);
    door.shut();
    let mut again = third();
    again["doc"] = json!("not seen yet");
    let ids = [ids[0], ids[1], registry.register(&topic.name, &again)];
    topic.produce_as(1_000, |_, record| written(ids, 2, record));
    lineage.wait_until_it_says("degraded");
    lineage.kill();
    assert_eq!(archive.next_offsets().iter().sum::<i64>(), 3_000);
    let mut waits = Lineage::start(&archive, &topic, &flags(&url, &more));
    waits.wait_until_it_says("waiting for the schema registry");
    waits.kill();
    door.open();
    let more = [&more[..], &["--bounded"]].concat();
    Lineage::run(&archive, &topic, &flags(&url, &more));
    assert_exact(&archive, &topic, Past::Killed);
    assert!(dropped(&archive).is_empty());
}

#[test]
fn unknown_ids_and_incompatible_schemas_are_dropped_with_their_reason() {
    let registry = Registry::get();
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    let good = registry.register(&topic.name, &first());
    let number = event(json!([{"name": "uuid", "type": "long"}]));
    let bad = registry.register(&topic.name, &number);
    let datum = encode(0, 0);
    let values = [
        framed(good, &datum),
        framed(4_000_000, &datum),
        framed(bad, &[2]),
        datum.clone(),
        framed(good, &datum),
    ];
    topic.produce_raw(0, values.iter().map(|value| Some(value.as_slice())));
    let url = registry.url();
    let more = [
        "--bounded",
        "--avro-schema",
        READER,
        "--schema-registry-retry",
        "2s",
    ];
    let lineage = Lineage::run(&archive, &topic, &flags(&url, &more));
    assert!(lineage.says("degraded") > 0, "{}", lineage.log());

    let report = report(&archive, &topic);
    assert_consistent(&report, Past::Calm);
    assert_eq!(report["output_rows"], 2);
    let found = dropped(&archive);
    let expected = [
        (
            1,
            format!("unknown schema id 4000000: the registry at {url} does not know it"),
        ),
        (
            2,
            format!(
                "incompatible schema: id {bad} cannot be read as com.lineage.InputEvent: field 'uuid': the \
                 writer's Int64 cannot become the reader's Utf8"
            ),
        ),
        (3, "not in Confluent's wire format".to_owned()),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((offset, why), (at, start)) in found.iter().zip(&expected) {
        assert!(offset == at && why.starts_with(start), "{offset}: {why}");
    }
}

#[test]
fn a_new_readers_schema_goes_on_with_the_files_that_are_there_if_its_columns_agree() {
    let registry = Registry::get();
    for storage in [Storage::Local, Storage::S3] {
        let (archive, topic) = (Archive::new(storage), Topic::create(1));
        let subject = format!("{}-value", topic.name);
        let url = registry.url();
        let bounded = flags(&url, &["--bounded"]);
        let old = registry.register(&subject, &first());
        topic.produce_as(10, |_, record| written([old; 3], 0, record));
        Lineage::run(&archive, &topic, &bounded);

        // A field more; old records have its default.
        let mut newer = first();
        let added = json!({"name": "weight", "type": ["null", "double"], "default": null});
        newer["fields"].as_array_mut().unwrap().push(added);
        let new = registry.register(&subject, &newer);
        topic.produce_as(10, |n, record| {
            let mut datum = encode(record.partition, record.number);
            if n % 2 == 0 {
                return framed(old, &datum);
            }
            datum.push(2);
            datum.extend(0.5f64.to_le_bytes());
            framed(new, &datum)
        });
        Lineage::run(&archive, &topic, &bounded);
        let script = r#"
import glob, json, sys
import duckdb
files = sorted(glob.glob(sys.argv[1] + "/**/*.parquet", recursive=True))
rows = duckdb.read_parquet(files, union_by_name=True)
told = duckdb.sql("SELECT count(*), count(DISTINCT uuid), count(weight), sum(weight) FROM rows").fetchall()[0]
json.dump([len(files), *told], sys.stdout)
"#;
        let output = archive.mirror(Root::Output);
        let told = python(&["-c", script, output.to_str().unwrap()], "");
        assert_eq!(told, "[2, 20, 20, 5, 2.5]");
        let verified = looking(&archive, &["verify", "--deep"]);
        assert!(verified.status.success(), "{verified:?}");

        // Types that no query could unite.
        let folder = Folder::new();
        let other = folder.path().join("other.avsc");
        let text = event(json!([{"name": "uuid", "type": "long"}]));
        fs::write(&other, text.to_string()).unwrap();
        let more = ["--avro-schema", other.to_str().unwrap()];
        let mut refused = Lineage::start(&archive, &topic, &flags(&url, &more));
        refused.ends_with(4);
        assert!(refused.says("column 'uuid' is Int64 in it, and Utf8 in the files") > 0);

        // Logs of before that knew of a schema by its SHA-256 alone.
        for key in archive.keys(Root::Checkpoints) {
            if key.starts_with("schemas/") {
                archive.delete(Root::Checkpoints, &key);
            }
        }
        let more = ["--bounded", "--avro-schema", READER];
        let mut refused = Lineage::start(&archive, &topic, &flags(&url, &more));
        refused.ends_with(4);
        assert!(refused.says("Start once with the former schema") > 0);
        Lineage::run(&archive, &topic, &bounded);
        Lineage::run(&archive, &topic, &flags(&url, &more));

        // The schema before this one does not have the column, and files of an older one do.
        let mut text = first();
        let weight = json!({"name": "weight", "type": ["null", "string"], "default": null});
        text["fields"].as_array_mut().unwrap().push(weight);
        fs::write(&other, text.to_string()).unwrap();
        let more = ["--avro-schema", other.to_str().unwrap()];
        let mut refused = Lineage::start(&archive, &topic, &flags(&url, &more));
        refused.ends_with(4);
        assert!(refused.says("column 'weight' is Utf8 in it, and Float64 in the files") > 0);
    }
}

#[test]
fn a_wrong_password_and_a_missing_subject_are_refused_at_the_start() {
    let registry = Registry::get();
    // "me:geheim"
    let door = registry.door_with_login("Basic bWU6Z2VoZWlt");
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    let url = door.url();
    let with = |password: &'static str, more: &[&'static str]| {
        let settings = [
            ("SCHEMA_REGISTRY_USERNAME", "me"),
            ("SCHEMA_REGISTRY_PASSWORD", password),
        ];
        let all = flags(&url, more);
        Lineage::start_with(&archive, &topic, &all, &settings)
    };
    for more in [&["--bounded", "--avro-schema", READER][..], &["--bounded"]] {
        let mut refused = with("falsch", more);
        refused.ends_with(2);
        assert!(refused.says("401") > 0 && refused.says("SCHEMA_REGISTRY_PASSWORD") > 0);
        assert_eq!(refused.says("falsch"), 0);
    }
    let mut refused = with("geheim", &["--bounded"]);
    refused.ends_with(2);
    let subject = format!("no subject '{}-value'", topic.name);
    assert!(refused.says(&subject) > 0, "{}", refused.log());

    let id = registry.register(&topic.name, &first());
    topic.produce_as(10, |_, record| written([id; 3], 0, record));
    let mut good = with("geheim", &["--bounded", "--avro-schema", READER]);
    good.ends_with(0);
    assert_eq!(good.says("geheim"), 0);
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_certificate_of_the_registry_is_trusted_with_its_ca_alone_and_refused_with_the_reason() {
    let (registry, ours) = (Registry::get(), Authority::new("ours"));
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    let id = registry.register(&topic.name, &first());
    topic.produce_as(10, |_, record| written([id; 3], 0, record));
    let folder = Folder::new();
    let file = folder.path().join("ca.pem");
    ours.write(&file);
    let plain = ["--bounded", "--avro-schema", READER];
    let trusting = [
        &plain[..],
        &["--schema-registry-ca-file", file.to_str().unwrap()],
    ]
    .concat();
    let good = ours.issue("registry", &["localhost"]);
    for (certificate, more, why) in [
        (&good, &plain[..], "UnknownIssuer"),
        (
            &ours.issue_expired("registry", &["localhost"]),
            &trusting,
            "expired",
        ),
        (
            &ours.issue("registry", &["other.example"]),
            &trusting,
            "not valid for name",
        ),
    ] {
        let door = registry.door_with_tls(certificate);
        let said = ["SCHEMA_REGISTRY_URL", "certificate", why];
        refused(&archive, &topic, &flags(&door.url(), more), &[], 2, &said);
    }
    let door = registry.door_with_tls(&good);
    Lineage::run(&archive, &topic, &flags(&door.url(), &trusting));
    assert_exact(&archive, &topic, Past::Calm);
}
