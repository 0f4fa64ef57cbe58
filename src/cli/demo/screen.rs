//! A few lines that show what happens as it happens; on a terminal in place, elsewhere one line
//! for each checkpoint.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytesize::ByteSize;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Folder;
use crate::cli::out;
use crate::ids::{CheckpointId, NextOffset};
use crate::jobs::Supervisor;
use crate::jobs::view::SplitView;

pub struct Screen {
    lines: MultiProgress,
    produced: ProgressBar,
    archived: ProgressBar,
    checkpoint: ProgressBar,
    started: Instant,
    last: Cell<Option<(CheckpointId, Instant)>>,
}

/// Records of all partitions, which begin at offset 0.
pub struct Read {
    pub consumed: u64,
    /// In complete checkpoints.
    pub durable: u64,
}

impl Read {
    pub fn of(supervisor: &Arc<Supervisor>) -> Self {
        let splits = supervisor.control().view().splits;
        let sum = |offset: fn(&SplitView) -> NextOffset| {
            let offsets = splits.iter().map(offset);
            offsets.map(|next| next.0.unsigned_abs()).sum()
        };
        Self {
            consumed: sum(|split| split.consumed),
            durable: sum(|split| split.durable),
        }
    }
}

impl Screen {
    pub fn start(folder: &Folder, rate: u64, page: Option<SocketAddr>) -> io::Result<Self> {
        let latest = folder.latest.display();
        let page = page.map(|address| format!("  Page:   http://{address}/\n"));
        out::print(&format!(
            "lineage demo: {rate} records a second through a broker in this process\n\
             \x20 The broker is librdkafka's mock: in memory, some 5 MiB a partition. It is for\n\
             \x20 trying things out; everything behind it is the service as it is.\n\
             \x20 Files:  {latest}/  (a checkpoint every 5 s; stop with Ctrl-C)\n\
             {}\
             \x20 Look:   cat {latest}/write-ahead-commit-log/chk-1/subtask-*.csv\n\n",
            page.unwrap_or_default()
        ))?;
        let lines = MultiProgress::new();
        // They are drawn on standard error; who reads through a pipe, say with `tee`, is to see more.
        if !io::stdout().is_terminal() {
            lines.set_draw_target(ProgressDrawTarget::hidden());
        }
        // Nothing in the template is wrong; the plain style is the fallback all the same.
        let style = ProgressStyle::with_template("  {prefix:<11}{msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = |name: &'static str| {
            let line = lines.add(ProgressBar::new_spinner().with_style(style.clone()));
            line.with_prefix(name)
        };
        Ok(Self {
            produced: line("produced"),
            archived: line("archived"),
            checkpoint: line("checkpoint"),
            lines,
            started: Instant::now(),
            last: Cell::new(None),
        })
    }

    /// `false` when nobody reads it any more.
    pub fn show(&self, produced: u64, supervisor: &Arc<Supervisor>) -> io::Result<bool> {
        let mut read = true;
        // By offsets, which go on over a stop and a resume on the page; counters begin anew.
        let Read { consumed, durable } = Read::of(supervisor);
        let last = supervisor.progress().checkpoints().newest.front().cloned();
        let seconds = self.started.elapsed().as_secs();
        let lag = produced.saturating_sub(consumed);
        let waiting = consumed.saturating_sub(durable);
        self.produced
            .set_message(format!("{produced} records in {seconds} s"));
        let mut archived =
            format!("{durable} records; {waiting} wait for the next checkpoint, lag {lag}");
        if supervisor.health().degraded() {
            archived.push_str("  DEGRADED");
        }
        self.archived.set_message(archived);
        let Some(last) = last else {
            self.checkpoint.set_message("none yet");
            return Ok(read);
        };
        let at = match self.last.get() {
            Some((id, at)) if id == last.id => at,
            _ => {
                self.last.set(Some((last.id, Instant::now())));
                if self.lines.is_hidden() {
                    read = out::print(&format!(
                        "chk-{}: {} records in {} files; produced {produced}, lag {lag}\n",
                        last.id, last.contents.rows, last.contents.files
                    ))?;
                }
                Instant::now()
            }
        };
        self.checkpoint.set_message(format!(
            "chk-{}: {} records, {} files, {}, took {} ms, {} s ago",
            last.id,
            last.contents.rows,
            last.contents.files,
            ByteSize(last.contents.bytes),
            last.phases.total().as_millis(),
            at.elapsed().as_secs()
        ));
        Ok(read)
    }

    pub fn say(&self, text: &str) -> io::Result<()> {
        if self.lines.is_hidden() {
            return out::print(&format!("{text}\n")).map(drop);
        }
        self.lines.println(format!("  {text}"))
    }

    /// Leaves the last state of the lines standing.
    pub fn finish(&self) {
        for line in [&self.produced, &self.archived, &self.checkpoint] {
            line.abandon();
        }
    }
}
