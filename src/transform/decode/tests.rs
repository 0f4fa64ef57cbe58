use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use proptest::prelude::*;

use super::*;
use crate::config::DEFAULT_SCHEMA;
use crate::source::tests::VecBatch;
use crate::transform::framing::AvroFormat;

/// The Avro form of an event, written by hand: what the decoder is held against.
fn event(uuid: &str, timestamp: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(&mut bytes, uuid.len() as i64);
    bytes.extend(uuid.as_bytes());
    varint(&mut bytes, timestamp);
    bytes
}

fn varint(bytes: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
}

fn decoder() -> AvroDecoder {
    AvroDecoder::new(&InputSchema::parse(DEFAULT_SCHEMA).unwrap(), None).unwrap()
}

fn uuids(decoded: &Decoded) -> Vec<String> {
    let Some(rows) = &decoded.rows else {
        return Vec::new();
    };
    let column = rows.column(0).as_string::<i32>();
    column.iter().map(|v| v.unwrap().to_owned()).collect()
}

#[test]
fn good_records_become_columns() {
    let batch = VecBatch::new([Some(event("a", 1)), Some(event("bc", -2))]);
    let decoded = decoder().decode(&batch).unwrap().unwrap();
    assert_eq!(uuids(&decoded), ["a", "bc"]);
    let rows = decoded.rows.unwrap();
    let times = rows.column(1).as_primitive::<TimestampMillisecondType>();
    assert_eq!(times.values(), &[1, -2]);
    assert!(decoded.bad.is_empty());
}

#[test]
fn records_come_out_of_their_frames_also_when_a_bad_one_is_among_them() {
    // CRC-64-AVRO of the schema.
    const HEADER: [u8; 10] = [0xc3, 0x01, 0xa6, 0xb5, 0xc9, 0x54, 0xf4, 0xa4, 0xf0, 0x47];
    let framed = |datum: Vec<u8>| Some([&HEADER[..], &datum].concat());
    let schema = InputSchema::parse(DEFAULT_SCHEMA).unwrap();
    let schema = schema.framed(AvroFormat::SingleObject).unwrap();
    let mut decoder = AvroDecoder::new(&schema, None).unwrap();
    let mut no_text = event("xx", 1);
    no_text[1] = 0xff;
    let batch = VecBatch::new([
        framed(event("a", 1)),
        framed(no_text),
        framed(event("b", 1)[..2].to_vec()),
        Some(event("c", 1)),
        framed(Vec::new()),
        framed(event("d", 1)),
        None,
    ]);
    let decoded = decoder.decode(&batch).unwrap().unwrap();
    assert_eq!(uuids(&decoded), ["a", "d"]);
    assert_eq!(decoded.good, [0, 5]);
    let reasons = decoded
        .bad
        .iter()
        .map(|(place, why)| (*place, why.split(':').next().unwrap()));
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [
            (1, "not a value of the schema"),
            (2, "not a record of the schema"),
            (3, "not single-object encoded"),
            (4, "empty"),
            (6, "null")
        ]
    );
}

#[test]
fn records_without_fields_are_as_many_rows() {
    let schema = InputSchema::parse(r#"{"type":"record","name":"R","fields":[]}"#).unwrap();
    let mut decoder = AvroDecoder::new(&schema, None).unwrap();
    let batch = VecBatch::new([Some(Vec::new()), Some(vec![1]), Some(Vec::new())]);
    let decoded = decoder.decode(&batch).unwrap().unwrap();
    assert_eq!(decoded.rows.unwrap().num_rows(), 2);
    assert_eq!((decoded.good, decoded.bad[0].0), (vec![0, 2], 1));
}

#[test]
fn decimals_with_more_digits_than_their_type_are_dropped_alone() {
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#;
    let within = [
        decimal.to_owned(),
        format!(r#"{{"type":"array","items":{decimal}}}"#),
        format!(r#"{{"type":"map","values":{decimal}}}"#),
        format!(
            r#"{{"type":"record","name":"I","fields":[{{"name":"d","type":["null",{decimal}]}}]}}"#
        ),
    ];
    let value = |unscaled: i64| {
        let mut bytes = vec![16];
        bytes.extend(unscaled.to_be_bytes());
        bytes
    };
    // Before the value: one item, one entry with an empty key, the second branch.
    let before: [&[u8]; 4] = [&[], &[2], &[2, 0], &[2]];
    let behind: [&[u8]; 4] = [&[], &[0], &[0], &[]];
    for (place, kind) in within.iter().enumerate() {
        let schema =
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{kind}}}]}}"#);
        let mut decoder = AvroDecoder::new(&InputSchema::parse(&schema).unwrap(), None).unwrap();
        let datum = |unscaled| Some([before[place], &value(unscaled), behind[place]].concat());
        let batch = VecBatch::new([
            datum(999_999_999),
            datum(5_000_000_000),
            datum(-999_999_999),
            datum(-1_000_000_000),
            datum(7),
        ]);
        let decoded = decoder.decode(&batch).unwrap().unwrap();
        assert_eq!(decoded.good, [0, 2, 4], "{kind}: {:?}", decoded.bad);
        assert_eq!(decoded.rows.unwrap().num_rows(), 3);
        let bad: Vec<_> = decoded.bad.iter().map(|(place, _)| *place).collect();
        assert_eq!(bad, [1, 3]);
        let why = &decoded.bad[0].1;
        assert!(
            why.contains("field 'a'") && why.contains("50000000.00"),
            "{why}"
        );
    }
}

/// Writers' schemas by id; one that is missing is not known yet.
struct Table(Vec<(u32, Lookup)>);

impl WriterSchemas for Table {
    fn look_up(&self, id: SchemaId) -> Lookup {
        let found = self.0.iter().find(|(known, _)| *known == id.0);
        found.map_or(Lookup::NotYet, |(_, lookup)| lookup.clone())
    }
}

/// With the default schema as 1, one with another order and one more field as 2, text as the time as 3,
/// nullable fields as 4, and one that nobody knows as 5.
fn by_writer(without: Option<u32>) -> AvroDecoder {
    let of = |fields: &str| {
        let record = r#"{"type":"record","name":"com.lineage.InputEvent","fields":"#;
        Lookup::Known(format!("{record}[{fields}]}}").into())
    };
    let mut table = vec![
        (1, Lookup::Known(DEFAULT_SCHEMA.into())),
        (
            2,
            of(
                r#"{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
                 {"name":"note","type":"string"},{"name":"uuid","type":"string"}"#,
            ),
        ),
        (
            3,
            of(r#"{"name":"timestamp","type":"string"},{"name":"uuid","type":"string"}"#),
        ),
        (
            4,
            of(r#"{"name":"uuid","type":["null","string"]},{"name":"timestamp","type":"int"}"#),
        ),
        (
            5,
            Lookup::Refused("unknown schema id 5: nobody knows it".into()),
        ),
    ];
    table.retain(|(id, _)| Some(*id) != without);
    let schema = InputSchema::parse(DEFAULT_SCHEMA).unwrap();
    let schema = schema.framed(AvroFormat::Confluent).unwrap();
    AvroDecoder::new(&schema, Some(Arc::new(Table(table)))).unwrap()
}

fn framed(id: u8, datum: &[u8]) -> Option<Vec<u8>> {
    Some([&[0, 0, 0, 0, id], datum].concat())
}

/// Event of schema 2.
fn reordered(uuid: &str, timestamp: i64) -> Option<Vec<u8>> {
    let mut datum = Vec::new();
    varint(&mut datum, timestamp);
    datum.extend([8, b'n', b'o', b't', b'e']);
    datum.extend(event(uuid, 0));
    datum.pop();
    framed(2, &datum)
}

#[test]
fn records_of_several_writers_become_rows_in_the_order_of_the_batch() {
    let mut null = vec![0];
    varint(&mut null, 5);
    let batch = VecBatch::new([
        reordered("a", 1),
        framed(1, &event("b", 2)),
        framed(4, &[&[2][..], &event("c", 3)].concat()),
        framed(4, &null),
        framed(3, &event("d", 4)),
        framed(1, &event("e", 5)),
        framed(5, &event("f", 6)),
        Some(event("g", 7)),
        framed(2, &[0]),
        framed(5, &event("h", 8)),
        framed(1, &[]),
        reordered("i", 9),
    ]);
    let mut decoder = by_writer(None);
    // The second time with lanes that were used before.
    for _ in 0..2 {
        let decoded = decoder.decode(&batch).unwrap().unwrap();
        assert_eq!(uuids(&decoded), ["a", "b", "c", "e", "i"]);
        assert_eq!(decoded.good, [0, 1, 2, 5, 11]);
        let rows = decoded.rows.unwrap();
        let times = rows.column(1).as_primitive::<TimestampMillisecondType>();
        assert_eq!(times.values(), &[1, 2, 3, 5, 9]);
        let reasons: Vec<_> = decoded
            .bad
            .iter()
            .map(|(p, why)| (*p, why.as_str()))
            .collect();
        let starts = [
            (3, "no value of the reader's schema: field 'uuid': null"),
            (
                4,
                "incompatible schema: id 3 cannot be read as com.lineage.InputEvent: field 'timestamp'",
            ),
            (6, "unknown schema id 5: nobody knows it"),
            (7, "not in Confluent's wire format"),
            (8, "not a record of the schema"),
            (9, "unknown schema id 5"),
            (10, "empty"),
        ];
        assert_eq!(reasons.len(), starts.len(), "{reasons:?}");
        for ((place, why), (expected, start)) in reasons.into_iter().zip(starts) {
            assert!(
                place == expected && why.starts_with(start),
                "{place}: {why}"
            );
        }
    }
}

#[test]
fn a_batch_with_a_schema_that_is_not_known_yet_is_not_taken() {
    let batch = VecBatch::new([framed(1, &event("a", 1)), reordered("b", 2)]);
    assert!(by_writer(Some(2)).decode(&batch).unwrap().is_none());
    let decoded = by_writer(None).decode(&batch).unwrap().unwrap();
    assert_eq!(uuids(&decoded), ["a", "b"]);
}

#[test]
fn decoders_of_few_writers_are_kept() {
    struct Same;
    impl WriterSchemas for Same {
        fn look_up(&self, _id: SchemaId) -> Lookup {
            Lookup::Known(DEFAULT_SCHEMA.into())
        }
    }
    let schema = InputSchema::parse(DEFAULT_SCHEMA).unwrap();
    let schema = schema.framed(AvroFormat::Confluent).unwrap();
    let mut decoder = AvroDecoder::new(&schema, Some(Arc::new(Same))).unwrap();
    let batch = VecBatch::new((0..100).map(|id| framed(id, &event("a", 1))));
    let decoded = decoder.decode(&batch).unwrap().unwrap();
    assert_eq!(decoded.good.len(), 100);
    assert!(decoded.good.is_sorted());
    let Lanes::ByWriter { writers, .. } = &decoder.lanes else {
        panic!("it has a lane for each writer");
    };
    assert_eq!(writers.len(), KEPT);
}

#[test]
fn many_writers_and_bad_frames_in_one_batch_come_out_once_and_in_order() {
    let table = (0..40).map(|id| (id, Lookup::Known(DEFAULT_SCHEMA.into())));
    let schema = InputSchema::parse(DEFAULT_SCHEMA).unwrap();
    let schema = schema.framed(AvroFormat::Confluent).unwrap();
    let table = Arc::new(Table(table.collect()));
    let mut decoder = AvroDecoder::new(&schema, Some(table)).unwrap();
    let record = |n: u8| match n % 5 {
        4 => Some(vec![1, 2, 3]),
        _ => framed(n % 40, &event(&n.to_string(), 1)),
    };
    let batch = VecBatch::new((0..200).map(record));
    let decoded = decoder.decode(&batch).unwrap().unwrap();
    let good: Vec<_> = (0..200).filter(|n| n % 5 != 4).collect();
    assert_eq!(decoded.good, good);
    let texts: Vec<_> = good.iter().map(ToString::to_string).collect();
    assert_eq!(uuids(&decoded), texts);
    let bad: Vec<_> = decoded.bad.iter().map(|(place, _)| *place).collect();
    assert_eq!(bad, (0..200).filter(|n| n % 5 == 4).collect::<Vec<_>>());
}

#[test]
fn an_id_that_was_refused_while_another_is_asked_for_is_not_asked_for_again() {
    /// Forgets what it has refused, as one does that refuses many.
    #[derive(Default)]
    struct Forgetful(std::sync::Mutex<Vec<u32>>);
    impl WriterSchemas for Forgetful {
        fn look_up(&self, id: SchemaId) -> Lookup {
            let mut asked = self.0.lock().unwrap();
            asked.push(id.0);
            match (id.0, asked.iter().filter(|of| **of == id.0).count()) {
                (1, 1) | (2, 3) => Lookup::Refused("nobody knows it".into()),
                _ => Lookup::NotYet,
            }
        }
    }
    let schema = InputSchema::parse(DEFAULT_SCHEMA).unwrap();
    let schema = schema.framed(AvroFormat::Confluent).unwrap();
    let schemas = Arc::new(Forgetful::default());
    let mut decoder = AvroDecoder::new(&schema, Some(schemas.clone())).unwrap();
    let batch = VecBatch::new([1, 2].map(|id| framed(id, &event("a", 1))));
    assert!(decoder.decode(&batch).unwrap().is_none());
    assert!(decoder.decode(&batch).unwrap().is_none());
    let decoded = decoder.decode(&batch).unwrap().unwrap();
    assert_eq!(decoded.bad.len(), 2);
    assert_eq!(*schemas.0.lock().unwrap(), [1, 2, 2, 2]);
}

#[test]
fn each_kind_of_bad_record_has_its_reason_and_costs_no_good_one() {
    let mut trailing = event("t", 1);
    trailing.push(0);
    let truncated = event("truncated", 1)[..5].to_vec();
    let mut wild = Vec::new();
    varint(&mut wild, i64::MAX);
    wild.extend(b"abc");
    let mut negative = Vec::new();
    varint(&mut negative, -5);
    let endless = vec![0xff; 20];
    let mut no_text = event("xx", 1);
    no_text[1] = 0xff;
    let batch = VecBatch::new([
        Some(event("a", 1)),
        Some(trailing),
        Some(event("b", 1)),
        Some(event("c", 1)),
        Some(truncated),
        None,
        Some(Vec::new()),
        Some(wild),
        Some(negative),
        Some(endless),
        Some(event("d", 1)),
        Some(no_text),
        Some(event("e", 1)),
    ]);
    let decoded = decoder().decode(&batch).unwrap().unwrap();
    assert_eq!(uuids(&decoded), ["a", "b", "c", "d", "e"]);
    assert_eq!(decoded.good, [0, 2, 3, 10, 12]);
    let places: Vec<_> = decoded.bad.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [1, 4, 5, 6, 7, 8, 9, 11]);
    let reasons: Vec<_> = decoded
        .bad
        .iter()
        .map(|(_, reason)| reason.as_str())
        .collect();
    assert!(reasons[0].starts_with("trailing bytes"), "{reasons:?}");
    assert!(reasons[2].starts_with("null"), "{reasons:?}");
    assert!(reasons[3].starts_with("empty"), "{reasons:?}");
}

#[test]
fn a_decoder_that_met_bad_records_goes_on() {
    let mut decoder = decoder();
    let bad = VecBatch::new([Some(vec![0xff; 3]), Some(event("a", 1))]);
    assert_eq!(uuids(&decoder.decode(&bad).unwrap().unwrap()), ["a"]);
    let good = VecBatch::new([Some(event("b", 1))]);
    assert_eq!(uuids(&decoder.decode(&good).unwrap().unwrap()), ["b"]);
    assert!(
        decoder
            .decode(&VecBatch::new([]))
            .unwrap()
            .unwrap()
            .rows
            .is_none()
    );
}

proptest! {
    #[test]
    fn every_record_comes_out_exactly_once_whatever_its_bytes(
        values in prop::collection::vec(
            prop_oneof![
                prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
                ("[a-z]{0,8}", any::<i64>()).prop_map(|(u, t)| Some(event(&u, t))),
            ],
            0..60,
        )
    ) {
        let count = values.len();
        let decoded = decoder().decode(&VecBatch::new(values)).unwrap().unwrap();
        let mut places: Vec<_> = decoded.bad.iter().map(|(place, _)| *place).collect();
        places.extend(&decoded.good);
        places.sort_unstable();
        prop_assert_eq!(places, (0..count).collect::<Vec<_>>());
        prop_assert_eq!(decoded.rows.map_or(0, |r| r.num_rows()), decoded.good.len());
    }
}

/// Changes, inserts or removes a few bytes.
fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(0..4) {
        let place = rng.usize(0..=bytes.len());
        match rng.u8(0..4) {
            0 if place < bytes.len() => bytes[place] = rng.u8(..),
            1 if place < bytes.len() => drop(bytes.remove(place)),
            2 => bytes.truncate(place),
            _ => bytes.insert(place, rng.u8(..)),
        }
    }
}

#[test]
#[ignore = "takes minutes"]
fn of_ten_million_mutated_records_every_one_comes_out_once() {
    let mut rng = fastrand::Rng::with_seed(42);
    let mut decoder = decoder();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..10_000 {
        let records = (0..1_000).map(|n| {
            let mut bytes = event("0123456789abcdef", n);
            mutate(&mut rng, &mut bytes);
            Some(bytes)
        });
        let batch = VecBatch::new(records.collect::<Vec<_>>());
        let decoded = decoder.decode(&batch).unwrap().unwrap();
        let mut places = decoded.good.clone();
        places.extend(decoded.bad.iter().map(|(place, _)| *place));
        places.sort_unstable();
        assert!(places.into_iter().eq(0..1_000));
        good += decoded.good.len();
        bad += decoded.bad.len();
    }
    assert_eq!(good + bad, 10_000_000);
    assert!(
        good > 2_000_000 && bad > 2_000_000,
        "{good} good, {bad} bad"
    );
}
