//! `lineage run`: one job until the process is told to end.

use crate::config::Settings;
use crate::jobs::{JobError, Supervisor};

/// Exit code after a second signal, as of a shell's Ctrl-C.
const INTERRUPTED: i32 = 130;

/// # Errors
/// If the job fails.
pub async fn run(settings: Settings) -> Result<(), JobError> {
    let supervisor = Supervisor::new(settings);
    let stopped = supervisor.clone();
    tokio::spawn(stop_on_signals(move || stopped.shut_down()));
    // Here the control plane begins to listen, with the supervisor as its `Control`.
    supervisor.run().await
}

/// The first SIGTERM or Ctrl-C asks for a stop, the second ends the process at once.
pub async fn stop_on_signals(stop: impl Fn()) {
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
        stop();
    }
}
