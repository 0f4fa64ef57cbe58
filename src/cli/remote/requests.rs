//! What changes the job. Each command waits for what it has asked for.

use anyhow::Context;
use serde_json::{Value, json};

use super::client::Client;
use crate::config::location::Location;
use crate::jobs::view::JobState;

/// # Errors
/// If it is refused, or fails.
pub async fn savepoint(
    client: &Client,
    target: Option<Location>,
    then_stop: bool,
    as_json: bool,
) -> anyhow::Result<String> {
    let target = target.map(|target| target.to_string());
    let asked = json!({ "target": target, "stop": then_stop });
    let accepted = client.post("/lineage/savepoint", &asked).await?;
    let trigger = accepted["trigger"]
        .as_str()
        .context("the answer to a savepoint names no trigger")?;
    let location = client.completed(trigger).await?;
    if then_stop {
        ended(client).await?;
    }
    Ok(if as_json {
        line(&json!({ "savepoint": location, "stopped": then_stop }))
    } else if then_stop {
        format!("stopped with savepoint {location}\n")
    } else {
        format!("savepoint {location}\n")
    })
}

/// # Errors
/// If it is refused, or the job fails instead.
pub async fn stop(client: &Client, now: bool, as_json: bool) -> anyhow::Result<String> {
    let path = if now {
        "/lineage/cancel"
    } else {
        "/lineage/stop"
    };
    client.post(path, &json!({})).await?;
    let state = ended(client).await?;
    Ok(if as_json {
        line(&json!({ "state": state }))
    } else if now {
        "stopped without a last checkpoint: the next start reads again what no checkpoint holds\n"
            .to_owned()
    } else {
        "stopped with a last checkpoint\n".to_owned()
    })
}

/// # Errors
/// If it is refused, or the job fails.
pub async fn resume(client: &Client, as_json: bool) -> anyhow::Result<String> {
    client.post("/lineage/resume", &json!({})).await?;
    let settled = |state: JobState| state == JobState::Running || state.is_terminal();
    let view = client
        .until(|view| settled(view.state).then(|| view.clone()))
        .await?;
    anyhow::ensure!(
        view.state == JobState::Running,
        "the job has ended again, or failed: see the log of the service"
    );
    let generation = view.generation.map(|generation| generation.0);
    Ok(if as_json {
        line(&json!({ "state": view.state, "generation": generation }))
    } else {
        format!("running, generation {}\n", generation.unwrap_or_default())
    })
}

async fn ended(client: &Client) -> anyhow::Result<JobState> {
    client
        .until(|view| view.state.is_terminal().then_some(view.state))
        .await
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}
