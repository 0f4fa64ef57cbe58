//! Schemas and values at random, which another implementation of Avro reads too.

use apache_avro::types::Value as Avro;
use apache_avro::{Schema, from_avro_datum, to_avro_datum};
use fastrand::Rng;

use super::*;

fn their_text(value: &Avro) -> String {
    let list = |all: Vec<String>| all.join(", ");
    match value {
        Avro::Null => "null".into(),
        Avro::Boolean(v) => v.to_string(),
        Avro::Int(v) => v.to_string(),
        Avro::Long(v) => v.to_string(),
        Avro::Float(v) => format!("{v:?}"),
        Avro::Double(v) => format!("{v:?}"),
        Avro::String(v) => format!("{v:?}"),
        Avro::Bytes(v) | Avro::Fixed(_, v) => format!("{v:?}"),
        Avro::Enum(_, symbol) => format!("symbol {symbol}"),
        Avro::Union(_, inner) => their_text(inner),
        Avro::Array(all) => format!("[{}]", list(all.iter().map(their_text).collect())),
        Avro::Map(all) => {
            let entries = all
                .iter()
                .map(|(k, v)| format!("({k:?}, {})", their_text(v)));
            let mut entries: Vec<_> = entries.collect();
            entries.sort();
            format!("{{{}}}", list(entries))
        }
        Avro::Record(all) => format!(
            "({})",
            list(all.iter().map(|(_, v)| their_text(v)).collect())
        ),
        other => panic!("{other:?}"),
    }
}

/// A type, its reader's form, and a value.
struct Random {
    rng: Rng,
    names: usize,
}

impl Random {
    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}{}", self.names)
    }

    /// A writer's type, and what the reader has in its place.
    fn types(&mut self, depth: usize) -> (Value, Value) {
        let kinds = if depth == 0 { 9 } else { 13 };
        match self.rng.usize(..kinds) {
            0 => self.promoted("int", &["int", "long", "float", "double", "string"]),
            1 => self.promoted("long", &["long", "float", "double", "int"]),
            2 => self.promoted("float", &["float", "double"]),
            3 => self.promoted("double", &["double", "float"]),
            4 => self.promoted("string", &["string", "bytes"]),
            5 => self.promoted("bytes", &["bytes"]),
            6 => self.promoted("boolean", &["boolean", "int"]),
            7 => {
                let name = self.name("E");
                let kind =
                    |symbols: Value| json!({"type": "enum", "name": name, "symbols": symbols});
                let mut reads = vec!["A", "B", "C", "D"];
                self.rng.shuffle(&mut reads);
                reads.truncate(self.rng.usize(2..=4));
                let mut read = kind(json!(reads));
                if self.rng.bool() {
                    read["default"] = reads[0].into();
                }
                (kind(json!(["A", "B", "C", "D"])), read)
            }
            8 => {
                let kind = json!({"type": "fixed", "name": self.name("F"), "size": 3});
                (kind.clone(), kind)
            }
            9 => {
                let (writer, reads) = self.types(depth - 1);
                let array = |items: Value| json!({"type": "array", "items": items});
                (array(writer), array(reads))
            }
            10 => {
                let (writer, reads) = self.types(depth - 1);
                let map = |values: Value| json!({"type": "map", "values": values});
                (map(writer), map(reads))
            }
            11 => {
                let (writer, reads) = self.types(depth - 1);
                if writer.is_array() {
                    return (writer, reads);
                }
                let nullable = |of: Value| match of.is_array() {
                    true => of,
                    false => json!(["null", of]),
                };
                match self.rng.usize(..4) {
                    0 => (writer, nullable(reads)),
                    1 => (nullable(writer), reads),
                    _ => (nullable(writer), nullable(reads)),
                }
            }
            _ => {
                let name = self.name("N");
                self.records(&name, depth - 1)
            }
        }
    }

    fn promoted(&mut self, writer: &str, reads: &[&str]) -> (Value, Value) {
        let read = if self.rng.bool() {
            writer
        } else {
            reads[self.rng.usize(..reads.len())]
        };
        (json!(writer), json!(read))
    }

    fn records(&mut self, name: &str, depth: usize) -> (Value, Value) {
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for place in 0..self.rng.usize(1..4) {
            let (writer, read) = self.types(depth);
            let field = |kind: Value| json!({"name": format!("f{place}"), "type": kind});
            writers.push(field(writer));
            if self.rng.u32(..5) > 0 {
                readers.push(field(read));
            }
        }
        if self.rng.bool() || readers.is_empty() {
            readers.push(json!({"name": "added", "type": ["null", "long"], "default": null}));
        }
        if self.rng.u32(..3) == 0 {
            let items = json!({"type": "array", "items": "int"});
            readers.push(json!({"name": "list", "type": items, "default": [1, -2]}));
        }
        self.rng.shuffle(&mut readers);
        let record = |fields: Vec<Value>| json!({"type": "record", "name": name, "fields": fields});
        (record(writers), record(readers))
    }

    fn value(&mut self, kind: &Value) -> Avro {
        let rng = &mut self.rng;
        match kind {
            Value::String(kind) => match kind.as_str() {
                "null" => Avro::Null,
                "boolean" => Avro::Boolean(rng.bool()),
                "int" => Avro::Int(rng.i32(..)),
                "long" => Avro::Long(rng.i64(..) >> rng.u32(..64)),
                "float" => Avro::Float(rng.f32() - 0.5),
                "double" => Avro::Double(rng.f64() - 0.5),
                "bytes" => Avro::Bytes((0..rng.usize(..5)).map(|_| rng.u8(..)).collect()),
                _ => Avro::String((0..rng.usize(..5)).map(|_| rng.char('a'..'ö')).collect()),
            },
            Value::Array(branches) => {
                let place = rng.usize(..branches.len());
                Avro::Union(place as u32, Box::new(self.value(&branches[place])))
            }
            kind => match kind["type"].as_str().unwrap() {
                "array" => {
                    let count = rng.usize(..4);
                    Avro::Array((0..count).map(|_| self.value(&kind["items"])).collect())
                }
                "map" => {
                    let count = rng.usize(..4);
                    let entry = |n: usize, random: &mut Self| {
                        (format!("k{n}"), random.value(&kind["values"]))
                    };
                    Avro::Map((0..count).map(|n| entry(n, self)).collect())
                }
                "enum" => {
                    let place = rng.usize(..4);
                    let symbol = kind["symbols"][place].as_str().unwrap();
                    Avro::Enum(place as u32, symbol.to_owned())
                }
                "fixed" => Avro::Fixed(3, (0..3).map(|_| rng.u8(..)).collect()),
                _ => {
                    let fields = kind["fields"].as_array().unwrap().iter();
                    let field = |field: &Value| {
                        let name = field["name"].as_str().unwrap().to_owned();
                        (name, self.value(&field["type"]))
                    };
                    Avro::Record(fields.map(field).collect())
                }
            },
        }
    }
}

#[test]
fn schemas_and_values_at_random_are_read_as_another_implementation_reads_them() {
    let (mut same, mut refused) = (0, 0);
    for seed in 0..4_000 {
        let mut random = Random {
            rng: Rng::with_seed(seed),
            names: 0,
        };
        let (writer, reads) = random.records("R", 2);
        let (their_writer, their_reader) = (
            Schema::parse(&writer).unwrap(),
            Schema::parse(&reads).unwrap(),
        );
        let reader = reader(&reads);
        for _ in 0..5 {
            let value = random.value(&writer);
            let datum = to_avro_datum(&their_writer, value.clone()).unwrap();
            let theirs = from_avro_datum(&their_writer, &mut &datum[..], Some(&their_reader));
            let ours = read(&writer, &datum, &reader);
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => {
                    let ours = format!("({})", ours.join(", "));
                    let case = format!("seed {seed}\n{writer}\n{reads}\n{value:?}");
                    assert_eq!(ours, their_text(&theirs), "{case}");
                    same += 1;
                }
                (Err(_), Err(_)) => refused += 1,
                // It resolves values and not schemas: a field of a type that does not fit passes as long as
                // no value shows it. Some values it converts beyond the specification.
                (Err(_), Ok(_)) => refused += 1,
                (Ok(ours), Err(why)) => {
                    panic!("seed {seed}: {ours:?}, theirs: {why}\n{writer}\n{reads}\n{value:?}")
                }
            }
        }
    }
    assert!(
        same > 4_000 && refused > 1_000,
        "{same} the same, {refused} refused"
    );
}
