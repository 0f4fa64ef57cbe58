//! The protocol in a seeded simulation: the real coordinator, driver, subtask, uploader, recovery
//! and committer, on a simulated store, source and clock.
//!
//! Everything that can happen next (a task goes on, a request reaches the store, its answer is lost,
//! a subtask takes a step, time passes, a process dies, is paused or joined by another) is one
//! choice of one seeded generator, so a failing seed replays exactly. A request that is on its way
//! when its process dies still arrives, or not. [`checks`] hold after every change of the store.

mod chain;
mod checks;
mod damage;
mod process;
mod store;
mod world;

use crate::mutants::{self, Mutant};
use world::{Faults, World};

/// Runs one schedule: faults for a while, then none; the last process must archive everything.
fn run(seed: u64, faults: Faults) {
    let mut world = World::new(seed, faults);
    world.run_with_faults();
    world.run_to_the_end();
}

/// Seeds for each kind of faults: more than 20,000 schedules in all.
const SCHEDULES: u64 = 3_400;

/// Runs the schedules on both cores, and says which seed failed.
fn run_all(faults: Faults) {
    let threads = [0, 1].map(|first| {
        std::thread::spawn(move || {
            for seed in (first..SCHEDULES).step_by(2) {
                let run = std::panic::AssertUnwindSafe(|| run(seed, faults));
                if let Err(panic) = std::panic::catch_unwind(run) {
                    eprintln!("failing seed {seed} with {faults:?}");
                    std::panic::resume_unwind(panic);
                }
            }
        })
    });
    for thread in threads {
        thread.join().expect("a schedule failed; its seed is above");
    }
}

#[test]
fn without_faults_everything_is_archived_exactly_once() {
    run_all(Faults::NONE);
}

#[test]
fn lost_answers_and_failed_requests_cost_no_record_and_double_none() {
    run_all(Faults {
        store: true,
        ..Faults::NONE
    });
}

#[test]
fn crashes_at_any_step_cost_no_record_and_double_none() {
    run_all(Faults {
        store: true,
        crashes: true,
        ..Faults::NONE
    });
}

#[test]
fn two_and_three_processes_of_one_job_fence_each_other() {
    run_all(Faults {
        store: true,
        crashes: true,
        rivals: true,
        ..Faults::NONE
    });
}

#[test]
fn logs_that_were_damaged_while_nothing_ran_are_refused_and_nothing_changes() {
    run_all(Faults {
        store: true,
        crashes: true,
        damage: true,
        ..Faults::NONE
    });
}

#[test]
fn uploads_that_the_store_loses_are_read_again_and_no_record_is_doubled() {
    run_all(Faults {
        store: true,
        crashes: true,
        losses: true,
        rivals: true,
        ..Faults::NONE
    });
}

#[test]
fn a_seed_replays_exactly() {
    let trace = |seed| {
        let faults = Faults {
            store: true,
            crashes: true,
            losses: true,
            rivals: true,
            damage: true,
        };
        let mut world = World::new(seed, faults);
        world.run_with_faults();
        world.run_to_the_end();
        world.trace()
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

/// Schedules that are tried until one notices a broken rule.
const MOST_TRIES: u64 = 3_000;

/// A schedule must fail with this rule broken.
fn is_noticed(mutant: Mutant) {
    mutants::set(Some(mutant));
    let noticed = (0..MOST_TRIES).find(|&seed| {
        let faults = Faults {
            store: true,
            crashes: true,
            losses: seed % 2 == 0,
            rivals: true,
            damage: seed % 3 == 0,
        };
        let run = std::panic::AssertUnwindSafe(|| run(seed, faults));
        std::panic::catch_unwind(run).is_err()
    });
    mutants::set(None);
    assert!(
        noticed.is_some(),
        "{MOST_TRIES} schedules have not noticed {mutant:?}"
    );
    eprintln!("{mutant:?}: noticed by schedule {noticed:?}");
}

macro_rules! every_broken_rule_is_noticed {
    ($($name:ident: $mutant:ident,)*) => {
        mod broken {
            use super::{Mutant, is_noticed};
            $(
                #[test]
                fn $name() {
                    is_noticed(Mutant::$mutant);
                }
            )*
        }
    };
}

every_broken_rule_is_noticed! {
    a_start_that_leaves_a_slot_out_is_noticed: StartLeavesASlotOut,
    a_start_that_keeps_the_generation_is_noticed: GenerationIsKept,
    a_put_that_counts_without_looking_again_is_noticed: NoLookAgain,
    a_start_record_without_pending_files_is_noticed: PendingLeftOut,
    a_start_record_without_offsets_is_noticed: OffsetsLeftOut,
    generations_compared_instead_of_nonces_are_noticed: GenerationForNonce,
    a_put_that_overwrites_is_noticed: PutOverwrites,
    an_older_slot_for_a_newest_one_that_is_torn_is_noticed: OlderSlotUsed,
    a_commit_log_ahead_that_is_not_looked_for_is_noticed: CommitLogAheadIgnored,
    pruning_the_newest_slot_is_noticed: NewestPruned,
    aborting_what_a_start_record_references_is_noticed: ReferencedAborted,
    aborting_its_own_uploads_is_noticed: OwnUploadsAborted,
    aborting_what_a_newer_generation_writes_is_noticed: NewerAborted,
    finalizing_before_the_slot_is_noticed: FinalizedBeforeSlot,
    a_start_that_finalizes_nothing_is_noticed: NotRefinalized,
    an_ack_before_the_commit_log_is_noticed: AckBeforeCommitLog,
    files_forgotten_on_an_ack_are_noticed: FilesForgotten,
    offsets_committed_before_the_slot_are_noticed: OffsetsCommittedFirst,
    offsets_ahead_of_the_rows_are_noticed: OffsetsTooHigh,
    a_barrier_amid_lost_records_is_noticed: BarrierWhileRereading,
    reading_again_without_an_abort_is_noticed: RereadWithoutAbort,
    giving_up_a_file_in_silence_is_noticed: GivenUpInSilence,
}
