//! What a start may do, as facts decide it.

mod savepoints;

use super::*;
use crate::checkpoint::slot::SlotKind;
use crate::checkpoint::slot::tests::sample;
use crate::store::Key;

fn held(splits: &[(i32, i64, i64)]) -> Held {
    topic(Some("t"), splits)
}

fn lineage_input() -> Topics {
    "lineage-input".parse().unwrap()
}

fn topic(id: Option<&str>, splits: &[(i32, i64, i64)]) -> Held {
    let entry = |&(partition, earliest, end): &(i32, i64, i64)| {
        let marks = Watermarks {
            earliest: NextOffset(earliest),
            end: NextOffset(end),
        };
        (Split::new("lineage-input", partition), marks)
    };
    let ids = id.map(|id| ("lineage-input".into(), id.to_owned()));
    Held {
        ids: ids.into_iter().collect(),
        splits: splits.iter().map(entry).collect(),
        ..Held::default()
    }
}

/// Decides on the sample slot 7, which has saved 43 for partition 3.
fn decide_on(splits: &[(i32, i64, i64)], allow_lost_offsets: bool) -> Result<Plan, Refusal> {
    decide_on_topic(&held(splits), allow_lost_offsets)
}

fn decide_on_topic(held: &Held, allow_lost_offsets: bool) -> Result<Plan, Refusal> {
    let newest = sample(7);
    decide(&Facts {
        newest: Some(&newest),
        identity: &newest.identity.clone(),
        topics: &lineage_input(),
        held,
        start_from: &StartFrom::Earliest,
        savepoint: None,
        allow_lost_offsets,
    })
}

fn offsets(plan: &Plan) -> Vec<(i32, i64)> {
    by_partition(&plan.next_offsets)
}

fn begins(plan: &Plan) -> Vec<(i32, i64)> {
    by_partition(&plan.begins)
}

fn by_partition(offsets: &BTreeMap<Split, NextOffset>) -> Vec<(i32, i64)> {
    let offsets = offsets.iter();
    offsets
        .map(|(split, next)| (split.partition, next.0))
        .collect()
}

#[test]
fn the_first_start_is_slot_0_of_generation_1_from_the_earliest_records() {
    let identity = sample(0).identity;
    let plan = decide(&Facts {
        newest: None,
        identity: &identity,
        topics: &lineage_input(),
        held: &held(&[(0, 0, 9), (1, 5, 9)]),
        start_from: &StartFrom::Earliest,
        savepoint: None,
        allow_lost_offsets: false,
    })
    .unwrap();
    assert_eq!(
        (plan.id, plan.generation, &plan.job),
        (CheckpointId(0), Generation(1), &None)
    );
    assert_eq!(offsets(&plan), [(0, 0), (1, 5)]);
    assert_eq!(begins(&plan), [(0, 0), (1, 5)]);
}

#[test]
fn a_restart_claims_the_next_slot_and_carries_offsets_and_pending_files() {
    let plan = decide_on(&[(3, 0, 100)], false).unwrap();
    assert_eq!((plan.id, plan.generation), (CheckpointId(8), Generation(3)));
    assert_eq!(plan.job, Some(sample(7).job));
    assert_eq!(offsets(&plan), [(3, 43)]);
    assert_eq!(plan.pending, sample(7).pending);
}

#[test]
fn a_split_never_seen_before_is_read_from_its_earliest_record() {
    let plan = decide_on(&[(3, 0, 100), (4, 2, 100)], false).unwrap();
    assert_eq!(offsets(&plan), [(3, 43), (4, 2)]);
}

#[test]
fn the_archive_of_a_split_begins_where_it_began_also_when_kafka_has_removed_that() {
    let plan = decide_on(&[(3, 20, 100), (4, 2, 100)], false).unwrap();
    assert_eq!(begins(&plan), [(3, 0), (4, 2)]);
    assert_eq!(begins(&decide_on(&[(3, 50, 100)], true).unwrap()), [(3, 0)]);
    let other = topic(Some("other"), &[(3, 5, 1_000)]);
    assert_eq!(begins(&decide_on_topic(&other, true).unwrap()), [(3, 5)]);
}

#[test]
fn a_saved_offset_at_either_end_of_what_kafka_holds_is_fine() {
    assert!(decide_on(&[(3, 43, 100)], false).is_ok());
    assert!(decide_on(&[(3, 0, 43)], false).is_ok());
}

#[test]
fn retention_past_the_saved_offset_is_refused_with_the_lost_range() {
    let refusal = decide_on(&[(3, 50, 100)], false).unwrap_err().to_string();
    assert!(
        refusal.contains("lineage-input-3: offsets 43 to 49"),
        "{refusal}"
    );
    assert!(refusal.contains("--allow-lost-offsets"), "{refusal}");
    let plan = decide_on(&[(3, 50, 100)], true).unwrap();
    assert_eq!(offsets(&plan), [(3, 50)]);
    assert_eq!(plan.lost.len(), 1);
}

#[test]
fn a_partition_that_ends_before_the_saved_offset_is_refused_and_never_archived_twice() {
    let refusal = decide_on(&[(3, 0, 42)], false).unwrap_err().to_string();
    assert!(refusal.contains("ends at 42"), "{refusal}");
    assert_eq!(offsets(&decide_on(&[(3, 0, 42)], true).unwrap()), [(3, 42)]);
    // Brokers without topic ids: it may be another topic, and its records must not be lost.
    let unknown = topic(None, &[(3, 0, 42)]);
    assert!(decide_on_topic(&unknown, false).is_err());
    assert_eq!(offsets(&decide_on_topic(&unknown, true).unwrap()), [(3, 0)]);
}

#[test]
fn a_topic_that_was_made_again_is_refused_also_when_it_has_grown_past_the_saved_offset() {
    let other = topic(Some("other"), &[(3, 5, 1_000)]);
    let refusal = decide_on_topic(&other, false).unwrap_err().to_string();
    assert!(refusal.contains("its id was t and is other"), "{refusal}");
    let plan = decide_on_topic(&other, true).unwrap();
    assert_eq!(offsets(&plan), [(3, 5)]);
    assert_eq!(plan.topic_ids["lineage-input"], "other");
}

#[test]
fn a_topic_id_that_is_not_known_now_is_carried_on() {
    let plan = decide_on_topic(&topic(None, &[(3, 0, 100)]), false).unwrap();
    assert_eq!(plan.topic_ids["lineage-input"], "t");
}

#[test]
fn a_saved_split_that_is_gone_is_refused() {
    let refusal = decide_on(&[(0, 0, 42)], false).unwrap_err();
    assert!(
        matches!(refusal, Refusal::PartitionGone { .. }),
        "{refusal:?}"
    );
}

#[test]
fn another_job_under_the_same_checkpoints_path_is_refused_by_what_differs() {
    type Change = fn(&mut JobIdentity);
    let changes: [(&str, Change); 5] = [
        ("cluster", |i| i.cluster.push('x')),
        ("topic", |i| i.topic.push('x')),
        ("OUTPUT_PATH", |i| i.output.push('x')),
        ("DROPPED_PATH", |i| i.dropped.push('x')),
        ("WRITE_AHEAD", |i| i.commit_log.push('x')),
    ];
    for (named, change) in changes {
        let newest = sample(7);
        let mut identity = newest.identity.clone();
        change(&mut identity);
        let refusal = decide(&Facts {
            newest: Some(&newest),
            identity: &identity,
            topics: &identity.topic.parse().unwrap(),
            held: &held(&[(3, 0, 100)]),
            start_from: &StartFrom::Earliest,
            savepoint: None,
            allow_lost_offsets: true,
        });
        let text = refusal.unwrap_err().to_string();
        assert!(text.contains(named), "{text}");
    }
}

#[test]
fn further_topics_may_come_to_a_job_from_their_earliest_records_and_none_may_go() {
    let newest = sample(7);
    let decide_for = |topics: &str| {
        let mut identity = newest.identity.clone();
        identity.topic = topics.into();
        let mut held = held(&[(3, 0, 100)]);
        let marks = Watermarks {
            earliest: NextOffset(6),
            end: NextOffset(9),
        };
        held.splits.insert(Split::new("added", 0), marks);
        decide(&Facts {
            newest: Some(&newest),
            identity: &identity,
            topics: &topics.parse().unwrap(),
            held: &held,
            start_from: &StartFrom::Latest,
            savepoint: None,
            allow_lost_offsets: false,
        })
    };
    for topics in ["added,lineage-input", "^(added|lineage-input)$"] {
        let plan = decide_for(topics).unwrap();
        assert_eq!(plan.next_offsets[&Split::new("added", 0)], NextOffset(6));
        assert_eq!(
            plan.next_offsets[&Split::new("lineage-input", 3)],
            NextOffset(43)
        );
    }
    let refusal = decide_for("added").unwrap_err().to_string();
    assert!(refusal.contains("KAFKA_TOPIC"), "{refusal}");
}

#[test]
fn of_several_topics_one_that_was_made_again_or_is_gone_is_named_and_the_others_go_on() {
    let mut newest = sample(7);
    let other = Split::new("other", 0);
    newest.next_offsets.push(SplitOffset {
        split: other.clone(),
        begin: NextOffset(0),
        next_offset: NextOffset(5),
    });
    newest.topic_ids.insert("other".into(), "o".into());
    let decide_on = |id: Option<&str>, allow_lost_offsets| {
        let mut held = held(&[(3, 0, 100)]);
        if let Some(id) = id {
            let marks = Watermarks {
                earliest: NextOffset(0),
                end: NextOffset(9),
            };
            held.splits.insert(other.clone(), marks);
            held.ids.insert("other".into(), id.into());
        }
        decide(&Facts {
            newest: Some(&newest),
            identity: &newest.identity,
            topics: &"^.*".parse().unwrap(),
            held: &held,
            start_from: &StartFrom::Earliest,
            savepoint: None,
            allow_lost_offsets,
        })
    };
    for (id, named) in [
        (Some("again"), "topic other was deleted"),
        (None, "topic other has"),
    ] {
        let refusal = decide_on(id, false).unwrap_err().to_string();
        assert!(refusal.contains(named), "{refusal}");
        let plan = decide_on(id, true).unwrap();
        let own = Split::new("lineage-input", 3);
        assert_eq!(plan.next_offsets[&own], NextOffset(43));
        assert_eq!(plan.next_offsets.get(&other), id.map(|_| &NextOffset(0)));
    }
    let plan = decide_on(Some("o"), false).unwrap();
    assert_eq!(plan.next_offsets[&other], NextOffset(5));
}

#[test]
fn only_unreferenced_uploads_of_older_generations_of_this_job_are_orphans() {
    let mut start = sample(8);
    let upload = |name: String, id: &str| Upload {
        key: Key::new(format!("year=2026/{name}")),
        id: id.into(),
        token: String::new(),
    };
    let job = start.job.clone();
    let named =
        |generation: u64, sequence: u64| format!("part-{job}-{generation}-0-{sequence}.parquet");
    let referenced = upload(named(1, 0), "a");
    start.pending[0].committable.upload = referenced.clone();
    let orphan = upload(named(1, 1), "b");
    let open = vec![
        referenced,
        orphan.clone(),
        upload(named(2, 0), "own generation"),
        upload(named(3, 0), "newer generation"),
        upload(
            format!("part-{}-1-0-0.parquet", JobId::random()),
            "other job",
        ),
        upload("somebody-elses.bin".into(), "other program"),
    ];
    assert_eq!(orphans(&start, Root::Output, open), [orphan]);
}
