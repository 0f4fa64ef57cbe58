//! Why a broker does not let us in, where waiting does not cure it.
//!
//! Librdkafka tries again whatever has failed, and says why in words. They are read here, in one place.
//! Where they can mean several things, the broker is asked once more, by hand (`probe.rs`).

use std::fmt;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::oauth::Origin;
use super::probe::{has_sasl, speaks_plaintext, speaks_tls, why_not};
use super::security::{Sasl, Security};
use super::token::TokenError;

/// A connection that is closed within it was not wanted, or the broker goes away just then.
const NEW_MS: u32 = 2_000;

/// What librdkafka's words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Credentials,
    Mechanism,
    BrokerCertificate,
    ClientCertificate,
    /// The connection, without TLS, was closed at its beginning. To be believed only if the port speaks
    /// TLS, or asks for SASL: the broker may also have gone away.
    Closed,
    /// Likewise, if it speaks plaintext.
    PlaintextBroker,
    /// The connection, with TLS and without SASL, was closed at its beginning.
    ClosedWithTls,
    /// The port has no SASL.
    NoSasl,
}

/// A connection that has failed in a way that waiting may not cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    pub kind: Kind,
    /// Host and port of the broker; may be empty.
    pub broker: String,
    /// What librdkafka said of it.
    pub said: String,
}

impl Sign {
    /// `None` for what may pass by itself.
    pub fn read(code: Option<Code>, reason: &str) -> Option<Self> {
        let broker = broker_of(reason)?;
        let (name, said) = reason.split_once(": ")?;
        let closed = of_closed(name, said);
        let said = said.split(" (after ").next().unwrap_or(said);
        let has = |part: &str| said.contains(part);
        let kind = if has("mechanism handshake failed") {
            match () {
                () if has("Unsupported SASL mechanism") => Kind::Mechanism,
                () if has("not valid in current SASL state") => Kind::NoSasl,
                // Without an answer it says the same.
                () => return None,
            }
        } else if has(": Local: ") {
            // The client's own troubles, such as a connection that has ended.
            return None;
        } else if matches!(
            code,
            Some(Code::Authentication | Code::SaslAuthenticationFailed)
        ) {
            Kind::Credentials
        } else if has("certificate verify failed") || has("verify broker certificate") {
            Kind::BrokerCertificate
        } else if is_alert_about_certificate(said) || has("client SSL authentication might be") {
            Kind::ClientCertificate
        } else if has("connecting to a PLAINTEXT broker listener?") || has("wrong version number") {
            Kind::PlaintextBroker
        } else {
            closed?
        };
        let said = said.strip_prefix(&format!("{broker}: ")).unwrap_or(said);
        Some(Self {
            kind,
            said: said.to_owned(),
            broker,
        })
    }
}

/// Of a connection that the broker has closed soon, from the state that it was in.
fn of_closed(name: &str, said: &str) -> Option<Kind> {
    let (what, when) = said.rsplit_once(" (after ")?;
    let (age_ms, state) = when.split_once("ms in state ")?;
    if !what.contains("Disconnected") {
        return None;
    }
    let (protocol, _) = name.split_once("://").unwrap_or(("plaintext", name));
    let new = age_ms.parse().is_ok_and(|age: u32| age < NEW_MS);
    let state = state.split([',', ')']).next().unwrap_or(state);
    match (protocol, state) {
        // What speaks TLS closes at the first bytes, what asks for SASL at the first request.
        ("plaintext" | "sasl_plaintext", "APIVERSION_QUERY") => Some(Kind::Closed),
        ("plaintext", "UP") if new => Some(Kind::Closed),
        ("ssl", "UP") if new => Some(Kind::ClosedWithTls),
        _ => None,
    }
}

/// Host and port of the broker that it is about.
pub fn broker_of(reason: &str) -> Option<String> {
    let (name, _) = reason.split_once(": ")?;
    (name.contains('/')).then(|| host_and_port(name))
}

/// Whether the broker has ended the connection for what we have shown it, or have not.
fn is_alert_about_certificate(said: &str) -> bool {
    let alerts = [
        "alert bad certificate",
        "alert certificate",
        "alert unsupported certificate",
        "alert unknown ca",
        "alert handshake failure",
        "alert no certificate",
    ];
    alerts.iter().any(|alert| said.contains(alert))
}

/// Of a name such as `sasl_ssl://host:9092/bootstrap`.
fn host_and_port(name: &str) -> String {
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    name.split('/').next().unwrap_or(name).to_owned()
}

/// Why one is not let in, and what to do.
#[derive(Debug, Clone)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&TokenError> for Refusal {
    fn from(error: &TokenError) -> Self {
        Self(error.to_string())
    }
}

impl Refusal {
    /// Blocks where the broker has to be asked. `None`: it may pass by itself.
    pub fn of(sign: &Sign, security: &Security) -> Option<Self> {
        let Sign { kind, broker, said } = sign;
        let protocol = security.protocol.name();
        let text = match kind {
            Kind::Credentials => format!("broker {broker} refuses {}: {said}", who(security)),
            Kind::Mechanism => {
                let offered = said.rsplit_once("supported mechanisms: ");
                let mechanism = security.sasl.as_ref().map(|sasl| sasl.mechanism().name());
                format!(
                    "broker {broker} does not offer KAFKA_SASL_MECHANISM={}: it offers {}",
                    mechanism.unwrap_or_default(),
                    offered.map_or("others", |(_, offered)| offered)
                )
            }
            Kind::BrokerCertificate => certificate(broker, said, security),
            Kind::ClientCertificate => {
                let cure = match &security.certificate {
                    Some(own) => format!(
                        "it does not take the certificate of KAFKA_SSL_CERTIFICATE_FILE={}",
                        own.certificate_file.display()
                    ),
                    None => "it asks for a certificate: set KAFKA_SSL_CERTIFICATE_FILE and \
                             KAFKA_SSL_KEY_FILE"
                        .to_owned(),
                };
                format!("broker {broker} refuses the client: {cure} ({said})")
            }
            Kind::Closed => return closed(broker, protocol),
            Kind::PlaintextBroker if speaks_plaintext(broker) => format!(
                "broker {broker} does not speak TLS, and KAFKA_SECURITY_PROTOCOL={protocol} does: set \
                 it to PLAINTEXT or SASL_PLAINTEXT, or name a port with TLS in \
                 KAFKA_BOOTSTRAP_SERVERS"
            ),
            Kind::ClosedWithTls => asks_for_sasl(broker, protocol),
            Kind::NoSasl => format!(
                "broker {broker} has no SASL at this port, and KAFKA_SECURITY_PROTOCOL={protocol} asks \
                 for it: set it to {}, or name a port with SASL in KAFKA_BOOTSTRAP_SERVERS",
                match security.protocol.is_encrypted() {
                    true => "SSL",
                    false => "PLAINTEXT",
                }
            ),
            Kind::PlaintextBroker => return None,
        };
        Some(Self(text))
    }
}

/// Why a broker closes connections without TLS, if it does not only go away.
fn closed(broker: &str, protocol: &str) -> Option<Refusal> {
    if speaks_tls(broker) {
        return Some(Refusal(format!(
            "broker {broker} speaks TLS, and KAFKA_SECURITY_PROTOCOL={protocol} does not: set it to SSL \
             or SASL_SSL"
        )));
    }
    has_sasl(broker).then(|| Refusal(asks_for_sasl(broker, protocol)))
}

fn asks_for_sasl(broker: &str, protocol: &str) -> String {
    format!(
        "broker {broker} ends the connection of KAFKA_SECURITY_PROTOCOL={protocol}, as one does that \
         asks for SASL: set it to SASL_SSL or SASL_PLAINTEXT, and KAFKA_SASL_MECHANISM"
    )
}

/// The settings that say who one is.
fn who(security: &Security) -> String {
    match &security.sasl {
        Some(Sasl::OAuth(tokens)) => match tokens.origin() {
            Origin::File(path) => {
                format!("the token of KAFKA_OAUTH_TOKEN_FILE={}", path.display())
            }
            Origin::Endpoint(credentials) => {
                format!("the token of KAFKA_OAUTH_TOKEN_URL={}", credentials.shown())
            }
        },
        Some(Sasl::Password {
            mechanism,
            username,
            ..
        }) => format!(
            "KAFKA_SASL_USERNAME={username} with its KAFKA_SASL_PASSWORD \
             (KAFKA_SASL_MECHANISM={})",
            mechanism.name()
        ),
        None => "the client".to_owned(),
    }
}

fn certificate(broker: &str, said: &str, security: &Security) -> String {
    let why = why_not(broker, security.ca_file.as_deref()).unwrap_or_else(|| said.to_owned());
    let vouching = match &security.ca_file {
        Some(path) => format!("KAFKA_SSL_CA_FILE={}", path.display()),
        None => "the system's certificates (KAFKA_SSL_CA_FILE is not set)".to_owned(),
    };
    if why.contains("certificate expired") {
        format!("the certificate of broker {broker} has expired: {why}. It has to be renewed there")
    } else if why.contains("not valid yet") {
        format!("the certificate of broker {broker} is not valid yet: {why}. Look at both clocks")
    } else if why.contains("not valid for name") {
        format!(
            "the certificate of broker {broker} is for another host name: {why}. Name the broker so \
             in KAFKA_BOOTSTRAP_SERVERS and in its advertised.listeners, or have the certificate \
             issued for this name too"
        )
    } else if why.contains("UnknownIssuer") {
        format!(
            "the certificate of broker {broker} was issued by nobody in {vouching}: set \
             KAFKA_SSL_CA_FILE to the certificate of the authority that issued it"
        )
    } else {
        format!("the certificate of broker {broker} is refused, held against {vouching}: {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: Code, reason: &str) -> Option<Kind> {
        Sign::read(Some(code), reason).map(|sign| sign.kind)
    }

    #[test]
    fn librdkafkas_words_are_read() {
        let sign = Sign::read(
            Some(Code::Authentication),
            "sasl_ssl://b:9092/bootstrap: b:9092: SASL authentication error: Authentication failed \
             (after 3ms in state AUTH_REQ, 1 identical error(s) suppressed)",
        );
        let sign = sign.unwrap();
        assert_eq!(sign.kind, Kind::Credentials);
        assert_eq!(sign.broker, "b:9092");
        assert_eq!(
            sign.said,
            "SASL authentication error: Authentication failed"
        );
        for (code, said, expected) in [
            (
                Code::Authentication,
                "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's \
                 supported mechanisms: A",
                Kind::Mechanism,
            ),
            (
                Code::Authentication,
                "SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL state: \
                 broker's supported mechanisms: ",
                Kind::NoSasl,
            ),
            (
                Code::SSL,
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker",
                Kind::BrokerCertificate,
            ),
            (
                Code::SSL,
                "SSL handshake failed: error:0A000412:SSL routines::ssl/tls alert bad certificate",
                Kind::ClientCertificate,
            ),
            (
                Code::BrokerTransportFailure,
                "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
                Kind::PlaintextBroker,
            ),
        ] {
            let reason = format!("ssl://b:9092/1: {said}");
            assert_eq!(kind(code, &reason), Some(expected), "{said}");
        }
    }

    #[test]
    fn a_connection_that_is_closed_means_what_its_state_says() {
        let closed = |name: &str, when: &str| {
            let said = "Disconnected: connection closed by peer: receive 0 after POLLIN";
            let sign = Sign::read(None, &format!("{name}: {said} (after {when})"));
            sign.map(|sign| sign.kind)
        };
        let asked = "0ms in state APIVERSION_QUERY";
        let up = "1999ms in state UP, 1 identical error(s) suppressed";
        assert_eq!(closed("b:1/bootstrap", asked), Some(Kind::Closed));
        assert_eq!(closed("sasl_plaintext://b:1/1", asked), Some(Kind::Closed));
        assert_eq!(closed("ssl://b:1/1", asked), None);
        assert_eq!(closed("b:1/1", up), Some(Kind::Closed));
        assert_eq!(closed("ssl://b:1/1", up), Some(Kind::ClosedWithTls));
        assert_eq!(closed("sasl_ssl://b:1/1", up), None);
        assert_eq!(closed("b:1/1", "2000ms in state UP"), None);
    }

    #[test]
    fn what_may_pass_is_no_sign() {
        for (code, reason) in [
            (
                Code::BrokerTransportFailure,
                "b:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused",
            ),
            (
                Code::Resolve,
                "b:9092/bootstrap: Failed to resolve 'b:9092'",
            ),
            (Code::AllBrokersDown, "1/1 brokers are down"),
            (
                Code::Authentication,
                "Failed to acquire SASL OAUTHBEARER token: no answer",
            ),
            (
                Code::Authentication,
                "sasl_ssl://b:9092/1: SASL PLAIN mechanism handshake failed: Local: Timed out: broker's \
                 supported mechanisms: (n/a)",
            ),
            (
                Code::Authentication,
                "sasl_ssl://b:9092/1: SASL authentication error: SaslAuthenticateRequest failed: Local: \
                 Broker transport failure",
            ),
        ] {
            assert_eq!(Sign::read(Some(code), reason), None, "{reason}");
        }
    }
}
