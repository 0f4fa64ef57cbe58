//! Settings: as typed ([`args`]) and as resolved and checked ([`settings`]).

pub mod args;
pub mod bound;
#[cfg(test)]
mod documented;
pub mod location;
pub mod secret;
pub mod settings;
pub mod shown;

pub use settings::{Settings, SettingsError};

/// The schema of the topic `lineage-input`.
pub const DEFAULT_SCHEMA: &str = include_str!("../../avro/input_event.avsc");
