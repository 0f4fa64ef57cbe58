//! What a control plane does with a job: stop and resume, cancel, savepoints, and a new job from one.
//! The job is in this process, so that it can be asked without a server in between.

use lineage::ids::CheckpointId;
use lineage::jobs::control::{Operation, Refused, SavepointRequest};
use lineage::jobs::view::{CheckpointState, JobState, JobView};

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{
    Archive, InProcess, LONG, Lineage, Root, Storage, Topic, block_on, in_process, wait_for,
};

const SAVEPOINT: SavepointRequest = SavepointRequest {
    target: None,
    then_stop: false,
};

fn says_last(lineage: &Lineage, text: &str) -> bool {
    lineage.log().lines().last().unwrap().contains(text)
}

fn generation(view: &JobView) -> u64 {
    view.generation.unwrap().0
}

fn stop_and_resume(storage: Storage) {
    let archive = Archive::new(storage);
    let topic = Topic::create(4);
    topic.produce(3_000);
    let job = InProcess::idle(&archive, &topic, &[]);
    job.wait_until_consumed(3_000);
    job.control.stop().unwrap();
    let view = job.wait_for_state(JobState::Finished);
    assert_eq!(generation(&view), 1);
    assert!(view.ended_at.is_some() && view.starts[0].ended.as_deref() == Some("stopped"));
    assert_exact(&archive, &topic, Past::Calm);
    assert!(matches!(
        job.control.stop(),
        Err(Refused::Already("finished"))
    ));

    topic.produce(2_000);
    let id = job.view().job;
    job.control.resume().unwrap();
    assert!(id.is_some() && job.view().job == id, "also before recovery");
    let view = job.wait_for_state(JobState::Running);
    assert_eq!(generation(&view), 2);
    let restored = view.checkpoints.restored.unwrap();
    assert_eq!(
        (restored.id, restored.is_savepoint),
        (CheckpointId(1), false)
    );
    // Counters are of this start, checkpoints of the job.
    job.wait_until_consumed(2_000);
    assert_eq!(job.checkpoint(), CheckpointId(3));
    let view = job.view();
    let ids: Vec<_> = view.checkpoints.history.iter().map(|c| c.id.0).collect();
    assert_eq!((ids, view.checkpoints.completed), (vec![3, 1], 1));
    job.terminate().unwrap();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_job_that_was_stopped_goes_on_exactly_when_it_is_resumed_in_s3() {
    stop_and_resume(Storage::S3);
}

#[test]
fn a_job_that_was_stopped_goes_on_exactly_when_it_is_resumed_in_a_folder() {
    stop_and_resume(Storage::Local);
}

fn cancel_and_resume(storage: Storage) {
    let archive = Archive::new(storage);
    let topic = Topic::create(4);
    topic.produce(1_000);
    let job = InProcess::idle(&archive, &topic, &[]);
    job.wait_until_consumed(1_000);
    job.checkpoint();
    for round in 1..4 {
        // Read, and in no checkpoint.
        topic.produce(500);
        let before = if round == 1 { 1_000 } else { (round - 1) * 500 };
        job.wait_until_consumed(before + 500);
        wait_for("open file", LONG, || {
            (!archive.hidden().is_empty()).then_some(())
        });
        let waiting = (round == 3).then(|| job.control.savepoint(SAVEPOINT).unwrap());
        job.control.cancel().unwrap();
        job.wait_for_state(JobState::Canceled);
        if let Some(id) = waiting {
            // The cancellation may come before the savepoint, or after it.
            match job.outcome(&id) {
                Operation::Failed { cause } => assert!(cause.contains("canceled"), "{cause}"),
                Operation::Savepoint { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            job.control.cancel(),
            Err(Refused::Already("canceled"))
        ));
        assert!(job.view().troubles.is_empty());
        job.control.resume().unwrap();
        job.wait_for_state(JobState::Running);
    }
    let end = topic.count() as u64;
    job.wait_until("all read", |view| {
        let consumed = view
            .splits
            .iter()
            .map(|split| split.consumed.0.cast_unsigned());
        consumed.sum::<u64>() == end
    });
    job.terminate().unwrap();
    assert_exact(&archive, &topic, Past::Killed);
}

#[test]
fn a_job_that_was_canceled_again_and_again_loses_and_doubles_nothing_in_s3() {
    cancel_and_resume(Storage::S3);
}

#[test]
fn a_job_that_was_canceled_again_and_again_loses_and_doubles_nothing_in_a_folder() {
    cancel_and_resume(Storage::Local);
}

#[test]
fn the_view_says_what_was_read_what_is_durable_and_what_was_dropped() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    topic.produce_some_broken(1_000, |n, value| match n % 10 {
        3 => Some(Some(value[..20].to_vec())),
        6 => Some(None),
        _ => None,
    });
    let job = InProcess::idle(&archive, &topic, &[]);
    job.wait_until_consumed(1_000);
    let before = job.view();
    assert!(before.splits.iter().all(|split| split.durable.0 == 0));
    assert!(before.splits.iter().all(|split| split.committed.is_none()));
    let id = job.checkpoint();
    let view = job.wait_until("positions and committed offsets", |view| {
        let seen = |split: &lineage::jobs::view::SplitView| {
            split.lag() == Some(0) && split.committed == Some(split.durable)
        };
        view.splits.iter().all(seen)
    });
    for split in &view.splits {
        assert_eq!((split.consumed.0, split.durable.0), (500, 500), "{split:?}");
        assert_eq!(split.end, Some(split.consumed));
    }
    let sum = |of: fn(&lineage::jobs::view::SubtaskView) -> u64| -> u64 {
        view.subtasks.iter().map(of).sum()
    };
    assert_eq!(sum(|s| s.records_in), 1_000);
    assert_eq!((sum(|s| s.rows_out), sum(|s| s.rows_dropped)), (800, 200));
    assert!(sum(|s| s.bytes_in) > 30_000 && sum(|s| s.idle_ms) > 0);
    let checkpoint = &view.checkpoints.history[0];
    assert_eq!(
        (checkpoint.id, checkpoint.state),
        (id, CheckpointState::Completed)
    );
    assert_eq!(
        (checkpoint.rows, checkpoint.dropped, checkpoint.files),
        (800, 200, 4)
    );
    assert_eq!(sum(|s| s.bytes_out), checkpoint.bytes);
    assert_eq!(checkpoint.acks.len(), 2);
    let dropped = &view.dropped;
    assert_eq!(dropped.by_reason.values().sum::<u64>(), 200);
    assert_eq!(dropped.by_reason["null"], 100);
    assert_eq!(dropped.samples.len(), dropped.by_reason.len());

    let lines = block_on(job.control.commit_log(id)).unwrap();
    assert_eq!(lines.len(), 4);
    let rows: u64 = lines.iter().map(|line| line.rows.unwrap()).sum();
    assert_eq!(rows, 1_000);
    let output = archive.url(Root::Output);
    assert!(
        lines
            .iter()
            .any(|l| !l.dropped && l.s3_key.starts_with(&output))
    );
    job.terminate().unwrap();
}

#[test]
fn a_savepoint_stays_in_the_log_and_beside_it_when_all_around_it_is_pruned() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    topic.produce(1_000);
    let mut settings = in_process::settings(&archive, &topic, &["--checkpoint-interval", "1h"]);
    settings.rhythm.retained = 2;
    let job = InProcess::start(settings.clone());
    job.wait_until_consumed(1_000);
    let location = job.savepoint(SAVEPOINT);
    let name = format!("/savepoint-{}-1", &job.view().job.unwrap().to_string()[..6]);
    assert_eq!(location, archive.savepoints() + &name);
    topic.produce(500);
    job.wait_until_consumed(1_500);
    for _ in 0..3 {
        job.checkpoint();
    }
    wait_for("pruned log", LONG, || {
        (archive.slot_ids() == [1, 3, 4]).then_some(())
    });
    let view = job.view();
    let savepoints = view.checkpoints.history.iter().filter(|c| c.is_savepoint);
    let places: Vec<_> = savepoints.map(|c| (c.id.0, c.location.clone())).collect();
    assert_eq!(places, [(1, Some(location))]);
    job.terminate().unwrap();

    // Another start carries it on.
    let job = InProcess::start(settings);
    job.wait_for_state(JobState::Running);
    for _ in 0..2 {
        job.checkpoint();
    }
    wait_for("pruned log", LONG, || {
        (archive.slot_ids() == [1, 7, 8]).then_some(())
    });
    job.terminate().unwrap();
    let told = crate::harness::looking(&archive, &["verify"]);
    assert_eq!(
        told.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&told.stdout)
    );
    let listed = crate::harness::looking(&archive, &["checkpoints", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.matches("savepoint").count(), 1, "{listed}");
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_stop_with_a_savepoint_ends_with_it_and_one_without_a_place_does_not_stop_the_job() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    topic.produce(1_000);
    let job = InProcess::idle(&archive, &topic, &[]);
    job.wait_until_consumed(1_000);
    let nowhere = SavepointRequest {
        target: Some("file:///proc/no/such/place".parse().unwrap()),
        then_stop: true,
    };
    let id = job.control.savepoint(nowhere).unwrap();
    match job.outcome(&id) {
        Operation::Failed { cause } => assert!(cause.contains("/proc/no/such/place"), "{cause}"),
        other => panic!("{other:?}"),
    }
    let view = job.view();
    assert_eq!(view.state, JobState::Running);
    assert_eq!(view.exceptions[0].concern, "savepoint");
    let inside = SavepointRequest {
        target: Some(format!("{}/x", archive.url(Root::Output)).parse().unwrap()),
        then_stop: true,
    };
    assert!(matches!(
        job.control.savepoint(inside),
        Err(Refused::BadRequest(_))
    ));

    let stop = SavepointRequest {
        then_stop: true,
        ..SAVEPOINT
    };
    job.savepoint(stop);
    let view = job.wait_for_state(JobState::Finished);
    assert!(view.checkpoints.history[0].is_savepoint);
    job.terminate().unwrap();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_new_job_from_a_savepoint_has_exactly_the_later_records_and_goes_on_after_a_restart() {
    let (archive, new) = (Archive::new(Storage::S3), Archive::new(Storage::Local));
    let topic = Topic::create(2);
    topic.produce(1_000);
    let job = InProcess::idle(&archive, &topic, &[]);
    job.wait_until_consumed(1_000);
    let location = job.savepoint(SAVEPOINT);
    topic.produce(600);
    job.wait_until_consumed(1_600);
    job.terminate().unwrap();
    assert_exact(&archive, &topic, Past::Calm);

    // Into the same output it would double them.
    let flags = ["--bounded", "--from-savepoint", &location];
    let slots = archive.slot_ids();
    let mut refused = Lineage::start(&archive, &topic, &flags);
    refused.ends_with(4);
    let log = refused.log();
    let last = log.lines().last().unwrap();
    for said in [
        "would be there twice",
        &archive.url(Root::Output),
        &location,
        "without --from-savepoint",
    ] {
        assert!(last.contains(said), "'{said}' is not in: {last}");
    }
    assert_eq!(archive.slot_ids(), slots);

    // The new job's archive holds the rest, also of partitions that were added.
    topic.grow(3);
    topic.produce_to(2, 100);
    topic.forget(|delivered| delivered.partition < 2 && delivered.offset < 500);
    // Both stores are needed: the savepoint is in S3, the new archive in a folder.
    let s3 = archive.settings();
    let s3: Vec<_> = s3.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let s3: Vec<_> = s3
        .into_iter()
        .filter(|(k, _)| k.starts_with("AWS_"))
        .collect();
    for _ in 0..2 {
        let mut run = Lineage::start_with(&new, &topic, &flags, &s3);
        run.ends_with(0);
        assert_exact(&new, &topic, Past::Calm);
        // A restart with the same flags goes on from its own log.
        topic.produce(200);
    }
    let mut run = Lineage::start_with(&new, &topic, &flags, &s3);
    run.ends_with(0);
    assert_exact(&new, &topic, Past::Calm);
    let told = crate::harness::looking(&new, &["verify"]);
    assert_eq!(
        told.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&told.stdout)
    );
    assert_eq!(new.newest_slot()["origin"]["location"], location);

    // A log that was begun otherwise is not taken.
    let other = Archive::new(Storage::Local);
    Lineage::run(&other, &topic, &["--bounded"]);
    let mut refused = Lineage::start_with(&other, &topic, &flags, &s3);
    refused.ends_with(4);
    assert!(says_last(&refused, "was begun at the earliest records"));
    // Nor is the savepoint of another topic.
    let another = Topic::create(1);
    let empty = Archive::new(Storage::Local);
    let mut refused = Lineage::start_with(&empty, &another, &flags, &s3);
    refused.ends_with(4);
    assert_eq!(refused.says("is of another topic"), 1, "{}", refused.log());
    assert_eq!(empty.slot_ids(), [0; 0]);
}
