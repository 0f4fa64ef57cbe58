//! What to produce, and what can go wrong.

/// What to produce, where to, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    pub topic: String,
    /// Records a second over all partitions; 0 is as fast as it goes.
    pub rate_per_sec: u64,
    /// Records in all, the malformed ones among them; `None` goes on until stopped.
    pub count: Option<u64>,
    /// Partitions of the topic if it has to be created; at least 1.
    pub partitions: i32,
    /// Part of the records that no decoder can read, 0 to 1.
    pub malformed: f64,
    /// For librdkafka, as they are: how to reach a secured cluster, for example.
    pub properties: Vec<(String, String)>,
    /// In front of every event, as Confluent's wire format has it; `None` is the datum alone.
    pub schema_id: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bootstrap_servers: "kafka:9092".into(),
            topic: "lineage-input".into(),
            rate_per_sec: 10,
            count: None,
            partitions: 10,
            malformed: 0.0,
            properties: Vec::new(),
            schema_id: None,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |setting, cure| Err(Error::Setting { setting, cure });
        if self.bootstrap_servers.trim().is_empty() {
            return refuse(
                "KAFKA_BOOTSTRAP_SERVERS",
                "is empty: give host:port of a broker",
            );
        }
        if self.topic.is_empty() || self.topic.contains('\0') {
            return refuse("KAFKA_TOPIC", "is not a topic name: give one");
        }
        if self.partitions < 1 {
            return refuse("--partitions", "must be 1 or more");
        }
        if !(0.0..=1.0).contains(&self.malformed) {
            return refuse(
                "--malformed",
                "must be from 0 to 1, as 0.01 for one record in a hundred",
            );
        }
        Ok(())
    }
}

/// Why a run ended without having delivered everything.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{setting} {cure}")]
    Setting {
        setting: &'static str,
        cure: &'static str,
    },
    #[error("librdkafka refused its configuration: {0}")]
    Client(String),
    #[error("topic {topic} (KAFKA_TOPIC) on {bootstrap_servers}: {reason}")]
    Topic {
        topic: String,
        bootstrap_servers: String,
        reason: String,
    },
    #[error("an event does not fit the schema avro/input_event.avsc: {0}")]
    Encode(#[source] Box<apache_avro::Error>),
    #[error(
        "{undelivered} of {} records were not acknowledged by Kafka; {delivered} were. {reason}",
        undelivered + delivered
    )]
    Undelivered {
        undelivered: u64,
        delivered: u64,
        /// The first failure, as librdkafka words it, or that the time for flushing was over.
        reason: String,
    },
}

impl Error {
    /// Without the value of the property that is refused: it may be a secret.
    pub(crate) fn client(error: rdkafka::error::KafkaError) -> Self {
        Self::Client(match error {
            rdkafka::error::KafkaError::ClientConfig(_, _, key, _) => {
                format!("{key} is no property, or cannot have this value")
            }
            error => error.to_string(),
        })
    }
}

impl From<apache_avro::Error> for Error {
    fn from(error: apache_avro::Error) -> Self {
        Self::Encode(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: Settings) -> String {
        settings.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_accepted() {
        Settings::default().check().unwrap();
    }

    #[test]
    fn a_ratio_outside_zero_to_one_is_refused_by_its_name() {
        for malformed in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let said = refused(Settings {
                malformed,
                ..Settings::default()
            });
            assert!(said.starts_with("--malformed"), "{said}");
        }
    }

    #[test]
    fn a_topic_without_partitions_is_refused() {
        let said = refused(Settings {
            partitions: 0,
            ..Settings::default()
        });
        assert!(said.starts_with("--partitions"), "{said}");
    }

    #[test]
    fn an_empty_address_or_topic_is_refused_by_the_variable_that_sets_it() {
        let no_address = Settings {
            bootstrap_servers: " ".into(),
            ..Settings::default()
        };
        let no_topic = Settings {
            topic: String::new(),
            ..Settings::default()
        };
        assert!(refused(no_address).starts_with("KAFKA_BOOTSTRAP_SERVERS"));
        assert!(refused(no_topic).starts_with("KAFKA_TOPIC"));
    }
}
