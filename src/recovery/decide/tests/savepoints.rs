//! Starts from a savepoint, and what a restart keeps of savepoints.

use super::*;

/// Savepoint 7 of the sample's job, which has saved 43 for partition 3.
fn savepoint() -> Savepoint {
    Savepoint {
        location: "s3://b/savepoints/savepoint-012345-7".into(),
        slot: sample(7),
    }
}

/// Another archive of the same topic.
fn elsewhere() -> JobIdentity {
    JobIdentity {
        output: "s3://b/2/output".into(),
        dropped: "s3://b/2/dropped".into(),
        commit_log: "s3://b/2/wal".into(),
        schema_sha256: "11".into(),
        ..sample(7).identity
    }
}

fn begin_from_savepoint(
    newest: Option<&Slot>,
    identity: &JobIdentity,
    held: &Held,
) -> Result<Plan, Refusal> {
    decide(&Facts {
        newest,
        identity,
        topics: &lineage_input(),
        held,
        start_from: &StartFrom::Earliest,
        savepoint: Some(&savepoint()),
        allow_lost_offsets: false,
    })
}

#[test]
fn a_job_from_a_savepoint_is_a_new_one_whose_archive_begins_at_its_next_offsets() {
    let topic = held(&[(3, 0, 100), (4, 6, 9)]);
    let plan = begin_from_savepoint(None, &elsewhere(), &topic).unwrap();
    assert_eq!((plan.id, plan.generation), (CheckpointId(0), Generation(1)));
    assert_eq!(plan.job, None);
    assert_eq!(offsets(&plan), [(3, 43), (4, 6)]);
    assert_eq!(begins(&plan), [(3, 43), (4, 6)]);
    assert_eq!(plan.pending, [], "they are the other job's");
    let origin = plan.origin.unwrap();
    assert_eq!(
        (origin.job, origin.checkpoint),
        (sample(7).job, CheckpointId(7))
    );
}

#[test]
fn a_savepoint_into_a_place_of_its_own_job_is_refused() {
    let topic = held(&[(3, 0, 100)]);
    let own = sample(7).identity;
    for identity in [
        own.clone(),
        JobIdentity {
            output: own.output.clone(),
            ..elsewhere()
        },
        JobIdentity {
            dropped: format!("{}/below", own.output),
            ..elsewhere()
        },
        JobIdentity {
            commit_log: own.commit_log.clone(),
            ..elsewhere()
        },
    ] {
        for newest in [None, Some(&sample(9))] {
            let refusal = begin_from_savepoint(newest, &identity, &topic);
            let same = matches!(refusal, Err(Refusal::SavepointOfThisArchive { .. }));
            assert!(same, "{identity:?}: {refusal:?}");
        }
    }
}

#[test]
fn a_savepoint_of_another_cluster_or_topic_is_refused() {
    let whole = held(&[(3, 0, 100)]);
    let other = |what: JobIdentity| begin_from_savepoint(None, &what, &whole);
    let cluster = JobIdentity {
        cluster: "d".into(),
        ..elsewhere()
    };
    let name = JobIdentity {
        topic: "other".into(),
        ..elsewhere()
    };
    let again = topic(Some("made again"), &[(3, 0, 100)]);
    for refusal in [
        other(cluster),
        other(name),
        begin_from_savepoint(None, &elsewhere(), &again),
    ] {
        let of_other = matches!(refusal, Err(Refusal::SavepointOfOther { .. }));
        assert!(of_other, "{refusal:?}");
    }
}

#[test]
fn a_job_that_was_begun_from_the_savepoint_goes_on_and_every_other_one_is_refused() {
    let topic = held(&[(3, 0, 100)]);
    let mut newest = Slot {
        identity: elsewhere(),
        ..sample(9)
    };
    let refusal = begin_from_savepoint(Some(&newest), &elsewhere(), &topic);
    assert!(
        matches!(refusal, Err(Refusal::BegunOtherwise { .. })),
        "{refusal:?}"
    );
    // Known by what it is, wherever it lies now.
    newest.origin = Some(Origin {
        location: "file:///copy".into(),
        ..savepoint().origin()
    });
    let plan = begin_from_savepoint(Some(&newest), &elsewhere(), &topic).unwrap();
    assert_eq!(
        (plan.id, plan.origin),
        (CheckpointId(10), newest.origin.clone())
    );
    if let Some(origin) = &mut newest.origin {
        origin.checkpoint = CheckpointId(6);
    }
    let refusal = begin_from_savepoint(Some(&newest), &elsewhere(), &topic);
    assert!(
        matches!(refusal, Err(Refusal::BegunOtherwise { .. })),
        "{refusal:?}"
    );
}

#[test]
fn a_savepoint_whose_offsets_kafka_holds_no_more_is_refused() {
    let refusal = begin_from_savepoint(None, &elsewhere(), &held(&[(3, 50, 100)]));
    assert!(
        matches!(refusal, Err(Refusal::OffsetsLost(_))),
        "{refusal:?}"
    );
}

#[test]
fn a_start_record_is_no_savepoint() {
    let mut from = savepoint();
    from.slot.kind = SlotKind::Start;
    let refusal = decide(&Facts {
        newest: None,
        identity: &elsewhere(),
        topics: &lineage_input(),
        held: &held(&[(3, 0, 100)]),
        start_from: &StartFrom::Earliest,
        savepoint: Some(&from),
        allow_lost_offsets: false,
    });
    assert!(
        matches!(refusal, Err(Refusal::NotACheckpoint(_))),
        "{refusal:?}"
    );
}

#[test]
fn a_restart_carries_the_savepoints_of_the_log() {
    let newest = Slot {
        savepoints: BTreeSet::from([CheckpointId(2), CheckpointId(7)]),
        ..sample(7)
    };
    let plan = decide(&Facts {
        newest: Some(&newest),
        identity: &newest.identity,
        topics: &lineage_input(),
        held: &held(&[(3, 0, 100)]),
        start_from: &StartFrom::Earliest,
        savepoint: None,
        allow_lost_offsets: false,
    });
    assert_eq!(plan.unwrap().savepoints, newest.savepoints);
}
