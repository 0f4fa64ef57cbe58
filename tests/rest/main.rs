//! The control plane over real connections, with a job that is made up: nothing else has to run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "all of this crate is tests"
)]

mod events;
#[path = "../shared/exposition.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod exposition;
mod fake;
mod goldens;
mod guard;
mod health;
mod limits;
mod metrics;
#[path = "../shared/monitoring.rs"]
mod monitoring;
mod own_api;
mod page;
mod prometheus;
mod sample;
mod server;
mod shape;
mod triggers;
