//! What a person starts: `lineage run`, `lineage demo`.

pub mod demo;
pub mod logging;
pub mod run;
