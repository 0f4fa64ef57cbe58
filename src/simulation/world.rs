//! The schedule: which of all the things that can happen next, happens.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;

use super::chain::is_marker;
use super::checks::Checker;
use super::damage;
use super::faults::Faults;
use super::process::{Inside, Outside, Process, SimClock};
use super::store::{ANOTHER_JOBS, Contents, Fate, Loss, Shared};
use crate::checkpoint::coordinator::Request;
use crate::checkpoint::driver::{ChainError, Event};
use crate::runtime::subtask::Step;

/// Choices with faults; some checkpoints and starts.
const STEPS_WITH_FAULTS: usize = 800;
/// Choices after which a schedule without faults counts as stuck.
const STEPS_TO_THE_END: usize = 60_000;
const RIVALS: usize = 3;
const MOST_PARTITIONS: i32 = 6;
const HOUR_MS: i64 = 3_600_000;
/// Choices after which a start on damaged logs counts as going on.
const STEPS_TO_REFUSE: usize = 1_000;

pub struct World {
    rng: Rng,
    faults: Faults,
    outside: Outside,
    processes: Vec<Process>,
    checker: Checker,
    /// Nothing more is produced; who has read everything takes a last checkpoint.
    closing: bool,
    /// Processes that have ended with all their work done.
    well_ended: usize,
    /// Hash of all choices.
    trace: u64,
}

impl World {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = Rng::with_seed(seed);
        let partitions = rng.i32(1..=4);
        let ends: BTreeMap<_, _> = (0..partitions).map(|p| (p, 0)).collect();
        let outside = Outside {
            shared: Arc::new(Mutex::new(Shared::with_another_job())),
            clock: Arc::new(SimClock::default()),
            topic: Arc::new(Mutex::new(ends)),
            reread_lost_files: rng.bool(),
            seeds: Arc::new(Mutex::new(rng.fork())),
        };
        Self {
            processes: vec![Process::start(outside.clone())],
            rng,
            faults,
            outside,
            checker: Checker::new(faults.losses),
            closing: false,
            well_ended: 0,
            trace: 0,
        }
    }

    pub fn trace(&self) -> u64 {
        self.trace
    }

    pub fn run_with_faults(&mut self) {
        for _ in 0..STEPS_WITH_FAULTS {
            self.produce();
            self.ask_for_checkpoints();
            if self.faults.crashes && !self.processes.is_empty() && self.rng.u32(..300) == 0 {
                let victim = self.rng.usize(..self.processes.len());
                self.note(victim as u64 + 1_000);
                self.processes.remove(victim);
            }
            if self.faults.rivals {
                self.pause_or_resume();
            }
            if self.faults.changes {
                self.change_the_world();
            }
            if self.faults.damage && self.rng.u32(..300) == 0 {
                self.damage_the_logs();
            }
            let rival = self.faults.rivals && self.rng.u32(..400) == 0;
            if self.processes.is_empty() || (rival && self.processes.len() < RIVALS) {
                self.note(2_000);
                self.processes.push(Process::start(self.outside.clone()));
            }
            self.step(self.faults);
        }
    }

    /// Everybody dies, and the logs are damaged: the next start must refuse and change nothing. Then
    /// the damage is mended.
    fn damage_the_logs(&mut self) {
        self.note(3_000);
        self.processes.clear();
        let shared = self.outside.shared.clone();
        let (whole, damaged, changes) = {
            let mut shared = shared.lock().expect("no check has failed before");
            shared.requests.clear();
            let whole = shared.contents.objects.clone();
            let Contents { objects, files, .. } = &mut shared.contents;
            let is_visible = |path: &str| files.contains_key(path);
            if !damage::apply(objects, self.checker.seen(), is_visible, &mut self.rng) {
                return;
            }
            (whole, objects.clone(), shared.contents.changes.len())
        };
        self.processes.push(Process::start(self.outside.clone()));
        let refused = (0..STEPS_TO_REFUSE).any(|_| {
            if !self.poll_a_task() && !self.end_a_request(Faults::NONE) {
                self.step_a_subtask();
                self.let_time_pass();
            }
            match &inside(&self.processes[0]).ended {
                None => false,
                Some(Err(end)) if end.is_refusal_of_damage() => true,
                Some(end) => panic!("a start on damaged logs ended: {end:?}"),
            }
        });
        assert!(refused, "a start has gone on with damaged logs");
        self.processes.clear();
        let mut shared = shared.lock().expect("no check has failed before");
        assert_eq!(
            shared.contents.objects, damaged,
            "a refusal changes nothing"
        );
        assert_eq!(
            shared.contents.changes.len(),
            changes,
            "a refusal changes nothing"
        );
        shared.contents.objects = whole;
    }

    /// No more faults: everybody is resumed, one more process is started, and the newest one must
    /// archive everything and end by itself. Then one more starts alone: what the others have
    /// opened after it was looked for is its to clear away.
    pub fn run_to_the_end(&mut self) {
        self.closing = true;
        for process in &mut self.processes {
            process.paused = false;
        }
        for _ in 0..2 {
            self.processes.push(Process::start(self.outside.clone()));
            self.well_ended = 0;
            self.run_until_all_have_ended();
            // Where files are lost, a process ends for that, and the next one reads them again.
            let somebody_has_ended_well = self.well_ended > 0 || self.faults.losses;
            assert!(
                somebody_has_ended_well,
                "all were fenced, and nobody went on"
            );
        }
        assert_eq!(self.well_ended, 1, "who starts alone ends its work");
        self.check_all_archived();
    }

    fn run_until_all_have_ended(&mut self) {
        for _ in 0..STEPS_TO_THE_END {
            if self.processes.is_empty() && self.shared().requests.is_empty() {
                return;
            }
            self.step(Faults::NONE);
        }
        panic!("no progress: {} processes are left", self.processes.len());
    }

    fn check_all_archived(&self) {
        let shared = self.shared();
        let ends = self.outside.ends();
        for (&partition, &end) in ends.iter() {
            for offset in (0..end).filter(|o| !is_marker(*o)) {
                let there = self.checker.is_visible(partition, offset);
                assert!(there, "partition {partition} offset {offset} is missing");
            }
        }
        let newest = self.checker.newest().expect("there are slots");
        for saved in &newest.next_offsets {
            assert_eq!(
                saved.next_offset.0, ends[&saved.split.partition],
                "no phantom lag"
            );
        }
        let uploads = shared.contents.uploads.values();
        let (others, own): (Vec<_>, Vec<_>) = uploads.partition(|u| u.path == ANOTHER_JOBS);
        assert_eq!(others.len(), 1, "the upload of another job is left alone");
        assert!(
            own.iter()
                .all(|u| u.path.contains(&format!("-{}-", newest.generation))),
            "uploads of older generations are left"
        );
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.outside
            .shared
            .lock()
            .expect("no check has failed before")
    }

    fn note(&mut self, choice: u64) {
        self.trace = self
            .trace
            .wrapping_mul(0x0100_0000_01b3)
            .wrapping_add(choice);
    }

    fn produce(&mut self) {
        if self.rng.u32(..20) == 0 {
            let mut ends = self.outside.ends();
            let count = ends.len();
            if let Some(end) = ends.values_mut().nth(self.rng.usize(..count)) {
                *end += self.rng.i64(1..6);
            }
        }
    }

    /// Somebody asks for a savepoint, or for a checkpoint now.
    fn ask_for_checkpoints(&mut self) {
        if !self.processes.is_empty() && self.rng.u32(..150) == 0 {
            let process = self.rng.usize(..self.processes.len());
            let requests = [Request::Savepoint, Request::Checkpoint];
            self.processes[process].request(requests[self.rng.usize(..2)]);
        }
    }

    fn pause_or_resume(&mut self) {
        if !self.processes.is_empty() && self.rng.u32(..100) == 0 {
            let place = self.rng.usize(..self.processes.len());
            let process = &mut self.processes[place];
            process.paused = !process.paused;
        }
    }

    /// A partition is added, or found; the wall clock jumps.
    fn change_the_world(&mut self) {
        let outside = &self.outside;
        match self.rng.u32(..400) {
            0 => {
                let mut ends = outside.ends();
                let partition = ends.len() as i32;
                if partition < MOST_PARTITIONS {
                    ends.insert(partition, 0);
                }
            }
            1..=4 => {
                let awake: Vec<_> = self.processes.iter().filter(|p| !p.paused).collect();
                if let Some(process) = self.rng.choice(awake) {
                    process.discover(&outside.held_now());
                }
            }
            5 | 6 => {
                let wrong_by = HOUR_MS * self.rng.i64(-1..=1);
                outside.clock.wrong_by.store(wrong_by, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// One thing happens.
    fn step(&mut self, faults: Faults) {
        let choice = self.rng.u32(..10);
        self.note(u64::from(choice));
        let happened = match choice {
            0..=4 => self.poll_a_task(),
            5 | 6 => self.end_a_request(faults),
            7 | 8 => self.step_a_subtask(),
            _ => false,
        };
        if !happened && !self.poll_a_task() && !self.end_a_request(faults) {
            self.step_a_subtask();
            self.let_time_pass();
        }
        self.bury();
        let Self {
            checker, outside, ..
        } = self;
        let mut shared = outside.shared.lock().expect("no check has failed before");
        checker.check(&shared.contents);
        for next_offsets in std::mem::take(&mut shared.committed) {
            checker.check_committed(&next_offsets);
        }
    }

    fn poll_a_task(&mut self) -> bool {
        let mut ready = Vec::new();
        for (p, process) in self.processes.iter().enumerate().filter(|(_, p)| !p.paused) {
            let tasks = process.tasks.iter().enumerate();
            ready.extend(tasks.filter(|(_, t)| t.is_ready()).map(|(t, _)| (p, t)));
        }
        let Some(&(process, task)) = self.rng.choice(&ready) else {
            return false;
        };
        let process = &mut self.processes[process];
        process.tasks[task].poll();
        let spawned = std::mem::take(&mut inside(process).spawned);
        process.tasks.extend(spawned);
        true
    }

    fn end_a_request(&mut self, faults: Faults) -> bool {
        let fate = faults.fate(&mut self.rng);
        let mut shared = self
            .outside
            .shared
            .lock()
            .expect("no check has failed before");
        if shared.requests.is_empty() {
            return false;
        }
        let place = self.rng.usize(..shared.requests.len());
        let request = &shared.requests[place];
        if self.rng.u32(..request.rarity) != 0 {
            return false;
        }
        let length = request.what.len() as u64;
        if let Some(id) = request.what.strip_prefix("complete ")
            && faults.losses
            && fate == Fate::Failed
        {
            let id = id.to_owned();
            let losses = [Loss::Parts, Loss::Unsettled, Loss::Upload];
            // An upload that is gone altogether is given up only where that is allowed.
            let kinds = if self.outside.reread_lost_files { 3 } else { 2 };
            let loss = losses[self.rng.usize(..kinds)];
            shared.lose(&id, loss);
        }
        // Overtaken by little, or by a whole start of another process.
        let rarity = [1, 5, 50][self.rng.usize(..3)];
        shared.end(place, fate, rarity);
        drop(shared);
        self.note(length * 10 + fate as u64);
        true
    }

    fn step_a_subtask(&mut self) -> bool {
        let awake: Vec<_> = (0..self.processes.len())
            .filter(|&p| !self.processes[p].paused)
            .collect();
        let Some(&process) = self.rng.choice(&awake) else {
            return false;
        };
        let mut guard = inside(&self.processes[process]);
        let inside = &mut *guard;
        if inside.subtasks.is_empty() || inside.ended.is_some() {
            return false;
        }
        let place = self.rng.usize(..inside.subtasks.len());
        let subtask = &mut inside.subtasks[place];
        let result = match inside.commands[place].pop_front() {
            Some(command) => subtask.command(command).map(|()| Step::Idle),
            None => subtask.step(Duration::ZERO),
        };
        let events = inside.events.as_ref().expect("set with the subtasks");
        match result {
            Ok(Step::ReachedEnd) if self.closing => {
                let _ = events.send(Event::ReachedEnd(subtask.index));
            }
            // There will be more.
            Ok(Step::ReachedEnd) => subtask.end_reported = false,
            Ok(_) => {}
            Err(error) => {
                let _ = events.send(Event::Failed {
                    subtask: subtask.index,
                    error: ChainError::from(error),
                });
            }
        }
        true
    }

    /// Jumps to the first sleeper; the schedule does that also while others could go on.
    fn let_time_pass(&mut self) {
        let clock = &self.outside.clock;
        let mut sleepers = clock.sleepers.lock().expect("no check has failed before");
        sleepers.retain(|(_, wake)| !wake.is_closed());
        let Some(&at) = sleepers.iter().map(|(at, _)| at).min() else {
            return;
        };
        let mut now = clock.now.lock().expect("as above");
        *now = at.max(*now);
        let (due, later) = std::mem::take(&mut *sleepers)
            .into_iter()
            .partition::<Vec<_>, _>(|(due, _)| *due <= at);
        *sleepers = later;
        drop((now, sleepers));
        for (_, wake) in due {
            let _ = wake.send(());
        }
    }

    /// Removes processes that have ended; only fencing may end one, a loss, or the end of its work.
    fn bury(&mut self) {
        let Self {
            processes,
            well_ended,
            faults,
            ..
        } = self;
        processes.retain(|process| match &inside(process).ended {
            None => true,
            Some(Ok(())) => {
                *well_ended += 1;
                false
            }
            Some(Err(end)) => {
                let expected = end.is_fencing() || (faults.losses && end.is_loss());
                assert!(expected, "a process ended: {end:?}");
                false
            }
        });
    }
}

fn inside(process: &Process) -> MutexGuard<'_, Inside> {
    process.inside.lock().expect("no check has failed before")
}
