//! What the docs show as commands is run as it stands there, with places and secrets of these tests instead of
//! the made-up ones, and what comes of it is read back.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::certificates::Authority;
use crate::harness::read_back::{Past, assert_exact, assert_exact_of, python};
use crate::harness::records::{encode, framed, single_object_encoded};
use crate::harness::registry::Registry;
use crate::harness::s3::User;
use crate::harness::secured_kafka::{
    ARCHIVER, KEY_PASSWORD, Listener, PASSWORD, secured_kafka, token,
};
use crate::harness::tls::TlsMinio;
use crate::harness::token_endpoint::TokenEndpoint;
use crate::harness::{Archive, Folder, Root, Storage, Topic, in_shell};

/// The commands of a page, each with what its block has before it.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match &mut block {
            None if line == "```sh" => block = Some(String::new()),
            None => {}
            Some(_) if line == "```" => block = None,
            Some(text) => {
                text.push_str(line);
                text.push('\n');
                if text.contains("lineage ") && !line.ends_with('\\') {
                    found.push(std::mem::take(text));
                }
            }
        }
    }
    found
}

/// Runs a command, which ends well.
#[track_caller]
fn works(archive: &Archive, command: &str, settings: &[(&str, &str)]) {
    let ended = in_shell(archive, command, settings);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{command}{said}");
}

fn secret(folder: &Folder, name: &str, text: &str) {
    fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
}

/// The outermost folders of the output.
fn first_folders(archive: &Archive) -> BTreeSet<String> {
    let keys = archive.keys(Root::Output);
    let folders = keys.iter().map(|key| key.split('/').next().unwrap());
    folders.map(str::to_owned).collect()
}

/// The only one of a page.
#[track_caller]
fn command(page: &str) -> String {
    let [command] = &commands(page)[..] else {
        panic!("one example is expected: {:?}", commands(page));
    };
    command.clone()
}

#[test]
fn of_folders() {
    let command = command(include_str!("../../docs/buckets.md"));
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(3));
    topic.produce(300);
    works(&archive, &command, &[("KAFKA_TOPIC", &topic.name)]);
    assert_exact(&archive, &topic, Past::Calm);
    let folders = ["dt=2023-11-14", "dt=2023-11-26", "dt=2023-12-08"];
    assert!(first_folders(&archive).iter().eq(&folders));
}

#[test]
fn of_complete_hours() {
    let command = command(include_str!("../../docs/complete-hours.md"));
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    topic.produce(300);
    // Of a day that is eleven days later.
    topic.produce_raw(0, [Some(encode(1, 0).as_slice())]);
    works(&archive, &command, &[("KAFKA_TOPIC", &topic.name)]);
    let mut markers = archive.keys(Root::Output);
    markers.retain(|key| key.ends_with("/_SUCCESS"));
    assert_eq!(markers, ["year=2023/month=11/day=14/hour=22/_SUCCESS"]);
}

#[test]
fn of_wire_formats_and_a_registry_with_tls_and_logins() {
    let commands = commands(include_str!("../../docs/schemas.md"));
    let [single_object, by_password, by_token] = &commands[..] else {
        panic!("three examples are expected: {commands:?}");
    };
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    topic.produce_as(10, |_, record| {
        single_object_encoded(&encode(0, record.number))
    });
    works(&archive, single_object, &[("KAFKA_TOPIC", &topic.name)]);
    assert_exact(&archive, &topic, Past::Calm);

    let (registry, ours) = (Registry::get(), Authority::new("ours"));
    let (folder, certificate) = (Folder::new(), ours.issue("registry", &["localhost"]));
    ours.write(&folder.path().join("ca.pem"));
    secret(&folder, "registry-password", "geheim");
    secret(&folder, "registry-token", "geheim");
    let schema = serde_json::from_str(include_str!("../../avro/input_event.avsc")).unwrap();
    let files = format!("{}/", folder.path().display());
    for (command, login) in [
        (by_password, "Basic bGluZWFnZTpnZWhlaW0="),
        (by_token, "Bearer geheim"),
    ] {
        let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
        let id = registry.register(&topic.name, &schema);
        topic.produce_as(10, |_, record| framed(id, &encode(0, record.number)));
        let door = registry.door_with(login, &certificate);
        let command = command
            .replace("https://registry.example.com", &door.url())
            .replace("/etc/lineage/", &files)
            .replace("/run/secrets/", &files)
            .replace("orders-value", &topic.name);
        works(&archive, &command, &[("KAFKA_TOPIC", &topic.name)]);
        assert_exact(&archive, &topic, Past::Calm);
    }
}

#[test]
fn of_topics_and_starts() {
    let family = format!("it-{}", Uuid::new_v4());
    let topic = |name: &str| {
        let topic = Topic::named(format!("{family}-{name}"));
        topic.make(2);
        topic.produce(100);
        topic
    };
    let all = ["orders", "invoices", "orders-eu", "orders-us"].map(topic);
    let commands = commands(include_str!("../../docs/topics.md"));
    let expected: [&[Arc<Topic>]; 4] = [&all[..1], &all[..2], &all[2..], &all[..1]];
    assert_eq!(commands.len(), expected.len(), "{commands:?}");
    let an_hour_ago = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let an_hour_ago = an_hour_ago.format("%Y-%m-%dT%H:%M:%S").to_string();
    for (command, topics) in commands.iter().zip(expected) {
        let archive = Archive::new(Storage::Local);
        let command = command
            .replace("orders", &format!("{family}-orders"))
            .replace("invoices", &format!("{family}-invoices"))
            .replace("2026-11-21T07:00:00", &an_hour_ago);
        works(&archive, &command, &[]);
        let topics: Vec<_> = topics.iter().map(Arc::as_ref).collect();
        assert_exact_of(&archive, &topics, Past::Calm);
        if command.contains("--topic-folders") {
            let names = topics.iter().map(|topic| topic.name.clone());
            assert_eq!(first_folders(&archive), names.collect());
        }
    }
}

#[test]
fn of_values_that_are_no_avro_and_of_what_kafka_has_beside_them() {
    let page = include_str!("../../docs/types.md");
    let command = command(page);
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    topic.produce_raw(0, [Some(b"click".as_slice()), None]);
    works(&archive, &command.replace("clicks", &topic.name), &[]);
    let query = page.split("```sql").nth(1).unwrap();
    let query = query.split("```").next().unwrap();
    let output = archive.mirror(Root::Output);
    let folder = output.parent().unwrap().to_str().unwrap();
    // As text: what has a time zone needs another module of Python's.
    let script = r#"
import duckdb, json, os, sys
os.chdir(sys.argv[1])
query = sys.stdin.read().strip().rstrip(";")
rows = duckdb.sql(f"SELECT COLUMNS(*)::VARCHAR FROM ({query})").fetchall()
print(json.dumps([[key, headers] for key, _, headers in rows]))
"#;
    let rows: Value = serde_json::from_str(&python(&["-c", script, folder], query)).unwrap();
    assert_eq!(rows, json!([[null, "[]"], [null, "[]"]]));
}

#[test]
fn of_compression_and_of_looking_for_a_value() {
    let commands = commands(include_str!("../../docs/settings.md"));
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    topic.produce(500);
    let one = topic.delivered()[123].uuid().to_string();
    for command in &commands {
        let command = command.replace("0a0b0c0d-0102-4304-8506-0708090a0b0c", &one);
        works(&archive, &command, &[("KAFKA_TOPIC", &topic.name)]);
    }
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn of_every_way_to_be_let_in_by_a_secured_kafka() {
    let kafka = secured_kafka();
    let endpoint =
        TokenEndpoint::start("lineage", "GEHEIM-client", "kafka", || token(ARCHIVER, 60));
    let folder = Folder::new();
    secret(&folder, "kafka-key-password", KEY_PASSWORD);
    secret(&folder, "kafka-password", PASSWORD);
    secret(&folder, "oauth-client-secret", "GEHEIM-client");
    fs::write(folder.path().join("kafka"), token(ARCHIVER, 600)).unwrap();
    let secrets = format!("{}/", folder.path().display());

    let commands = commands(include_str!("../../docs/kafka.md"));
    assert_eq!(commands.len(), 5, "{commands:?}");
    for command in commands {
        let listener = match &command {
            command if command.contains("SASL_SSL") => Listener::SaslTls,
            command if command.contains("client.crt") => Listener::MutualTls,
            _ => Listener::Tls,
        };
        let command = command
            .replace("broker.example.com:9093", &kafka.address(listener))
            .replace("/etc/kafka/client.key", &kafka.file("client-encrypted.key"))
            .replace("/etc/kafka/", &kafka.file(""))
            .replace("/var/run/secrets/tokens/", &secrets)
            .replace("/run/secrets/", &secrets)
            .replace(
                "https://login.example.com/realms/data/protocol/openid-connect/token",
                &endpoint.url,
            );
        assert!(!command.contains("example.com"), "{command}");
        let (archive, topic) = (Archive::new(Storage::Local), kafka.topic(2));
        topic.produce(200);
        // What an example says itself is not said for it.
        let mut settings = vec![
            ("KAFKA_TOPIC", topic.name.clone()),
            ("KAFKA_BOOTSTRAP_SERVERS", kafka.address(listener)),
        ];
        if listener == Listener::SaslTls {
            settings.push(("KAFKA_SSL_CA_FILE", kafka.file("ca.crt")));
        }
        let settings: Vec<_> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        works(&archive, &command, &settings);
        assert_exact(&archive, &topic, Past::Calm);
    }
}

#[test]
fn of_tls_encryption_and_credentials_of_s3() {
    let commands = commands(include_str!("../../docs/s3.md"));
    let [tls, by_the_store, by_kms, by_files, by_profile] = &commands[..] else {
        panic!("five examples are expected: {commands:?}");
    };
    let topic = Topic::create(2);
    topic.produce(200);
    let settings = [("KAFKA_TOPIC", topic.name.as_str())];

    let minio = TlsMinio::start(&Authority::new("ours"));
    let archive = Archive::new(Storage::S3);
    let tls = tls
        .replace("https://minio.internal:9000", &minio.url)
        .replace("/etc/lineage/ca.pem", minio.authority().to_str().unwrap());
    works(&archive, &tls, &settings);
    minio.bring_here(&archive.place());
    assert_exact(&archive, &topic, Past::Calm);

    for encrypted in [by_the_store, by_kms] {
        let archive = Archive::new(Storage::S3);
        let command = encrypted.replace("alias/archive", "lineage-key");
        works(&archive, &command, &settings);
        assert_exact(&archive, &topic, Past::Calm);
    }

    let user = User::with_policy("readwrite");
    let folder = Folder::new();
    secret(&folder, "s3-id", &user.name);
    secret(&folder, "s3-key", &user.secret);
    let mut archive = Archive::new(Storage::S3);
    archive.without_keys = true;
    let by_files = by_files.replace("/run/secrets/", &format!("{}/", folder.path().display()));
    works(&archive, &by_files, &settings);
    assert_exact(&archive, &topic, Past::Calm);
    let (id, key) = (&user.name, &user.secret);
    let profile = format!("[archive]\naws_access_key_id = {id}\naws_secret_access_key = {key}");
    secret(&folder, "credentials", &profile);
    let file = folder.path().join("credentials");
    let shared = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())];
    works(&archive, by_profile, &shared);
}
