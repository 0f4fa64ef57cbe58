//! Held against the Avro crate's decoder, on values at random and on what is left of them when bytes are changed.

use fastrand::Rng;
use serde_json::json;

use super::super::build_decoder;
use super::*;

const KINDS: [(&str, Option<&str>); 15] = [
    ("boolean", None),
    ("int", None),
    ("long", None),
    ("float", None),
    ("double", None),
    ("string", None),
    ("bytes", None),
    ("int", Some("date")),
    ("int", Some("time-millis")),
    ("long", Some("time-micros")),
    ("long", Some("timestamp-millis")),
    ("long", Some("timestamp-micros")),
    ("long", Some("local-timestamp-micros")),
    ("long", Some("timestamp-nanos")),
    ("long", Some("of nobody")),
];

struct RandomField {
    kind: &'static str,
    logical: Option<&'static str>,
    /// Where null is among the two of a union.
    null: Option<usize>,
}

impl RandomField {
    fn new(rng: &mut Rng) -> Self {
        let (kind, logical) = KINDS[rng.usize(..KINDS.len())];
        let null = (rng.u8(..3) == 0).then(|| rng.usize(..2));
        Self {
            kind,
            logical,
            null,
        }
    }

    fn json(&self) -> Value {
        let kind = match self.logical {
            None => json!(self.kind),
            Some(logical) => json!({"type": self.kind, "logicalType": logical}),
        };
        match self.null {
            None => kind,
            Some(0) => json!(["null", kind]),
            Some(_) => json!([kind, "null"]),
        }
    }

    fn put(&self, rng: &mut Rng, datum: &mut Vec<u8>) {
        if let Some(null) = self.null {
            let branch = rng.usize(..2);
            number(datum, branch as i64);
            if branch == null {
                return;
            }
        }
        match self.kind {
            "boolean" => datum.push(rng.u8(..2)),
            "int" => number(datum, (rng.i32(..) >> rng.u8(..32)).into()),
            "long" => number(datum, rng.i64(..) >> rng.u8(..64)),
            "float" => datum.extend(rng.f32().to_le_bytes()),
            "double" => datum.extend(rng.f64().to_le_bytes()),
            _ => {
                let text: String = (0..rng.usize(..6)).map(|_| rng.char('a'..'ö')).collect();
                number(datum, text.len() as i64);
                datum.extend(text.bytes());
            }
        }
    }
}

fn number(bytes: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

fn record(fields: impl IntoIterator<Item = Value>) -> Value {
    let fields = fields.into_iter().enumerate();
    let fields = fields.map(|(place, kind)| json!({"name": format!("f{place}"), "type": kind}));
    json!({"type": "record", "name": "R", "fields": fields.collect::<Vec<_>>()})
}

fn flat(json: &Value) -> Option<FlatDecoder> {
    let theirs = build_decoder(&json.to_string()).unwrap();
    FlatDecoder::new(json, theirs.schema())
}

#[test]
fn records_at_random_are_those_that_the_avro_crate_decodes() {
    let mut rng = Rng::with_seed(1);
    for _ in 0..500 {
        let fields: Vec<_> = (0..rng.usize(1..6))
            .map(|_| RandomField::new(&mut rng))
            .collect();
        let json = record(fields.iter().map(RandomField::json));
        let (mut ours, mut theirs) = (
            flat(&json).unwrap(),
            build_decoder(&json.to_string()).unwrap(),
        );
        // The second time with what the first one has left behind.
        for _ in 0..2 {
            for _ in 0..rng.usize(..40) {
                let mut datum = Vec::new();
                fields
                    .iter()
                    .for_each(|field| field.put(&mut rng, &mut datum));
                assert_eq!(ours.decode(&datum), Ok(datum.len()));
                assert_eq!(theirs.decode(&datum).unwrap(), datum.len());
            }
            assert_eq!(ours.flush().unwrap(), theirs.flush().unwrap(), "{json}");
        }
    }
}

#[test]
fn changed_bytes_are_refused_or_decoded_as_by_the_avro_crate() {
    let (mut decoded, mut refused, mut no_text) = (0, 0, 0);
    for seed in 0..20_000 {
        let mut rng = Rng::with_seed(seed);
        let fields: Vec<_> = (0..rng.usize(1..4))
            .map(|_| RandomField::new(&mut rng))
            .collect();
        let json = record(fields.iter().map(RandomField::json));
        let mut datum = Vec::new();
        fields
            .iter()
            .for_each(|field| field.put(&mut rng, &mut datum));
        match rng.u8(..3) {
            0 => datum.truncate(rng.usize(..=datum.len())),
            1 => datum
                .splice(..0, (0..rng.usize(1..12)).map(|_| rng.u8(0x7e..)))
                .for_each(drop),
            _ if datum.is_empty() => {}
            _ => {
                let place = rng.usize(..datum.len());
                datum[place] = rng.u8(..);
            }
        }
        let (mut ours, mut theirs) = (
            flat(&json).unwrap(),
            build_decoder(&json.to_string()).unwrap(),
        );
        let case = format!("seed {seed}: {datum:?} as {json}");
        match (ours.decode(&datum), theirs.decode(&datum)) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{case}"),
            (Err(FlatError::Branch(_)), _) | (Err(_), Err(_)) => {
                refused += 1;
                continue;
            }
            (ours, theirs) => panic!("{case}: {ours:?}, theirs {theirs:?}"),
        }
        match (ours.flush(), theirs.flush()) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "{case}");
                decoded += 1;
            }
            (Err(_), Err(_)) => no_text += 1,
            (ours, theirs) => panic!("{case}: {ours:?}, theirs {theirs:?}"),
        }
    }
    assert!(
        decoded > 3_000 && refused > 3_000 && no_text > 100,
        "{decoded} {refused} {no_text}"
    );
}

#[test]
fn a_branch_that_the_union_does_not_have_is_refused() {
    let json = record([json!(["null", "int"])]);
    for branch in [2, -1, i64::MAX] {
        let mut datum = Vec::new();
        number(&mut datum, branch);
        number(&mut datum, 7);
        assert_eq!(
            flat(&json).unwrap().decode(&datum),
            Err(FlatError::Branch(branch))
        );
    }
}

#[test]
fn what_is_behind_a_record_is_not_taken() {
    let json = record([json!("int"), json!("string")]);
    assert_eq!(flat(&json).unwrap().decode(&[2, 2, b'a', 9, 9]), Ok(3));
}

#[test]
fn only_records_of_primitive_fields_are_flat() {
    let fixed = json!({"type": "fixed", "name": "F", "size": 4});
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2});
    for kind in [
        json!({"type": "array", "items": "int"}),
        json!({"type": "map", "values": "int"}),
        json!({"type": "enum", "name": "E", "symbols": ["A"]}),
        json!({"type": "record", "name": "I", "fields": [{"name": "a", "type": "int"}]}),
        json!({"type": "string", "logicalType": "uuid"}),
        json!(["null", fixed]),
        json!(["null", "int", "string"]),
        json!(["int"]),
        fixed,
        decimal,
    ] {
        assert!(
            flat(&record([json!("int"), kind.clone()])).is_none(),
            "{kind}"
        );
    }
    assert!(flat(&record([json!({"type": "string"})])).is_some());
    assert!(
        flat(&record([])).is_none(),
        "rows without columns need a count"
    );
}
