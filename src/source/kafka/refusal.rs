//! Why a broker does not let us in, where waiting does not cure it.
//!
//! Librdkafka tries again whatever has failed, and says why in words. They are read here, in one place.
//! Where they can mean several things, the broker is asked once more, by hand: why its certificate does
//! not suffice, and whether it speaks TLS.

use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::blocking::wait_for;
use super::oauth::{Origin, TokenError};
use super::security::{Sasl, Security};

/// A broker that can be connected to answers what is asked by hand within it.
const ANSWER: Duration = Duration::from_secs(3);

/// What librdkafka's words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Credentials,
    Mechanism,
    BrokerCertificate,
    ClientCertificate,
    /// To be believed only if the broker speaks TLS: it may also have gone away.
    TlsBroker,
    /// Likewise, if it speaks plaintext.
    PlaintextBroker,
    SaslBroker,
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
        let (broker, said) = match reason.split_once(": ") {
            Some((name, said)) if name.contains("://") || name.contains('/') => {
                (host_and_port(name), said)
            }
            _ => (String::new(), reason),
        };
        let said = said.split(" (after ").next().unwrap_or(said);
        let has = |part: &str| said.contains(part);
        let kind = if has("Failed to acquire SASL OAUTHBEARER token") {
            // Noted by who could not get it.
            return None;
        } else if has("mechanism handshake failed") {
            Kind::Mechanism
        } else if matches!(
            code,
            Some(Code::Authentication | Code::SaslAuthenticationFailed)
        ) {
            Kind::Credentials
        } else if has("certificate verify failed") || has("verify broker certificate") {
            Kind::BrokerCertificate
        } else if is_alert_about_certificate(said) || has("client SSL authentication might be") {
            Kind::ClientCertificate
        } else if has("connecting to a SSL listener?") {
            Kind::TlsBroker
        } else if has("connecting to a PLAINTEXT broker listener?") || has("wrong version number") {
            Kind::PlaintextBroker
        } else if has("broker might require SASL") {
            Kind::SaslBroker
        } else {
            return None;
        };
        let said = said.strip_prefix(&format!("{broker}: ")).unwrap_or(said);
        Some(Self {
            kind,
            said: said.to_owned(),
            broker,
        })
    }
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
            Kind::TlsBroker if speaks_tls(broker) => format!(
                "broker {broker} speaks TLS, and KAFKA_SECURITY_PROTOCOL={protocol} does not: set it \
                 to SSL or SASL_SSL"
            ),
            Kind::PlaintextBroker if speaks_plaintext(broker) => format!(
                "broker {broker} does not speak TLS, and KAFKA_SECURITY_PROTOCOL={protocol} does: set \
                 it to PLAINTEXT or SASL_PLAINTEXT, or name a port with TLS in \
                 KAFKA_BOOTSTRAP_SERVERS"
            ),
            Kind::SaslBroker => format!(
                "broker {broker} ends the connection of KAFKA_SECURITY_PROTOCOL={protocol}, as one \
                 does that asks for SASL: set it to SASL_SSL or SASL_PLAINTEXT, and \
                 KAFKA_SASL_MECHANISM"
            ),
            Kind::TlsBroker | Kind::PlaintextBroker => return None,
        };
        Some(Self(text))
    }
}

/// The settings that say who one is.
fn who(security: &Security) -> String {
    match &security.sasl {
        Some(Sasl::OAuth(tokens)) => match tokens.origin() {
            Origin::File(path) => {
                format!("the token of KAFKA_OAUTH_TOKEN_FILE={}", path.display())
            }
            Origin::Endpoint(credentials) => {
                format!("the token of KAFKA_OAUTH_TOKEN_URL={}", credentials.url)
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
    let why = why_not(broker, security).unwrap_or_else(|| said.to_owned());
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

/// Asks for the certificate once more: librdkafka says only that it does not suffice.
fn why_not(broker: &str, security: &Security) -> Option<String> {
    let pem = security.ca_file.as_ref().map(std::fs::read);
    let pem = pem.transpose().ok()?;
    let url = format!("https://{broker}/");
    let failed = wait_for(async move {
        let mut client = reqwest::Client::builder().timeout(ANSWER);
        if let Some(pem) = pem {
            client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).ok()?);
        }
        // A broker has no answer to it, but its certificate comes first.
        client.build().ok()?.get(url).send().await.err()
    });
    let said = crate::runtime::retry::with_causes(&failed.ok()??);
    said.split_once("invalid peer certificate: ")
        .map(|(_, why)| why.to_owned())
}

/// The beginning of a TLS connection: a broker that speaks TLS answers with a record, be it an alert.
fn speaks_tls(broker: &str) -> bool {
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    // No session, one suite that everybody has had, no compression.
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let mut record = vec![
        0x16,
        3,
        1,
        0,
        hello.len() as u8 + 4,
        1,
        0,
        0,
        hello.len() as u8,
    ];
    record.extend(hello);
    let answer = first_bytes(broker, &record);
    answer.is_some_and(|[kind, major, ..]| matches!(kind, 0x15 | 0x16) && major == 3)
}

/// `ApiVersions`, which every broker answers to everybody.
fn speaks_plaintext(broker: &str) -> bool {
    let request = [0, 0, 0, 10, 0, 18, 0, 0, b'l', b'i', b'n', b'e', 0xff, 0xff];
    let answer = first_bytes(broker, &request);
    answer.is_some_and(|[.., a, b, c, d]| [a, b, c, d] == *b"line")
}

fn first_bytes(broker: &str, sent: &[u8]) -> Option<[u8; 8]> {
    let address = broker.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.write_all(sent).ok()?;
    let mut bytes = [0; 8];
    let count = stream.read(&mut bytes).ok()?;
    // An alert has seven bytes.
    (count >= 2).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

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
                "SASL PLAIN mechanism handshake failed: Broker: x: broker's supported mechanisms: A",
                Kind::Mechanism,
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
                "Disconnected: requesting ApiVersion: might be caused by incorrect security.protocol \
                 configuration (connecting to a SSL listener?) or broker version is < 0.10",
                Kind::TlsBroker,
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
        ] {
            assert_eq!(Sign::read(Some(code), reason), None, "{reason}");
        }
    }

    /// Listens, and answers each connection with these bytes.
    fn answering(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read(&mut [0; 256]);
                let _ = client.write_all(bytes);
            }
        });
        address
    }

    #[test]
    fn a_broker_that_only_goes_away_is_not_taken_for_one_of_another_protocol() {
        let gone = answering(b"");
        assert!(!speaks_tls(&gone) && !speaks_plaintext(&gone));
        let plaintext = answering(b"\0\0\0\x0aline");
        assert!(!speaks_tls(&plaintext) && speaks_plaintext(&plaintext));
        let tls = answering(b"\x15\x03\x03\0\x02\x02\x28");
        assert!(speaks_tls(&tls) && !speaks_plaintext(&tls));
    }
}
