//! `lineage status | savepoint | stop | resume | files`: asks the control plane of a running service.

mod client;
mod files;
mod requests;
mod status;

use super::out;
use super::verify::Found;
use crate::config::args::RemoteCommand;
use client::Client;

/// `status` of a job that does not run or is degraded has found something bad.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn remote(command: RemoteCommand) -> anyhow::Result<Found> {
    let mut found = Found::Good;
    let text = match command {
        RemoteCommand::Status { json, rest } => {
            let view = Client::new(rest)?.view().await?;
            if !status::is_well(&view) {
                found = Found::Bad;
            }
            if json {
                serde_json::to_string(&view)? + "\n"
            } else {
                status::text(&view)
            }
        }
        RemoteCommand::Savepoint { target, json, rest } => {
            let client = Client::new(rest)?;
            requests::savepoint(&client, target, false, json).await?
        }
        RemoteCommand::Stop {
            savepoint,
            target,
            now,
            json,
            rest,
        } => {
            let client = Client::new(rest)?;
            if savepoint || target.is_some() {
                requests::savepoint(&client, target, true, json).await?
            } else {
                requests::stop(&client, now, json).await?
            }
        }
        RemoteCommand::Resume { json, rest } => requests::resume(&Client::new(rest)?, json).await?,
        RemoteCommand::Files { id, json, rest } => {
            files::files(&Client::new(rest)?, id, json).await?
        }
    };
    out::print(&text)?;
    Ok(found)
}
