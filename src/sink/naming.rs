//! Names of part files: `part-<job>-<generation>-<subtask>-<sequence>.parquet`, never reused.

use std::fmt;

use crate::ids::{Generation, JobId, SubtaskIndex};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartName {
    pub job: JobId,
    pub generation: Generation,
    pub subtask: SubtaskIndex,
    /// Counts the files of this subtask and generation, from 0.
    pub sequence: u64,
}

impl PartName {
    /// Reads a name back; `None` for every name that is not exactly of this form.
    pub fn parse(name: &str) -> Option<Self> {
        let parts = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
        let mut parts = parts.split('-');
        let parsed = Self {
            job: parts.next()?.parse().ok()?,
            generation: Generation(parts.next()?.parse().ok()?),
            subtask: SubtaskIndex(parts.next()?.parse().ok()?),
            sequence: parts.next()?.parse().ok()?,
        };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            job,
            generation,
            subtask,
            sequence,
        } = self;
        write!(f, "part-{job}-{generation}-{subtask}-{sequence}.parquet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_nothing_else_does() {
        let name = "part-0123456789abcdef0123456789abcdef-3-1-42.parquet";
        let parsed = PartName::parse(name).unwrap();
        assert_eq!(
            (parsed.generation.0, parsed.subtask.0, parsed.sequence),
            (3, 1, 42)
        );
        assert_eq!(parsed.to_string(), name);
        for other in [
            "part-0123456789abcdef0123456789abcdef-3-1-042.parquet",
            "part-0123456789abcdef0123456789abcdef-3-1.parquet",
            "part-0123456789abcdef0123456789abcdef-3-1-42-7.parquet",
            "part-xyz-3-1-42.parquet",
            "part-0.parquet",
            "0123.parquet",
        ] {
            assert_eq!(PartName::parse(other), None, "{other}");
        }
    }
}
