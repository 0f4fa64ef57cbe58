//! Missing offsets that something explains, and those that nothing does.

use super::*;
use crate::checkpoint::slot::SlotKind;
use crate::verify::report::InKafka;

/// The file of checkpoint 2 was lost, start record 3 gave it up, checkpoint 4 holds its records.
fn read_again_by_4() -> Made {
    let mut made = four(1..=4);
    let lost = made.parts.remove(1);
    made.archive.files.remove(&lost.url);
    let mut file = sample(2).pending.remove(0);
    file.url = lost.url;
    file.checkpoint_id = CheckpointId(2);
    file.offsets = vec![OffsetRange::of(split(), &offsets(20..30)).unwrap()];
    let start = made
        .archive
        .slots
        .readable
        .get_mut(&CheckpointId(3))
        .unwrap();
    start.kind = SlotKind::Start;
    start.next_offsets[0].next_offset = NextOffset(30);
    start.reread = vec![file];
    made.archive.commit_log.lines.remove(2);
    made.parts.remove(1);
    made.parts[1] = part(4, &url(1, 3), offsets(20..50));
    made
}

#[test]
fn records_of_a_lost_file_belong_to_the_checkpoint_that_has_read_them_again() {
    let mut made = read_again_by_4();
    for (first, last) in [(0, 4), (2, 2), (4, 4), (1, 2)] {
        let report = made.judged(first, last);
        assert!(is_good(&report), "{first} to {last}: {}", report.to_text());
    }
    assert_eq!(made.all().lines_without_file[0].state, State::ReadAgain);
    made.parts[1] = part(4, &url(1, 3), offsets(30..50));
    assert_eq!(missing(&made.judged(4, 4)), offsets(20..30));
    assert_eq!(missing(&made.all()), offsets(20..30));
}

/// Of the missing offsets, those of which nothing says whether a file ever held them: Kafka holds
/// none of them any more.
fn unknown(made: &Made) -> ExactOffsets {
    let mut report = made.all();
    let missing = report.missing().into_iter();
    let answers = missing.map(|(split, not_held)| {
        let answer = InKafka {
            not_held,
            ..Default::default()
        };
        (split, answer)
    });
    report.set_kafka(answers.collect());
    let unknown = report.partitions[0].unknown();
    assert_eq!(report.is_exact(), unknown.is_empty());
    unknown
}

#[test]
fn a_gap_that_kafka_holds_no_more_is_its_own_only_if_one_start_passed_over_it_and_lost_nothing() {
    let gap = || made(&[(1, 10..20), (2, 23..30), (3, 30..40)], 3..=3);
    assert_eq!(unknown(&gap()), offsets([]));
    // A file is lost.
    let mut lost = gap();
    lost.take_away(3);
    assert_eq!(unknown(&lost), offsets((20..23).chain(30..40)));
    // A file and its line are lost.
    let mut lost = gap();
    lost.take_away(2);
    lost.archive.commit_log.lines.remove(1);
    assert_eq!(unknown(&lost), offsets(20..30));
    // Another start began behind it.
    let mut two = gap();
    two.written_by_start_2(&[1, 2]);
    assert_eq!(unknown(&two), offsets(20..23));
}

#[test]
fn a_gap_at_an_end_of_what_a_start_has_read_is_passed_over_while_its_slots_say_so() {
    let mut made = made(&[(1, 10..20), (2, 20..25)], 1..=2);
    for slot in made.archive.slots.readable.values_mut() {
        slot.generation = Generation(1);
    }
    let newest = made
        .archive
        .slots
        .readable
        .get_mut(&CheckpointId(2))
        .unwrap();
    newest.next_offsets[0].next_offset = NextOffset(27);
    assert_eq!(missing(&made.all()), offsets([25, 26]));
    assert_eq!(unknown(&made), offsets([]));
    // As if another start had begun there.
    let newest = made
        .archive
        .slots
        .readable
        .get_mut(&CheckpointId(2))
        .unwrap();
    newest.generation = Generation(2);
    assert_eq!(unknown(&made), offsets([25, 26]));
}

#[test]
fn offsets_that_a_start_has_given_up_are_no_loss_of_the_archive_and_are_said() {
    let mut made = made(&[(1, 10..20), (2, 25..25), (3, 25..40)], 1..=3);
    made.archive
        .slots
        .readable
        .get_mut(&CheckpointId(2))
        .unwrap()
        .kind = SlotKind::Start;
    made.archive.files.remove(&url(1, 1));
    made.archive.commit_log.lines.remove(1);
    made.parts.remove(1);
    let report = made.all();
    assert_eq!(report.partitions[0].given_up, offsets(20..25));
    assert!(is_good(&report));
    let text = report.to_text();
    assert!(
        text.contains("5 were gone from Kafka before they could"),
        "{text}"
    );
}
