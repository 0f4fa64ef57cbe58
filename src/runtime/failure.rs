//! Places where a test lets the process die, at every step of the protocol, before and after.
//!
//! `LINEAGE_DIE_AT=NAME` aborts the process the first time it comes to the point of that name, and
//! `LINEAGE_DIE_AT=NAME:N` the Nth time: at once, with nothing flushed or closed. Compiled out of
//! release builds.

/// All points that every run passes, in the order in which a record and its checkpoint pass them.
pub const ALL: [&str; 30] = [
    START_RECORD_BEFORE,
    START_RECORD_AFTER,
    REFINALIZE_BEFORE,
    REFINALIZE_AFTER,
    GIVE_UP_BEFORE,
    GIVE_UP_AFTER,
    REREAD_ABORT_AFTER,
    ORPHAN_ABORT_BEFORE,
    ORPHAN_ABORT_AFTER,
    FETCH_BEFORE,
    FETCH_AFTER,
    UPLOAD_BEGIN_AFTER,
    UPLOAD_PART_BEFORE,
    UPLOAD_PART_AFTER,
    BARRIER_BEFORE,
    BARRIER_AFTER,
    SEAL_AFTER,
    CSV_PUT_BEFORE,
    CSV_PUT_AFTER,
    ACK_AFTER,
    SLOT_PUT_BEFORE,
    SLOT_PUT_AFTER,
    SLOT_CONFIRMED_AFTER,
    FINALIZE_BEFORE,
    FINALIZE_AFTER,
    MARK_BEFORE,
    FINALIZED_ALL_AFTER,
    OFFSETS_COMMIT_BEFORE,
    OFFSETS_COMMIT_AFTER,
    PRUNE_AFTER,
];

pub const START_RECORD_BEFORE: &str = "start-record-before";
pub const START_RECORD_AFTER: &str = "start-record-after";
/// Files that an earlier process has left.
pub const REFINALIZE_BEFORE: &str = "refinalize-before";
pub const REFINALIZE_AFTER: &str = "refinalize-after";
/// Files that the store has lost.
pub const GIVE_UP_BEFORE: &str = "give-up-before";
pub const GIVE_UP_AFTER: &str = "give-up-after";
pub const REREAD_ABORT_AFTER: &str = "reread-abort-after";
pub const ORPHAN_ABORT_BEFORE: &str = "orphan-abort-before";
pub const ORPHAN_ABORT_AFTER: &str = "orphan-abort-after";
pub const FETCH_BEFORE: &str = "fetch-before";
/// With records.
pub const FETCH_AFTER: &str = "fetch-after";
pub const UPLOAD_BEGIN_AFTER: &str = "upload-begin-after";
pub const UPLOAD_PART_BEFORE: &str = "upload-part-before";
pub const UPLOAD_PART_AFTER: &str = "upload-part-after";
pub const BARRIER_BEFORE: &str = "barrier-before";
/// The files are closed.
pub const BARRIER_AFTER: &str = "barrier-after";
pub const SEAL_AFTER: &str = "seal-after";
pub const CSV_PUT_BEFORE: &str = "csv-put-before";
pub const CSV_PUT_AFTER: &str = "csv-put-after";
pub const ACK_AFTER: &str = "ack-after";
/// Of a start record or of a checkpoint.
pub const SLOT_PUT_BEFORE: &str = "slot-put-before";
/// Before looking again.
pub const SLOT_PUT_AFTER: &str = "slot-put-after";
/// Of a checkpoint.
pub const SLOT_CONFIRMED_AFTER: &str = "slot-confirmed-after";
pub const FINALIZE_BEFORE: &str = "finalize-before";
pub const FINALIZE_AFTER: &str = "finalize-after";
/// Files are visible, and their folders not marked.
pub const MARK_BEFORE: &str = "mark-before";
/// Only where folders are marked.
pub const MARKED_AFTER: &str = "marked-after";
pub const FINALIZED_ALL_AFTER: &str = "finalized-all-after";
pub const OFFSETS_COMMIT_BEFORE: &str = "offsets-commit-before";
pub const OFFSETS_COMMIT_AFTER: &str = "offsets-commit-after";
pub const PRUNE_AFTER: &str = "prune-after";

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &'static str) {}

#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static DIE_AT: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let die_at = DIE_AT.get_or_init(|| {
        let text = std::env::var("LINEAGE_DIE_AT").ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        assert!(
            name == MARKED_AFTER || ALL.contains(&name),
            "LINEAGE_DIE_AT: no point is called {name}"
        );
        Some((name.to_owned(), count.parse().unwrap_or(1)))
    });
    if let Some((at, count)) = die_at
        && at == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *count
    {
        std::process::abort();
    }
}
