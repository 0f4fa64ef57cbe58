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
    let mut servers = args.kafka_bootstrap_servers.split(',').map(str::trim);
    if let Some(server) = servers.find(|server| !is_host_and_port(server)) {
        return Err(SettingsError::Broker(server.to_owned()));
    }
    Ok(KafkaSettings {
        bootstrap_servers: args.kafka_bootstrap_servers,
        group_id,
        properties: properties(args.kafka_property)?,
        security: security(args.security)?,
        queue_memory,
        topic_ids: true,
    })
}

/// What is no property is not shown: it may be a part of a secret, such as a key in several lines.
fn properties(given: Vec<String>) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut properties = BTreeMap::new();
    for (place, line) in given.iter().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let property = line.split_once('=');
        let property = property.map(|(key, value)| (key.trim().to_owned(), value.to_owned()));
        let Some((key, value)) = property.filter(|(key, _)| is_a_key(key)) else {
            return Err(SettingsError::NoProperty { number: place + 1 });
        };
        if let Some((_, reason)) = owned_properties().find(|(owned, _)| *owned == key) {
            return Err(SettingsError::OwnedProperty { key, reason });
        }
        if properties.insert(key.clone(), value).is_some() {
            return Err(SettingsError::PropertyTwice { key });
        }
    }
    Ok(properties)
}

/// Of the signs that librdkafka's names are made of.
fn is_a_key(text: &str) -> bool {
    let known =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.chars().all(known)
}

/// The port may be left out.
fn is_host_and_port(server: &str) -> bool {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => (server, None),
        Some((host, port)) => (host, Some(port)),
        None => (server, None),
    };
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    let is_host = !host.is_empty()
        && (in_brackets || !host.contains(':'))
        && !host.contains(|c: char| c.is_whitespace() || "/;@?#".contains(c));
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<BTreeMap<String, String>, String> {
        let lines = text.split('\n').map(str::to_owned).collect();
        properties(lines).map_err(|e| e.to_string())
    }

    #[test]
    fn lines_are_properties_and_blank_ones_are_none() {
        let found = of("fetch.wait.max.ms=50\n\nssl.key.pem = a=b \n").unwrap();
        assert_eq!(found["fetch.wait.max.ms"], "50");
        assert_eq!(found["ssl.key.pem"], " a=b ");
    }

    #[test]
    fn what_is_no_property_is_named_by_its_line_and_never_shown() {
        for text in [
            "client.id=x\nGEHEIM",
            "ssl.key.pem=-----BEGIN PRIVATE KEY-----\nGEHEIM==\n-----END PRIVATE KEY-----",
            "client.id=x\n=GEHEIM",
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains("line 2 of KAFKA_PROPERTIES"), "{error}");
            assert!(!error.contains("GEHEIM"), "{error}");
        }
    }
}
