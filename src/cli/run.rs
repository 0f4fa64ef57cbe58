//! `lineage run`: one job until it is stopped.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::SystemClock;
use crate::config::Settings;
use crate::jobs::JobError;
use crate::jobs::lineage::{self, Environment};
use crate::runtime::health::Health;
use crate::runtime::progress::Progress;
use crate::runtime::retry::Patience;

/// Exit code after a second signal, as of a shell's Ctrl-C.
const INTERRUPTED: i32 = 130;

/// An environment on the real clock.
pub fn environment(stop: watch::Receiver<bool>) -> Environment {
    Environment {
        patience: Patience {
            clock: Arc::new(SystemClock::new()),
            health: Arc::new(Health::default()),
        },
        progress: Arc::new(Progress::default()),
        stop,
    }
}

pub async fn run(settings: &Settings) -> Result<(), JobError> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(stop_on_signals(stop));
    lineage::run(settings, environment(stopped)).await
}

/// The first SIGTERM or Ctrl-C asks for a stop, the second ends the process at once.
pub async fn stop_on_signals(stop: watch::Sender<bool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        tracing::error!("signals cannot be caught: a stop will be without a last checkpoint");
        return;
    };
    let mut first = true;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if !first {
            tracing::warn!(
                "second signal: stopped at once; the next start reads again what was not in a complete checkpoint"
            );
            std::process::exit(INTERRUPTED);
        }
        first = false;
        stop.send_replace(true);
    }
}
