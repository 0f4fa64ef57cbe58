use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Only {
    #[command(flatten)]
    args: KafkaSecurityArgs,
}

fn resolve(flags: &str) -> Result<Security, String> {
    let all = std::iter::once("lineage").chain(flags.split_whitespace());
    let only = Only::try_parse_from(all).map_err(|e| e.to_string())?;
    security(only.args).map_err(|e| e.to_string())
}

const PLAIN: &str = "--kafka-security-protocol SASL_PLAINTEXT --kafka-sasl-mechanism PLAIN";
const OAUTH: &str =
    "--kafka-security-protocol SASL_SSL --kafka-sasl-mechanism OAUTHBEARER --kafka-oauth-token-";

#[test]
fn without_a_setting_it_is_plaintext() {
    let security = resolve("").unwrap();
    assert_eq!(security.protocol, Protocol::Plaintext);
    assert!(security.sasl.is_none() && security.certificate.is_none());
}

#[test]
fn what_does_not_fit_together_is_refused_by_name_and_without_its_secrets() {
    let here = "Cargo.toml";
    for (flags, named) in [
        ("--kafka-security-protocol TLS", "--kafka-security-protocol"),
        ("--kafka-sasl-mechanism PLAIN", "KAFKA_SASL_MECHANISM"),
        ("--kafka-sasl-password GEHEIM", "KAFKA_SASL_PASSWORD"),
        ("--kafka-ssl-ca-file /x", "KAFKA_SSL_CA_FILE"),
        (
            "--kafka-security-protocol SSL --kafka-sasl-username u",
            "KAFKA_SASL_USERNAME",
        ),
        (
            "--kafka-security-protocol SASL_SSL",
            "KAFKA_SASL_MECHANISM is not set",
        ),
        (PLAIN, "KAFKA_SASL_USERNAME is not set"),
        (
            &format!("{PLAIN} --kafka-sasl-username u"),
            "KAFKA_SASL_PASSWORD is not set",
        ),
        (
            &format!("{PLAIN} --kafka-sasl-password GEHEIM"),
            "KAFKA_SASL_USERNAME is not set",
        ),
        (
            &format!("{PLAIN} --kafka-sasl-username u --kafka-sasl-password-file /x"),
            "KAFKA_SASL_PASSWORD_FILE",
        ),
        (
            &format!("{PLAIN} --kafka-ssl-ca-file /x"),
            "KAFKA_SSL_CA_FILE",
        ),
        (
            &format!("{PLAIN} --kafka-oauth-scope s"),
            "KAFKA_OAUTH_SCOPE",
        ),
        (
            "--kafka-security-protocol SSL --kafka-ssl-ca-file /x",
            "KAFKA_SSL_CA_FILE",
        ),
        (
            &format!("--kafka-security-protocol SSL --kafka-ssl-ca-file {here}"),
            "is no PEM file",
        ),
        (
            "--kafka-security-protocol SSL --kafka-ssl-certificate-file /x",
            "KAFKA_SSL_KEY_FILE is not set",
        ),
        (
            "--kafka-security-protocol SSL --kafka-ssl-key-file /x",
            "KAFKA_SSL_CERTIFICATE_FILE is not set",
        ),
        (
            "--kafka-security-protocol SSL --kafka-ssl-key-password GEHEIM",
            "KAFKA_SSL_KEY_FILE is not set",
        ),
        (&format!("{OAUTH}file /x"), "KAFKA_OAUTH_TOKEN_FILE"),
        (
            &format!("{OAUTH}file {here} --kafka-oauth-token-url http://x"),
            "KAFKA_OAUTH_TOKEN_URL",
        ),
        (
            &format!("{OAUTH}file {here} --kafka-sasl-username u"),
            "KAFKA_SASL_USERNAME",
        ),
        (
            &format!("{OAUTH}url http://u:GEHEIM@x"),
            "KAFKA_OAUTH_TOKEN_URL",
        ),
        (&format!("{OAUTH}url u:GEHEIM@x"), "KAFKA_OAUTH_TOKEN_URL"),
        (
            &format!("{OAUTH}url http://x"),
            "KAFKA_OAUTH_CLIENT_ID is not set",
        ),
        (
            &format!("{OAUTH}url http://x --kafka-oauth-client-id i"),
            "KAFKA_OAUTH_CLIENT_SECRET is not set",
        ),
        (
            OAUTH.trim_end_matches(" --kafka-oauth-token-"),
            "KAFKA_OAUTH_TOKEN_FILE or KAFKA_OAUTH_TOKEN_URL is not set",
        ),
    ] {
        let said = resolve(flags).map(|_| ()).unwrap_err();
        assert!(said.contains(named), "{flags}: {said}");
        assert!(!said.contains("GEHEIM"), "{flags}: {said}");
    }
}

#[test]
fn no_setting_shows_its_secret() {
    let password = resolve(&format!(
        "{PLAIN} --kafka-sasl-username u --kafka-sasl-password GEHEIM"
    ));
    let client = resolve(&format!(
        "{OAUTH}url http://x --kafka-oauth-client-id i --kafka-oauth-client-secret GEHEIM"
    ));
    for security in [password, client] {
        let said = format!("{:?}", security.unwrap());
        assert!(!said.contains("GEHEIM"), "{said}");
    }
}
