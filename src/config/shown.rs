//! Settings as they are shown to people: names and values, without anything secret.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::Settings;
use super::location::Location;
use super::secret::{HIDDEN, without_user};
use super::settings::ReaderSchema;
use crate::runtime::watermark::Rule;
use crate::source::kafka::oauth::Origin;
use crate::source::kafka::security::{Sasl, Security};

impl Settings {
    /// Bytes of the whole memory budget.
    pub fn memory_budget(&self) -> usize {
        self.file_memory + self.queue_memory()
    }

    /// Bytes of it that the consumers' queues may take.
    pub fn queue_memory(&self) -> usize {
        self.kafka.queue_memory * self.parallelism as usize
    }

    /// By the names of the environment variables. Credentials are not among them.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let properties = self.kafka.properties.iter().map(|(key, value)| {
            let value = if is_harmless(key) { value } else { HIDDEN };
            format!("{key}={value}")
        });
        let properties: Vec<_> = properties.collect();
        let location = |location: &Option<Location>| match location {
            Some(location) => location.to_string(),
            None => String::new(),
        };
        let rhythm = &self.rhythm;
        let s3 = &self.s3;
        let all = [
            (
                "KAFKA_BOOTSTRAP_SERVERS",
                self.kafka.bootstrap_servers.clone(),
            ),
            ("KAFKA_TOPIC", self.topics.to_string()),
            ("START_FROM", self.start_from.to_string()),
            ("KAFKA_GROUP_ID", self.kafka.group_id.clone()),
            ("KAFKA_READER", self.reader.to_string()),
            ("KAFKA_PROPERTIES", properties.join("\n")),
            (
                "KAFKA_SECURITY_PROTOCOL",
                self.kafka.security.protocol.name().to_owned(),
            ),
            (
                "PARTITION_DISCOVERY_INTERVAL",
                time(self.discovery_interval),
            ),
            ("OUTPUT_PATH", self.paths.output.to_string()),
            (
                "WRITE_AHEAD_COMMIT_LOG_PATH",
                self.paths.commit_log.to_string(),
            ),
            ("DROPPED_PATH", self.paths.dropped.to_string()),
            ("CHECKPOINTS_PATH", self.paths.checkpoints.to_string()),
            ("SAVEPOINTS_PATH", self.savepoints.to_string()),
            ("FROM_SAVEPOINT", location(&self.from_savepoint)),
            ("CHECKPOINT_INTERVAL", time(rhythm.interval)),
            ("CHECKPOINT_MIN_PAUSE", time(rhythm.min_pause)),
            ("CHECKPOINT_TIMEOUT", time(rhythm.timeout)),
            ("STOP_TIMEOUT", time(self.stop_timeout)),
            ("PARALLELISM", self.parallelism.to_string()),
            (
                "VALUE_FORMAT",
                format!("{:?}", self.value_format).to_lowercase(),
            ),
            ("KAFKA_COLUMNS", self.kafka_columns()),
            ("AVRO_SCHEMA", self.reader_schema()),
            ("AVRO_FORMAT", self.avro_format.to_string()),
            ("SCHEMA_REGISTRY_URL", self.registry_urls()),
            ("BUCKET_BY", self.bucket_by.to_string()),
            ("BUCKET_ZONE", self.bucketing.zone.to_string()),
            ("BUCKET_PATTERN", self.bucketing.pattern.to_string()),
            ("TOPIC_FOLDERS", self.bucketing.by_topic.to_string()),
            ("SUCCESS_MARKERS", self.markers.is_some().to_string()),
            ("ALLOWED_LATENESS", self.lateness().0),
            ("IDLE_PARTITION_TIMEOUT", self.lateness().1),
            ("MAX_FILE_SIZE", size(self.max_file_size)),
            ("PARQUET_COMPRESSION", self.parquet.compression.to_string()),
            (
                "PARQUET_ROW_GROUP_ROWS",
                self.parquet.row_group_rows.to_string(),
            ),
            ("PARQUET_ROW_GROUP_SIZE", size(self.parquet.row_group_bytes)),
            (
                "PARQUET_BLOOM_COLUMNS",
                self.parquet.bloom_columns.join(","),
            ),
            ("MEMORY_BUDGET", size(self.memory_budget())),
            ("BOUNDED", self.bounded.to_string()),
            ("ALLOW_LOST_OFFSETS", self.allow_lost_offsets.to_string()),
            ("REREAD_LOST_FILES", self.reread_lost_files.to_string()),
            (
                "AWS_ENDPOINT_URL",
                s3.endpoint.as_deref().map(without_user).unwrap_or_default(),
            ),
            ("AWS_REGION", s3.region.clone()),
            ("S3_SSE", s3.encryption.name().to_owned()),
            ("S3_CHECKSUM", format!("{:?}", s3.checksums).to_lowercase()),
        ];
        let all = all.into_iter().chain(security(&self.kafka.security));
        let set = all.filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Settings {
    fn reader_schema(&self) -> String {
        match &self.schema {
            ReaderSchema::Given(schema) => schema.name().to_owned(),
            ReaderSchema::Latest { subject } => format!("the latest of {subject}"),
        }
    }

    fn registry_urls(&self) -> String {
        let urls = self.registry.iter().flat_map(|registry| &registry.urls);
        let urls: Vec<_> = urls.map(|url| without_user(url.as_str())).collect();
        urls.join(",")
    }
}

impl Settings {
    /// And the time after which a partition is idle; empty where they do not count.
    fn lateness(&self) -> (String, String) {
        match self.markers {
            Some(Rule::Event { lateness, idle }) => (time(lateness), time(idle)),
            _ => Default::default(),
        }
    }

    fn kafka_columns(&self) -> String {
        let columns = self
            .kafka_columns
            .iter()
            .map(|column| format!("{column:?}").to_lowercase());
        columns.collect::<Vec<_>>().join(",")
    }
}

/// Who one is to the brokers; of secrets not even that they are set.
fn security(security: &Security) -> Vec<(&'static str, String)> {
    let file = |path: &PathBuf| path.display().to_string();
    let mut shown = Vec::new();
    if let Some(sasl) = &security.sasl {
        shown.push(("KAFKA_SASL_MECHANISM", sasl.mechanism().name().to_owned()));
    }
    match &security.sasl {
        Some(Sasl::Password { username, .. }) => {
            shown.push(("KAFKA_SASL_USERNAME", username.clone()));
        }
        Some(Sasl::OAuth(tokens)) => match tokens.origin() {
            Origin::File(path) => shown.push(("KAFKA_OAUTH_TOKEN_FILE", file(path))),
            Origin::Endpoint(credentials) => {
                let scope = credentials.scope.clone().unwrap_or_default();
                shown.push((
                    "KAFKA_OAUTH_TOKEN_URL",
                    without_user(credentials.url.as_str()),
                ));
                shown.push(("KAFKA_OAUTH_CLIENT_ID", credentials.client_id.clone()));
                shown.push(("KAFKA_OAUTH_SCOPE", scope));
            }
        },
        None => {}
    }
    if let Some(path) = &security.ca_file {
        shown.push(("KAFKA_SSL_CA_FILE", file(path)));
    }
    if let Some(own) = &security.certificate {
        shown.push(("KAFKA_SSL_CERTIFICATE_FILE", file(&own.certificate_file)));
        shown.push(("KAFKA_SSL_KEY_FILE", file(&own.key_file)));
    }
    shown
}

/// Whether a property of librdkafka is known to hold no secret: all that has to do with who one is
/// may hold one.
fn is_harmless(key: &str) -> bool {
    let telling = [
        "sasl", "ssl", "pass", "secret", "token", "key", "jaas", "oauth", "cred",
    ];
    let key = key.to_lowercase();
    !telling.iter().any(|part| key.contains(part))
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn size(bytes: usize) -> String {
    ByteSize(bytes as u64).to_string()
}
