//! What a person starts: the commands of `lineage`.

pub mod checkpoints;
pub mod demo;
pub mod find;
pub mod logging;
pub mod orphans;
mod out;
pub mod remote;
pub mod run;
pub mod verify;
