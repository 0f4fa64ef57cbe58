//! No secret is in anything that the service says, writes or answers, however talkative it is.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::giver::{Giver, Temporary};
use crate::harness::records::{encode, framed};
use crate::harness::registry::Registry;
use crate::harness::secured_kafka::{
    ARCHIVER, KEY_PASSWORD, Listener, PASSWORD, Settings, secured_kafka, token,
};
use crate::harness::token_endpoint::TokenEndpoint;
use crate::harness::{Archive, Folder, Lineage, Root, Storage, Topic, looking_with};

/// Every secret that the tests choose has this in it, and nothing else has.
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

/// With a secret wherever one can be; those that S3 and a registry do not ask for by themselves.
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

/// Of a token of the broker, its claims: what they say of a user nobody may have. (Its head is everybody's,
/// and it has no signature.)
fn claims(token: &str) -> &str {
    token.split('.').nth(1).unwrap()
}

/// `further` are secrets that somebody else has chosen.
#[track_caller]
fn assert_has_none(what: &str, text: &str, further: &[&str]) {
    let is_secret =
        |line: &&str| line.contains(SECRET) || further.iter().any(|secret| line.contains(secret));
    let found: Vec<_> = text.lines().filter(is_secret).collect();
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

/// Runs and stops it, on S3, and looks at everything that it has said, written and answered.
fn run_says_no_secret(settings: &Settings, further: &[&str]) {
    run_of_says_no_secret(|topic| topic.produce(200), settings, further);
}

fn run_of_says_no_secret(produce: impl Fn(&Topic), settings: &Settings, further: &[&str]) {
    let s3 = Temporary::get();
    let further = &[further, &[&s3.secret, &s3.token]].concat();
    for format in ["text", "json"] {
        let (archive, topic) = (Archive::new(Storage::S3), secured_kafka().topic(2));
        produce(&topic);
        let settings = with_all_secrets(settings.clone())
            .with("AWS_ACCESS_KEY_ID", &s3.id)
            .with("AWS_SECRET_ACCESS_KEY", &s3.secret)
            .with("AWS_SESSION_TOKEN", &s3.token)
            .with("SAVEPOINTS_PATH", &archive.savepoints())
            .with("LOG_FORMAT", format);
        let mut lineage = Lineage::start_with(&archive, &topic, &TALKATIVE, &settings.pairs());
        lineage.wait_until_it_says("checkpoint complete");
        let address = match format {
            "text" => lineage.address(),
            _ => json_address(&lineage.log()),
        };
        for path in PATHS {
            assert_has_none(path, &get(&address, path), further);
        }
        let jobs = get(&address, "/jobs");
        let job = jobs.split(r#""id":""#).nth(1).unwrap();
        let job = job.split('"').next().unwrap();
        for what in ["", "/config", "/exceptions", "/checkpoints", "/plan"] {
            let path = format!("/jobs/{job}{what}");
            let answer = get(&address, &path);
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            assert_has_none(&path, &answer, further);
        }
        let rest = format!("http://{}", address.trim_start_matches("http://"));
        let asked = [("REST_URL", rest.as_str()), ("REST_TOKEN", REST_TOKEN)];
        for command in [["status", "--json"], ["savepoint", "--json"]] {
            let output = looking_with(&archive, &command, &asked);
            assert!(!output.stdout.is_empty(), "{output:?}");
            assert_has_none("a command", &format!("{output:?}"), further);
        }
        lineage.terminate();
        lineage.ends_with(0);
        let log = lineage.log();
        assert!(
            log.contains("librdkafka") && log.contains("TRACE"),
            "not talkative"
        );
        assert_has_none("the log", &log, further);
        assert_has_none_in_store(&archive, further);
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

fn assert_has_none_in_store(archive: &Archive, further: &[&str]) {
    for root in Root::ALL {
        let keys = archive.keys(root);
        assert!(!keys.is_empty() || root == Root::Dropped, "{root:?}");
        for key in keys {
            assert_has_none(&key, &read(archive, root, &key), further);
        }
    }
}

#[test]
fn passwords_are_in_nothing_that_a_run_says_writes_or_answers() {
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let settings = secured_kafka().settings_of(Listener::SaslTls, mechanism, ARCHIVER);
        run_says_no_secret(&settings, &[]);
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
    run_says_no_secret(&of_file, &[claims(&given)]);

    let issued = given.clone();
    let endpoint = TokenEndpoint::start("me", "GEHEIM-client", "", move || issued.clone());
    let of_endpoint = settings
        .with("KAFKA_OAUTH_TOKEN_URL", &endpoint.url)
        .with("KAFKA_OAUTH_CLIENT_ID", "me")
        .with("KAFKA_OAUTH_CLIENT_SECRET", "GEHEIM-client");
    run_says_no_secret(&of_endpoint, &[claims(&given)]);
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
    let no_scheme = of_url("login.example.com/?key=GEHEIM");
    // Librdkafka would repeat the whole token: the mark at the begin is no part of one.
    let folder = Folder::new();
    let file = folder.path().join("token");
    std::fs::write(&file, "\u{feff}GEHEIM-token").unwrap();
    let no_token = kafka
        .settings(Listener::SaslTls)
        .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .with("KAFKA_OAUTH_TOKEN_FILE", file.to_str().unwrap());
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
        (no_scheme, 2),
        (no_token, 4),
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
        assert_has_none("the log", &lineage.log(), &[]);
        for key in archive.keys(Root::Checkpoints) {
            assert_has_none(&key, &read(&archive, Root::Checkpoints, &key), &[]);
        }
    }
    let (archive, topic) = (Archive::new(Storage::Local), kafka.topic(1));
    for property in [property, "security.providers=GEHEIM", "no.such=GEHEIM"] {
        let flags = ["--kafka-property", property];
        let mut lineage = Lineage::start(&archive, &topic, &flags);
        lineage.ends_with(2);
        assert_has_none("the log", &lineage.log(), &[]);
    }
    assert!(PASSWORD.contains(SECRET) && KEY_PASSWORD.contains(SECRET));
}

/// It ends with `code`, and says none of its secrets.
#[track_caller]
fn refused_without_secrets(
    archive: &Archive,
    settings: &[(&str, &str)],
    code: i32,
    further: &[&str],
) {
    let flags = ["--log-level", "trace"];
    let mut lineage = Lineage::start_with(archive, &Topic::absent(), &flags, settings);
    lineage.ends_with(code);
    assert_has_none("the log", &lineage.log(), further);
}

#[test]
fn settings_that_cannot_be_used_are_refused_and_not_shown() {
    let archive = Archive::new(Storage::Local);
    for (name, value) in [
        ("REST_TOKEN", "GEHEIM with blanks"),
        ("OUTPUT_PATH", "s3://key:GEHEIM@bucket/output"),
        ("OUTPUT_PATH", "s3://key:GE/HEIM@bucket/output"),
        ("CHECKPOINTS_PATH", "key:GEHEIM@bucket"),
    ] {
        refused_without_secrets(&archive, &[(name, value)], 2, &["HEIM"]);
    }
    for rest in ["http://me:GEHEIM@127.0.0.1:9", "me:GEHEIM@127.0.0.1:9"] {
        let output = looking_with(&archive, &["status"], &[("REST_URL", rest)]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("--rest"), "{said}");
        assert_has_none("status", &said, &[]);
    }
}

#[test]
fn a_wrong_password_of_kafka_is_in_no_report_of_verify() {
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(1));
    topic.produce(10);
    let right = secured_kafka().settings_of(Listener::SaslTls, "PLAIN", ARCHIVER);
    Lineage::start_with(&archive, &topic, &["--bounded"], &right.pairs()).ends_with(0);
    // Kafka is asked for what is missing.
    archive.delete(Root::Output, &archive.keys(Root::Output)[0]);
    let wrong = right.with("KAFKA_SASL_PASSWORD", "GEHEIM-wrong");
    let flags = ["verify", "--check-kafka"];
    let output = looking_with(&archive, &flags, &wrong.pairs());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_has_none("verify", &format!("{output:?}"), &[]);
}

#[test]
fn a_property_in_several_lines_is_refused_and_not_shown() {
    let text = "ssl.key.pem=-----BEGIN PRIVATE KEY-----\nGEHEIM+/==\n-----END PRIVATE KEY-----";
    let settings = [("KAFKA_PROPERTIES", text)];
    refused_without_secrets(&Archive::new(Storage::Local), &settings, 2, &[]);
}

#[test]
fn help_shows_no_secret_of_the_environment() {
    let archive = Archive::new(Storage::Local);
    let secrets = [
        ("AWS_ACCESS_KEY_ID", "GEHEIM"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "GEHEIM"),
        ("AWS_SECRET_ACCESS_KEY", "GEHEIM"),
        ("AWS_SESSION_TOKEN", "GEHEIM"),
        ("KAFKA_OAUTH_CLIENT_SECRET", "GEHEIM"),
        (
            "KAFKA_OAUTH_TOKEN_URL",
            "https://login.example.com/?key=GEHEIM",
        ),
        ("KAFKA_PROPERTIES", "sasl.password=GEHEIM"),
        ("KAFKA_SASL_PASSWORD", "GEHEIM"),
        ("KAFKA_SSL_KEY_PASSWORD", "GEHEIM"),
        ("REST_TOKEN", "GEHEIM"),
        ("SCHEMA_REGISTRY_PASSWORD", "GEHEIM"),
        ("SCHEMA_REGISTRY_TOKEN", "GEHEIM"),
        (
            "SCHEMA_REGISTRY_URL",
            "https://me:GEHEIM@registry.example.com",
        ),
    ];
    for command in ["run", "verify", "find", "status"] {
        let output = looking_with(&archive, &[command, "--help"], &secrets);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("Usage"), "{said}");
        assert_has_none(command, &said, &[]);
    }
}

#[test]
fn refused_credentials_of_s3_are_in_no_error() {
    let (archive, s3) = (Archive::new(Storage::S3), Temporary::get());
    let temporary = |secret, token| {
        [
            ("AWS_ACCESS_KEY_ID", s3.id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_SESSION_TOKEN", token),
        ]
    };
    let further = [s3.secret.as_str(), &s3.token];
    let wrong_key = temporary("GEHEIM-secret", &s3.token);
    refused_without_secrets(&archive, &wrong_key, 2, &further);
    let wrong_token = temporary(&s3.secret, "GEHEIM-token");
    refused_without_secrets(&archive, &wrong_token, 2, &further);
    for command in [
        &["verify"][..],
        &["find", "--partition", "0", "--offset", "0"],
    ] {
        for settings in [&wrong_key, &wrong_token] {
            let output = looking_with(&archive, command, settings);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains("AWS_S"), "{said}");
            assert_has_none(command[0], &said, &further);
        }
    }
}

/// Amazon repeats what it was sent: the token, and what was signed.
#[test]
fn what_a_store_repeats_of_a_request_is_in_no_error() {
    let archive = Archive::new(Storage::S3);
    for (status, code) in [
        (400, "InvalidToken"),
        (403, "SignatureDoesNotMatch"),
        (500, "Internal"),
    ] {
        let store = Giver::start(move |_| {
            let sent = "<Token-0>GEHEIM</Token-0><CanonicalRequest>GEHEIM</CanonicalRequest>";
            let message = "<Message>no</Message>";
            (
                status,
                format!("<Error><Code>{code}</Code>{message}{sent}</Error>"),
            )
        });
        let url = store.url();
        let settings = [("AWS_ENDPOINT_URL", url.as_str())];
        for command in [
            &["verify"][..],
            &["find", "--partition", "0", "--offset", "0"],
        ] {
            let output = looking_with(&archive, command, &settings);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(code), "{said}");
            assert_has_none(command[0], &said, &["<"]);
        }
    }
}

#[test]
fn logins_of_a_registry_are_in_nothing_that_a_run_says_writes_or_answers() {
    let schema = include_str!("../../../avro/input_event.avsc");
    let schema = serde_json::from_str(schema).unwrap();
    let registry = Registry::get();
    let subject = uuid::Uuid::new_v4().to_string();
    let id = registry.register(&subject, &schema);
    let in_base64 = STANDARD.encode("me:GEHEIM-password");
    let door = registry.door_with_login(&format!("Basic {in_base64}"));
    let settings = secured_kafka()
        .settings_of(Listener::SaslTls, "PLAIN", ARCHIVER)
        .with("AVRO_FORMAT", "confluent")
        .with("SCHEMA_REGISTRY_URL", &door.url())
        .with("SCHEMA_REGISTRY_SUBJECT", &subject)
        .with("SCHEMA_REGISTRY_USERNAME", "me")
        .with("SCHEMA_REGISTRY_PASSWORD", "GEHEIM-password");
    let produce = |topic: &Topic| {
        topic.produce_as(200, |_, record| {
            framed(id, &encode(record.partition, record.number))
        });
    };
    run_of_says_no_secret(produce, &settings, &[&in_base64]);
}

#[test]
fn logins_of_a_registry_are_in_no_error() {
    let door = Registry::get().door_with_login("Basic another");
    let url = door.url();
    let archive = Archive::new(Storage::Local);
    let schema = [
        ("AVRO_FORMAT", "confluent"),
        ("SCHEMA_REGISTRY_URL", url.as_str()),
        ("SCHEMA_REGISTRY_SUBJECT", "nothing"),
    ];
    let password = [
        ("SCHEMA_REGISTRY_USERNAME", "me"),
        ("SCHEMA_REGISTRY_PASSWORD", "GEHEIM-password"),
    ];
    let in_base64 = STANDARD.encode("me:GEHEIM-password");
    let settings = [&schema[..], &password].concat();
    refused_without_secrets(&archive, &settings, 2, &[&in_base64]);
    let token = [("SCHEMA_REGISTRY_TOKEN", "GEHEIM-token")];
    let settings = [&schema[..], &token].concat();
    refused_without_secrets(&archive, &settings, 2, &[]);
}
