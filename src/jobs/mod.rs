//! Jobs: each is one file that wires a source, operators, sinks and the protocol together.

pub mod error;
pub mod lineage;
mod open;
mod plumbing;

pub use error::JobError;
