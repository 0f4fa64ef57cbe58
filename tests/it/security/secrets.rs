//! No secret is in anything that the service says, writes or answers, however talkative it is.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::secured_kafka::{
    ARCHIVER, KEY_PASSWORD, Listener, PASSWORD, Settings, secured_kafka, token,
};
use crate::harness::token_endpoint::TokenEndpoint;
use crate::harness::{Archive, Folder, Lineage, Root, Storage, looking_with};

/// Every secret of the tests has this in it, and nothing else has. (A token has it in base64, too.)
const SECRET: &str = "GEHEIM";
const REST_TOKEN: &str = "GEHEIM-rest-token";

/// All that may talk does.
const TALKATIVE: [&str; 6] = [
    "--log-level",
    "trace",
    "--kafka-property",
    "debug=all",
    "--kafka-property",
    "ssl.keystore.password=GEHEIM-property",
];

/// What the control plane answers about settings, logs and the job.
const PATHS: [&str; 11] = [
    "/config",
    "/jobs/overview",
    "/jobmanager/config",
    "/jobmanager/environment",
    "/jobmanager/logs",
    "/jobmanager/log",
    "/lineage/view",
    "/lineage/history",
    "/metrics",
    "/readyz",
    "/",
];

/// Further settings that hold secrets, such as those of a store, belong here.
fn with_all_secrets(settings: Settings) -> Settings {
    let kafka = secured_kafka();
    settings
        .with("REST_TOKEN", REST_TOKEN)
        .with("AWS_SECRET_ACCESS_KEY", "GEHEIM-aws-secret")
        .with("AWS_ACCESS_KEY_ID", "some-key")
        .with("AWS_SESSION_TOKEN", "GEHEIM-aws-token")
        .with("KAFKA_SSL_CERTIFICATE_FILE", &kafka.file("client.crt"))
        .with("KAFKA_SSL_KEY_FILE", &kafka.file("client-encrypted.key"))
        .with("KAFKA_SSL_KEY_PASSWORD", KEY_PASSWORD)
}

#[track_caller]
fn assert_has_none(what: &str, text: &str, token: Option<&str>) {
    let lines = text.lines().filter(|line| {
        // Claims and signature of a token are what nobody may have.
        let of_token = token.and_then(|token| token.split('.').nth(1));
        line.contains(SECRET) || of_token.is_some_and(|part| line.contains(part))
    });
    let found: Vec<_> = lines.collect();
    assert!(found.is_empty(), "in {what}: {found:#?}");
}

fn get(address: &str, path: &str) -> String {
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {REST_TOKEN}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Runs and stops it, and looks at everything that it has said, written and answered.
fn run_says_no_secret(settings: &Settings, token: Option<&str>) {
    for format in ["text", "json"] {
        let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(2));
        topic.produce(200);
        let settings = with_all_secrets(settings.clone()).with("LOG_FORMAT", format);
        let mut lineage = Lineage::start_with(&archive, &topic, &TALKATIVE, &settings.pairs());
        lineage.wait_until_it_says("checkpoint complete");
        let address = match format {
            "text" => lineage.address(),
            _ => json_address(&lineage.log()),
        };
        for path in PATHS {
            assert_has_none(path, &get(&address, path), token);
        }
        let rest = format!("http://{}", address.trim_start_matches("http://"));
        let asked = [("REST_URL", rest.as_str()), ("REST_TOKEN", REST_TOKEN)];
        for command in [["status", "--json"], ["savepoint", "--json"]] {
            let output = looking_with(&archive, &command, &asked);
            assert!(!output.stdout.is_empty(), "{output:?}");
            assert_has_none("a command", &format!("{output:?}"), token);
        }
        lineage.terminate();
        lineage.ends_with(0);
        let log = lineage.log();
        assert!(
            log.contains("librdkafka") && log.contains("TRACE"),
            "not talkative"
        );
        assert_has_none("the log", &log, token);
        assert_has_none_in_store(&archive, token);
    }
}

fn json_address(log: &str) -> String {
    let line = log.lines().find(|l| l.contains("the control plane is up"));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    line["address"].as_str().unwrap().to_owned()
}

fn read(archive: &Archive, root: Root, key: &str) -> String {
    String::from_utf8_lossy(&archive.get(root, key)).into_owned()
}

fn assert_has_none_in_store(archive: &Archive, token: Option<&str>) {
    for root in [Root::Checkpoints, Root::CommitLog] {
        let keys = archive.keys(root);
        assert!(!keys.is_empty(), "{root:?}");
        for key in keys {
            assert_has_none(&key, &read(archive, root, &key), token);
        }
    }
}

#[test]
fn passwords_are_in_nothing_that_a_run_says_writes_or_answers() {
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let settings = secured_kafka().settings_of(Listener::SaslTls, mechanism, ARCHIVER);
        run_says_no_secret(&settings, None);
    }
}

#[test]
fn tokens_and_client_secrets_are_in_nothing_that_a_run_says_writes_or_answers() {
    let settings = secured_kafka().settings(Listener::SaslTls);
    let settings = settings.with("KAFKA_SASL_MECHANISM", "OAUTHBEARER");
    let given = token(ARCHIVER, 3_600);
    let folder = Folder::new();
    let file = folder.path().join("token");
    std::fs::write(&file, &given).unwrap();
    let of_file = settings
        .clone()
        .with("KAFKA_OAUTH_TOKEN_FILE", file.to_str().unwrap());
    run_says_no_secret(&of_file, Some(&given));

    let issued = given.clone();
    let endpoint = TokenEndpoint::start("me", "GEHEIM-client", "", move || issued.clone());
    let of_endpoint = settings
        .with("KAFKA_OAUTH_TOKEN_URL", &endpoint.url)
        .with("KAFKA_OAUTH_CLIENT_ID", "me")
        .with("KAFKA_OAUTH_CLIENT_SECRET", "GEHEIM-client");
    run_says_no_secret(&of_endpoint, Some(&given));
}

#[test]
fn errors_of_refused_starts_hold_no_secret() {
    let kafka = secured_kafka();
    let endpoint = TokenEndpoint::start("me", "other", "", || token(ARCHIVER, 60));
    let password = kafka.settings_of(Listener::SaslTls, "PLAIN", ARCHIVER);
    let oauth = kafka
        .settings(Listener::SaslTls)
        .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .with("KAFKA_OAUTH_CLIENT_ID", "me")
        .with("KAFKA_OAUTH_CLIENT_SECRET", "GEHEIM-client");
    let wrong_user = password.clone().with("KAFKA_SASL_USERNAME", "mallory");
    let of_url = |url: &str| oauth.clone().with("KAFKA_OAUTH_TOKEN_URL", url);
    let user_in_url = of_url("http://me:GEHEIM-url@127.0.0.1:9/token");
    let no_url = of_url("me:GEHEIM-url@nowhere");
    let no_user = password.clone().without("KAFKA_SASL_USERNAME");
    let wrong_key = password
        .clone()
        .with("KAFKA_SSL_KEY_PASSWORD", "GEHEIM-wrong");
    let both = password.with("KAFKA_SASL_PASSWORD_FILE", "/does/not/exist");
    let property = "ssl.keystore.location=GEHEIM-property";
    for (settings, code) in [
        (wrong_user, 4),
        (of_url(&endpoint.url), 4),
        (user_in_url, 2),
        (no_url, 2),
        (no_user, 2),
        (wrong_key, 2),
        (both, 2),
    ] {
        let key_password = settings.pairs().iter().any(|(_, v)| *v == "GEHEIM-wrong");
        let mut all = with_all_secrets(settings);
        if key_password {
            all = all.with("KAFKA_SSL_KEY_PASSWORD", "GEHEIM-wrong");
        }
        let (archive, topic) = (Archive::new(Storage::Local), kafka.topic(1));
        let mut lineage = Lineage::start_with(&archive, &topic, &TALKATIVE, &all.pairs());
        lineage.ends_with(code);
        assert_has_none("the log", &lineage.log(), None);
        for key in archive.keys(Root::Checkpoints) {
            assert_has_none(&key, &read(&archive, Root::Checkpoints, &key), None);
        }
    }
    let (archive, topic) = (Archive::new(Storage::Local), kafka.topic(1));
    for property in [property, "security.providers=GEHEIM", "no.such=GEHEIM"] {
        let flags = ["--kafka-property", property];
        let mut lineage = Lineage::start(&archive, &topic, &flags);
        lineage.ends_with(2);
        assert_has_none("the log", &lineage.log(), None);
    }
    assert!(PASSWORD.contains(SECRET) && KEY_PASSWORD.contains(SECRET));
}
