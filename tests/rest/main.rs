//! The control plane over real connections, with a job that is made up: nothing else has to run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "all of this crate is tests"
)]

mod events;
mod fake;
mod goldens;
mod guard;
mod health;
mod limits;
mod metrics;
mod own_api;
mod page;
mod sample;
mod server;
mod shape;
mod triggers;
