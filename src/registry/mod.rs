//! The schema registry: which schema stands behind the id in front of a record.
//!
//! Ids are immutable, so what was once known is known for good ([`schemas`]). The registry is asked in the
//! background ([`client`] makes the requests), for as long as it takes: while it is away records wait, and
//! none is dropped.

pub mod client;
pub mod schemas;

use std::time::Duration;

use url::Url;

use crate::config::secret::Secret;

/// How to reach the registry.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Tried in turn.
    pub urls: Vec<Url>,
    pub login: Option<Login>,
    /// Certificates in PEM that are trusted beside those of the system.
    pub ca: Option<Vec<u8>>,
    /// How long an id that the registry does not know is asked for before its records are dropped.
    pub retry: Duration,
}

/// What is sent with every request.
#[derive(Debug, Clone)]
pub enum Login {
    Basic { user: String, password: Secret },
    Bearer(Secret),
}
