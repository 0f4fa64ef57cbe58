//! How to reach the brokers.

use std::collections::BTreeMap;

use super::kafka_security::security;
use super::{SettingsError, not_empty};
use crate::config::args::BrokerArgs;
use crate::source::kafka::{KafkaSettings, owned_properties};

/// How to reach the brokers, as a member of a group.
pub fn kafka(
    args: BrokerArgs,
    group_id: String,
    queue_memory: usize,
) -> Result<KafkaSettings, SettingsError> {
    not_empty("KAFKA_BOOTSTRAP_SERVERS", &args.kafka_bootstrap_servers)?;
    Ok(KafkaSettings {
        bootstrap_servers: args.kafka_bootstrap_servers,
        group_id,
        properties: properties(args.kafka_property)?,
        security: security(args.security)?,
        queue_memory,
        topic_ids: true,
    })
}

fn properties(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut properties = BTreeMap::new();
    for (key, value) in given {
        if let Some((_, reason)) = owned_properties().find(|(owned, _)| *owned == key) {
            return Err(SettingsError::OwnedProperty { key, reason });
        }
        if properties.insert(key.clone(), value).is_some() {
            return Err(SettingsError::PropertyTwice { key });
        }
    }
    Ok(properties)
}
