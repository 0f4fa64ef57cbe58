//! The protocol in a seeded simulation: the real coordinator, driver, subtask, uploader, recovery
//! and committer, on a simulated store, source and clock.
//!
//! Everything that can happen next (a task goes on, a request reaches the store, its answer is lost,
//! a subtask takes a step, time passes, a process dies, is paused or joined by another) is one
//! choice of one seeded generator, so a failing seed replays exactly. A request that is on its way
//! when its process dies, or gives it up, still arrives, or not. [`checks`] hold after every change
//! of the store.
//!
//! A schedule is a test, which says its mix of faults, and a seed. One that failed is run alone,
//! with all its choices the same, by the command that its failure prints:
//!
//! ```text
//! LINEAGE_SIM_SEED=1234 cargo test --lib simulation::crashes_at_any_step_cost_no_record_and_double_none
//! ```

mod broken;
mod chain;
mod checks;
mod damage;
mod faults;
mod process;
mod store;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use faults::Faults;
use world::World;

/// Seeds for each mix of faults: 21,000 schedules in all.
const SCHEDULES: u64 = 3_000;

/// Environment variable with the one seed to be run.
const SEED: &str = "LINEAGE_SIM_SEED";

fn seeds() -> Range<u64> {
    match std::env::var(SEED) {
        Ok(seed) => {
            let seed = seed.parse().expect("a seed is a number");
            seed..seed + 1
        }
        Err(_) => 0..SCHEDULES,
    }
}

/// Runs one schedule: faults for a while, then none; the last process must archive everything.
/// Returns the hash of all choices.
fn run(seed: u64, faults: Faults) -> u64 {
    let mut world = World::new(seed, faults);
    world.run_with_faults();
    world.run_to_the_end();
    world.trace()
}

/// Runs the schedules on both cores, and says which seed failed.
fn run_all(test: &'static str, faults: Faults) {
    let threads = [0, 1].map(|first| {
        std::thread::spawn(move || {
            for seed in seeds().skip(first).step_by(2) {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, faults))) {
                    eprintln!(
                        "seed {seed} failed with {faults:?}. To run it alone: \
                         {SEED}={seed} cargo test --lib simulation::{test}"
                    );
                    resume_unwind(panic);
                }
            }
        })
    });
    for thread in threads {
        thread.join().expect("a schedule failed; its seed is above");
    }
}

macro_rules! schedules {
    ($($name:ident: $faults:ident,)*) => {
        $(
            #[test]
            fn $name() {
                run_all(stringify!($name), Faults::$faults);
            }
        )*
    };
}

schedules! {
    without_faults_everything_is_archived_exactly_once: NONE,
    lost_answers_and_failed_requests_cost_no_record_and_double_none: STORE,
    crashes_at_any_step_cost_no_record_and_double_none: CRASHES,
    two_and_three_processes_of_one_job_fence_each_other: RIVALS,
    logs_that_were_damaged_while_nothing_ran_are_refused_and_nothing_changes: DAMAGE,
    uploads_that_the_store_loses_are_read_again_and_no_record_is_doubled: LOSSES,
    all_faults_together_cost_no_record_and_double_none: ALL,
}

#[test]
fn a_seed_replays_exactly() {
    assert_eq!(run(7, Faults::ALL), run(7, Faults::ALL));
    assert_ne!(run(7, Faults::ALL), run(8, Faults::ALL));
}
