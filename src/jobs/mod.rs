//! Jobs: each is one file that wires a source, operators, sinks and the protocol together.

pub mod control;
pub mod error;
pub mod lineage;
mod open;
mod plumbing;
pub mod view;

pub use error::JobError;
