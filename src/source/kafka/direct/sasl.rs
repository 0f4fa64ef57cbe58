//! Who one is to a broker: SASL, in Kafka's own requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use rsasl::config::SASLConfig;
use rsasl::prelude::{Mechname, SASLClient, State};
use tokio::time::Instant;

use super::connection::{Connection, ConnectionError};
use crate::config::secret::Secret;
use crate::source::kafka::security::Mechanism;

/// The first one in which SASL goes on in Kafka's requests.
const HANDSHAKE: (i16, i16) = (1, 1);
const AUTHENTICATE: (i16, i16) = (0, 2);
/// Of what a session lasts, after which another connection is made: librdkafka says who it is anew then, too.
const USED: f64 = 0.8;

fn not_let_in(why: impl std::fmt::Display) -> ConnectionError {
    ConnectionError::NotLetIn(why.to_string())
}

/// By PLAIN or SCRAM.
pub async fn with_password(
    connection: &mut Connection,
    mechanism: Mechanism,
    username: &str,
    password: &Secret,
) -> Result<(), ConnectionError> {
    handshake(connection, mechanism).await?;
    let config =
        SASLConfig::with_credentials(None, username.to_owned(), password.expose().to_owned());
    let client = SASLClient::new(config.map_err(not_let_in)? as Arc<SASLConfig>);
    let name = Mechname::parse(mechanism.name().as_bytes()).map_err(not_let_in)?;
    let mut session = client.start_suggested(&[name]).map_err(not_let_in)?;
    let mut said = None;
    loop {
        let mut next = Vec::new();
        let state = session
            .step(said.as_deref(), &mut next)
            .map_err(not_let_in)?;
        if let State::Running = state {
            said = Some(authenticate(connection, next).await?);
        } else if next.is_empty() {
            return Ok(());
        } else {
            authenticate(connection, next).await?;
            return Ok(());
        }
    }
}

/// By OAUTHBEARER (RFC 7628, 3.1).
pub async fn with_token(connection: &mut Connection, token: &str) -> Result<(), ConnectionError> {
    handshake(connection, Mechanism::OAuthBearer).await?;
    let message = format!("n,,\x01auth=Bearer {token}\x01\x01");
    let answer = authenticate(connection, message.into()).await?;
    // A refusal comes as JSON that one has to confirm; it says why.
    match answer.is_empty() {
        true => Ok(()),
        false => Err(not_let_in(String::from_utf8_lossy(&answer))),
    }
}

async fn handshake(
    connection: &mut Connection,
    mechanism: Mechanism,
) -> Result<(), ConnectionError> {
    let name = StrBytes::from_static_str(mechanism.name());
    let request = SaslHandshakeRequest::default().with_mechanism(name);
    let key = ApiKey::SaslHandshake;
    let answer: SaslHandshakeResponse = connection
        .ask(key, HANDSHAKE, &request, Duration::ZERO)
        .await?;
    match ResponseError::try_from_code(answer.error_code) {
        None => Ok(()),
        Some(error) => Err(not_let_in(format!("{}: {error}", mechanism.name()))),
    }
}

/// One step of the mechanism. The broker may say how long it lets one in.
async fn authenticate(
    connection: &mut Connection,
    message: Vec<u8>,
) -> Result<Bytes, ConnectionError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
    let key = ApiKey::SaslAuthenticate;
    let answer: SaslAuthenticateResponse = connection
        .ask(key, AUTHENTICATE, &request, Duration::ZERO)
        .await?;
    if let Some(error) = ResponseError::try_from_code(answer.error_code) {
        let why = answer.error_message.map(|why| why.to_string());
        return Err(not_let_in(why.unwrap_or_else(|| error.to_string())));
    }
    if let Ok(lifetime @ 1..) = u64::try_from(answer.session_lifetime_ms) {
        let lifetime = Duration::from_millis(lifetime).mul_f64(USED);
        connection.until = Instant::now().checked_add(lifetime);
    }
    Ok(answer.auth_bytes)
}
