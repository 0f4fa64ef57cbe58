//! The report as a person reads it: a table, lists of what is wrong, and the verdict last.

use std::fmt::Write;

use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::report::{InKafka, Partition, Report, State, Trouble};
use crate::ids::Offset;
use crate::offset_set::ExactOffsets;

/// In each list; JSON has all.
const MOST: usize = 10;

impl Report {
    /// The whole of it.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "job {}, generation {}, newest slot {}; {} files of checkpoints {} to {} read\n\n",
            self.job,
            self.generation,
            self.newest_slot,
            self.files,
            self.first_checkpoint,
            self.last_checkpoint
        );
        let _ = writeln!(text, "{}\n", self.table());
        for partition in &self.partitions {
            for (what, offsets) in [
                ("lost", &partition.lost()),
                ("not known to be lost or not", &partition.unknown()),
                ("given up", &partition.given_up),
                ("twice", &partition.duplicates),
            ] {
                let title = format!("{what} in {}, ranges of offsets", partition.split);
                list(&mut text, &title, &ranges(offsets));
            }
        }
        let lines = self.lines_without_file.iter().map(|line| {
            let state = match line.state {
                State::Complete => "complete",
                State::NeverComplete => "never complete",
                State::Pending => "pending",
                State::ReadAgain => "lost by the store, and read again",
                State::Unknown => "complete or not, nothing tells any more",
            };
            format!("{} (checkpoint {}, {state})", line.s3_key, line.checkpoint)
        });
        let lines: Vec<_> = lines.collect();
        list(&mut text, "commit-log lines without their file", &lines);
        let title = "files that no commit log names";
        list(&mut text, title, &self.files_without_line);
        for (title, found) in [
            ("damaged commit logs", &self.damaged_csvs),
            ("damaged older slots", &self.damaged_slots),
            ("damaged files", &self.damaged_files),
            ("files that are not of this archive", &self.foreign_files),
        ] {
            list(&mut text, title, &troubles(found));
        }
        let title = "open uploads that no checkpoint references";
        list(&mut text, title, &self.orphans);
        let title =
            "open uploads could not be looked at: neither orphans nor pending files are known";
        list(&mut text, title, &self.uploads_denied);
        text.push_str(&self.verdict());
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_BORDERS_ONLY_CONDENSED);
        let mut header = vec![
            "partition",
            "first",
            "last",
            "rows",
            "dropped",
            "pending",
            "missing",
            "twice",
        ];
        let asked = self.partitions.iter().any(|p| p.kafka.is_some());
        if asked {
            header.extend(["Kafka delivers", "has a gap", "holds no more"]);
        }
        table.set_header(header);
        for partition in &self.partitions {
            let offset = |o: Option<Offset>| o.map_or("-".to_owned(), |o| o.to_string());
            let mut row = vec![
                partition.split.to_string(),
                offset(partition.first),
                offset(partition.last),
                partition.rows.to_string(),
                partition.dropped.to_string(),
                partition.pending.to_string(),
                partition.missing.len().to_string(),
                partition.duplicates.len().to_string(),
            ];
            if asked {
                let nothing = InKafka::default();
                let kafka = partition.kafka.as_ref().unwrap_or(&nothing);
                let counts = [&kafka.delivered, &kafka.not_delivered, &kafka.not_held];
                row.extend(counts.map(|offsets| offsets.len().to_string()));
            }
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn sum(&self, of: fn(&Partition) -> u64) -> u64 {
        self.partitions.iter().map(of).sum()
    }

    fn verdict(&self) -> String {
        let mut text = if self.is_exact() {
            self.exact()
        } else {
            self.not_exact()
        };
        if !self.unknown_ends.is_empty() {
            let slots: Vec<_> = self.unknown_ends.iter().map(|id| id.to_string()).collect();
            let _ = writeln!(
                text,
                "Where these checkpoints begin or end is not in the log any more (slot {}): judged \
                 between the first and the last offset that is there, and by the lines.",
                slots.join(", ")
            );
        }
        if !self.logs_are_whole() {
            let _ = writeln!(
                text,
                "The logs are NOT whole: {} files are in no commit log, commit logs are damaged in \
                 {} places, {} older slots cannot be read.",
                self.files_without_line.len(),
                self.damaged_csvs.len(),
                self.damaged_slots.len()
            );
        }
        text
    }

    fn exact(&self) -> String {
        let (rows, dropped) = (self.sum(|p| p.rows), self.sum(|p| p.dropped));
        let pending = match self.sum(|p| p.pending) {
            0 => String::new(),
            pending => format!(", {pending} more in files that become visible next"),
        };
        let given_up = match self.sum(|p| p.given_up.len()) {
            0 => String::new(),
            lost => format!(
                "; but {lost} were gone from Kafka before they could be archived, and a start with \
                 --allow-lost-offsets has given them up"
            ),
        };
        format!(
            "Exact: {rows} rows and {dropped} dropped records, every offset \
             once{pending}{given_up}.\n"
        )
    }

    fn not_exact(&self) -> String {
        let lost = self.sum(|p| p.lost().len());
        let twice = self.sum(|p| p.duplicates.len());
        let damaged = self.damaged_files.len();
        let mut text = format!(
            "NOT exact: {lost} offsets are missing, {twice} are there twice, {damaged} files are \
             damaged.\n"
        );
        if lost > 0 && self.partitions.iter().all(|p| p.kafka.is_none()) {
            text.push_str(
                "Transaction markers and compaction leave gaps too: --check-kafka tells them apart.\n",
            );
        }
        let unknown = self.sum(|p| p.unknown().len());
        if unknown > 0 {
            let _ = writeln!(
                text,
                "NOT known: {unknown} more are missing, and Kafka does not hold them any more. They \
                 were archived and are lost, or were never there to be archived; nothing is left \
                 that tells."
            );
        }
        let lines = self.lines_at_unknown_ends();
        if lines > 0 {
            let _ = writeln!(
                text,
                "NOT known: {lines} of these checkpoints' files are gone, and nothing is left that \
                 tells which offsets they held, or whether they were read again later: judge a \
                 wider range, or everything."
            );
        }
        text
    }
}

fn ranges(offsets: &ExactOffsets) -> Vec<String> {
    let ranges = offsets.ranges().into_iter();
    ranges
        .map(|(first, last)| match last.0 - first.0 {
            0 => first.to_string(),
            _ => format!("{first} to {last}"),
        })
        .collect()
}

fn troubles(troubles: &[Trouble]) -> Vec<String> {
    let say = |t: &Trouble| format!("{}: {}", t.url, t.why);
    troubles.iter().map(say).collect()
}

/// Nothing of an empty list.
fn list(text: &mut String, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{title}: {}", items.len());
    for item in items.iter().take(MOST) {
        let _ = writeln!(text, "    {item}");
    }
    if items.len() > MOST {
        let _ = writeln!(text, "    and {} more (--json has all)", items.len() - MOST);
    }
    text.push('\n');
}
