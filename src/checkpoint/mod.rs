//! The checkpoint protocol: barriers, acks, the log of slots, finalization.
//!
//! [`coordinator`] decides, purely; [`driver`] does what it decided; [`slot`] and [`log`] are the
//! durable side. `docs/architecture.md` has the protocol as a whole, with its invariants.

pub mod coordinator;
pub mod driver;
pub mod log;
pub mod markers;
pub mod slot;
