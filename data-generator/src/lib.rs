//! Produces events to a Kafka topic, for trying, testing and measuring lineage.
//!
//! The way of one record: [`pace`] says when, [`event`] makes and encodes it, [`malformed`] breaks
//! it where a test asks for that, [`producer`] hands it to Kafka and counts what Kafka
//! acknowledged. Before the first one, [`topic`] waits for the broker and makes the topic.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use data_generator::{Progress, Settings, run};
//!
//! let settings = Settings { count: Some(1_000), ..Settings::default() };
//! let produced = run(&settings, &AtomicBool::new(false), &Progress::default())?;
//! assert_eq!(produced.delivered, 1_000);
//! # Ok::<(), data_generator::Error>(())
//! ```

pub mod event;
pub mod malformed;
pub mod pace;
mod producer;
mod progress;
mod settings;
mod topic;

use std::sync::atomic::AtomicBool;

pub use producer::Produced;
pub use progress::Progress;
pub use settings::{Error, Settings};

/// Produces until `settings.count` records are acknowledged, or until `stop` is set.
///
/// Blocks: a caller with other work gives it a thread. `progress` can be read, and its notes are
/// called, while it runs. A topic that exists is used as it is, with the partitions it has; only an
/// absent one is created. When `stop` is set, what was handed to Kafka is still delivered, for at
/// most 30 seconds.
///
/// # Errors
///
/// [`Error::Setting`] before anything is sent; [`Error::Topic`] if the topic can be neither used
/// nor created; [`Error::Undelivered`] if Kafka did not acknowledge every record: the first failed
/// delivery ends the run. A broker that is not there is waited for, and is no error.
pub fn run(settings: &Settings, stop: &AtomicBool, progress: &Progress) -> Result<Produced, Error> {
    settings.check()?;
    match topic::ready(settings, stop, progress)? {
        Some(partitions) => producer::produce(settings, partitions, stop, progress),
        None => Ok(Produced::default()),
    }
}
