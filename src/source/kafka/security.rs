//! Who one is to the brokers, and how they are known: as settings, and as librdkafka's properties.

use std::path::PathBuf;
use std::sync::Arc;

use super::oauth::TokenSource;
use crate::config::secret::Secret;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Protocol {
    #[default]
    #[value(name = "PLAINTEXT")]
    Plaintext,
    #[value(name = "SSL")]
    Ssl,
    #[value(name = "SASL_SSL")]
    SaslSsl,
    #[value(name = "SASL_PLAINTEXT")]
    SaslPlaintext,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mechanism {
    #[value(name = "PLAIN")]
    Plain,
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
    #[value(name = "OAUTHBEARER")]
    OAuthBearer,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslSsl => "SASL_SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
        }
    }

    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslSsl | Self::SaslPlaintext)
    }
}

impl Mechanism {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

/// Checked: what belongs together is there together.
#[derive(Debug, Clone, Default)]
pub struct Security {
    pub protocol: Protocol,
    pub sasl: Option<Sasl>,
    /// None: those of the system.
    pub ca_file: Option<PathBuf>,
    pub certificate: Option<ClientCertificate>,
}

#[derive(Debug, Clone)]
pub enum Sasl {
    Password {
        mechanism: Mechanism,
        username: String,
        password: Secret,
    },
    /// One for all clients: they share its tokens.
    OAuth(Arc<TokenSource>),
}

#[derive(Debug, Clone)]
pub struct ClientCertificate {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    pub key_password: Option<Secret>,
}

impl Sasl {
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Password { mechanism, .. } => *mechanism,
            Self::OAuth(_) => Mechanism::OAuthBearer,
        }
    }
}

impl Security {
    pub fn tokens(&self) -> Option<&Arc<TokenSource>> {
        match &self.sasl {
            Some(Sasl::OAuth(tokens)) => Some(tokens),
            _ => None,
        }
    }

    /// For librdkafka; nobody else may set these.
    pub(super) fn properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = vec![("security.protocol", self.protocol.name().to_owned())];
        if let Some(sasl) = &self.sasl {
            properties.push(("sasl.mechanism", sasl.mechanism().name().to_owned()));
        }
        if let Some(Sasl::Password {
            username, password, ..
        }) = &self.sasl
        {
            properties.push(("sasl.username", username.clone()));
            properties.push(("sasl.password", password.expose().to_owned()));
        }
        if !self.protocol.is_encrypted() {
            return properties;
        }
        let file = |path: &PathBuf| path.to_string_lossy().into_owned();
        // OpenSSL is built in, and knows nothing of where this system keeps its certificates.
        let ca = self
            .ca_file
            .as_ref()
            .map_or_else(|| "probe".to_owned(), file);
        properties.push(("ssl.ca.location", ca));
        if let Some(own) = &self.certificate {
            properties.push(("ssl.certificate.location", file(&own.certificate_file)));
            properties.push(("ssl.key.location", file(&own.key_file)));
            if let Some(password) = &own.key_password {
                properties.push(("ssl.key.password", password.expose().to_owned()));
            }
        }
        properties
    }
}

/// Properties of librdkafka that have a setting of their own, and which.
pub const OWNED_PROPERTIES: &[(&str, &str)] = &[
    ("security.protocol", "KAFKA_SECURITY_PROTOCOL sets it"),
    ("sasl.mechanism", "KAFKA_SASL_MECHANISM sets it"),
    ("sasl.mechanisms", "KAFKA_SASL_MECHANISM sets it"),
    ("sasl.username", "KAFKA_SASL_USERNAME sets it"),
    (
        "sasl.password",
        "KAFKA_SASL_PASSWORD or KAFKA_SASL_PASSWORD_FILE sets it",
    ),
    ("ssl.ca.location", "KAFKA_SSL_CA_FILE sets it"),
    (
        "ssl.certificate.location",
        "KAFKA_SSL_CERTIFICATE_FILE sets it",
    ),
    ("ssl.key.location", "KAFKA_SSL_KEY_FILE sets it"),
    (
        "ssl.key.password",
        "KAFKA_SSL_KEY_PASSWORD or KAFKA_SSL_KEY_PASSWORD_FILE sets it",
    ),
    (
        "sasl.oauthbearer.method",
        "KAFKA_OAUTH_TOKEN_FILE or KAFKA_OAUTH_TOKEN_URL sets it",
    ),
    (
        "sasl.oauthbearer.config",
        "KAFKA_OAUTH_TOKEN_FILE or KAFKA_OAUTH_TOKEN_URL sets it",
    ),
    (
        "enable.sasl.oauthbearer.unsecure.jwt",
        "KAFKA_OAUTH_TOKEN_FILE takes such tokens too",
    ),
    (
        "sasl.oauthbearer.token.endpoint.url",
        "KAFKA_OAUTH_TOKEN_URL sets it",
    ),
    (
        "sasl.oauthbearer.client.id",
        "KAFKA_OAUTH_CLIENT_ID sets it",
    ),
    (
        "sasl.oauthbearer.client.secret",
        "KAFKA_OAUTH_CLIENT_SECRET or KAFKA_OAUTH_CLIENT_SECRET_FILE sets it",
    ),
    ("sasl.oauthbearer.scope", "KAFKA_OAUTH_SCOPE sets it"),
];
