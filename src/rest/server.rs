//! Connections: how many there may be, how long a request may take to arrive and an answer to be
//! taken, and how all of them end with the process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::guard;
use super::settings::{Limits, RestSettings};

/// For answers that are being written when the process ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// After the system has refused a connection, for example for want of file descriptors.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "REST_PORT={port}: another program listens on {address}:{port}. Give another port, 0 for any, or \
         REST_ENABLED=false"
    )]
    Taken { address: String, port: u16 },
    #[error("REST_ADDRESS={address}, REST_PORT={port}: cannot listen there: {source}")]
    Listen {
        address: String,
        port: u16,
        source: io::Error,
    },
}

pub async fn listen(settings: &RestSettings) -> Result<(TcpListener, SocketAddr), StartError> {
    let (address, port) = (settings.address.clone(), settings.port);
    let bound = async {
        let listener = TcpListener::bind((address.as_str(), port)).await?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    bound
        .await
        .map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::Taken { address, port },
            _ => StartError::Listen {
                address,
                port,
                source,
            },
        })
}

/// Serves until `stop` is true or its sender is gone.
pub async fn run(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection to the control plane failed");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        let service = router
            .clone()
            .map_request(|request: Request<Incoming>| guard::plain_path(request));
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write));
        let stream = TokioIo::new(Box::pin(stream));
        let connection = http.serve_connection(stream, TowerToHyperService::new(service));
        let connection = open.watch(connection);
        tokio::spawn(async move {
            // A client that went away or was too slow: nothing to do about it.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST_ANSWERS, open.shutdown()).await;
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, Place)> {
    let place = places
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}
