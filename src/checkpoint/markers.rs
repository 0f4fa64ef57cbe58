//! Which buckets are complete, and are to say so by a marker.
//!
//! Guarantees: a bucket is marked only when every split has passed its end, by what was known at the newest
//! checkpoint, and the files that hold its rows are visible; and once more whenever a later checkpoint adds a file to it. What is still to be marked
//! stands in every slot, so a start goes on with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::slot::PendingFile;
use crate::clock::EpochMillis;
use crate::runtime::watermark::Watermark;
use crate::store::{Key, Root};

/// What engines take for the sign that a folder is complete, as Hadoop's jobs write it.
pub const NAME: &str = "_SUCCESS";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markers {
    /// All records before it had been archived at one checkpoint or another, as far as could be told.
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watermark: Option<i64>,
    /// The same at the newest checkpoint of this process. It is less where a split has come, or has come
    /// back, with older records; `None` while one has not said anything.
    #[serde(skip)]
    passed: Option<i64>,
    /// Folders with files that are newer than their marker, and when each ends, in milliseconds since
    /// 1970.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    unmarked: BTreeMap<String, i64>,
}

/// What a marker says.
#[derive(Debug, Serialize)]
struct Content<'a> {
    bucket: &'a str,
    /// Holds the newest file of the bucket, or is a later one.
    checkpoint_id: u64,
    /// All records before it were archived then.
    watermark: Option<i64>,
    written_at: i64,
}

impl Markers {
    pub fn is_empty(&self) -> bool {
        self.watermark.is_none() && self.unmarked.is_empty()
    }

    /// Takes a checkpoint in: its files, and what each subtask said.
    pub fn add(&mut self, files: &[PendingFile], subtasks: impl IntoIterator<Item = Watermark>) {
        for file in files.iter().filter(|file| file.root == Root::Output) {
            let key = &file.committable.upload.key.0;
            if let (Some(end), Some((folder, _))) = (file.bucket_end, key.rsplit_once('/')) {
                // Should a folder be of several times, the last of them counts.
                let latest = self.unmarked.entry(folder.to_owned()).or_insert(end);
                *latest = (*latest).max(end);
            }
        }
        self.passed = None;
        let mut slowest = None;
        for subtask in subtasks {
            match subtask {
                Watermark::Unknown => return,
                Watermark::Idle => {}
                Watermark::At(EpochMillis(at)) => {
                    slowest = Some(slowest.map_or(at, |slowest: i64| slowest.min(at)));
                }
            }
        }
        self.watermark = self.watermark.max(slowest);
        // Where all are idle, all that there is has been archived.
        self.passed = slowest.or(self.watermark);
    }

    /// Folders that every split has passed.
    pub fn due(&self) -> impl Iterator<Item = &str> {
        let unmarked = self.unmarked.iter();
        let due = unmarked.filter(|(_, end)| self.passed.is_some_and(|at| **end <= at));
        due.map(|(folder, _)| folder.as_str())
    }

    /// The marker of a folder is there.
    pub fn written(&mut self, folder: &str) {
        self.unmarked.remove(folder);
    }

    /// Where the marker of a folder is and what it says, in one line of JSON.
    pub fn marker(
        &self,
        folder: &str,
        checkpoint_id: u64,
        now: EpochMillis,
    ) -> Result<(Key, String), serde_json::Error> {
        let content = Content {
            bucket: folder,
            checkpoint_id,
            watermark: self.passed,
            written_at: now.0,
        };
        let text = serde_json::to_string(&content)? + "\n";
        Ok((Key::new(format!("{folder}/{NAME}")), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::slot::tests::sample;

    fn file(folder: &str, end: i64) -> PendingFile {
        let mut file = sample(1).pending.remove(0);
        file.root = Root::Output;
        file.bucket_end = Some(end);
        file.committable.upload.key = Key::new(format!("{folder}/part-1.parquet"));
        file
    }

    fn at(time: i64) -> Watermark {
        Watermark::At(EpochMillis(time))
    }

    fn due(markers: &Markers) -> Vec<&str> {
        markers.due().collect()
    }

    #[test]
    fn a_folder_is_due_once_every_subtask_has_passed_its_end() {
        let mut markers = Markers::default();
        markers.add(&[file("h=7", 800), file("h=8", 900)], [at(800), at(799)]);
        assert_eq!(due(&markers), [""; 0]);
        markers.add(&[], [at(850), Watermark::Idle]);
        assert_eq!(due(&markers), ["h=7"]);
        markers.written("h=7");
        assert_eq!(due(&markers), [""; 0]);
        markers.add(&[], [at(900), at(901)]);
        assert_eq!(due(&markers), ["h=8"]);
    }

    #[test]
    fn a_late_file_makes_its_folder_due_again() {
        let mut markers = Markers::default();
        markers.add(&[file("h=7", 800)], [at(900)]);
        markers.written("h=7");
        markers.add(&[file("h=7", 800)], [at(950)]);
        assert_eq!(due(&markers), ["h=7"]);
    }

    #[test]
    fn what_nobody_can_say_marks_nothing_and_idle_splits_hold_up_nothing() {
        let mut markers = Markers::default();
        markers.add(&[file("h=7", 800)], [at(900), Watermark::Unknown]);
        assert_eq!(due(&markers), [""; 0]);
        markers.add(&[], [at(900), Watermark::Idle]);
        assert_eq!(due(&markers), ["h=7"]);
        markers.add(&[], [Watermark::Idle]);
        assert_eq!(due(&markers), ["h=7"]);
    }

    #[test]
    fn a_split_that_comes_with_older_records_has_to_pass_again() {
        let mut markers = Markers::default();
        markers.add(&[], [at(900)]);
        markers.add(&[file("new/h=7", 800)], [at(900), Watermark::Unknown]);
        assert_eq!(due(&markers), [""; 0]);
        markers.add(&[], [at(900), at(700)]);
        assert_eq!(due(&markers), [""; 0]);
        markers.add(&[], [at(900), at(801)]);
        assert_eq!(due(&markers), ["new/h=7"]);
    }

    #[test]
    fn a_process_that_has_heard_of_nothing_yet_marks_nothing() {
        let mut markers = Markers::default();
        markers.add(&[file("h=7", 800)], [at(700)]);
        markers.add(&[], [at(900)]);
        let stored = serde_json::to_string(&markers).unwrap();
        let mut again: Markers = serde_json::from_str(&stored).unwrap();
        assert_eq!(due(&again), [""; 0]);
        again.add(&[], [Watermark::Idle]);
        assert_eq!(due(&again), ["h=7"]);
    }

    #[test]
    fn a_folder_of_several_times_is_due_when_the_last_of_them_is_over() {
        let mut markers = Markers::default();
        markers.add(&[file("h=7", 800), file("h=7", 300)], [at(500)]);
        assert_eq!(due(&markers), [""; 0]);
    }
}
