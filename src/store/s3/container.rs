//! Credentials that an agent hands out to a container by a full address, as EKS Pod Identity does.
//! (`object_store` asks only those that want a token from a file.)

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::{AUTHORIZATION, HeaderValue};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpRequestBody};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::config::secret::Secret;

/// So long before they expire others are asked for.
const EARLY: TimeDelta = TimeDelta::minutes(5);

/// What an agent is shown.
#[derive(Debug, Clone)]
pub enum AgentToken {
    None,
    Given(Secret),
    /// Read again whenever it is shown: whoever gave it renews it.
    File(PathBuf),
}

#[derive(Debug)]
pub struct Agent {
    uri: http::Uri,
    token: AgentToken,
    client: HttpClient,
    last: Mutex<Option<HandedOut>>,
}

#[derive(Debug, Clone)]
struct HandedOut {
    credential: Arc<AwsCredential>,
    /// `None`: they stay good.
    until: Option<DateTime<Utc>>,
}

impl HandedOut {
    fn good_at(&self, time: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| time < until)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<DateTime<Utc>>,
}

#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error("{0}")]
    NoAnswer(#[from] HttpError),
    #[error("status code: {0}")]
    Refused(http::StatusCode),
    #[error("its answer holds no credentials")]
    NotUnderstood,
    #[error("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: {path} cannot be read: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("its token has a character that no HTTP header can hold")]
    Unsendable,
}

impl Agent {
    pub fn new(uri: http::Uri, token: AgentToken, client: HttpClient) -> Self {
        let last = Mutex::default();
        Self {
            uri,
            token,
            client,
            last,
        }
    }

    async fn ask(&self) -> Result<HandedOut, AgentError> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = self.uri.clone();
        if let Some(token) = self.token()? {
            let value = HeaderValue::from_str(token.trim_end_matches(['\r', '\n']));
            let mut value = value.map_err(|_| AgentError::Unsendable)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.client.execute(request).await?;
        if !answer.status().is_success() {
            return Err(AgentError::Refused(answer.status()));
        }
        let body = answer.into_body().bytes().await?;
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| AgentError::NotUnderstood)?;
        Ok(HandedOut {
            credential: Arc::new(AwsCredential {
                key_id: answer.access_key_id,
                secret_key: answer.secret_access_key,
                token: answer.token,
            }),
            until: answer.expiration,
        })
    }

    fn token(&self) -> Result<Option<String>, AgentError> {
        match &self.token {
            AgentToken::None => Ok(None),
            AgentToken::Given(token) => Ok(Some(token.expose().to_owned())),
            AgentToken::File(path) => match std::fs::read_to_string(path) {
                Ok(token) => Ok(Some(token)),
                Err(source) => Err(AgentError::File {
                    path: path.clone(),
                    source,
                }),
            },
        }
    }
}

#[async_trait]
impl CredentialProvider for Agent {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // Held while it is asked: who comes meanwhile takes the same.
        let mut last = self.last.lock().await;
        let now = Utc::now();
        if let Some(found) = last.as_ref().filter(|last| last.good_at(now + EARLY)) {
            return Ok(found.credential.clone());
        }
        match self.ask().await {
            Ok(found) => Ok(last.insert(found).credential.clone()),
            Err(error) => match last.as_ref().filter(|last| last.good_at(now)) {
                Some(found) => Ok(found.credential.clone()),
                None => Err(object_store::Error::Generic {
                    store: "S3",
                    source: error.into(),
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex as StdMutex;

    use object_store::client::{HttpResponse, HttpService};

    use super::*;

    /// An agent's answers, one for each time that it is asked.
    #[derive(Debug)]
    struct Answers(StdMutex<VecDeque<(u16, String)>>);

    #[async_trait]
    impl HttpService for Answers {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            let (status, body) = self.0.lock().unwrap().pop_front().unwrap();
            let answer = http::Response::builder().status(status).body(body.into());
            Ok(answer.unwrap())
        }
    }

    fn agent(answers: impl IntoIterator<Item = (u16, String)>) -> Agent {
        let answers = Answers(StdMutex::new(answers.into_iter().collect()));
        let uri = http::Uri::from_static("http://169.254.170.23/v1/credentials");
        Agent::new(uri, AgentToken::None, HttpClient::new(answers))
    }

    /// Credentials with this id that are good for so many minutes.
    fn good_for(minutes: i64, id: &str) -> (u16, String) {
        let until = (Utc::now() + TimeDelta::minutes(minutes)).to_rfc3339();
        let answer = serde_json::json!({
            "AccessKeyId": id, "SecretAccessKey": "s", "Token": "t", "Expiration": until,
        });
        (200, answer.to_string())
    }

    async fn id(agent: &Agent) -> Result<String, String> {
        let given = agent.get_credential().await;
        given
            .map(|given| given.key_id.clone())
            .map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn credentials_are_asked_for_anew_five_minutes_before_they_expire_and_not_earlier() {
        let agent = agent([good_for(4, "a"), good_for(6, "b")]);
        let ids = [id(&agent).await, id(&agent).await, id(&agent).await];
        assert_eq!(ids.map(Result::unwrap), ["a", "b", "b"]);
    }

    #[tokio::test]
    async fn while_the_agent_refuses_those_that_are_still_good_stay_in_use() {
        let refused = || (500, String::new());
        let agent = agent([good_for(4, "a"), refused(), good_for(60, "b")]);
        let ids = [id(&agent).await, id(&agent).await, id(&agent).await];
        assert_eq!(ids.map(Result::unwrap), ["a", "a", "b"]);

        let agent = self::agent([good_for(-1, "a"), refused()]);
        assert_eq!(
            id(&agent).await.unwrap(),
            "a",
            "the store says that it is over"
        );
        let said = id(&agent).await.unwrap_err();
        assert!(said.contains("status code: 500"), "{said}");
    }
}
