//! What the next process knows of earlier ones: how they ended, what went wrong, how their
//! checkpoints went.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lineage::clock::{Clock, EpochMillis, SystemClock};
use lineage::ids::CheckpointId;
use lineage::jobs::control::SavepointRequest;
use lineage::jobs::view::{CheckpointView, JobState};

use crate::harness::read_back::{Past, assert_exact, report};
use crate::harness::{
    Archive, InProcess, LONG, Lineage, Root, Storage, Topic, in_process, wait_for,
};

const SAVEPOINT: SavepointRequest = SavepointRequest {
    target: None,
    then_stop: false,
};

#[test]
fn sigterm_ends_a_process_at_once_whose_job_is_canceled_and_the_history_says_so() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(1);
    let job = InProcess::idle(&archive, &topic, &[]);
    job.control.cancel().unwrap();
    job.wait_for_state(JobState::Canceled);
    assert!(job.control.checkpoint().is_err() && job.control.savepoint(SAVEPOINT).is_err());
    job.terminate().unwrap();
    assert_eq!(archive.slot_ids(), [0]);
    let next = InProcess::idle(&archive, &topic, &[]);
    let view = next.wait_until("history", |view| view.starts.len() == 2);
    assert_eq!(view.starts[1].ended.as_deref(), Some("canceled"));
    next.terminate().unwrap();
}

#[test]
fn why_a_start_was_refused_is_in_the_history_of_the_next() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(1);
    topic.produce(100);
    Lineage::run(&archive, &topic, &["--bounded"]);
    topic.produce(100);
    topic.delete_below(0, 150);
    for _ in 0..2 {
        let mut refused = Lineage::start(&archive, &topic, &["--bounded"]);
        refused.ends_with(4);
    }
    let slots = archive.slot_ids();
    let job = InProcess::idle(&archive, &topic, &["--allow-lost-offsets"]);
    let view = job.wait_until("history", |view| view.exceptions.len() == 2);
    assert_eq!(view.generation.unwrap().0, 2);
    for exception in &view.exceptions {
        assert_eq!(exception.concern, "recovery");
        assert!(
            exception.message.contains("removed by retention"),
            "{exception:?}"
        );
    }
    let ends: Vec<_> = view.starts.iter().map(|s| s.ended.as_deref()).collect();
    assert_eq!(ends, [None, Some("finished")]);
    assert_eq!(archive.slot_ids().len(), slots.len() + 1);
    job.wait_until_consumed(50);
    job.terminate().unwrap();
    assert_eq!(report(&archive, &topic)["output_rows"], 150);
}

#[test]
fn a_history_that_cannot_be_written_holds_up_nothing() {
    let archive = Archive::new(Storage::Local);
    // A file is where its folder would be.
    let checkpoints = archive.mirror(Root::Checkpoints);
    std::fs::create_dir_all(&checkpoints).unwrap();
    std::fs::write(checkpoints.join("history"), "in the way").unwrap();
    let topic = Topic::create(1);
    topic.produce(100);
    let job = InProcess::idle(&archive, &topic, &[]);
    job.wait_until_consumed(100);
    job.checkpoint();
    assert!(job.view().troubles.is_empty());
    job.terminate().unwrap();
    assert_exact(&archive, &topic, Past::Calm);
}

/// All that is told of complete checkpoints, without those of other starts.
fn told(job: &InProcess, of: &[u64]) -> Vec<CheckpointView> {
    let view = job.wait_until("earlier checkpoints", |view| {
        let known = &view.checkpoints.history;
        of.iter().all(|id| known.iter().any(|c| c.id.0 == *id))
    });
    let mut all = view.checkpoints.history;
    all.retain(|c| of.contains(&c.id.0));
    all
}

#[test]
fn how_checkpoints_went_is_known_to_the_next_processes_also_when_their_slots_are_pruned() {
    for storage in [Storage::Local, Storage::S3] {
        let archive = Archive::new(storage);
        let topic = Topic::create(2);
        let mut settings = in_process::settings(&archive, &topic, &["--checkpoint-interval", "1h"]);
        settings.rhythm.retained = 1;
        topic.produce(1_000);
        let job = InProcess::start(settings.clone());
        job.wait_until_consumed(1_000);
        let location = job.savepoint(SAVEPOINT);
        topic.produce(500);
        job.wait_until_consumed(1_500);
        assert_eq!(job.checkpoint(), CheckpointId(2));
        // The third one is taken with the end.
        let before = told(&job, &[1, 2]);
        job.terminate().unwrap();

        for _ in 0..2 {
            let next = InProcess::start(settings.clone());
            next.wait_for_state(JobState::Running);
            let after = told(&next, &[1, 2, 3]);
            let ids: Vec<_> = after.iter().map(|c| c.id.0).collect();
            assert_eq!(ids, [3, 2, 1]);
            for (before, after) in before.iter().zip(&after[1..]) {
                assert!(after.phases.is_some() && after.triggered_at.is_some());
                assert_eq!(format!("{before:?}"), format!("{after:?}"));
            }
            assert_eq!(after[2].location.as_ref(), Some(&location));
            next.terminate().unwrap();
        }
        assert!(!archive.slot_ids().contains(&2), "it is in no log any more");
        assert_exact(&archive, &topic, Past::Calm);
    }
}

/// A minute lasts a second.
struct Hurried(SystemClock);

#[async_trait]
impl Clock for Hurried {
    fn wall(&self) -> EpochMillis {
        self.0.wall()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, time: Duration) {
        self.0.sleep(time / 60).await;
    }
}

#[test]
fn how_checkpoints_went_is_written_while_the_job_runs() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(1);
    topic.produce(100);
    let settings = in_process::settings(&archive, &topic, &["--checkpoint-interval", "1h"]);
    let job = InProcess::start_with(settings, Arc::new(Hurried(SystemClock::new())));
    job.wait_until_consumed(100);
    job.checkpoint();
    let history = "history/generation-000001.json";
    wait_for("checkpoint in the history", LONG, || {
        let keys = archive.keys(Root::Checkpoints);
        keys.contains(&history.to_owned()).then_some(())?;
        let written = archive.get(Root::Checkpoints, history);
        let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
        let newest = &written["checkpoints"][0];
        (newest["id"] == 1 && newest["phases"]["barrier"].is_u64()).then_some(())
    });
    job.terminate().unwrap();
}
