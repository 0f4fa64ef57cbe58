//! The job at a glance, for a terminal.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{CellAlignment, Table};
use humantime::format_duration;

use crate::ids::NextOffset;
use crate::jobs::view::{CheckpointState, CheckpointView, JobState, JobView};

/// Reasons and troubles that are shown; JSON has all.
const MOST: usize = 10;

/// Whether nobody has to look at it.
pub fn is_well(view: &JobView) -> bool {
    view.state == JobState::Running && view.troubles.is_empty()
}

pub fn text(view: &JobView) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("state", state(view));
    let job = view.job.as_ref().map(ToString::to_string);
    let generation = view.generation.map(|g| format!(", generation {g}"));
    line(
        "job",
        job.unwrap_or_else(|| "not known yet".into()) + &generation.unwrap_or_default(),
    );
    line("archives", view.name.clone());
    line("lag", lag(view));
    line("checkpoint", checkpoint(view));
    line("dropped", dropped(view));
    for (concern, trouble) in view.troubles.iter().take(MOST) {
        let since = ago(view.now, trouble.since);
        line(
            "degraded",
            format!("{concern}, for {since}: {}", trouble.message),
        );
    }
    let _ = writeln!(text, "\n{}", splits(view));
    text
}

fn state(view: &JobView) -> String {
    let state = match view.state {
        JobState::Created => "starting",
        JobState::Running => "running",
        JobState::Stopping => "stopping, with a last checkpoint",
        JobState::Cancelling => "stopping, without a last checkpoint",
        JobState::Finished => "stopped, with a last checkpoint",
        JobState::Canceled => "stopped, without a last checkpoint",
        JobState::Failed => "failed",
    };
    let since = view.entered.get(&view.state);
    since.map_or_else(
        || state.to_owned(),
        |&since| format!("{state}, for {}", ago(view.now, since)),
    )
}

fn lag(view: &JobView) -> String {
    let known: Vec<u64> = view.splits.iter().filter_map(|split| split.lag()).collect();
    let unknown = view.splits.len() - known.len();
    let mut text = format!("{} records", known.iter().sum::<u64>());
    if unknown > 0 {
        let _ = write!(
            text,
            ", without {unknown} partitions whose end is not known"
        );
    }
    text
}

fn checkpoint(view: &JobView) -> String {
    let history = &view.checkpoints.history;
    let complete = history
        .iter()
        .find(|c| c.state == CheckpointState::Completed);
    let mut text = complete.map_or_else(
        || "none is complete yet".to_owned(),
        |newest| complete_one(newest, view.now),
    );
    let late = history
        .iter()
        .find(|c| c.late && c.state == CheckpointState::InProgress);
    if let Some(late) = late {
        let _ = write!(text, "; {} is LATE", late.id);
    }
    text
}

fn complete_one(newest: &CheckpointView, now: i64) -> String {
    let mut text = format!("{}", newest.id);
    if let Some(at) = newest.completed_at {
        let _ = write!(text, ", {} ago", ago(now, at));
    }
    let _ = write!(text, ": {} rows in {} files", newest.rows, newest.files);
    if let (Some(from), Some(to)) = (newest.triggered_at, newest.completed_at) {
        let _ = write!(text, ", took {} ms", to - from);
    }
    text
}

fn dropped(view: &JobView) -> String {
    let reasons = &view.dropped.by_reason;
    let mut text = format!("{} records of this start", reasons.values().sum::<u64>());
    for (reason, count) in reasons.iter().take(MOST) {
        let _ = write!(text, "\n{:<12} {count} x {reason}", "");
    }
    text
}

fn splits(view: &JobView) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_BORDERS_ONLY_CONDENSED);
    let head = [
        "partition",
        "subtask",
        "consumed",
        "durable",
        "committed",
        "end",
        "lag",
    ];
    table.set_header(head);
    for split in &view.splits {
        let known = |offset: Option<NextOffset>| offset.map_or_else(String::new, |o| o.to_string());
        table.add_row([
            split.split.to_string(),
            split.subtask.to_string(),
            split.consumed.to_string(),
            split.durable.to_string(),
            known(split.committed),
            known(split.end),
            split.lag().map_or_else(String::new, |lag| lag.to_string()),
        ]);
    }
    for place in 1..head.len() {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// In seconds, or milliseconds below one.
fn ago(now: i64, then: i64) -> String {
    let millis = u64::try_from(now - then).unwrap_or(0);
    let time = Duration::from_millis(millis);
    let rounded = if millis < 1_000 {
        time
    } else {
        Duration::from_secs(time.as_secs())
    };
    format_duration(rounded).to_string()
}
