//! `lineage run`: one job until the process is told to end.

use tokio::sync::watch;

use crate::config::Settings;
use crate::jobs::{JobError, Supervisor};
use crate::rest;
use crate::rest::logs::LogRing;

/// Exit code after a second signal, as of a shell's Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Rest(#[from] rest::StartError),
    #[error(transparent)]
    Job(#[from] JobError),
}

impl RunError {
    /// Process exit code; the README has the table.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Rest(_) => 2,
            Self::Job(error) => error.exit_code(),
        }
    }
}

/// The control plane is up before the job starts, and until its end was shown.
///
/// # Errors
/// If the control plane cannot listen, or the job fails.
pub async fn run(settings: Settings, logs: LogRing) -> Result<(), RunError> {
    let rest = settings.rest.clone();
    let supervisor = Supervisor::new(settings);
    let (end, ended) = watch::channel(false);
    let serving = match rest {
        Some(rest) => Some(rest::serve(rest, supervisor.control(), logs, ended).await?),
        None => None,
    };
    let stopped = supervisor.clone();
    tokio::spawn(stop_on_signals(move || stopped.shut_down()));
    let result = supervisor.run().await;
    end.send_replace(true);
    if let Some(serving) = serving {
        serving.ended().await;
    }
    Ok(result?)
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
