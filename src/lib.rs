//! Archives a Kafka topic as Parquet files on S3, exactly once, with a commit log that `cat` reads.
//!
//! The modules follow the way of one record:
//!
//! ```text
//! source ──► transform ──► sink ──► store
//!   (kafka)   (decode,      (bucket, part file,   (s3, local)
//!              enrich)       upload, committer)
//!                              │ at every barrier
//!                              ▼
//!                         commit_log ──► checkpoint (slot) ──► finalize
//! ```
//!
//! - [`jobs`] wires one job; [`runtime`] drives its subtasks.
//! - [`checkpoint`] is the protocol, [`recovery`] what a start does with what it finds.
//! - [`verify`] proves from the outside what an archive holds; [`find`] says where one record is.
//! - [`rest`] shows a job to people and to Flink's tools, and takes their requests.
//! - [`config`] and [`cli`] are what a person meets.

mod causes;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod commit_log;
pub mod config;
mod digest;
pub mod find;
pub mod ids;
pub mod jobs;
mod mutants;
mod offset_set;
pub mod recovery;
pub mod registry;
pub mod rest;
pub mod runtime;
#[cfg(test)]
mod simulation;
pub mod sink;
pub mod source;
pub mod store;
pub mod transform;
pub mod verify;
