//! The files of one checkpoint, as its commit log names them.

use anyhow::Context;
use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Deserialize;

use super::client::Client;
use crate::config::args::SlotChoice;
use crate::jobs::control::CommitLogLine;
use crate::jobs::view::CheckpointState;

#[derive(Deserialize)]
struct Files {
    files: Vec<CommitLogLine>,
}

/// # Errors
/// If the control plane does not answer, or there is no such checkpoint yet.
pub async fn files(client: &Client, id: SlotChoice, as_json: bool) -> anyhow::Result<String> {
    let id = match id {
        SlotChoice::Number(id) => id,
        SlotChoice::Latest => {
            let view = client.view().await?;
            let mut complete = view.checkpoints.history.iter();
            let latest = complete.find(|c| c.state == CheckpointState::Completed);
            latest.context("no checkpoint is complete yet")?.id.0
        }
    };
    let path = format!("/lineage/checkpoints/{id}/files");
    let Files { files } = client.get(&path).await?;
    if as_json {
        let lines = files.iter().map(serde_json::to_string);
        let lines: Vec<_> = lines.collect::<Result<_, _>>()?;
        return Ok(lines.iter().map(|line| format!("{line}\n")).collect());
    }
    Ok(format!(
        "{}\n{} files in the commit log of checkpoint {id}\n",
        table(&files),
        files.len()
    ))
}

fn table(files: &[CommitLogLine]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header(["subtask", "kind", "rows", "bytes", "s3_key"]);
    for file in files {
        let known = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
        let kind = if file.dropped { "dropped" } else { "output" };
        table.add_row([
            file.subtask.to_string(),
            kind.to_owned(),
            known(file.rows),
            known(file.bytes),
            file.s3_key.clone(),
        ]);
    }
    for place in [0, 2, 3] {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
