//! `lineage verify`: the report on standard output, how far it is on standard error.

use indicatif::{ProgressBar, ProgressStyle};

use super::out;
use crate::config::args::VerifyArgs;
use crate::config::settings::{self, Archive};
use crate::verify::{Selection, Verify, Watcher};

/// How a command that looks ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Good,
    /// It could look, and what it found is not as it should be.
    Bad,
}

struct Bar(ProgressBar);

impl Watcher for Bar {
    fn files(&self, count: u64) {
        self.0.set_length(count);
    }

    fn file_read(&self) {
        self.0.inc(1);
    }
}

/// For looking at Kafka, one fetch at a time.
const QUEUE_MEMORY: usize = 24 << 20;

/// # Errors
/// If it could not look.
pub async fn verify(args: VerifyArgs) -> anyhow::Result<Found> {
    let Archive { paths, s3 } = Archive::try_from(args.archive)?;
    // Who does not ask Kafka needs no credentials of it.
    let kafka = args
        .check_kafka
        .then(|| settings::kafka(args.brokers, "lineage-verify".to_owned(), QUEUE_MEMORY));
    let in_s3 = paths.in_s3();
    let verify = Verify {
        paths,
        s3,
        deep: args.deep,
        selection: Selection {
            from: args.from,
            to: args.to,
        },
        kafka: kafka.transpose()?,
    };
    // Drawn at a terminal only.
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos} of {len} files, {elapsed}, {eta} left",
    )?);
    let report = verify.run(&Bar(bar.clone())).await;
    bar.finish_and_clear();
    let report = report.map_err(|e| super::cannot_look(&e, Some(&e), in_s3))?;
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_text()
    };
    out::print(&text)?;
    Ok(if report.is_exact() && report.logs_are_whole() {
        Found::Good
    } else {
        Found::Bad
    })
}
