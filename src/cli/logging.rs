//! Log lines, to standard error: readable at a terminal, or one JSON object a line. The newest are kept
//! in memory too, for the control plane.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::config::args::LogFormat;
use crate::rest::logs::LogRing;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn filter(text: &str) -> Result<EnvFilter, String> {
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    for word in words {
        let is_level = LEVELS.contains(&word.to_lowercase().as_str());
        // Alone it would be taken for a module that logs, and everything else would be silent.
        if !is_level && !word.contains(['=', '[']) {
            return Err(format!(
                "there is no level '{word}', but {}",
                LEVELS.join(", ")
            ));
        }
    }
    let filter = EnvFilter::try_new(text).map_err(|e| e.to_string())?;
    Ok(match text.eq_ignore_ascii_case("info") {
        // Each try of a request is a line there; what comes of it is said here.
        true => EnvFilter::new("info,object_store=warn"),
        false => filter,
    })
}

/// Sets logging up for the process.
///
/// # Errors
/// If `level` is no level and no list of filters.
pub fn init(format: LogFormat, level: &str) -> Result<LogRing, String> {
    let filter = filter(level).map_err(|e| {
        format!("LOG_LEVEL: '{level}' is no level such as info, and no list of filters: {e}")
    })?;
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

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_word_that_is_no_level_is_refused_and_filters_are_taken() {
        for level in ["warning", "debugg", "info,lineage", "lineage"] {
            let refusal = filter(level).unwrap_err();
            assert!(refusal.contains("no level"), "{level}: {refusal}");
        }
        for level in [
            "info",
            "WARN",
            "off",
            "info,hyper=debug",
            "lineage::sink=trace",
            "",
        ] {
            filter(level).unwrap();
        }
    }
}
