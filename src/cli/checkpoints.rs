//! `lineage checkpoints`: the checkpoint log as it lies in the store.

use anyhow::bail;
use chrono::{DateTime, SecondsFormat};
use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use super::out;
use crate::checkpoint::slot::{Slot, SlotKind};
use crate::config::args::{ArchiveArgs, CheckpointsCommand, SlotChoice};
use crate::config::settings::Archive;
use crate::ids::CheckpointId;
use crate::store::Root;
use crate::verify::slots::{self, Slots};

/// # Errors
/// If the log cannot be read, or does not have what was asked for.
pub async fn checkpoints(command: CheckpointsCommand) -> anyhow::Result<()> {
    let text = match command {
        CheckpointsCommand::List { json, archive } => {
            let slots = slots(archive).await?;
            slots.warn_of_damage();
            if json {
                let lines = slots.readable.values().map(|s| format!("{}\n", summary(s)));
                lines.collect()
            } else {
                format!("{}\n", table(slots.readable.values()))
            }
        }
        CheckpointsCommand::Show { id, archive } => {
            let slots = slots(archive).await?;
            let id = match id {
                SlotChoice::Latest => slots.newest.id,
                SlotChoice::Number(id) => CheckpointId(id),
            };
            if let Some(damaged) = slots.damaged.get(&id) {
                bail!("slot {} cannot be used: {}", damaged.url, damaged.why);
            }
            slots.warn_of_damage();
            let Some(slot) = slots.readable.get(&id) else {
                let first = slots.readable.keys().chain(slots.damaged.keys()).min();
                let first = first.unwrap_or(&slots.newest.id);
                let last = slots.newest.id;
                bail!("slot {id} is not in the log, whose slots are between {first} and {last}");
            };
            serde_json::to_string_pretty(slot)? + "\n"
        }
    };
    out::print(&text)?;
    Ok(())
}

async fn slots(args: ArchiveArgs) -> anyhow::Result<Slots> {
    let Archive { paths, s3 } = Archive::try_from(args)?;
    Ok(slots::read(&paths.checkpoints, &s3).await?)
}

fn kind(slot: &Slot) -> &'static str {
    match slot.kind {
        SlotKind::Start => "start",
        SlotKind::Checkpoint if slot.is_savepoint() => "savepoint",
        SlotKind::Checkpoint => "checkpoint",
    }
}

fn written_at(slot: &Slot) -> String {
    DateTime::from_timestamp_millis(slot.written_at).map_or_else(
        || slot.written_at.to_string(),
        |at| at.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

fn rows(slot: &Slot, root: Root) -> u64 {
    let files = slot.pending.iter().filter(|file| file.root == root);
    files.map(|file| file.rows).sum()
}

fn summary(slot: &Slot) -> serde_json::Value {
    json!({
        "id": slot.id,
        "kind": slot.kind,
        "savepoint": slot.is_savepoint(),
        "generation": slot.generation,
        "written_at": slot.written_at,
        "files": slot.pending.len(),
        "rows": rows(slot, Root::Output),
        "dropped": rows(slot, Root::Dropped),
        "reread": slot.reread.len(),
    })
}

fn table<'a>(slots: impl Iterator<Item = &'a Slot>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header([
        "slot",
        "kind",
        "generation",
        "written at",
        "files",
        "rows",
        "dropped",
    ]);
    for slot in slots {
        table.add_row([
            slot.id.to_string(),
            kind(slot).to_owned(),
            slot.generation.to_string(),
            written_at(slot),
            slot.pending.len().to_string(),
            rows(slot, Root::Output).to_string(),
            rows(slot, Root::Dropped).to_string(),
        ]);
    }
    for place in [0, 2, 4, 5, 6] {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
