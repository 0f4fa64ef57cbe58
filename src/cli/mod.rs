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

use crate::runtime::retry::with_causes;
use crate::verify::VerifyError;

/// Why a command could not look at an archive, with what to look at oneself where the store is the reason.
fn cannot_look(
    error: &dyn std::error::Error,
    of_archive: Option<&VerifyError>,
    in_s3: bool,
) -> anyhow::Error {
    let advice = match of_archive {
        Some(VerifyError::Store(_)) if in_s3 => {
            "; check the four paths, AWS_ENDPOINT_URL, AWS_REGION and the credentials"
        }
        Some(VerifyError::Store(_)) => "; check the four paths",
        _ => "",
    };
    anyhow::anyhow!("cannot look: {}{advice}", with_causes(error))
}
