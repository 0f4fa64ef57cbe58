//! Records come through every protocol and mechanism, exactly.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use data_generator::Progress;
use serde_json::{Value, json};

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::secured_kafka::{
    ARCHIVER, KEY_PASSWORD, Listener, NO_GROUP, NO_READER, PASSWORD, Settings, secured_kafka, token,
};
use crate::harness::token_endpoint::TokenEndpoint;
use crate::harness::{
    Archive, Folder, LONG, Lineage, Root, Storage, Topic, looking_with, wait_for,
};

const BOUNDED: [&str; 1] = ["--bounded"];

/// Whichever of the two reads.
#[track_caller]
fn archives_exactly(settings: &Settings) {
    for reader in ["direct", "librdkafka"] {
        archives_exactly_by(reader, settings);
    }
}

#[track_caller]
fn archives_exactly_by(reader: &str, settings: &Settings) {
    let settings = settings.clone().with("KAFKA_READER", reader);
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(3));
    topic.produce(2_000);
    let mut lineage = Lineage::start_with(&archive, &topic, &BOUNDED, &settings.pairs());
    lineage.ends_with(0);
    assert_eq!(lineage.says("WARN"), 0, "{}", lineage.log());
    assert_exact(&archive, &topic, Past::Calm);
    // Its consumers' offsets are there for lag monitors.
    let committed: Vec<_> = topic.committed_offsets();
    assert!(
        committed
            .iter()
            .all(|o| matches!(o, rdkafka::Offset::Offset(n) if *n > 0)),
        "{committed:?}"
    );
}

#[test]
fn tls_without_and_with_a_certificate_of_the_client() {
    let kafka = secured_kafka();
    archives_exactly(&kafka.settings(Listener::Tls));
    let settings = kafka
        .settings(Listener::MutualTls)
        .with("KAFKA_SSL_CERTIFICATE_FILE", &kafka.file("client.crt"));
    archives_exactly(
        &settings
            .clone()
            .with("KAFKA_SSL_KEY_FILE", &kafka.file("client.key")),
    );
    let encrypted = settings
        .with("KAFKA_SSL_KEY_FILE", &kafka.file("client-encrypted.key"))
        .with("KAFKA_SSL_KEY_PASSWORD", KEY_PASSWORD);
    // Its own TLS takes no key with a password.
    archives_exactly_by("auto", &encrypted);
    let folder = Folder::new();
    let file = folder.path().join("password");
    fs::write(&file, format!("{KEY_PASSWORD}\n")).unwrap();
    let of_file = encrypted
        .without("KAFKA_SSL_KEY_PASSWORD")
        .with("KAFKA_SSL_KEY_PASSWORD_FILE", file.to_str().unwrap());
    archives_exactly_by("auto", &of_file);
}

#[test]
fn passwords_by_plain_and_scram_with_tls_and_without() {
    for (listener, mechanism) in [
        (Listener::SaslTls, "PLAIN"),
        (Listener::SaslTls, "SCRAM-SHA-256"),
        (Listener::SaslTls, "scram-sha-512"),
        (Listener::SaslPlaintext, "SCRAM-SHA-512"),
    ] {
        archives_exactly(&secured_kafka().settings_of(listener, mechanism, ARCHIVER));
    }
}

#[test]
fn a_password_comes_from_a_file_that_ends_with_a_new_line() {
    let folder = Folder::new();
    let file = folder.path().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let settings = secured_kafka()
        .settings_of(Listener::SaslTls, "PLAIN", ARCHIVER)
        .without("KAFKA_SASL_PASSWORD")
        .with("KAFKA_SASL_PASSWORD_FILE", file.to_str().unwrap());
    archives_exactly(&settings);
}

/// With a token that is good for so many seconds, in a file.
fn with_token_file(seconds: i64) -> (Folder, PathBuf, Settings) {
    // It may have to be started first, which takes longer than the token is good.
    let kafka = secured_kafka();
    let folder = Folder::new();
    let file = folder.path().join("token");
    fs::write(&file, token(ARCHIVER, seconds)).unwrap();
    let settings = kafka
        .settings(Listener::SaslTls)
        .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .with("KAFKA_OAUTH_TOKEN_FILE", file.to_str().unwrap());
    (folder, file, settings)
}

#[test]
fn a_token_file_is_read_again_before_its_token_ends() {
    // A new one is looked for after 80% of its time, and shown to the broker after 90%: between the two there
    // must be more than a busy machine may take, and a broker takes no other within a second.
    let (_folder, file, settings) = with_token_file(30);
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(2));
    topic.produce(1_000);
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings.pairs());
    lineage.wait_until_it_says("checkpoint complete");
    // As long as the old one is good it stays in use; a broker ends a connection with the token. So records
    // come until it has ended.
    let longer = file.with_extension("new");
    fs::write(&longer, token(ARCHIVER, 3_600)).unwrap();
    fs::rename(&longer, &file).unwrap();
    topic.produce_slowly(1_700, 50).join().unwrap();
    archive.wait_for_all_of(&topic);
    assert_eq!(lineage.says("degraded"), 0, "{}", lineage.log());
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn client_credentials_get_tokens_one_for_all_clients() {
    let endpoint = TokenEndpoint::start("archiver-client", "GEHEIM-client", "kafka", || {
        token(ARCHIVER, 60)
    });
    let settings = secured_kafka()
        .settings(Listener::SaslTls)
        .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .with("KAFKA_OAUTH_TOKEN_URL", &endpoint.url)
        .with("KAFKA_OAUTH_CLIENT_ID", "archiver-client")
        .with("KAFKA_OAUTH_CLIENT_SECRET", "GEHEIM-client")
        .with("KAFKA_OAUTH_SCOPE", "kafka");
    archives_exactly_by("direct", &settings);
    assert_eq!(endpoint.issued(), 1);
    let folder = Folder::new();
    let file = folder.path().join("secret");
    fs::write(&file, "GEHEIM-client\n").unwrap();
    let of_file = settings
        .without("KAFKA_OAUTH_CLIENT_SECRET")
        .with("KAFKA_OAUTH_CLIENT_SECRET_FILE", file.to_str().unwrap());
    archives_exactly_by("auto", &of_file);
}

#[test]
fn an_endpoint_with_tls_is_trusted_by_the_authority_of_the_settings_in_both_protocols() {
    let kafka = secured_kafka();
    let endpoint = TokenEndpoint::start("me", "GEHEIM-client", "", || token(ARCHIVER, 60));
    for listener in [Listener::SaslPlaintext, Listener::SaslTls] {
        let settings = kafka
            .settings(listener)
            .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
            .with(
                "KAFKA_OAUTH_TOKEN_URL",
                &endpoint.by_tls(&kafka.file("broker.pem")),
            )
            .with("KAFKA_OAUTH_CLIENT_ID", "me")
            .with("KAFKA_OAUTH_CLIENT_SECRET", "GEHEIM-client")
            .with("KAFKA_SSL_CA_FILE", &kafka.file("ca.crt"));
        archives_exactly_by("direct", &settings);
    }
    assert_eq!(endpoint.issued(), 2);
}

#[test]
fn an_endpoint_that_hangs_stops_nothing_while_the_last_token_is_good() {
    let endpoint = TokenEndpoint::start("me", "GEHEIM-client", "", || token(ARCHIVER, 30));
    let settings = secured_kafka()
        .settings(Listener::SaslTls)
        .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .with("KAFKA_OAUTH_TOKEN_URL", &endpoint.url)
        .with("KAFKA_OAUTH_CLIENT_ID", "me")
        .with("KAFKA_OAUTH_CLIENT_SECRET", "GEHEIM-client");
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(2));
    topic.produce(1_000);
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings.pairs());
    archive.wait_for_all_of(&topic);
    endpoint.hang();
    // The next token is wanted long before this one ends.
    lineage.wait_until_it_says("kafka token");
    assert_eq!(lineage.says("degraded"), 1, "{}", lineage.log());
    topic.produce(1_000);
    archive.wait_for_all_of(&topic);
    endpoint.go_on();
    lineage.wait_until_it_says("recovered");
    assert_eq!(endpoint.issued(), 2);
    topic.produce(1_000);
    archive.wait_for_all_of(&topic);
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_right_that_is_taken_and_given_back_makes_it_degraded_and_never_ends_it() {
    let kafka = secured_kafka();
    let (archive, topic) = (Archive::new(Storage::Local), kafka.topic(2));
    topic.produce(1_000);
    let settings = kafka.settings_of(Listener::SaslPlaintext, "PLAIN", ARCHIVER);
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings.pairs());
    archive.wait_for_all_of(&topic);
    kafka.forbid_reading(ARCHIVER, &topic.name);
    lineage.wait_until_it_says("degraded");
    topic.produce(1_000);
    kafka.forbid_no_more(ARCHIVER, &topic.name);
    archive.wait_for_all_of(&topic);
    lineage.wait_until_it_says("recovered");
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn without_the_right_to_use_the_group_it_is_degraded_and_archives() {
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(2));
    topic.produce(1_000);
    let settings = secured_kafka().settings_of(Listener::SaslTls, "PLAIN", NO_GROUP);
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings.pairs());
    lineage.wait_until_it_says("kafka group");
    archive.wait_for_all_of(&topic);
    let log = lineage.log();
    assert!(
        log.contains("degraded") && log.contains("KAFKA_GROUP_ID"),
        "{log}"
    );
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_token_that_nobody_renews_makes_it_degraded_and_never_ends_it() {
    let (_folder, file, settings) = with_token_file(6);
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(2));
    topic.produce(1_000);
    let flags = ["--partition-discovery-interval", "500ms"];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings.pairs());
    lineage.wait_until_it_says("checkpoint complete");
    lineage.wait_until_it_says("degraded");
    wait_for("the reason", LONG, || {
        (lineage.says("the token has expired") > 0).then_some(())
    });
    topic.produce(1_000);
    fs::write(&file, token(ARCHIVER, 3_600)).unwrap();
    archive.wait_for_all_of(&topic);
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn verify_asks_a_secured_kafka_too() {
    let settings = secured_kafka().settings_of(Listener::SaslTls, "SCRAM-SHA-512", ARCHIVER);
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(1));
    topic.produce(1_000);
    Lineage::start_with(&archive, &topic, &BOUNDED, &settings.pairs()).ends_with(0);
    let ask = |settings: &Settings| {
        let command = ["verify", "--check-kafka", "--json"];
        looking_with(&archive, &command, &settings.pairs())
    };
    let lost = archive.keys(Root::Output).remove(0);
    archive.delete(Root::Output, &lost);
    let report: Value = serde_json::from_slice(&ask(&settings).stdout).unwrap();
    let partition = &report["partitions"][0];
    assert_ne!(partition["missing"], json!([]), "{report}");
    assert_eq!(partition["kafka"]["delivered"], partition["missing"]);
    let refused = ask(&settings.with("KAFKA_SASL_PASSWORD", "wrong"));
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("KAFKA_SASL_PASSWORD"), "{said}");
}

#[test]
fn verify_says_of_each_topic_whether_it_may_be_read() {
    let kafka = secured_kafka();
    let mut topics = [kafka.topic(1), kafka.topic(1)];
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics.iter().for_each(|topic| topic.produce(100));
    let names = topics.each_ref().map(|topic| topic.name.as_str());
    let archive = Archive::new(Storage::Local);
    let both = kafka
        .settings_of(Listener::SaslTls, "PLAIN", ARCHIVER)
        .with("KAFKA_TOPIC", &names.join(","));
    Lineage::start_with(&archive, &topics[0], &BOUNDED, &both.pairs()).ends_with(0);
    for key in archive.keys(Root::Output) {
        archive.delete(Root::Output, &key);
    }
    // Of the first one it may.
    kafka.permit_reading(NO_READER, names[0]);
    let settings = kafka.settings_of(Listener::SaslTls, "PLAIN", NO_READER);
    let command = ["verify", "--check-kafka"];
    let refused = looking_with(&archive, &command, &settings.pairs());
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains(&format!("{} may not be read", names[1])),
        "{said}"
    );
}

/// A topic of the broker is filled by the generator as everybody would do it.
#[test]
fn the_generator_fills_a_secured_topic() {
    let kafka = secured_kafka();
    let topic = Topic::absent_at(kafka.address(Listener::Admin));
    let settings = data_generator::Settings {
        bootstrap_servers: kafka.address(Listener::Tls),
        topic: topic.name.clone(),
        rate_per_sec: 0,
        count: Some(500),
        partitions: 2,
        properties: vec![
            ("security.protocol".into(), "SSL".into()),
            ("ssl.ca.location".into(), kafka.file("ca.crt")),
        ],
        ..Default::default()
    };
    let produced = data_generator::run(&settings, &AtomicBool::new(false), &Progress::default());
    assert_eq!(produced.unwrap().delivered, 500);
}
