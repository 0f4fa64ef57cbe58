//! Log lines, to standard error: readable at a terminal, or one JSON object a line. The newest are kept
//! in memory too, for the control plane.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::config::args::LogFormat;
use crate::rest::logs::LogRing;

/// Sets logging up for the process.
///
/// # Errors
/// If `level` is no level and no list of filters.
pub fn init(format: LogFormat, level: &str) -> Result<LogRing, String> {
    let filter = EnvFilter::try_new(level)
        .map_err(|e| format!("LOG_LEVEL: '{level}' is no level such as info: {e}"))?;
    let ring = LogRing::default();
    let kept = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .with_writer(ring.clone());
    let written = fmt::layer().with_target(false).with_writer(std::io::stderr);
    let registry = registry().with(filter).with(kept);
    match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry.with(written.with_ansi(colours)).init();
        }
        LogFormat::Json => registry.with(written.json().flatten_event(true)).init(),
    }
    Ok(ring)
}
