//! One end of a range of checkpoints, as a person types it: a number or a time.

use std::str::FromStr;

use crate::clock::parse_time;
use crate::ids::CheckpointId;

/// An end of the range; both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Checkpoint(CheckpointId),
    /// Of the commit log's timestamps, milliseconds since 1970.
    Time(i64),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.strip_prefix("chk-").unwrap_or(text).parse() {
            return Ok(Self::Checkpoint(CheckpointId(id)));
        }
        parse_time(text)
            .map(Self::Time)
            .map_err(|why| format!("{why}, or a checkpoint such as 17"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_checkpoint_or_a_time() {
        assert_eq!("17".parse(), Ok(Bound::Checkpoint(CheckpointId(17))));
        assert_eq!("chk-17".parse(), Ok(Bound::Checkpoint(CheckpointId(17))));
        assert_eq!("1970-01-01T00:00:02".parse(), Ok(Bound::Time(2_000)));
        assert!("yesterday".parse::<Bound>().is_err());
    }
}
