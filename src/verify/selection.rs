//! Which checkpoints are looked at: from one to another, by number or by time.

use crate::commit_log::Line;
use crate::config::bound::Bound;

#[derive(Debug, Clone, Copy, Default)]
pub struct Selection {
    pub from: Option<Bound>,
    pub to: Option<Bound>,
}

impl Selection {
    pub fn is_everything(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    pub fn holds(&self, line: &Line) -> bool {
        let from = self.from.is_none_or(|bound| match bound {
            Bound::Checkpoint(id) => line.checkpoint_id >= id,
            Bound::Time(time) => line.commit_timestamp >= time,
        });
        let to = self.to.is_none_or(|bound| match bound {
            Bound::Checkpoint(id) => line.checkpoint_id <= id,
            Bound::Time(time) => line.commit_timestamp <= time,
        });
        from && to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CheckpointId;

    #[test]
    fn both_ends_are_included() {
        let line = |id, time| Line {
            checkpoint_id: CheckpointId(id),
            s3_key: String::new(),
            commit_timestamp: time,
        };
        let selection = Selection {
            from: Some(Bound::Checkpoint(CheckpointId(3))),
            to: Some(Bound::Time(50)),
        };
        let holds = |id, time| selection.holds(&line(id, time));
        assert!(holds(3, 50) && holds(9, 10));
        assert!(!holds(2, 50) && !holds(3, 51));
    }
}
