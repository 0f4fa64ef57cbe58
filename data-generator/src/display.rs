//! Shows a run: a bar on a terminal, a line every few seconds elsewhere. All of it on stderr.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use data_generator::{Progress, Settings};
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(200);
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// One bar or one series of lines. A clone writes to the same one.
#[derive(Clone)]
pub struct Display {
    /// Hidden where there is no terminal.
    bar: ProgressBar,
    terminal: bool,
}

impl Display {
    pub fn new(settings: &Settings) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = match (terminal, settings.count) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(count)) => ProgressBar::new(count).with_style(style(
                "{wide_bar} {human_pos} of {human_len}, {rate}, {eta} left",
            )),
            (true, None) => ProgressBar::new_spinner()
                .with_style(style("{spinner} {human_pos} records, {rate}, {elapsed}")),
        };
        Self { bar, terminal }
    }

    /// A line for the reader, above the bar if there is one.
    #[allow(
        clippy::print_stderr,
        reason = "the one place of this program that writes to stderr"
    )]
    pub fn say(&self, text: &str) {
        if self.terminal {
            self.bar.suspend(|| eprintln!("{text}"));
        } else {
            eprintln!(
                "{} {text}",
                humantime::format_rfc3339_seconds(std::time::SystemTime::now())
            );
        }
    }

    /// Shows `progress` until the other end of `finished` is dropped.
    pub fn follow(&self, progress: &Progress, finished: &Receiver<()>) {
        let step = if self.terminal { REDRAW } else { BETWEEN_LINES };
        let mut before = (Instant::now(), 0);
        while finished.recv_timeout(step) == Err(RecvTimeoutError::Timeout) {
            let now = (Instant::now(), progress.delivered());
            if self.terminal {
                self.bar.set_position(now.1);
            } else {
                let per_second = rate(now.1 - before.1, now.0 - before.0);
                self.say(&format!(
                    "{} records delivered, {} a second",
                    HumanCount(now.1),
                    HumanCount(per_second)
                ));
                before = now;
            }
        }
        self.bar.finish_and_clear();
    }
}

/// Records a second.
pub fn rate(records: u64, elapsed: Duration) -> u64 {
    (records as f64 / elapsed.as_secs_f64().max(0.001)).round() as u64
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // Writing to the terminal's own line cannot fail in a way that matters.
            let _ = write!(out, "{}/s", HumanCount(state.per_sec().round() as u64));
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_records_by_seconds_and_never_divides_by_zero() {
        assert_eq!(rate(1_000, Duration::from_millis(500)), 2_000);
        assert_eq!(rate(0, Duration::ZERO), 0);
    }
}
