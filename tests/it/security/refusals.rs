//! Whoever is not let in is told why at the start, with the name of what to change; nothing is written.

use std::fs;
use std::net::TcpListener;

use crate::harness::secured_kafka::{
    ARCHIVER, Listener, NO_READER, NOBODY, Settings, secured_kafka, token,
};
use crate::harness::token_endpoint::TokenEndpoint;
use crate::harness::{Archive, Folder, Lineage, Root, Storage, server};
use crate::refusals::refused;

/// A start with these settings is refused, and says all of this.
#[track_caller]
fn not_let_in(settings: &Settings, said: &[&str]) {
    let topic = secured_kafka().topic(1);
    topic.produce(10);
    let archive = Archive::new(Storage::Local);
    refused(&archive, &topic, &["--bounded"], &settings.pairs(), 4, said);
    for root in Root::ALL {
        let written = archive.keys(root);
        let history = |key: &String| key.starts_with("history/");
        assert!(written.iter().all(history), "{written:?}");
    }
}

#[test]
fn wrong_passwords_and_users_are_refused_by_every_mechanism() {
    let kafka = secured_kafka();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let settings = kafka.settings_of(Listener::SaslTls, mechanism, ARCHIVER);
        let wrong = settings.clone().with("KAFKA_SASL_PASSWORD", "wrong");
        not_let_in(&wrong, &["KAFKA_SASL_PASSWORD", "uthentication failed"]);
        let unknown = settings.with("KAFKA_SASL_USERNAME", "mallory");
        not_let_in(&unknown, &["KAFKA_SASL_USERNAME=mallory"]);
    }
}

#[test]
fn a_token_that_has_expired_or_is_none_is_refused() {
    let folder = Folder::new();
    let file = folder.path().join("token");
    let settings = secured_kafka()
        .settings(Listener::SaslPlaintext)
        .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .with("KAFKA_OAUTH_TOKEN_FILE", file.to_str().unwrap());
    fs::write(&file, token(ARCHIVER, -60)).unwrap();
    not_let_in(&settings, &["KAFKA_OAUTH_TOKEN_FILE", "has expired at"]);
    fs::write(&file, "no-token-of-this-broker").unwrap();
    not_let_in(&settings, &["refuses the token of KAFKA_OAUTH_TOKEN_FILE"]);
}

#[test]
fn a_client_that_the_token_endpoint_does_not_know_is_refused_and_one_that_is_away_is_waited_for() {
    let endpoint = TokenEndpoint::start("archiver", "right", "", || token(ARCHIVER, 60));
    let settings = secured_kafka()
        .settings(Listener::SaslTls)
        .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .with("KAFKA_OAUTH_TOKEN_URL", &endpoint.url)
        .with("KAFKA_OAUTH_CLIENT_ID", "archiver")
        .with("KAFKA_OAUTH_CLIENT_SECRET", "wrong");
    let said = [
        "KAFKA_OAUTH_CLIENT_SECRET",
        "401",
        "invalid_client",
        &endpoint.url,
    ];
    not_let_in(&settings, &said);

    let away = settings.with("KAFKA_OAUTH_TOKEN_URL", "http://127.0.0.1:9/token");
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(1));
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &away.pairs());
    lineage.wait_until_it_says("waiting for kafka");
    lineage.wait_until_it_says("KAFKA_OAUTH_TOKEN_URL=http://127.0.0.1:9/token gives no token");
    assert!(lineage.ended().is_none());
}

#[test]
fn a_token_endpoint_that_speaks_no_tls_or_has_a_certificate_of_nobody_is_refused() {
    let kafka = secured_kafka();
    let settings = kafka
        .settings(Listener::SaslPlaintext)
        .with("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
        .with("KAFKA_OAUTH_CLIENT_ID", "archiver")
        .with("KAFKA_OAUTH_CLIENT_SECRET", "right");
    let stranger = format!("https://{}/token", kafka.address(Listener::OtherAuthority));
    let untrusted = settings.clone().with("KAFKA_OAUTH_TOKEN_URL", &stranger);
    let said = ["certificate is not trusted", "KAFKA_SSL_CA_FILE", &stranger];
    not_let_in(&untrusted, &said);

    let plain = server("LINEAGE_TEST_S3").replace("http", "https");
    let no_tls = settings.with("KAFKA_OAUTH_TOKEN_URL", &plain);
    not_let_in(
        &no_tls,
        &["there is no TLS at KAFKA_OAUTH_TOKEN_URL", &plain],
    );
}

#[test]
fn a_mechanism_that_the_broker_does_not_offer_is_refused_with_those_that_it_does() {
    // GSSAPI is none of ours; so the broker has to offer less.
    let settings = secured_kafka().settings_of(Listener::ScramOnly, "PLAIN", ARCHIVER);
    not_let_in(&settings, &["KAFKA_SASL_MECHANISM=PLAIN", "SCRAM-SHA-512"]);
}

#[test]
fn certificates_of_brokers_are_refused_each_with_its_own_reason() {
    let kafka = secured_kafka();
    let expired = kafka.settings(Listener::Expired);
    not_let_in(
        &expired,
        &["has expired", &kafka.address(Listener::Expired)],
    );
    let other_host = kafka.settings(Listener::OtherHost);
    let said = [
        "another host name",
        "kafka.example.com",
        "KAFKA_BOOTSTRAP_SERVERS",
    ];
    not_let_in(&other_host, &said);
    let ca_file = kafka.file("ca.crt");
    let said = [
        "was issued by nobody in",
        ca_file.as_str(),
        "KAFKA_SSL_CA_FILE",
    ];
    not_let_in(&kafka.settings(Listener::OtherAuthority), &said);
    let systems = kafka.settings(Listener::Tls).without("KAFKA_SSL_CA_FILE");
    not_let_in(&systems, &["the system's certificates"]);
}

#[test]
fn a_certificate_of_the_client_that_is_missing_foreign_or_expired_is_refused() {
    let kafka = secured_kafka();
    let missing = kafka.settings(Listener::MutualTls);
    not_let_in(
        &missing,
        &["asks for a certificate", "KAFKA_SSL_CERTIFICATE_FILE"],
    );
    let file = kafka.file("other-client.crt");
    let foreign = missing
        .clone()
        .with("KAFKA_SSL_CERTIFICATE_FILE", &file)
        .with("KAFKA_SSL_KEY_FILE", &kafka.file("other-client.key"));
    not_let_in(&foreign, &["does not take the certificate", &file]);
    let file = kafka.file("expired-client.crt");
    let expired = missing
        .with("KAFKA_SSL_CERTIFICATE_FILE", &file)
        .with("KAFKA_SSL_KEY_FILE", &kafka.file("expired-client.key"));
    not_let_in(&expired, &["does not take the certificate", &file]);
}

#[test]
fn another_protocol_than_the_brokers_is_refused_with_the_one_to_set() {
    let kafka = secured_kafka();
    let at = |listener, protocol: &str| {
        let settings = kafka.settings(Listener::Admin);
        let settings = settings.with("KAFKA_SECURITY_PROTOCOL", protocol);
        settings.with("KAFKA_BOOTSTRAP_SERVERS", &kafka.address(listener))
    };
    not_let_in(&at(Listener::Tls, "PLAINTEXT"), &["speaks TLS"]);
    let plaintext = at(Listener::Admin, "SSL").with("KAFKA_SSL_CA_FILE", &kafka.file("ca.crt"));
    not_let_in(&plaintext, &["does not speak TLS"]);
    not_let_in(
        &at(Listener::SaslPlaintext, "PLAINTEXT"),
        &["asks for SASL"],
    );
    let without_sasl =
        at(Listener::SaslTls, "SSL").with("KAFKA_SSL_CA_FILE", &kafka.file("ca.crt"));
    not_let_in(&without_sasl, &["asks for SASL"]);
    let sasl = kafka.settings_of(Listener::SaslPlaintext, "PLAIN", ARCHIVER);
    let tls = sasl.with("KAFKA_BOOTSTRAP_SERVERS", &kafka.address(Listener::SaslTls));
    not_let_in(&tls, &["speaks TLS"]);
}

#[test]
fn a_port_without_sasl_is_refused_with_the_protocol_to_set() {
    let kafka = secured_kafka();
    for (listener, with_sasl, said) in [
        (
            Listener::Admin,
            Listener::SaslPlaintext,
            "set it to PLAINTEXT",
        ),
        (Listener::Tls, Listener::SaslTls, "set it to SSL"),
    ] {
        let settings = kafka.settings_of(with_sasl, "PLAIN", ARCHIVER);
        let settings = settings.with("KAFKA_BOOTSTRAP_SERVERS", &kafka.address(listener));
        not_let_in(&settings, &["has no SASL at this port", said]);
    }
}

#[test]
fn a_server_that_only_ends_its_connections_is_waited_for_in_every_protocol() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // As a load balancer without anybody behind it.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let kafka = secured_kafka();
    for settings in [
        kafka.settings(Listener::Admin),
        kafka.settings(Listener::Tls),
    ] {
        let settings = settings.with("KAFKA_BOOTSTRAP_SERVERS", &address);
        let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(1));
        let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings.pairs());
        lineage.wait_until_it_says_times("waiting for kafka", 2);
        assert!(lineage.ended().is_none());
    }
}

#[test]
fn who_may_not_describe_or_read_the_topic_is_refused_with_the_permission_that_is_missing() {
    let kafka = secured_kafka();
    let nobody = kafka.settings_of(Listener::SaslPlaintext, "PLAIN", NOBODY);
    not_let_in(&nobody, &["may not be described", "Read on the topic"]);
    let describer = kafka.settings_of(Listener::SaslPlaintext, "PLAIN", NO_READER);
    not_let_in(&describer, &["may not be read", "Read on the topic"]);
}

#[test]
fn settings_that_do_not_fit_together_are_refused_by_name() {
    let (archive, topic) = (Archive::new(Storage::Local), secured_kafka().topic(1));
    let kafka = secured_kafka();
    let missing = "/does/not/exist";
    let own = ("KAFKA_SSL_CERTIFICATE_FILE", kafka.file("client.crt"));
    let encrypted = ("KAFKA_SSL_KEY_FILE", kafka.file("client-encrypted.key"));
    let wrong_password = [
        ("KAFKA_SECURITY_PROTOCOL", "SSL"),
        (own.0, &own.1),
        (encrypted.0, &encrypted.1),
        ("KAFKA_SSL_KEY_PASSWORD", "GEHEIM-wrong"),
    ];
    refused(&archive, &topic, &[], &wrong_password, 2, &["KAFKA_SSL_"]);
    let unreadable = [
        ("KAFKA_SECURITY_PROTOCOL", "SSL"),
        ("KAFKA_SSL_CA_FILE", missing),
    ];
    refused(
        &archive,
        &topic,
        &[],
        &unreadable,
        2,
        &["KAFKA_SSL_CA_FILE", missing],
    );
    let flags = ["--kafka-property", "sasl.password=GEHEIM-property"];
    refused(
        &archive,
        &topic,
        &flags,
        &[],
        2,
        &["sasl.password", "KAFKA_SASL_PASSWORD"],
    );
}
