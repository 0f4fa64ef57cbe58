use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;
use crate::source::Header;
use crate::source::kafka::direct::built::{Built, TestRecord};
use crate::source::kafka::direct::transactions::Aborted;
use crate::source::reread::Reread;

const NOW: Duration = Duration::ZERO;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// A reader of one split, to which no broker is connected: what comes is handed to it.
fn reader(until: Option<i64>) -> DirectReader {
    let settings = KafkaSettings {
        // Nobody listens there.
        bootstrap_servers: "127.0.0.1:1".into(),
        group_id: "group".into(),
        properties: Default::default(),
        security: Default::default(),
        topic_ids: false,
        queue_memory: 1 << 20,
    };
    let (health, clock) = (Arc::default(), Arc::new(SystemClock::new()));
    let mut reader = DirectReader::new(&settings, health, clock).unwrap();
    add(&mut reader, 0, None, until);
    reader
}

fn add(reader: &mut DirectReader, from: i64, reread: Option<Reread>, until: Option<i64>) {
    let split = Split::new("topic", reader.splits().len() as i32);
    let (from, until) = (NextOffset(from), until.map(NextOffset));
    let start = SplitStart {
        split,
        from,
        reread,
        until,
    };
    reader.add_splits(vec![start]).unwrap();
}

fn fetched(split: u32, from: i64, records: Vec<u8>) -> Fetched {
    Fetched {
        split: SplitIndex(split),
        from: NextOffset(from),
        trouble: None,
        aborted: Vec::new(),
        records: records.into(),
    }
}

/// What it hands over of this.
fn read(reader: &mut DirectReader, fetched: Vec<Fetched>) -> Result<Vec<i64>, SourceError> {
    reader.answer.extend(fetched);
    let mut offsets = Vec::new();
    loop {
        let batch = reader.fetch(NOW)?;
        if batch.is_empty() {
            return Ok(offsets);
        }
        offsets.extend(batch.origins().map(|origin| origin.offset.0));
    }
}

fn position(reader: &DirectReader) -> i64 {
    reader.positions()[0].1.0
}

const ONE: TestRecord<'static> = (None, Some(b"v"), 0);

fn values(count: i64) -> Vec<TestRecord<'static>> {
    (0..count)
        .map(|delta| (None, Some(&b"v"[..]), delta))
        .collect()
}

fn transactional(producer_id: i64, base_offset: i64, count: i64) -> Vec<u8> {
    let built = Built {
        attributes: TRANSACTIONAL,
        producer_id,
        ..Built::new(base_offset, values(count))
    };
    built.bytes()
}

/// What ends a transaction, in vain or not.
fn marker(producer_id: i64, offset: i64, commits: bool) -> Vec<u8> {
    let key = [0, 0, 0, u8::from(commits)];
    let built = Built {
        attributes: TRANSACTIONAL | CONTROL,
        producer_id,
        ..Built::new(offset, vec![(Some(&key), Some(b"x"), 0)])
    };
    built.bytes()
}

proptest! {
    #[test]
    fn records_of_all_codecs_come_out_as_they_were_written(
        records in prop::collection::vec(
            (any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>(), 1_i64..1_000), 1..20),
        codec in 0_i16..5,
        appended in any::<bool>(),
    ) {
        let mut offset = 0;
        let built: Vec<_> = records.iter().map(|(key, value, skipped)| {
            offset += skipped;
            (key.as_deref(), value.as_deref(), offset)
        }).collect();
        let attributes = codec | if appended { 1 << 3 } else { 0 };
        let batch = Built { attributes, ..Built::new(7, built.clone()) }.bytes();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _here = runtime.enter();
        let mut reader = reader(None);
        reader.keep_headers();
        reader.answer.push_back(fetched(0, 0, batch));
        let read = reader.fetch(NOW).unwrap();
        prop_assert_eq!(read.len(), built.len());
        for (place, (key, value, delta)) in built.into_iter().enumerate() {
            let record = read.record(place);
            prop_assert_eq!((record.key, record.value), (key, value));
            prop_assert_eq!(record.origin.offset.0, 7 + delta);
            let time = if appended { 9_000 } else { 1_000 + place as i64 };
            prop_assert_eq!(record.timestamp, Some(time));
            let header = Header { name: "h".into(), value: None };
            prop_assert_eq!(read.headers(place), &[header][..]);
        }
        prop_assert_eq!(position(&reader), 7 + offset + 1);
    }

    #[test]
    fn bytes_that_are_no_records_are_an_error_and_never_a_panic_or_a_jump(
        place in 0_usize..1_000, bit in 0_u8..8, codec in 0_i16..5,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _here = runtime.enter();
        let mut reader = reader(None);
        let mut batch = Built { attributes: codec, ..Built::new(0, values(10)) }.bytes();
        let place = place % batch.len();
        batch[place] ^= 1 << bit;
        let first_offset = u64::from_be_bytes(batch[..8].try_into().unwrap());
        match read(&mut reader, vec![fetched(0, 0, batch)]) {
            Err(SourceError::Unreadable { position, .. }) => prop_assert_eq!(position, NextOffset(0)),
            Err(error) => prop_assert!(false, "{}", error),
            // First offset, leader's epoch and what makes the batch longer than what came are not checked.
            Ok(offsets) => {
                prop_assert!(place < 16);
                let all = offsets.is_empty() || offsets[0] as u64 == first_offset;
                prop_assert!(all, "{:?}", offsets);
            }
        }
    }

    #[test]
    fn checked_bytes_may_still_be_no_records(
        bytes in prop::collection::vec(any::<u8>(), 0..60), count in -2_i32..4, codec in 0_i16..8,
    ) {
        // A batch whose records are any bytes, and whose checksum is right.
        let mut batch = Built { attributes: 0, ..Built::new(0, vec![ONE]) }.bytes();
        batch.truncate(61);
        batch[21..23].copy_from_slice(&codec.to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        batch.extend(&bytes);
        let length = batch.len() as i32 - 12;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _here = runtime.enter();
        let mut reader = reader(None);
        reader.keep_headers();
        let read = read(&mut reader, vec![fetched(0, 0, batch)]);
        let unreadable = matches!(read, Ok(_) | Err(SourceError::Unreadable { .. }));
        prop_assert!(unreadable);
    }
}

#[tokio::test]
async fn what_is_cut_off_is_left_for_the_next_fetch() {
    let (whole, mut cut) = (
        Built::new(0, values(3)).bytes(),
        Built::new(3, values(2)).bytes(),
    );
    let first_end = whole.len();
    cut.truncate(cut.len() - 1);
    let all = [whole, cut].concat();
    let whole = record_batch::whole(&all);
    assert_eq!(
        (whole.end, whole.last.map(|last| last.next)),
        (first_end, Some(3))
    );
    let mut reader = reader(None);
    let offsets = read(&mut reader, vec![fetched(0, 0, all[..first_end].to_vec())]);
    assert_eq!(offsets.unwrap(), [0, 1, 2]);
    assert_eq!(position(&reader), 3);
}

#[tokio::test]
async fn what_was_handed_over_is_not_handed_over_again() {
    let mut reader = reader(None);
    let batch = Built::new(0, values(5)).bytes();
    let first = read(&mut reader, vec![fetched(0, 0, batch.clone())]).unwrap();
    let second = Built::new(3, values(4)).bytes();
    let again = read(
        &mut reader,
        vec![fetched(0, 0, batch), fetched(0, 4, second)],
    )
    .unwrap();
    assert_eq!((first, again), (vec![0, 1, 2, 3, 4], vec![5, 6]));
}

#[tokio::test]
async fn a_gap_between_two_answers_is_an_error_and_never_skipped() {
    let mut reader = reader(None);
    let batch = Built::new(7, values(5)).bytes();
    let error = read(&mut reader, vec![fetched(0, 7, batch)]).unwrap_err();
    assert!(matches!(error, SourceError::Fatal(_)), "{error}");
}

#[tokio::test]
async fn records_of_aborted_transactions_and_markers_are_skipped_and_the_position_goes_on() {
    let mut reader = reader(None);
    let mut this = fetched(
        0,
        0,
        [
            transactional(7, 0, 2),
            transactional(8, 2, 2),
            Built::new(4, values(1)).bytes(),
            marker(7, 5, false),
            transactional(7, 6, 1),
            marker(8, 7, true),
            marker(7, 8, true),
            // It begins behind the end of the first one, and is aborted as well.
            transactional(7, 9, 2),
            marker(7, 11, false),
        ]
        .concat(),
    );
    let aborted = |first_offset| Aborted {
        producer_id: 7,
        first_offset,
    };
    this.aborted = vec![aborted(9), aborted(0)];
    let offsets = read(&mut reader, vec![this]).unwrap();
    assert_eq!(offsets, [2, 3, 4, 6]);
    assert_eq!(position(&reader), 12, "behind the last marker");
}

#[tokio::test]
async fn a_transaction_that_was_aborted_before_what_was_fetched_begins_is_skipped_too() {
    let mut reader = reader(None);
    reader.splits.reach(SplitIndex(0), NextOffset(10));
    let mut this = fetched(
        0,
        10,
        [transactional(7, 8, 4), marker(7, 12, false)].concat(),
    );
    this.aborted = vec![Aborted {
        producer_id: 7,
        first_offset: 2,
    }];
    assert!(read(&mut reader, vec![this]).unwrap().is_empty());
    assert_eq!(position(&reader), 13);
}

#[tokio::test]
async fn a_batch_that_compaction_has_emptied_moves_the_position() {
    let mut reader = reader(Some(10));
    let empty = Built {
        last_delta: 9,
        ..Built::new(0, vec![])
    };
    assert!(
        read(&mut reader, vec![fetched(0, 0, empty.bytes())])
            .unwrap()
            .is_empty()
    );
    assert!(reader.at_end());
}

#[tokio::test]
async fn nothing_behind_the_end_of_a_bounded_run_is_handed_over() {
    let mut reader = reader(Some(3));
    let batch = Built::new(0, values(5)).bytes();
    assert_eq!(
        read(&mut reader, vec![fetched(0, 0, batch)]).unwrap(),
        [0, 1, 2]
    );
    assert!(reader.at_end());
    assert_eq!(position(&reader), 3);
}

#[tokio::test]
async fn lost_records_are_handed_over_once_more_and_nothing_else_below_the_saved_offset() {
    let mut reader = reader(None);
    let lost = [Offset(1), Offset(3)].into_iter().collect();
    add(&mut reader, 5, Reread::of(lost, false), None);
    assert!(reader.rereading());
    let batch = Built::new(0, values(7)).bytes();
    assert_eq!(
        read(&mut reader, vec![fetched(1, 1, batch)]).unwrap(),
        [1, 3, 5, 6]
    );
    assert!(!reader.rereading());
}

#[tokio::test]
async fn a_batch_has_a_bound_and_goes_on_within_a_record_batch() {
    let mut reader = reader(None);
    let built = Built::new(0, values(2 * BATCH as i64 + 5)).bytes();
    reader.answer.push_back(fetched(0, 0, built));
    for (length, next) in [(BATCH, BATCH), (BATCH, 2 * BATCH), (5, 2 * BATCH + 5)] {
        let batch = reader.fetch(NOW).unwrap();
        assert_eq!((batch.len(), position(&reader)), (length, next as i64));
        assert_eq!(batch.record(length - 1).value, Some(&b"v"[..]));
    }
}

#[tokio::test]
async fn records_of_an_old_format_are_left_to_librdkafka() {
    let mut reader = reader(None);
    let mut batch = Built::new(0, values(1)).bytes();
    batch[16] = 1;
    let error = read(&mut reader, vec![fetched(0, 0, batch)]).unwrap_err();
    assert!(
        error.to_string().contains("KAFKA_READER=librdkafka"),
        "{error}"
    );
}

#[tokio::test]
async fn an_offset_that_is_gone_ends_the_job_and_other_errors_are_waited_for() {
    let mut reader = reader(None);
    let failed = |error| Fetched {
        trouble: Some(Trouble::Error(error)),
        records: Bytes::new(),
        ..fetched(0, 0, Vec::new())
    };
    read(
        &mut reader,
        vec![failed(ResponseError::NotLeaderOrFollower)],
    )
    .unwrap();
    let error = read(&mut reader, vec![failed(ResponseError::OffsetOutOfRange)]).unwrap_err();
    assert!(matches!(error, SourceError::OffsetLost { .. }), "{error}");
}
