//! Each rule broken on purpose. The schedules are those that the unbroken protocol passes, and a
//! schedule counts only if it fails by what the broken rule leads to.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::faults::Faults;
use super::{run, seeds};
use crate::mutants::{self, Mutant};

/// Some schedule must fail with this rule broken, and say one of these.
fn is_noticed(mutant: Mutant, faults: Faults, says: &[&str]) {
    mutants::set(Some(mutant));
    let mut noticed = None;
    let mut others = Vec::new();
    for seed in seeds() {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, faults))) else {
            continue;
        };
        let text = text(&*panic);
        if says.iter().any(|part| text.contains(part)) {
            noticed = Some((seed, text.to_owned()));
            break;
        }
        others.push((seed, text.to_owned()));
    }
    mutants::set(None);
    let Some((seed, text)) = noticed else {
        panic!("no schedule has noticed {mutant:?} by {says:?}; others failed: {others:#?}");
    };
    eprintln!("{mutant:?}: noticed by schedule {seed} with {faults:?}: {text}");
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    let literal = || panic.downcast_ref::<&str>().copied();
    formatted.or_else(literal).expect("a panic has a text")
}

macro_rules! every_broken_rule_is_noticed {
    ($($name:ident: $mutant:ident in $faults:ident by $($text:literal)|+,)*) => {
        $(
            #[test]
            fn $name() {
                is_noticed(Mutant::$mutant, Faults::$faults, &[$($text),+]);
            }
        )*
    };
}

every_broken_rule_is_noticed! {
    a_start_that_leaves_a_slot_out_is_noticed: StartLeavesASlotOut in CRASHES by "the log is dense",
    a_start_that_takes_no_slot_is_noticed: StartTakesNoSlot in CRASHES by "by the owner",
    a_barrier_before_the_slot_is_noticed: BarrierBeforeSlot in CRASHES by "is written before slot",
    a_start_that_keeps_the_generation_is_noticed: GenerationIsKept in CRASHES by "generations grow",
    a_put_that_counts_without_looking_again_is_noticed: NoLookAgain in RIVALS by "had taken over",
    a_start_record_without_pending_files_is_noticed: PendingLeftOut in CRASHES by "is lost",
    a_start_record_without_offsets_is_noticed: OffsetsLeftOut in CRASHES by "is visible and pending",
    generations_compared_instead_of_nonces_are_noticed: GenerationForNonce in RIVALS by "by the owner",
    a_refused_slot_that_counts_is_noticed: RefusedSlotBelieved in STORE by "Vanished",
    a_refused_csv_that_counts_is_noticed: RefusedCsvBelieved in STORE by "without a line",
    a_put_that_overwrites_is_noticed: PutOverwrites in CRASHES by "was overwritten",
    an_older_slot_for_a_newest_one_that_is_torn_is_noticed: OlderSlotUsed in DAMAGE by "gone on with damaged logs",
    a_commit_log_ahead_that_is_not_looked_for_is_noticed: CommitLogAheadIgnored in DAMAGE by "gone on with damaged logs",
    pruning_the_newest_slot_is_noticed: NewestPruned in NONE by "the highest slot is the newest one",
    pruning_a_savepoint_is_noticed: SavepointPruned in NONE by "was pruned",
    a_start_record_without_savepoints_is_noticed: SavepointsLeftOut in CRASHES by "savepoints stay savepoints",
    aborting_what_a_start_record_references_is_noticed: ReferencedAborted in CRASHES by "Refused(FilesLost",
    aborting_its_own_uploads_is_noticed: OwnUploadsAborted in RIVALS by "Refused(FilesLost" | "the store has lost nothing",
    aborting_what_a_newer_generation_writes_is_noticed: NewerAborted in RIVALS by "UploadGone",
    aborting_before_the_claim_is_noticed: AbortedBeforeClaim in RIVALS by "UploadGone",
    aborting_the_uploads_of_another_job_is_noticed: OtherJobAborted in NONE by "another job is left alone",
    finalizing_before_the_slot_is_noticed: FinalizedBeforeSlot in NONE by "without a slot",
    a_start_that_finalizes_nothing_is_noticed: NotRefinalized in CRASHES by "is lost",
    an_ack_before_the_commit_log_is_noticed: AckBeforeCommitLog in NONE by "without a line",
    files_forgotten_on_an_ack_are_noticed: FilesForgotten in NONE by "is lost",
    files_forgotten_when_their_slot_is_put_are_noticed: FilesForgottenAtPut in NONE by "is not visible",
    giving_up_what_was_not_answered_is_noticed: UnansweredGivenUp in CRASHES by "FilesLost" | "the store has lost nothing",
    offsets_committed_before_the_slot_are_noticed: OffsetsCommittedFirst in NONE by "is committed up to",
    offsets_ahead_of_the_rows_are_noticed: OffsetsTooHigh in NONE by "is lost",
    offsets_behind_a_batch_that_waits_are_noticed: OffsetsBehindParked in NONE by "is lost",
    a_barrier_amid_lost_records_is_noticed: BarrierWhileRereading in LOSSES by "WentBack",
    reading_again_without_an_abort_is_noticed: RereadWithoutAbort in LOSSES by "is visible twice" | "is visible and pending",
    reading_again_what_is_visible_is_noticed: VisibleReadAgain in LOSSES by "is visible twice" | "is visible and pending",
    giving_up_a_file_in_silence_is_noticed: GivenUpInSilence in LOSSES by "Refused(FilesLost",
}
