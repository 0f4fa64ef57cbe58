//! What drives the chains: the step machine of a subtask, the thread that steps it, and what all
//! parts of the process share: its health, its memory budget, its way to retry.

pub mod budget;
pub mod failure;
pub mod health;
pub mod progress;
pub mod retry;
pub mod subtask;
pub mod thread;
pub mod watermark;

use tokio::sync::watch;

/// Waits until it is so; for ever when nobody can say it any more.
pub async fn until<T>(said: &mut watch::Receiver<T>, so: impl FnMut(&T) -> bool) {
    if said.wait_for(so).await.is_err() {
        std::future::pending().await
    }
}
