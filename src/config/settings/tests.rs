use clap::Parser;

use super::*;
use crate::config::args::{Cli, Command};
use crate::source::kafka::owned_properties;

fn resolve(flags: &[&str]) -> Result<Settings, String> {
    let args = ["lineage", "run"].iter().chain(flags);
    let cli = Cli::try_parse_from(args).map_err(|e| e.to_string())?;
    let Command::Run(run) = cli.command else {
        return Err("not run".into());
    };
    Settings::try_from(*run).map_err(|e| e.to_string())
}

fn refusal(flags: &[&str]) -> String {
    resolve(flags).map(|_| ()).unwrap_err()
}

#[test]
fn the_defaults_are_those_of_the_readme() {
    let settings = resolve(&[]).unwrap();
    assert_eq!(settings.paths.output.to_string(), "s3://flink-data/output");
    assert_eq!(settings.rhythm.interval, Duration::from_secs(60));
    assert_eq!(settings.rhythm.min_pause, Duration::from_secs(10));
    assert_eq!(settings.parallelism, 2);
}

#[test]
fn blanks_around_the_parts_of_a_list_are_none_of_it() {
    let text = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":"long"}]}"#;
    let schema = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(schema.path(), text).unwrap();
    let settings = resolve(&[
        "--avro-schema",
        schema.path().to_str().unwrap(),
        "--kafka-columns",
        "key, timestamp",
        "--parquet-bloom-columns",
        " a , b",
    ])
    .unwrap();
    assert_eq!(settings.parquet.bloom_columns, ["a", "b"]);
}

#[test]
fn a_short_interval_shortens_the_pause_unless_it_was_given() {
    let settings = resolve(&["--checkpoint-interval", "2s"]).unwrap();
    assert_eq!(settings.rhythm.min_pause, Duration::from_secs(2));
    let flags = [
        "--checkpoint-interval",
        "2s",
        "--checkpoint-min-pause",
        "9s",
    ];
    assert_eq!(
        resolve(&flags).unwrap().rhythm.min_pause,
        Duration::from_secs(9)
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_setting_panic(text in "\\PC{0,40}|[0-9]{1,25}[a-zA-Z]{0,4}", place in 0..13usize) {
        let flags = [
            "--checkpoint-interval",
            "--checkpoint-min-pause",
            "--stop-timeout",
            "--parallelism",
            "--max-file-size",
            "--memory-budget",
            "--parquet-compression",
            "--output-path",
            "--kafka-topic",
            "--kafka-property",
            "--kafka-bootstrap-servers",
            "--aws-endpoint-url",
            "--avro-schema",
        ];
        let _ = resolve(&[&format!("{}={text}", flags[place])]);
    }
}

#[test]
fn what_the_protocol_owns_cannot_be_set_and_the_reason_is_given() {
    for (key, _) in owned_properties() {
        let text = refusal(&["--kafka-property", &format!("{key}=x")]);
        assert!(
            text.contains(key) && text.contains("not yours to set"),
            "{text}"
        );
    }
    let settings = resolve(&["--kafka-property", "fetch.wait.max.ms=50"]).unwrap();
    assert_eq!(settings.kafka.properties["fetch.wait.max.ms"], "50");
}

#[test]
fn what_is_shown_has_no_secret_in_it() {
    let settings = resolve(&[
        "--aws-access-key-id=geheim-1",
        "--aws-secret-access-key=geheim-2",
        "--aws-session-token=geheim-3",
        "--aws-endpoint-url=http://minio:9000",
        "--kafka-property=ssl.keystore.password=geheim-6",
        "--kafka-property=ssl.key.pem=geheim-7",
        "--kafka-property=sasl.jaas.config=geheim-8",
        "--kafka-property=fetch.wait.max.ms=50",
        "--avro-format=confluent",
        "--schema-registry-url=http://registry:8081,http://second",
        "--schema-registry-username=me",
        "--schema-registry-password=geheim-9",
    ]);
    assert!(!format!("{settings:?}").contains("geheim-9"));
    let shown = settings.unwrap().shown();
    assert!(!format!("{shown:?}").contains("geheim"), "{shown:?}");
    assert_eq!(shown["AWS_ENDPOINT_URL"], "http://minio:9000");
    assert!(shown["KAFKA_PROPERTIES"].contains("fetch.wait.max.ms=50"));
    assert_eq!(shown["MEMORY_BUDGET"], "128.0 MiB");
    assert_eq!(shown["AVRO_SCHEMA"], "the latest of lineage-input-value");
    assert_eq!(
        shown["SCHEMA_REGISTRY_URL"],
        "http://registry:8081,http://second"
    );
}

fn confluent<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let own = [
        "--avro-format=confluent",
        "--schema-registry-url=http://r:8081",
    ];
    [&own, more].concat()
}

#[test]
fn the_readers_schema_is_the_latest_of_the_topics_subject_unless_it_is_given() {
    let shown = |flags: &[&str]| resolve(&confluent(flags)).unwrap().shown();
    let settings = shown(&["--kafka-topic=t"]);
    assert_eq!(settings["AVRO_SCHEMA"], "the latest of t-value");
    let settings = shown(&["--schema-registry-subject=s"]);
    assert_eq!(settings["AVRO_SCHEMA"], "the latest of s");
    let settings = shown(&["--avro-schema=avro/input_event.avsc"]);
    assert_eq!(settings["AVRO_SCHEMA"], "com.lineage.InputEvent");
    assert_eq!(settings["AVRO_FORMAT"], "confluent");
}

#[test]
fn a_user_in_a_url_and_keys_that_no_header_can_hold_are_refused_and_not_shown() {
    for (flags, named) in [
        (
            &["--aws-endpoint-url", "http://geheim:geheim@minio:9000"][..],
            "AWS_ENDPOINT_URL",
        ),
        (
            &["--aws-endpoint-url", "geheim@minio:9000"],
            "AWS_ENDPOINT_URL",
        ),
        (
            &[
                "--aws-endpoint-url-sts",
                "http://x/?token=geheim",
                "--aws-role-arn",
                "r",
                "--aws-web-identity-token-file",
                "/f",
            ],
            "AWS_ENDPOINT_URL_STS",
        ),
        (
            &[
                "--aws-container-credentials-full-uri",
                "http://me:geheim@x/",
            ],
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        (
            &["--aws-container-credentials-full-uri", "http://:geheim@x/"],
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        (&["--aws-access-key-id", "ge heim"], "AWS_ACCESS_KEY_ID"),
        (
            &["--aws-secret-access-key", "geheim\nx"],
            "AWS_SECRET_ACCESS_KEY",
        ),
    ] {
        let text = refusal(flags);
        assert!(text.contains(named), "{flags:?}: {text}");
        assert!(!text.contains("heim"), "{text}");
    }
}

#[test]
fn only_whom_s3_is_asked_as_is_looked_at() {
    let keys = ["--aws-access-key-id", "id", "--aws-secret-access-key", "s"];
    for others in [
        ["--aws-web-identity-token-file", "/f"],
        ["--aws-container-credentials-full-uri", "no-url"],
        ["--aws-endpoint-url-sts", "no-url"],
    ] {
        assert!(
            resolve(&[&keys[..], &others].concat()).is_ok(),
            "{others:?}"
        );
    }
    let agent = [
        "--aws-container-credentials-full-uri",
        "http://[fd00:ec2::23]/v1",
    ];
    assert!(resolve(&agent).is_ok(), "it may want no token");
}

#[test]
fn bad_values_are_refused_with_the_name_of_their_setting() {
    for (flags, named) in [
        (vec!["--parallelism", "0"], "--parallelism"),
        (
            vec!["--checkpoint-interval", "soon"],
            "--checkpoint-interval",
        ),
        (vec!["--checkpoint-interval", "0s"], "--checkpoint-interval"),
        (vec!["--output-path", "flink-data/output"], "--output-path"),
        (
            vec!["--output-path", "s3://flink-data/dropped/x"],
            "DROPPED_PATH",
        ),
        (
            vec!["--savepoints-path", "s3://flink-data/checkpoints/x"],
            "SAVEPOINTS_PATH",
        ),
        (vec!["--from-savepoint", "savepoint-1"], "--from-savepoint"),
        (vec!["--kafka-topic", " "], "--kafka-topic"),
        (vec!["--kafka-topic", "^("], "--kafka-topic"),
        (vec!["--start-from", "soon"], "--start-from"),
        (
            vec!["--start-from=latest", "--from-savepoint=file:///s"],
            "START_FROM",
        ),
        (vec!["--kafka-property", "nonsense"], "--kafka-property"),
        (vec!["--aws-access-key-id", "only"], "AWS_SECRET_ACCESS_KEY"),
        (vec!["--aws-endpoint-url", "minio:9000"], "AWS_ENDPOINT_URL"),
        (vec!["--avro-schema", "/does/not/exist"], "AVRO_SCHEMA"),
        (vec!["--max-file-size", "big"], "--max-file-size"),
        (
            vec!["--parquet-row-group-rows", "0"],
            "--parquet-row-group-rows",
        ),
        (
            vec!["--parquet-row-group-size", "64MiB"],
            "PARQUET_ROW_GROUP_SIZE",
        ),
        (
            vec!["--parquet-bloom-columns", "uuid,id"],
            "PARQUET_BLOOM_COLUMNS: 'id'",
        ),
        (
            vec!["--parquet-bloom-columns", "timestamp"],
            "PARQUET_BLOOM_COLUMNS: 'timestamp'",
        ),
        (vec!["--bucket-by", "time"], "--bucket-by"),
        (vec!["--bucket-by", "field:uuid"], "BUCKET_BY"),
        (vec!["--bucket-zone", "Mars"], "--bucket-zone"),
        (vec!["--bucket-pattern", "%S"], "--bucket-pattern"),
        (vec!["--memory-budget", "31MiB"], "MEMORY_BUDGET"),
        (vec!["--parallelism", "200"], "MEMORY_BUDGET"),
        (vec!["--rest-port", "80810"], "--rest-port"),
        (vec!["--rest-token", ""], "--rest-token"),
        (
            vec!["--rest-token-file", "/does/not/exist"],
            "REST_TOKEN_FILE",
        ),
        (
            vec!["--rest-token", "a", "--rest-token-file", "/b"],
            "REST_TOKEN_FILE",
        ),
        (vec!["--aws-ca-bundle", "/does/not/exist"], "AWS_CA_BUNDLE"),
        (vec!["--s3-sse", "des"], "--s3-sse"),
        (vec!["--s3-sse-kms-key-id", "k"], "S3_SSE_KMS_KEY_ID"),
        (vec!["--aws-region", "eu\n1"], "AWS_REGION"),
        (vec!["--aws-session-token", "t"], "AWS_ACCESS_KEY_ID"),
        (
            vec!["--aws-secret-access-key-file", "/does/not/exist"],
            "AWS_SECRET_ACCESS_KEY_FILE",
        ),
        (vec!["--aws-web-identity-token-file", "/t"], "AWS_ROLE_ARN"),
        (
            vec!["--kafka-bootstrap-servers", "http://b:9092"],
            "KAFKA_BOOTSTRAP_SERVERS",
        ),
        (
            vec!["--kafka-bootstrap-servers", "b:99999"],
            "KAFKA_BOOTSTRAP_SERVERS",
        ),
        (
            vec!["--kafka-bootstrap-servers", "b:1;c:2"],
            "KAFKA_BOOTSTRAP_SERVERS",
        ),
        (vec!["--start-from", "2236-11-21T07:00:00"], "START_FROM"),
        (
            vec!["--success-markers", "--bucket-pattern", "h=%H"],
            "SUCCESS_MARKERS",
        ),
        (vec!["--unknown"], "--unknown"),
        (vec!["--avro-format", "confluent"], "SCHEMA_REGISTRY_URL"),
        (
            vec!["--value-format=bytes", "--avro-format=single-object"],
            "AVRO_FORMAT is for Avro",
        ),
        (
            vec![
                "--value-format=bytes",
                "--avro-schema=avro/input_event.avsc",
            ],
            "AVRO_SCHEMA is for Avro",
        ),
        (
            confluent(&["--schema-registry-url=http://r:8081", "--kafka-topic=a,b"]),
            "KAFKA_TOPIC=a,b is not one topic",
        ),
        (vec!["--parquet-compression=gzip"], "zstd:LEVEL"),
        (
            vec!["--schema-registry-url", "http://r:8081"],
            "AVRO_FORMAT=confluent",
        ),
        (
            confluent(&["--schema-registry-url", "r:8081"]),
            "SCHEMA_REGISTRY_URL",
        ),
        (
            confluent(&["--schema-registry-url", "http://me:geheim@r"]),
            "SCHEMA_REGISTRY_USERNAME",
        ),
        (
            confluent(&["--schema-registry-username", "me"]),
            "SCHEMA_REGISTRY_PASSWORD",
        ),
        (
            confluent(&["--schema-registry-ca-file", "/does/not/exist"]),
            "SCHEMA_REGISTRY_CA_FILE",
        ),
        (
            confluent(&["--schema-registry-ca-file", "Cargo.toml"]),
            "SCHEMA_REGISTRY_CA_FILE",
        ),
        (
            confluent(&[
                "--avro-schema=avro/input_event.avsc",
                "--schema-registry-subject=s",
            ]),
            "SCHEMA_REGISTRY_SUBJECT",
        ),
    ] {
        let text = refusal(&flags);
        assert!(text.contains(named), "{flags:?}: {text}");
    }
}
