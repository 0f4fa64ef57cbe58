//! A Kafka that asks who one is.

mod protocols;
mod refusals;
mod secrets;
