//! One connection to a broker, which asks one question after the other.
//!
//! What requests and answers look like is the `kafka-protocol` crate's; here are their frames, the versions that
//! both sides know, and who one is. Only Fetch goes on to its bytes, which stay in the buffer that they were
//! read to.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::sasl;
use super::tls::Tls;
use crate::source::kafka::security::{Sasl, Security};

/// A broker that can be connected to takes no longer, its name and its certificate included.
const CONNECT: Duration = Duration::from_secs(10);
/// A name may have several addresses, the first of which may lead nowhere.
const CONNECT_TO_ADDRESS: Duration = Duration::from_secs(3);
/// Between two pieces of an answer; for its first one on top of what the question may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer that would be larger is none: librdkafka has the same limit.
const LARGEST_ANSWER: usize = 100_000_000;

/// Host and port of a broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// Kafka's own, where none is named.
const PORT: u16 = 9_092;

impl Address {
    /// Those of `KAFKA_BOOTSTRAP_SERVERS`.
    pub fn all_of(servers: &str) -> Vec<Self> {
        let named = servers.split(',').map(str::trim).filter(|s| !s.is_empty());
        named
            .map(|server| {
                let server = server.split_once("://").map_or(server, |(_, rest)| rest);
                let (host, port) = match server.rsplit_once(':') {
                    Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
                    _ => (server, None),
                };
                Self {
                    host: host.trim_matches(['[', ']']).to_owned(),
                    port: port.unwrap_or(PORT),
                }
            })
            .collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("nothing comes for {0:?}")]
    Silent(Duration),
    #[error("no connection within {0:?}")]
    Slow(Duration),
    #[error("what it says is not Kafka's: {0}")]
    NotKafka(String),
    #[error("it knows no version of {0:?} that lineage knows")]
    Version(ApiKey),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("it does not let lineage in: {0}")]
    NotLetIn(String),
}

impl ConnectionError {
    /// Whether it is about who one is, who the broker is, or what both know: another client may be let in.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::NotLetIn(_) | Self::Version(_))
    }
}

fn not_kafka(error: impl fmt::Display) -> ConnectionError {
    ConnectionError::NotKafka(error.to_string())
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How connections are made.
pub struct Connector {
    pub client_id: StrBytes,
    pub tls: Option<Tls>,
    pub security: Security,
}

pub struct Connection {
    stream: Box<dyn Stream>,
    client_id: StrBytes,
    /// Of each kind of request, those that the broker knows.
    versions: HashMap<i16, (i16, i16)>,
    correlation: i32,
    /// The broker ends the connection then.
    pub until: Option<Instant>,
}

impl Connector {
    pub async fn connect(
        &self,
        address: &Address,
        tokens: impl AsyncFnOnce() -> Result<String, String>,
    ) -> Result<Connection, ConnectionError> {
        let connecting = self.connect_by(address, tokens);
        let connected = timeout(CONNECT, connecting).await;
        connected.unwrap_or(Err(ConnectionError::Slow(CONNECT)))
    }

    async fn connect_by(
        &self,
        address: &Address,
        tokens: impl AsyncFnOnce() -> Result<String, String>,
    ) -> Result<Connection, ConnectionError> {
        let stream = tcp(address).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(&address.host, stream).await?),
        };
        let mut connection = Connection {
            stream,
            client_id: self.client_id.clone(),
            versions: HashMap::new(),
            correlation: 0,
            until: None,
        };
        connection.ask_for_versions().await?;
        match &self.security.sasl {
            None => {}
            Some(Sasl::Password {
                mechanism,
                username,
                password,
            }) => sasl::with_password(&mut connection, *mechanism, username, password).await?,
            Some(Sasl::OAuth(_)) => {
                let token = tokens().await.map_err(ConnectionError::NotLetIn)?;
                sasl::with_token(&mut connection, &token).await?;
            }
        }
        Ok(connection)
    }
}

/// By the first address of its name that takes it.
async fn tcp(address: &Address) -> Result<TcpStream, ConnectionError> {
    let mut failed = ConnectionError::Io(std::io::ErrorKind::AddrNotAvailable.into());
    let named = lookup_host((address.host.as_str(), address.port)).await?;
    for address in named {
        match timeout(CONNECT_TO_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error.into(),
            Err(_) => failed = ConnectionError::Slow(CONNECT_TO_ADDRESS),
        }
    }
    Err(failed)
}

impl Connection {
    async fn ask_for_versions(&mut self) -> Result<(), ConnectionError> {
        // Of this one every broker knows the first version.
        let key = ApiKey::ApiVersions;
        self.versions.insert(key as i16, (0, 0));
        let answer: ApiVersionsResponse = self
            .ask(key, (0, 0), &ApiVersionsRequest::default(), Duration::ZERO)
            .await?;
        if let Some(error) = ResponseError::try_from_code(answer.error_code) {
            return Err(not_kafka(error));
        }
        let known = answer.api_keys.iter();
        self.versions = known
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        Ok(())
    }

    /// The newest version of a request that both sides know, of those from `first` to `last`.
    pub fn version(&self, key: ApiKey, (first, last): (i16, i16)) -> Result<i16, ConnectionError> {
        let (oldest, newest) = self.versions.get(&(key as i16)).copied().unwrap_or((0, -1));
        let version = last.min(newest);
        match version >= first.max(oldest) {
            true => Ok(version),
            false => Err(ConnectionError::Version(key)),
        }
    }

    /// Asks in the newest version of `range` that the broker knows. `may_take` is what the broker may wait before
    /// it answers.
    pub async fn ask<Q, A>(
        &mut self,
        key: ApiKey,
        range: (i16, i16),
        question: &Q,
        may_take: Duration,
    ) -> Result<A, ConnectionError>
    where
        Q: Encodable + HeaderVersion,
        A: Decodable + HeaderVersion,
    {
        let version = self.version(key, range)?;
        self.correlation = self.correlation.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(self.client_id.clone()));
        let mut request = BytesMut::new();
        request.put_i32(0);
        let encoded = header.encode(&mut request, Q::header_version(version));
        encoded.map_err(not_kafka)?;
        question.encode(&mut request, version).map_err(not_kafka)?;
        let length = i32::try_from(request.len() - 4).map_err(not_kafka)?;
        request[..4].copy_from_slice(&length.to_be_bytes());
        let writing = async {
            self.stream.write_all(&request).await?;
            self.stream.flush().await
        };
        let written = timeout(PATIENCE, writing).await;
        written.map_err(|_| ConnectionError::Silent(PATIENCE))??;
        let mut answer = self.answer(may_take).await?;
        let header = ResponseHeader::decode(&mut answer, A::header_version(version));
        let header = header.map_err(not_kafka)?;
        if header.correlation_id != self.correlation {
            return Err(not_kafka("an answer to another question"));
        }
        A::decode(&mut answer, version).map_err(not_kafka)
    }

    async fn answer(&mut self, may_take: Duration) -> Result<Bytes, ConnectionError> {
        let mut length = BytesMut::with_capacity(4);
        self.read(&mut length, 4, may_take + PATIENCE).await?;
        let length = usize::try_from(i32::from_be_bytes([
            length[0], length[1], length[2], length[3],
        ]));
        let length = length.ok().filter(|length| *length <= LARGEST_ANSWER);
        let length = length.ok_or_else(|| not_kafka("an answer of no length that one has"))?;
        let mut answer = BytesMut::with_capacity(length);
        self.read(&mut answer, length, PATIENCE).await?;
        Ok(answer.freeze())
    }

    /// Reads until there are so many bytes. What is slow and goes on is waited for.
    async fn read(
        &mut self,
        into: &mut BytesMut,
        length: usize,
        patience: Duration,
    ) -> Result<(), ConnectionError> {
        while into.len() < length {
            let mut room = into.limit(length - into.len());
            let reading = self.stream.read_buf(&mut room);
            let read = timeout(patience, reading).await;
            if read.map_err(|_| ConnectionError::Silent(patience))?? == 0 {
                return Err(ConnectionError::Io(
                    std::io::ErrorKind::UnexpectedEof.into(),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_named_as_in_the_setting() {
        let all = Address::all_of(" a:1 , b,SASL_SSL://c:2, [::1]:3,[::2]");
        let all: Vec<_> = all.iter().map(Address::to_string).collect();
        assert_eq!(all, ["a:1", "b:9092", "c:2", "[::1]:3", "[::2]:9092"]);
    }
}
