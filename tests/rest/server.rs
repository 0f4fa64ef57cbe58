//! A control plane on a free port of this machine, and a client of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lineage::rest::logs::LogRing;
use lineage::rest::settings::{Limits, RestSettings, Rhythm};
use lineage::rest::{self, Serving};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use super::fake::FakeControl;
use super::sample::JOB;

pub struct Server {
    pub address: SocketAddr,
    pub control: Arc<FakeControl>,
    pub logs: LogRing,
    client: Client,
    serving: Serving,
    stop: watch::Sender<bool>,
}

pub fn settings() -> RestSettings {
    RestSettings {
        address: "127.0.0.1".into(),
        port: 0,
        token: None,
        read_only: false,
        hosts: Vec::new(),
        limits: Limits::default(),
        rhythm: Rhythm {
            events: Duration::from_millis(20),
            history: Duration::from_millis(10),
        },
    }
}

pub async fn start() -> Server {
    start_with(settings()).await
}

pub async fn start_with(settings: RestSettings) -> Server {
    let control = Arc::new(FakeControl::new());
    let logs = LogRing::default();
    let (stop, stopped) = watch::channel(false);
    let serving = rest::serve(settings, control.clone(), logs.clone(), stopped)
        .await
        .unwrap();
    Server {
        address: serving.address,
        control,
        logs,
        client: Client::builder().no_proxy().build().unwrap(),
        serving,
        stop,
    }
}

/// Status and body, which is JSON.
pub type Answer = (StatusCode, Value);

impl Server {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path = path.replace("{job}", JOB);
        let url = format!("http://{}{path}", self.address);
        self.client.request(method, url)
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        answer(self.request(Method::POST, path).body(body.to_owned())).await
    }

    /// Until rates are known, which takes two looks at the job.
    pub async fn warm(self) -> Self {
        while self.control.looks() < 3 {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self
    }

    pub async fn end(self) {
        self.stop.send_replace(true);
        self.serving.ended().await;
    }
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    match serde_json::from_str(&text) {
        Ok(body) => (status, body),
        Err(error) => panic!("{status}: not JSON ({error}): {text}"),
    }
}

/// The text of the one error.
pub fn error(body: &Value) -> &str {
    let errors = body["errors"].as_array().expect("a list of errors");
    assert_eq!(errors.len(), 1, "{body}");
    errors[0].as_str().unwrap()
}
