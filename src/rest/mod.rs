//! The control plane: what people and Flink's tools see of the job, and what they ask of it.
//!
//! ```text
//! connection ──► server ──► guard ──► flink/    as a Flink JobManager answers
//!                (limits)   (who may) lineage   our own API: view, events, history, requests
//!                                     health    /healthz and /readyz
//!                                     metrics   /metrics for Prometheus
//!                                     page      the page for people
//! ```
//!
//! It knows the job by the trait [`Control`] alone, and shows what a [`JobView`] says. What is not
//! known is left out or said as Flink says it; no number is made up.
//!
//! [`JobView`]: crate::jobs::view::JobView

mod answer;
mod body;
mod flink;
mod guard;
mod health;
mod lineage;
pub mod logs;
mod metrics;
mod page;
mod sampler;
mod server;
pub mod settings;
mod trigger;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware;
use axum::response::IntoResponse;
use http::Method;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::answer::Refusal;
use self::flink::here::Here;
use self::guard::AskedPath;
use self::logs::LogRing;
use self::sampler::Sampler;
use self::settings::RestSettings;
use self::trigger::Given;
use crate::jobs::control::Control;

pub use self::server::StartError;

/// What every answer is made from.
struct App {
    control: Arc<dyn Control>,
    settings: RestSettings,
    logs: LogRing,
    here: Here,
    sampler: Arc<Sampler>,
    given: Given,
}

type Shared = Arc<App>;

/// A control plane that listens.
#[derive(Debug)]
pub struct Serving {
    /// Where, with the port that was found if any would do.
    pub address: SocketAddr,
    connections: JoinHandle<()>,
}

impl Serving {
    /// Waits until the last answers are written, once `stop` was sent.
    pub async fn ended(self) {
        let _ = self.connections.await;
    }
}

/// Listens, and serves until `stop` is true or its sender is gone: longer than the job, whose end
/// clients want to see.
///
/// # Errors
/// If it cannot listen there.
pub async fn serve(
    settings: RestSettings,
    control: Arc<dyn Control>,
    logs: LogRing,
    stop: watch::Receiver<bool>,
) -> Result<Serving, StartError> {
    let (listener, address) = server::listen(&settings).await?;
    if !address.ip().is_loopback() && settings.token.is_none() && !settings.read_only {
        tracing::warn!(
            %address,
            "whoever reaches the control plane may stop the job: set REST_TOKEN or REST_READ_ONLY"
        );
    }
    let sampler = Arc::new(Sampler::new(&settings, stop.clone()));
    tokio::spawn(sampler.clone().keep_history(control.clone()));
    tokio::spawn(sampler.clone().feed_streams(control.clone()));
    let limits = settings.limits.clone();
    let app = Arc::new(App {
        control,
        settings,
        logs,
        here: Here::at(address),
        sampler,
        given: Given::default(),
    });
    tracing::info!(%address, "the control plane is up");
    let connections = tokio::spawn(server::run(listener, router(app), limits, stop));
    Ok(Serving {
        address,
        connections,
    })
}

fn router(app: Shared) -> Router {
    let flink = flink::router(&app);
    Router::new()
        .merge(page::router())
        .merge(health::router())
        .merge(metrics::router())
        .merge(lineage::router(&app))
        .nest("/v1", flink.clone())
        .merge(flink)
        .fallback(nothing_there)
        .method_not_allowed_fallback(nothing_there)
        .layer(DefaultBodyLimit::max(app.settings.limits.body))
        .layer(middleware::from_fn_with_state(app.clone(), guard::every))
        .with_state(app)
}

/// Flink takes a path that it does not know for that of a file, and knows no wrong method.
async fn nothing_there(request: Request) -> impl IntoResponse {
    let asked = request.extensions().get::<AskedPath>();
    let path = asked.map_or_else(|| request.uri().path(), |asked| &asked.0);
    match *request.method() {
        Method::GET | Method::HEAD => {
            Refusal::not_found(format!("Unable to load requested file {path}."))
        }
        _ => Refusal::not_found(format!("Not found: {path}")),
    }
}
