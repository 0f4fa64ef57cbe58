//! What happens when Kafka or S3 is killed, paused, or comes back. These tests do that to the
//! servers that `scripts/test.sh` has started, so they run one after the other, and in a program of
//! their own: cargo runs it when the other tests have ended.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "all of this crate is tests"
)]

#[path = "../it/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other tests")]
mod harness;
mod kafka;
mod s3;
mod second_broker;
mod server;
