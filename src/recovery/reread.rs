//! What becomes of pending files that the store has lost: whose records may be read again, and
//! which offsets that are. Pure, as all of [`decide`](super::decide).
//!
//! A file whose upload is still open, only broken, was provably never visible, so its records are
//! read again without asking. A file whose upload is gone may have been visible once and have been
//! moved or deleted by somebody since; to read its records again could double them, so a person has
//! to say that it may be done.

use std::collections::BTreeMap;

use super::decide::{Lost, Refusal};
use crate::checkpoint::slot::PendingFile;
use crate::ids::{NextOffset, Offset, Split};
use crate::offset_set::ExactOffsets;
use crate::sink::committer::LostFile;
use crate::source::kafka::Watermarks;
use crate::store::StoreError;

/// The files to give up, if that may be done.
pub fn give_up(lost: Vec<LostFile>, allowed: bool) -> Result<Vec<PendingFile>, Refusal> {
    let is_broken = |lost: &LostFile| matches!(lost.cause, StoreError::UploadBroken { .. });
    if !allowed && !lost.iter().all(is_broken) {
        let gone = lost.iter().filter(|lost| !is_broken(lost));
        let said: Vec<_> = gone.map(ToString::to_string).collect();
        return Err(Refusal::FilesLost(said.join("; ")));
    }
    Ok(lost.into_iter().map(|lost| lost.file).collect())
}

/// The offsets of these files that reading from the next offsets would not bring again.
pub fn offsets(
    files: &[PendingFile],
    next_offsets: &BTreeMap<Split, NextOffset>,
    held: &BTreeMap<Split, Watermarks>,
    allow_lost_offsets: bool,
) -> Result<BTreeMap<Split, ExactOffsets>, Refusal> {
    let mut all: BTreeMap<Split, ExactOffsets> = BTreeMap::new();
    for range in files.iter().flat_map(|file| &file.offsets) {
        let of_split = all.entry(range.split.clone()).or_default();
        of_split.add_all(&range.offsets());
    }
    let mut again = BTreeMap::new();
    let mut gone = Vec::new();
    for (split, mut offsets) in all {
        // A split that is not there any more was given up when the next offsets were decided.
        let (Some(next), Some(&held)) = (next_offsets.get(&split), held.get(&split)) else {
            continue;
        };
        let mut offsets = offsets.split_off_below(Offset(next.0));
        let removed = offsets.split_off_below(Offset(held.earliest.0));
        if let Some(first) = removed.first() {
            gone.push(Lost {
                split: split.clone(),
                from: NextOffset(first.0),
                held,
            });
        }
        if !offsets.is_empty() {
            again.insert(split, offsets);
        }
    }
    if !gone.is_empty() && !allow_lost_offsets {
        return Err(Refusal::OffsetsLost(gone));
    }
    for lost in &gone {
        tracing::warn!(%lost, "going on without records that are gone, as allowed");
    }
    Ok(again)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::slot::OffsetRange;
    use crate::checkpoint::slot::tests::sample;

    /// A lost file with these offsets of partition 3.
    fn lost(offsets: &[i64], broken: bool) -> LostFile {
        let mut file = sample(7).pending.remove(0);
        let url = file.url.clone();
        let offsets: ExactOffsets = offsets.iter().copied().map(Offset).collect();
        let range = OffsetRange::of(Split::new("lineage-input", 3), &offsets);
        file.offsets = range.into_iter().collect();
        let cause = if broken {
            StoreError::UploadBroken { url }
        } else {
            StoreError::UploadGone { url }
        };
        LostFile { file, cause }
    }

    /// Offsets to read again with `next` saved and Kafka holding all from `earliest` on.
    fn again(
        files: &[PendingFile],
        next: i64,
        earliest: i64,
        allowed: bool,
    ) -> Result<Option<ExactOffsets>, Refusal> {
        let split = Split::new("lineage-input", 3);
        let next = BTreeMap::from([(split.clone(), NextOffset(next))]);
        let held = Watermarks {
            earliest: NextOffset(earliest),
            end: NextOffset(100),
        };
        let held = BTreeMap::from([(split.clone(), held)]);
        let mut again = offsets(files, &next, &held, allowed)?;
        Ok(again.remove(&split))
    }

    fn set(offsets: &[i64]) -> Option<ExactOffsets> {
        Some(offsets.iter().copied().map(Offset).collect())
    }

    #[test]
    fn a_broken_upload_is_given_up_without_asking() {
        let files = give_up(vec![lost(&[4], true)], false).unwrap();
        assert_eq!(files.len(), 1);
    }

    #[test]
    fn an_upload_that_is_gone_is_given_up_only_when_that_is_allowed() {
        let both = || vec![lost(&[4], true), lost(&[5, 9], false)];
        let refusal = give_up(both(), false).unwrap_err().to_string();
        for said in [
            "s3://b/output/year=2026/part-0.parquet",
            "lineage-input-3 offsets 5 to 9",
            "--reread-lost-files",
        ] {
            assert!(refusal.contains(said), "'{said}' is not in: {refusal}");
        }
        assert!(!refusal.contains("offsets 4"), "{refusal}");
        assert_eq!(give_up(both(), true).unwrap().len(), 2);
    }

    #[test]
    fn exactly_the_offsets_of_the_lost_files_are_read_again() {
        let files = give_up(vec![lost(&[4, 6], true), lost(&[5, 9], true)], false).unwrap();
        assert_eq!(again(&files, 43, 0, false).unwrap(), set(&[4, 5, 6, 9]));
    }

    #[test]
    fn offsets_at_or_above_the_next_offset_come_by_themselves() {
        let files = give_up(vec![lost(&[4, 6], true)], false).unwrap();
        assert_eq!(again(&files, 6, 0, false).unwrap(), set(&[4]));
        assert_eq!(again(&files, 4, 0, false).unwrap(), None);
    }

    #[test]
    fn lost_offsets_that_kafka_has_removed_are_refused_unless_that_is_allowed() {
        let files = give_up(vec![lost(&[4, 6], true)], false).unwrap();
        let refusal = again(&files, 43, 5, false).unwrap_err().to_string();
        assert!(refusal.contains("offsets 4 to 4 were removed"), "{refusal}");
        assert_eq!(again(&files, 43, 5, true).unwrap(), set(&[6]));
    }
}
