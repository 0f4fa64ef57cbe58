//! Files of two hours in one checkpoint, with a clock that the test turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lineage::clock::{Clock, EpochMillis, SystemClock};

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, InProcess, LONG, Root, Storage, Topic, in_process, wait_for};

/// The wall time is what the test says; all else is real.
struct TurnedClock {
    wall: AtomicI64,
    real: SystemClock,
}

#[async_trait]
impl Clock for TurnedClock {
    fn wall(&self) -> EpochMillis {
        EpochMillis(self.wall.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }

    async fn sleep(&self, time: Duration) {
        self.real.sleep(time).await;
    }
}

fn millis(rfc3339: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(rfc3339)
        .unwrap()
        .timestamp_millis()
}

/// The job in a thread of this process, with a clock that the test turns.
struct Turned {
    clock: Arc<TurnedClock>,
    job: InProcess,
}

impl Turned {
    fn start(archive: &Archive, topic: &Topic, interval: &str, wall: &str) -> Self {
        Self::start_with(archive, topic, interval, wall, &[])
    }

    fn start_with(
        archive: &Archive,
        topic: &Topic,
        interval: &str,
        wall: &str,
        further: &[&str],
    ) -> Self {
        let clock = Arc::new(TurnedClock {
            wall: AtomicI64::new(millis(wall)),
            real: SystemClock::new(),
        });
        let flags = ["--checkpoint-interval", interval, "--parallelism", "1"];
        let flags = [&flags[..], further].concat();
        let settings = in_process::settings(archive, topic, &flags);
        Self {
            job: InProcess::start_with(settings, clock.clone()),
            clock,
        }
    }

    fn turn_to(&self, wall: &str) {
        self.clock.wall.store(millis(wall), Ordering::Relaxed);
    }

    fn wait_until_consumed(&self, count: u64) {
        self.job.wait_until_consumed(count);
    }

    fn stop(self) {
        self.job.terminate().unwrap();
    }
}

/// The folders of the output, in order.
fn folders(archive: &Archive) -> Vec<String> {
    let keys = archive.keys(Root::Output);
    let folder = |key: &String| key.rsplit_once('/').unwrap().0.to_owned();
    keys.iter().map(folder).collect()
}

#[test]
fn rows_on_both_sides_of_a_full_hour_go_to_two_files_of_one_checkpoint() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    let job = Turned::start(&archive, &topic, "1h", "2026-12-31T23:59:59.999Z");
    topic.produce(100);
    job.wait_until_consumed(100);
    job.turn_to("2027-01-01T00:00:00.000Z");
    topic.produce(60);
    job.wait_until_consumed(160);
    job.stop();

    let report = assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(report["files"], 2);
    assert_eq!(
        folders(&archive),
        [
            "year=2026/month=12/day=31/hour=23",
            "year=2027/month=01/day=01/hour=00"
        ]
    );
    assert_eq!(archive.keys(Root::CommitLog), ["chk-1/subtask-0.csv"]);
    let lines = archive.csv("chk-1/subtask-0.csv");
    assert_eq!(lines.len(), 2, "{lines:?}");
    let time = millis("2027-01-01T00:00:00.000Z").to_string();
    assert!(
        lines
            .iter()
            .all(|l| l.starts_with("1,file:///") && l.ends_with(&time)),
        "{lines:?}"
    );
}

#[test]
fn an_hour_by_the_clock_is_marked_when_it_is_over_and_anew_when_it_is_so_again() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    let flags = ["--success-markers"];
    let job = Turned::start_with(
        &archive,
        &topic,
        "100ms",
        "2026-12-31T23:59:59.999Z",
        &flags,
    );
    topic.produce(100);
    archive.wait_until_archived(100);
    let hour = "year=2026/month=12/day=31/hour=23/_SUCCESS";
    assert!(!archive.keys(Root::Output).contains(&hour.to_owned()));
    job.turn_to("2027-01-01T00:00:00.000Z");
    let marker = || {
        let there = archive.keys(Root::Output).contains(&hour.to_owned());
        there.then(|| archive.get(Root::Output, hour))
    };
    let first = wait_for("marker", LONG, marker);
    job.turn_to("2026-12-31T23:30:00.000Z");
    topic.produce(10);
    archive.wait_until_archived(110);
    assert_eq!(
        marker().as_ref(),
        Some(&first),
        "the hour is not over again"
    );
    job.turn_to("2027-01-01T00:00:00.000Z");
    wait_for("changed marker", LONG, || {
        marker().filter(|now| *now != first)
    });
    job.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_clock_that_jumps_an_hour_back_and_forth_holds_up_no_checkpoint_and_costs_no_record() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    let job = Turned::start(&archive, &topic, "100ms", "2026-06-01T12:30:00Z");
    let mut consumed = 0;
    for wall in [
        "2026-06-01T11:30:00Z",
        "2026-06-01T13:30:00Z",
        "2026-06-01T12:30:00Z",
    ] {
        topic.produce(100);
        consumed += 100;
        job.wait_until_consumed(consumed);
        job.turn_to(wall);
        let before = archive.slot_ids().last().copied().unwrap_or(0);
        wait_for("three more checkpoints", LONG, || {
            (archive.slot_ids().last() >= Some(&(before + 3))).then_some(())
        });
    }
    job.stop();
    assert_exact(&archive, &topic, Past::Calm);
    let hours = folders(&archive);
    for hour in ["hour=11", "hour=12", "hour=13"] {
        let folder = format!("year=2026/month=06/day=01/{hour}");
        assert!(hours.contains(&folder), "{folder} is not in {hours:?}");
    }
}
