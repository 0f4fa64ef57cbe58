//! Jobs: each is one file that wires a source, operators, sinks and the protocol together.

pub mod control;
pub mod error;
mod history;
mod lineage;
mod open;
mod operations;
mod plumbing;
pub mod supervisor;
pub mod view;

pub use error::JobError;
pub use supervisor::Supervisor;
