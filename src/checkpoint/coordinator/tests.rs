use super::*;
use crate::checkpoint::slot::TopicIds;
use crate::checkpoint::slot::tests::sample;

const RHYTHM: Rhythm = Rhythm {
    interval: Duration::from_secs(60),
    min_pause: Duration::from_secs(10),
    timeout: Duration::from_secs(300),
    retained: RETAINED_SLOTS,
};

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn split(partition: i32) -> Split {
    Split::new("t", partition)
}

/// A coordinator of two subtasks, just after start record 4.
fn coordinator() -> Coordinator {
    let start = sample(4);
    let owner = Owner {
        topic_ids: TopicIds::new(),
        markers: Markers::default(),
        begins: BTreeMap::new(),
        savepoints: BTreeSet::from([CheckpointId(2)]),
        origin: None,
        job: start.job.clone(),
        generation: start.generation,
        nonce: start.nonce.clone(),
        identity: start.identity.clone(),
    };
    let offsets = BTreeMap::from([(split(0), NextOffset(10)), (split(1), NextOffset(20))]);
    Coordinator::new(&start, owner, RHYTHM, 2, offsets, seconds(0))
}

fn ack(subtask: u32, checkpoint: u64, next_offset: i64) -> Ack {
    Ack {
        subtask: SubtaskIndex(subtask),
        checkpoint: CheckpointId(checkpoint),
        next_offsets: vec![(split(subtask as i32), NextOffset(next_offset))],
        files: Vec::new(),
        watermark: Watermark::Unknown,
        times: AckTimes::default(),
    }
}

fn complete(coordinator: &mut Coordinator, now: Duration) -> Completed {
    let barrier = coordinator.tick(now).expect("a barrier is due");
    for subtask in 0..2 {
        let ack = ack(subtask, barrier.id.0, 100);
        coordinator.ack(ack, EpochMillis(0)).unwrap();
    }
    coordinator.slot_confirmed().unwrap();
    coordinator.finalized(now).unwrap()
}

#[test]
fn the_first_checkpoint_follows_the_start_record_after_one_interval() {
    let mut c = coordinator();
    assert_eq!(c.tick(seconds(59)), None);
    let barrier = c.tick(seconds(60)).unwrap();
    assert_eq!(barrier.id, CheckpointId(5));
    assert!(!barrier.last);
}

#[test]
fn the_slot_is_put_only_when_every_subtask_has_acknowledged() {
    let mut c = coordinator();
    c.tick(seconds(60)).unwrap();
    assert!(c.ack(ack(0, 5, 11), EpochMillis(7)).unwrap().is_none());
    let slot = c.ack(ack(1, 5, 22), EpochMillis(7)).unwrap().unwrap();
    assert_eq!(slot.id, CheckpointId(5));
    assert_eq!(slot.kind, SlotKind::Checkpoint);
    let offsets: Vec<_> = slot.next_offsets.iter().map(|o| o.next_offset.0).collect();
    assert_eq!(offsets, [11, 22]);
}

#[test]
fn no_barrier_is_triggered_before_the_files_of_the_one_before_are_finalized() {
    let mut c = coordinator();
    c.tick(seconds(60)).unwrap();
    let late = seconds(1000);
    assert_eq!(c.tick(late), None);
    c.ack(ack(0, 5, 11), EpochMillis(0)).unwrap();
    c.ack(ack(1, 5, 22), EpochMillis(0)).unwrap();
    assert_eq!(c.tick(late), None);
    c.slot_confirmed().unwrap();
    assert_eq!(c.tick(late), None);
    c.finalized(late).unwrap();
    assert_eq!(c.tick(late), None, "the pause counts from the end");
    assert_eq!(c.tick(late + RHYTHM.min_pause).unwrap().id, CheckpointId(6));
}

#[test]
fn a_late_checkpoint_goes_on_and_names_who_is_missing() {
    let mut c = coordinator();
    c.tick(seconds(60)).unwrap();
    c.ack(ack(1, 5, 22), EpochMillis(0)).unwrap();
    assert_eq!(c.late(seconds(359)), None);
    let late = c.late(seconds(360));
    assert_eq!(late, Some((CheckpointId(5), vec![SubtaskIndex(0)])));
    assert!(c.ack(ack(0, 5, 11), EpochMillis(0)).unwrap().is_some());
}

#[test]
fn a_stop_takes_a_last_checkpoint_at_once_when_none_is_under_way() {
    let mut c = coordinator();
    c.stop();
    assert!(c.tick(seconds(1)).unwrap().last);
}

#[test]
fn a_stop_lets_the_checkpoint_under_way_complete_first() {
    let mut c = coordinator();
    assert!(!c.tick(seconds(60)).unwrap().last);
    c.stop();
    for subtask in 0..2 {
        c.ack(ack(subtask, 5, 100), EpochMillis(0)).unwrap();
    }
    c.slot_confirmed().unwrap();
    assert!(!c.finalized(seconds(61)).unwrap().last);
    let completed = complete(&mut c, seconds(61));
    assert_eq!((completed.id, completed.last), (CheckpointId(6), true));
    assert_eq!(c.tick(seconds(9999)), None);
}

#[test]
fn a_bounded_run_ends_when_all_subtasks_have_reached_the_end() {
    let mut c = coordinator();
    c.reached_end(SubtaskIndex(1));
    c.reached_end(SubtaskIndex(1));
    assert_eq!(c.tick(seconds(1)), None);
    c.reached_end(SubtaskIndex(0));
    assert!(c.tick(seconds(1)).unwrap().last);
}

#[test]
fn an_ack_out_of_turn_is_an_error() {
    let mut c = coordinator();
    assert!(c.ack(ack(0, 5, 11), EpochMillis(0)).is_err(), "no barrier");
    c.tick(seconds(60)).unwrap();
    assert!(c.ack(ack(0, 6, 11), EpochMillis(0)).is_err(), "other id");
    c.ack(ack(0, 5, 11), EpochMillis(0)).unwrap();
    assert!(c.ack(ack(0, 5, 11), EpochMillis(0)).is_err(), "twice");
    assert!(c.ack(ack(2, 5, 11), EpochMillis(0)).is_err(), "unknown");
}

#[test]
fn a_next_offset_that_goes_back_is_an_error_that_names_the_split() {
    let mut c = coordinator();
    c.tick(seconds(60)).unwrap();
    c.ack(ack(0, 5, 9), EpochMillis(0)).unwrap();
    let error = c.ack(ack(1, 5, 22), EpochMillis(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t-0: the next offset went back from 10 to 9"
    );
}

#[test]
fn pruning_never_reaches_the_newest_slots() {
    let mut c = coordinator();
    let mut now = seconds(0);
    for _ in 0..200 {
        now += seconds(60);
        let completed = complete(&mut c, now);
        assert!(completed.prune_below < completed.id);
        assert!(completed.id.0 - completed.prune_below.0 < RETAINED_SLOTS);
    }
}

#[test]
fn a_split_that_was_discovered_is_in_the_next_slot_even_without_a_record() {
    let mut c = coordinator();
    let added = [(split(7), NextOffset(3)), (split(0), NextOffset(0))];
    c.add_splits(&added, TopicIds::new());
    c.tick(seconds(60)).unwrap();
    c.ack(ack(0, 5, 11), EpochMillis(0)).unwrap();
    let slot = c.ack(ack(1, 5, 22), EpochMillis(0)).unwrap().unwrap();
    let offsets: Vec<_> = slot.next_offsets.iter().map(|o| o.next_offset.0).collect();
    assert_eq!(offsets, [11, 22, 3]);
}

/// Takes the checkpoint that is due to its end, and returns its slot.
fn take(c: &mut Coordinator, now: Duration) -> Slot {
    let id = c.tick(now).expect("a barrier is due").id;
    c.ack(ack(0, id.0, 100), EpochMillis(0)).unwrap();
    let slot = c.ack(ack(1, id.0, 100), EpochMillis(0)).unwrap().unwrap();
    c.slot_confirmed().unwrap();
    c.finalized(now).unwrap();
    slot
}

fn numbers(ids: &BTreeSet<CheckpointId>) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}

#[test]
fn a_checkpoint_that_is_asked_for_is_taken_at_once_and_the_rhythm_goes_on_from_it() {
    let mut c = coordinator();
    assert_eq!(c.tick(seconds(1)), None);
    c.request(Request::Checkpoint);
    let slot = take(&mut c, seconds(1));
    assert!(!slot.is_savepoint());
    assert_eq!(c.tick(seconds(60)), None);
    assert_eq!(c.tick(seconds(61)).unwrap().id, CheckpointId(6));
}

#[test]
fn a_savepoint_is_named_by_its_own_slot_and_by_all_that_follow() {
    let mut c = coordinator();
    c.request(Request::Savepoint);
    let savepoint = take(&mut c, seconds(1));
    assert!(savepoint.is_savepoint());
    assert_eq!(numbers(&savepoint.savepoints), [2, 5]);
    let next = take(&mut c, seconds(100));
    assert!(!next.is_savepoint());
    assert_eq!(numbers(&next.savepoints), [2, 5]);
    assert_eq!(numbers(c.savepoints()), [2, 5]);
}

#[test]
fn a_savepoint_that_is_asked_for_during_a_checkpoint_is_the_next_one() {
    let mut c = coordinator();
    c.tick(seconds(60)).unwrap();
    c.request(Request::Savepoint);
    c.request(Request::Checkpoint);
    for subtask in 0..2 {
        c.ack(ack(subtask, 5, 100), EpochMillis(0)).unwrap();
    }
    c.slot_confirmed().unwrap();
    c.finalized(seconds(61)).unwrap();
    let slot = take(&mut c, seconds(61));
    assert_eq!((slot.id, slot.is_savepoint()), (CheckpointId(6), true));
    assert_eq!(c.tick(seconds(62)), None, "one checkpoint serves all");
}

#[test]
fn a_savepoint_with_a_stop_is_the_last_checkpoint() {
    let mut c = coordinator();
    c.request(Request::Savepoint);
    c.stop();
    assert!(c.tick(seconds(1)).unwrap().last);
    c.ack(ack(0, 5, 100), EpochMillis(0)).unwrap();
    let slot = c.ack(ack(1, 5, 100), EpochMillis(0)).unwrap().unwrap();
    assert!(slot.is_savepoint());
    c.slot_confirmed().unwrap();
    assert!(c.finalized(seconds(1)).unwrap().last);
}
