//! Whole runs of `lineage` against a real Kafka and a real S3, read back by readers that are not
//! ours. `scripts/test.sh` starts the servers and names them in the environment; without it every
//! test here fails and says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "all of this crate is tests"
)]

mod bounded;
mod buckets;
mod clients;
mod compaction;
mod control;
mod damaged;
mod demo;
mod disk;
mod environment;
mod event_time;
mod exactly_once;
mod examples;
#[path = "../shared/exposition.rs"]
mod exposition;
mod failure_points;
mod fencing;
mod find;
mod group;
mod harness;
mod history;
mod idle;
mod lost_brokers;
mod lost_files;
mod malformed;
mod markers;
mod metrics;
#[path = "../shared/monitoring.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod monitoring;
mod order;
mod partitions;
mod reader;
mod refusals;
mod registry;
mod s3;
mod schemas;
mod security;
mod start_from;
mod stopping;
mod store_faults;
mod topics;
mod transactions;
mod types;
mod verify;
mod waiting;
