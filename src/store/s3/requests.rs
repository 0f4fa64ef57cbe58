//! The one HTTP client of a job for S3. It counts every request, those that `object_store` repeats by
//! itself among them, each with how it ended and how long its answer took.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use http::{Method, StatusCode};
use object_store::aws::AwsCredentialProvider;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use serde::{Deserialize, Serialize};

use crate::runtime::progress::timings::Timings;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Success,
    /// 4xx: also the answer to a look at what is not there, and to a second put of the same slot.
    ClientError,
    /// 5xx: S3 asks to slow down with these, too.
    ServerError,
    /// No connection, or no answer in time.
    NoAnswer,
}

impl Outcome {
    pub const ALL: [Self; 4] = [
        Self::Success,
        Self::ClientError,
        Self::ServerError,
        Self::NoAnswer,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::NoAnswer => "no_answer",
        }
    }

    fn of(status: StatusCode) -> Self {
        if status.is_server_error() {
            Self::ServerError
        } else if status.is_client_error() {
            Self::ClientError
        } else {
            Self::Success
        }
    }
}

/// Requests of one method.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MethodCounts {
    pub outcomes: BTreeMap<Outcome, u64>,
    /// From the request to the head of its answer, whatever that says, or until none was waited for.
    pub timings: Timings,
}

#[derive(Debug, Default)]
pub struct Requests {
    counts: Arc<Counts>,
    /// All paths share its connections and the certificates that it trusts, which take a while to read.
    client: OnceLock<HttpClient>,
    /// All paths are asked as the same one, who is found once.
    credentials: OnceLock<AwsCredentialProvider>,
}

impl Requests {
    /// Those of the first who asks are those of all.
    pub(super) fn credentials(
        &self,
        make: impl FnOnce() -> object_store::Result<AwsCredentialProvider>,
    ) -> object_store::Result<AwsCredentialProvider> {
        if let Some(credentials) = self.credentials.get() {
            return Ok(credentials.clone());
        }
        let credentials = make()?;
        Ok(self.credentials.get_or_init(|| credentials).clone())
    }

    pub fn by_method(&self) -> BTreeMap<String, MethodCounts> {
        self.counts.lock().clone()
    }
}

/// By method.
#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<String, MethodCounts>>);

impl Counts {
    fn add(&self, method: &Method, outcome: Outcome, begun: Instant) {
        let mut methods = self.lock();
        let counts = methods.entry(method.to_string()).or_default();
        *counts.outcomes.entry(outcome).or_default() += 1;
        counts.timings.add(begun.elapsed());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, MethodCounts>> {
        // Whole after every statement above.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out the client whose requests are counted; the options of the first who asks are those of all.
#[derive(Debug)]
pub struct CountingConnector(pub Arc<Requests>);

impl HttpConnector for CountingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        if let Some(client) = self.0.client.get() {
            return Ok(client.clone());
        }
        let client = HttpClient::new(CountingService {
            client: ReqwestConnector::default().connect(options)?,
            counts: self.0.counts.clone(),
        });
        Ok(self.0.client.get_or_init(|| client).clone())
    }
}

#[derive(Debug)]
struct CountingService {
    client: HttpClient,
    counts: Arc<Counts>,
}

#[async_trait]
impl HttpService for CountingService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (method, begun) = (request.method().clone(), Instant::now());
        let response = self.client.execute(request).await;
        let outcome = match &response {
            Ok(response) => Outcome::of(response.status()),
            Err(_) => Outcome::NoAnswer,
        };
        self.counts.add(&method, outcome, begun);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Answers(Option<u16>);

    #[async_trait]
    impl HttpService for Answers {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            use object_store::client::HttpErrorKind::Connect;
            let Some(status) = self.0 else {
                return Err(HttpError::new(Connect, std::io::Error::other("refused")));
            };
            let mut response = HttpResponse::new(String::new().into());
            *response.status_mut() = status.try_into().unwrap();
            Ok(response)
        }
    }

    #[tokio::test]
    async fn each_request_is_counted_once_by_its_method_and_how_it_ended() {
        let requests = Requests::default();
        let answers = [
            (Method::GET, Some(200)),
            (Method::GET, Some(404)),
            (Method::PUT, Some(200)),
            (Method::PUT, Some(412)),
            (Method::PUT, Some(503)),
            (Method::PUT, None),
            (Method::PUT, None),
        ];
        for (method, answer) in answers {
            let service = CountingService {
                client: HttpClient::new(Answers(answer)),
                counts: requests.counts.clone(),
            };
            let mut request = HttpRequest::new(String::new().into());
            *request.method_mut() = method;
            let answered = service.call(request).await;
            assert_eq!(answered.ok().map(|r| r.status().as_u16()), answer);
        }
        let counted = requests.by_method();
        let outcomes = |method: &str| -> Vec<_> {
            let outcomes = &counted[method].outcomes;
            Outcome::ALL
                .map(|o| outcomes.get(&o).copied().unwrap_or(0))
                .to_vec()
        };
        assert_eq!(outcomes("GET"), [1, 1, 0, 0]);
        assert_eq!(outcomes("PUT"), [1, 1, 1, 2]);
        assert_eq!(counted["PUT"].timings.count(), 5);
        assert_eq!(counted.len(), 2);
    }
}
