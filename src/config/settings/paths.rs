//! The places of one job, which must not overlap.

use super::SettingsError;
use crate::config::args::PathArgs;
use crate::config::location::Location;

#[derive(Debug, Clone)]
pub struct Paths {
    pub output: Location,
    pub dropped: Location,
    pub commit_log: Location,
    pub checkpoints: Location,
}

impl Paths {
    /// Whether one of them is.
    pub fn in_s3(&self) -> bool {
        let all = [
            &self.output,
            &self.dropped,
            &self.commit_log,
            &self.checkpoints,
        ];
        all.iter().any(|path| matches!(path, Location::S3 { .. }))
    }
}

impl TryFrom<PathArgs> for Paths {
    type Error = SettingsError;

    fn try_from(args: PathArgs) -> Result<Self, SettingsError> {
        let paths = Self {
            output: args.output_path,
            dropped: args.dropped_path,
            commit_log: args.write_ahead_commit_log_path,
            checkpoints: args.checkpoints_path,
        };
        paths.check()?;
        Ok(paths)
    }
}

impl Paths {
    /// With the names of their settings.
    pub fn named(&self) -> [(&'static str, &Location); 4] {
        [
            ("OUTPUT_PATH", &self.output),
            ("DROPPED_PATH", &self.dropped),
            ("WRITE_AHEAD_COMMIT_LOG_PATH", &self.commit_log),
            ("CHECKPOINTS_PATH", &self.checkpoints),
        ]
    }

    /// Fails if a further place overlaps one of these.
    pub fn apart_from(&self, name: &'static str, location: &Location) -> Result<(), SettingsError> {
        match self
            .named()
            .into_iter()
            .find(|(_, own)| own.overlaps(location))
        {
            None => Ok(()),
            Some((own, _)) => Err(SettingsError::Overlap {
                first: name,
                second: own,
                location: location.clone(),
            }),
        }
    }

    fn check(&self) -> Result<(), SettingsError> {
        let named = self.named();
        for (place, (first, location)) in named.iter().enumerate() {
            for (second, other) in &named[place + 1..] {
                if location.overlaps(other) {
                    return Err(SettingsError::Overlap {
                        first,
                        second,
                        location: (*location).clone(),
                    });
                }
            }
        }
        Ok(())
    }
}
