//! Requests to the control plane, with errors that say what to look at.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::args::RemoteArgs;
use crate::config::secret::{has_login, unless_secret};
use crate::jobs::view::JobView;
use crate::rest::settings::{self, Token};

/// An answer that takes longer is none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at something that takes its time.
const POLL: Duration = Duration::from_millis(200);

pub struct Client {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    token: Option<Token>,
}

/// The form of every refusal.
#[derive(Deserialize)]
struct Refused {
    errors: Vec<String>,
}

impl Client {
    /// # Errors
    /// If address or token cannot be used.
    pub fn new(args: RemoteArgs) -> anyhow::Result<Self> {
        let url = url::Url::parse(&args.rest).ok();
        let url = url.filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        let Some(url) = url else {
            bail!(
                "--rest: '{}' is not a URL such as http://127.0.0.1:8081",
                unless_secret(&args.rest)
            );
        };
        if has_login(&url) {
            bail!("--rest has a user or a password in it: give a token by --rest-token-file");
        }
        Ok(Self {
            // A proxy of the environment is for other hosts; this is the service itself.
            http: reqwest::Client::builder()
                .timeout(TIMEOUT)
                .no_proxy()
                .build()?,
            base: args.rest.trim_end_matches('/').to_owned(),
            token: settings::token(args.rest_token, args.rest_token_file)?,
        })
    }

    /// # Errors
    /// If it does not answer.
    pub async fn view(&self) -> anyhow::Result<JobView> {
        self.get("/lineage/view").await
    }

    /// # Errors
    /// If it does not answer, refuses, or is of another version.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.request(Method::GET, path, None).await?;
        serde_json::from_value(answer).with_context(|| {
            format!(
                "{}{path} answers something else; is it a lineage of this version?",
                self.base
            )
        })
    }

    /// # Errors
    /// If it does not answer, or refuses.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.request(Method::POST, path, Some(body)).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, &url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        let no_answer = || {
            format!(
                "no control plane answers at {}: is the service running, and is --rest its address?",
                self.base
            )
        };
        let answer = request.send().await.with_context(no_answer)?;
        let status = answer.status();
        let text = answer.text().await.with_context(no_answer)?;
        if status.is_success() {
            return serde_json::from_str(&text)
                .with_context(|| format!("{url} answers no JSON; is it a lineage?"));
        }
        let why = serde_json::from_str::<Refused>(&text)
            .map_or_else(|_| status.to_string(), |refused| refused.errors.join("; "));
        Err(match status {
            StatusCode::UNAUTHORIZED => anyhow!("{why} (give --rest-token or --rest-token-file)"),
            _ => anyhow!("{why}"),
        })
    }

    /// Looks at the job until `done` says something.
    ///
    /// # Errors
    /// If it does not answer any more.
    pub async fn until<T>(&self, done: impl Fn(&JobView) -> Option<T>) -> anyhow::Result<T> {
        loop {
            if let Some(found) = done(&self.view().await?) {
                return Ok(found);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until a savepoint is complete; where it is.
    ///
    /// # Errors
    /// If it fails.
    pub async fn completed(&self, trigger: &str) -> anyhow::Result<String> {
        let path = format!("/lineage/operations/{trigger}");
        loop {
            let operation: Operation = self.get(&path).await?;
            match operation {
                Operation::InProgress => tokio::time::sleep(POLL).await,
                Operation::Completed { location } => return Ok(location),
                Operation::Failed { cause } => bail!("{cause}"),
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "status")]
enum Operation {
    #[serde(rename = "in progress")]
    InProgress,
    #[serde(rename = "completed")]
    Completed { location: String },
    #[serde(rename = "failed")]
    Failed { cause: String },
}
