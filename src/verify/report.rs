//! What `lineage verify` found, for machines (JSON) and for people (a table).

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::{Serialize, Serializer};

use crate::ids::{CheckpointId, Generation, JobId, Offset, Split};
use crate::offset_set::ExactOffsets;
use crate::store::Root;

#[derive(Debug, Serialize)]
pub struct Report {
    pub job: JobId,
    pub generation: Generation,
    /// Everything up to this slot was judged.
    pub newest_slot: CheckpointId,
    /// Files of this archive that were read.
    pub files: usize,
    pub partitions: Vec<Partition>,
    pub lines_without_file: Vec<LineWithoutFile>,
    pub files_without_line: Vec<String>,
    /// Files of this archive that cannot be read, or whose rows are not what the footer says.
    pub damaged_files: Vec<Trouble>,
    /// Files that are not this archive's.
    pub foreign_files: Vec<Trouble>,
    /// URL and what is wrong.
    pub damaged_csvs: Vec<(String, String)>,
    /// Open uploads, or local files in progress, that no checkpoint references.
    pub orphans: Vec<String>,
}

/// One partition, output and dropped output together.
#[derive(Debug, Serialize)]
pub struct Partition {
    #[serde(flatten)]
    pub split: Split,
    pub first: Option<Offset>,
    pub last: Option<Offset>,
    /// Offsets below this one were judged.
    pub judged_to: Option<Offset>,
    pub rows: u64,
    pub dropped: u64,
    /// Closed by a complete checkpoint and not visible yet.
    pub pending: u64,
    #[serde(serialize_with = "as_ranges")]
    pub missing: ExactOffsets,
    /// Of those, what Kafka does not deliver: transaction markers, and what compaction or retention
    /// has removed. Null where Kafka was not asked.
    #[serde(serialize_with = "as_optional_ranges")]
    pub not_in_kafka: Option<ExactOffsets>,
    #[serde(serialize_with = "as_ranges")]
    pub duplicates: ExactOffsets,
}

#[derive(Debug, Serialize)]
pub struct Trouble {
    pub url: String,
    pub root: Root,
    pub why: String,
}

#[derive(Debug, Serialize)]
pub struct LineWithoutFile {
    pub checkpoint: CheckpointId,
    pub s3_key: String,
    pub state: State,
}

/// What is known of the checkpoint that a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is complete: the file was lost or taken away.
    Complete,
    /// A crash came before it was complete: its rows are in files of a later one.
    NeverComplete,
    /// It is complete and the file becomes visible next.
    Pending,
    /// Its slot is pruned.
    Unknown,
}

fn as_ranges<S: Serializer>(offsets: &ExactOffsets, serializer: S) -> Result<S::Ok, S::Error> {
    offsets.ranges().serialize(serializer)
}

fn as_optional_ranges<S: Serializer>(
    offsets: &Option<ExactOffsets>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let ranges = offsets.as_ref().map(ExactOffsets::ranges);
    ranges.serialize(serializer)
}

impl Partition {
    /// Missing offsets that are not known to be Kafka's own gaps.
    fn lost(&self) -> ExactOffsets {
        let mut lost = self.missing.clone();
        if let Some(not_in_kafka) = &self.not_in_kafka {
            lost.remove_all(not_in_kafka);
        }
        lost
    }

    fn is_exact(&self) -> bool {
        self.lost().is_empty() && self.duplicates.is_empty()
    }
}

/// In each list of the text; JSON has all.
const MOST: usize = 10;

impl Report {
    /// Without gaps and duplicates, every file readable.
    pub fn is_exact(&self) -> bool {
        self.partitions.iter().all(Partition::is_exact) && self.damaged_files.is_empty()
    }

    pub fn missing(&self) -> BTreeMap<Split, ExactOffsets> {
        let some = self.partitions.iter().filter(|p| !p.missing.is_empty());
        some.map(|p| (p.split.clone(), p.missing.clone())).collect()
    }

    /// Takes in which of the missing offsets Kafka delivers.
    pub fn set_delivered(&mut self, mut delivered: BTreeMap<Split, ExactOffsets>) {
        for partition in &mut self.partitions {
            let delivered = delivered.remove(&partition.split).unwrap_or_default();
            let mut not_in_kafka = partition.missing.clone();
            not_in_kafka.remove_all(&delivered);
            partition.not_in_kafka = Some(not_in_kafka);
        }
    }

    /// The whole of it, as a person reads it.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "job {}, generation {}, up to slot {} of the checkpoint log; {} files read\n\n",
            self.job, self.generation, self.newest_slot, self.files
        );
        let _ = writeln!(text, "{}\n", self.table());
        for partition in &self.partitions {
            for (what, offsets) in [
                ("lost", &partition.lost()),
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
                State::Unknown => "its slot is pruned",
            };
            format!("{} (checkpoint {}, {state})", line.s3_key, line.checkpoint)
        });
        let lines: Vec<_> = lines.collect();
        list(&mut text, "commit-log lines without their file", &lines);
        let title = "files that no commit log names";
        list(&mut text, title, &self.files_without_line);
        let csvs = self.damaged_csvs.iter();
        let csvs: Vec<_> = csvs.map(|(url, why)| format!("{url}: {why}")).collect();
        list(&mut text, "damaged commit logs", &csvs);
        list(&mut text, "damaged files", &troubles(&self.damaged_files));
        let foreign = troubles(&self.foreign_files);
        list(&mut text, "files that are not of this archive", &foreign);
        let title = "open uploads that no checkpoint references";
        list(&mut text, title, &self.orphans);
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
        let asked = self.partitions.iter().any(|p| p.not_in_kafka.is_some());
        if asked {
            header.push("of missing, not in Kafka");
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
                let not_in_kafka = partition.not_in_kafka.as_ref();
                row.push(not_in_kafka.map_or(0, ExactOffsets::len).to_string());
            }
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn verdict(&self) -> String {
        let sum = |of: fn(&Partition) -> u64| self.partitions.iter().map(of).sum::<u64>();
        let (rows, dropped) = (sum(|p| p.rows), sum(|p| p.dropped));
        let pending = match sum(|p| p.pending) {
            0 => String::new(),
            pending => format!(", {pending} more in files that become visible next"),
        };
        if self.is_exact() {
            let but = match self.files_without_line.len() {
                0 => String::new(),
                files => format!("; but {files} files are in no commit log"),
            };
            return format!(
                "Exact: {rows} rows and {dropped} dropped records, every offset once{pending}{but}.\n"
            );
        }
        let lost = sum(|p| p.lost().len());
        let twice = sum(|p| p.duplicates.len());
        let damaged = self.damaged_files.len();
        let mut text = format!(
            "NOT exact: {lost} offsets are missing, {twice} are there twice, {damaged} files are \
             damaged.\n"
        );
        if lost > 0 && self.partitions.iter().all(|p| p.not_in_kafka.is_none()) {
            text.push_str(
                "Transaction markers and compaction leave gaps too: --check-kafka tells them apart.\n",
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
