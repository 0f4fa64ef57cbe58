//! The answers as a person reads them: what was found first, then where.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat};
use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::moment::{Committed, Moment, Written};
use super::record::{InFile, Place, Record};
use super::row::Row;
use super::value::Values;
use crate::store::Root;

fn time(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).map_or_else(
        || millis.to_string(),
        |at| at.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

fn output(root: Root) -> &'static str {
    match root {
        Root::Output => "the output",
        Root::Dropped => "the dropped output",
    }
}

impl InFile {
    fn to_text(&self) -> String {
        let committed = self.commit_timestamp.map_or("unknown".to_owned(), time);
        let Self {
            checkpoint, s3_key, ..
        } = self;
        let mut text = format!("checkpoint   {checkpoint}\ncommitted    {committed}\n");
        if let (Some(generation), Some(subtask)) = (self.generation, self.subtask) {
            let _ = writeln!(
                text,
                "written by   subtask {subtask}, generation {generation}"
            );
        }
        let _ = writeln!(text, "file         {s3_key}");
        text
    }
}

impl Row {
    fn to_text(&self) -> String {
        let Self {
            row_group,
            row_in_group,
            row_in_file,
            error,
        } = self;
        let mut text = format!(
            "row group    {row_group}\nrow          {row_in_group} of the row group, {row_in_file} \
             of the file, from 0\n"
        );
        if let Some(error) = error {
            let _ = writeln!(text, "dropped      {error}");
        }
        text
    }
}

impl Record {
    pub fn to_text(&self) -> String {
        let record = format!("{} offset {}", self.split, self.offset);
        match &self.place {
            Place::File { file, row } => {
                let output = output(file.output);
                let (file, row) = (file.to_text(), row.to_text());
                format!("{record} is in {output}.\n\n{file}{row}")
            }
            Place::Pending { file } => format!(
                "{record} is in a complete checkpoint; its file is not visible yet, and becomes so \
                 next.\n\n{}",
                file.to_text()
            ),
            Place::NotYet {
                newest_slot,
                next_offset,
            } => format!(
                "{record} is in no complete checkpoint yet: slot {newest_slot}, the newest, goes up \
                 to offset {next_offset}, which is the next to be archived.\n"
            ),
            Place::BeforeBegin { begin } => format!(
                "{record} is not in the archive, which begins with offset {begin} of this partition: \
                 Kafka held nothing before it when it was first read.\n"
            ),
            Place::NoPartition { newest_slot } => format!(
                "{} is no partition that the archive knows, by slot {newest_slot}, the newest.\n",
                self.split
            ),
            Place::GivenUp { start } => format!(
                "{record} is not in the archive: it was gone from Kafka before it could be archived, \
                 and the start of slot {start} has given it up, as --allow-lost-offsets lets it.\n"
            ),
            Place::Gone { file } => format!(
                "{record} was in a file that is not there any more: moved or deleted after it was \
                 visible, or lost by the store.\n\n{}",
                file.to_text()
            ),
            Place::NoFile {
                checkpoint,
                lines_without_file,
            } => {
                let of = checkpoint.map_or(String::new(), |id| format!(" of checkpoint {id}"));
                let mut text = format!(
                    "{record} is in no file{of}: Kafka delivers no record of this offset (the marker of \
                     a transaction, an aborted or a compacted record), or it is lost. `lineage \
                     verify --check-kafka` tells which.\n"
                );
                if !lines_without_file.is_empty() {
                    text += "\nLines of the commit log around it whose files are not there:\n";
                }
                for line in lines_without_file {
                    let _ = writeln!(text, "  {line}");
                }
                text
            }
        }
    }
}

impl Moment {
    pub fn to_text(&self) -> String {
        let at = time(self.time);
        let what = self.partition.map_or("Files".to_owned(), |partition| {
            format!("Files with records of partition {partition}")
        });
        let mut text = if self.files.is_empty() {
            format!("Nothing that is archived was processed at {at}.\n")
        } else {
            let table = self.table();
            format!(
                "{what} that hold what was processed at {at}, as far as the logs tell:\n\n{table}\n"
            )
        };
        for (what, committed) in [("before", &self.before), ("at or after", &self.after)] {
            if let Some(Committed {
                checkpoint,
                commit_timestamp,
            }) = committed
            {
                let time = time(*commit_timestamp);
                let _ = writeln!(text, "{what} it: checkpoint {checkpoint}, committed {time}");
            }
        }
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_BORDERS_ONLY_CONDENSED);
        let mut header = vec!["checkpoint", "committed"];
        if self.partition.is_some() {
            header.extend(["first", "last", "records"]);
        }
        header.push("file");
        table.set_header(header);
        for Written { file, offsets } in &self.files {
            let mut row = vec![
                file.checkpoint.to_string(),
                file.commit_timestamp.map_or(String::new(), time),
            ];
            if let Some(held) = offsets {
                let ends =
                    [held.first, held.last].map(|o| o.map_or(String::new(), |o| o.to_string()));
                row.extend(ends);
                row.push(held.records.to_string());
            }
            row.push(file.s3_key.clone());
            table.add_row(row);
        }
        if let Some(column) = table.column_mut(0) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl Values {
    pub fn to_text(&self) -> String {
        let Self {
            uuid,
            files_read,
            row_groups_read,
            ..
        } = self;
        let (first, last) = self.checkpoints;
        let range = format!("checkpoints {first} to {last}");
        if self.records.is_empty() {
            return format!(
                "No row has the uuid {uuid}, in {files_read} files of {range}, of which {row_groups_read} row \
                 groups were read. (The uuid of a dropped \
                 record is not known.)\n"
            );
        }
        let mut text = String::new();
        for found in &self.records {
            let (file, row) = (found.file.to_text(), found.row.to_text());
            let _ = writeln!(
                text,
                "{uuid} is {}-{} offset {}.\n\n{file}{row}",
                found.topic, found.partition, found.offset
            );
        }
        let _ = writeln!(
            text,
            "{files_read} files of {range} looked at, {row_groups_read} row groups read"
        );
        text
    }
}
