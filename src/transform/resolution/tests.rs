//! Held against the specification.

mod random;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::names::self_contained;
use super::*;
use crate::transform::avro_schema::InputSchema;

fn record(fields: Value) -> Value {
    json!({"type": "record", "name": "R", "namespace": "n", "fields": fields})
}

fn one(kind: Value) -> Value {
    record(json!([{"name": "a", "type": kind}]))
}

fn reader(schema: &Value) -> Reader {
    let schema = InputSchema::parse(&schema.to_string()).unwrap();
    schema.reader().unwrap()
}

/// One datum of the writer, as the reader sees it: a text for each column.
fn read(writer: &Value, datum: &[u8], reader: &Reader) -> Result<Vec<String>, String> {
    let writer = reader.resolve(&writer.to_string())?;
    let mut decoder = writer.decoder().unwrap();
    assert_eq!(decoder.decode(datum).unwrap(), datum.len());
    let rows = decoder.flush().unwrap().unwrap();
    let rows = writer.project(&rows)?;
    Ok(rows
        .columns()
        .iter()
        .map(|column| text(column, 0))
        .collect())
}

fn text(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".into();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => format!("{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => format!("{:?}", array.as_string::<i32>().value(row)),
        DataType::Binary => format!("{:?}", array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => {
            format!("{:?}", array.as_fixed_size_binary().value(row))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_dictionary::<Int32Type>();
            let symbols = dictionary.values().as_string::<i32>();
            format!(
                "symbol {}",
                symbols.value(dictionary.keys().value(row) as usize)
            )
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            let all: Vec<_> = columns.map(|column| text(column, row)).collect();
            format!("({})", all.join(", "))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let all: Vec<_> = (0..items.len()).map(|item| text(&items, item)).collect();
            format!("[{}]", all.join(", "))
        }
        DataType::Map(..) => {
            let entries: ArrayRef = std::sync::Arc::new(array.as_map().value(row));
            let mut all: Vec<_> = (0..entries.len()).map(|one| text(&entries, one)).collect();
            all.sort();
            format!("{{{}}}", all.join(", "))
        }
        other => {
            let ints = array.to_data();
            match other.primitive_width() {
                Some(4) => format!("{other} {}", ints.buffer::<i32>(0)[row]),
                Some(8) => format!("{other} {}", ints.buffer::<i64>(0)[row]),
                _ => format!("{other} {}", ints.buffer::<i128>(0)[row]),
            }
        }
    }
}

#[track_caller]
fn becomes(writer: Value, datum: &[u8], reads: Value, expected: &str) {
    let found = read(&one(writer), datum, &reader(&one(reads)));
    assert_eq!(found.unwrap(), [expected]);
}

#[test]
fn numbers_are_promoted() {
    for (to, expected) in [
        ("int", "-3"),
        ("long", "-3"),
        ("float", "-3.0"),
        ("double", "-3.0"),
    ] {
        becomes(json!("int"), &[5], json!(to), expected);
    }
    for (to, expected) in [("long", "-3"), ("float", "-3.0"), ("double", "-3.0")] {
        becomes(json!("long"), &[5], json!(to), expected);
    }
    becomes(
        json!("float"),
        &1.5f32.to_le_bytes(),
        json!("double"),
        "1.5",
    );
}

#[test]
fn text_and_bytes_become_each_other_if_they_can() {
    becomes(
        json!("string"),
        &[4, b'h', b'i'],
        json!("bytes"),
        "[104, 105]",
    );
    becomes(json!("bytes"), &[4, b'h', b'i'], json!("string"), "\"hi\"");
    let why = read(
        &one(json!("bytes")),
        &[2, 0xff],
        &reader(&one(json!("string"))),
    );
    assert!(
        why.unwrap_err()
            .contains("field 'a': bytes that are not UTF-8")
    );
}

#[test]
fn a_uuid_and_its_text_become_each_other() {
    let uuid = json!({"type": "string", "logicalType": "uuid"});
    let text = "0a0b0c0d-0102-4304-8506-0708090a0b0c";
    let datum = [&[72][..], text.as_bytes()].concat();
    becomes(
        json!("string"),
        &datum,
        uuid.clone(),
        "[10, 11, 12, 13, 1, 2, 67, 4, 133, 6, 7, 8, 9, 10, 11, 12]",
    );
    becomes(uuid.clone(), &datum, json!("string"), &format!("{text:?}"));
    let why = read(&one(json!("string")), &[2, b'x'], &reader(&one(uuid)));
    assert!(why.unwrap_err().contains("field 'a': text that is no uuid"));
}

#[test]
fn a_plain_number_gets_a_meaning_or_loses_it_and_never_has_another_one() {
    let logical = |kind: &str, name: &str| json!({"type": kind, "logicalType": name});
    let (millis, micros) = (
        logical("long", "timestamp-millis"),
        logical("long", "timestamp-micros"),
    );
    let date = logical("int", "date");
    becomes(
        json!("long"),
        &[6],
        millis.clone(),
        "Timestamp(ms, \"+00:00\") 3",
    );
    becomes(
        json!("int"),
        &[6],
        micros.clone(),
        "Timestamp(µs, \"+00:00\") 3",
    );
    becomes(json!("int"), &[6], date.clone(), "Date32 3");
    becomes(millis.clone(), &[6], json!("long"), "3");
    becomes(date.clone(), &[6], json!("long"), "3");
    for (writer, reads) in [(&millis, &micros), (&micros, &millis), (&date, &millis)] {
        let why = read(&one(writer.clone()), &[6], &reader(&one(reads.clone())));
        assert!(
            why.unwrap_err().contains("cannot become"),
            "{writer} {reads}"
        );
    }
}

#[test]
fn decimals_are_the_same_only_with_the_same_scale_and_precision() {
    let bytes = |scale: u32| json!({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": scale});
    let fixed = json!({
        "type": "fixed", "name": "F", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 2
    });
    becomes(bytes(2), &[2, 5], fixed.clone(), "Decimal128(9, 2) 5");
    becomes(fixed, &[0, 0, 0, 5], bytes(2), "Decimal128(9, 2) 5");
    let why = read(&one(bytes(2)), &[2, 5], &reader(&one(bytes(3)))).unwrap_err();
    assert!(why.contains("field 'a'"), "{why}");
}

#[test]
fn symbols_go_by_name_and_a_default_stands_for_unknown_ones() {
    let kind = |symbols: Value| json!({"type": "enum", "name": "E", "symbols": symbols});
    let writer = kind(json!(["A", "B", "C"]));
    becomes(writer.clone(), &[0], kind(json!(["C", "A"])), "symbol A");
    becomes(writer.clone(), &[4], kind(json!(["C", "A"])), "symbol C");
    let why = read(
        &one(writer.clone()),
        &[2],
        &reader(&one(kind(json!(["C", "A"])))),
    );
    assert!(why.unwrap_err().contains("field 'a': symbol 'B'"));
    let mut with_default = kind(json!(["A", "OTHER"]));
    with_default["default"] = "OTHER".into();
    becomes(writer, &[2], with_default, "symbol OTHER");
}

#[test]
fn null_is_a_value_where_the_reader_has_it_and_else_the_records_fault() {
    let nullable = || json!(["null", "int"]);
    becomes(json!("int"), &[6], json!(["null", "long"]), "3");
    becomes(nullable(), &[2, 6], json!("long"), "3");
    becomes(nullable(), &[0], json!(["long", "null"]), "null");
    let why = read(&one(nullable()), &[0], &reader(&one(json!("long")))).unwrap_err();
    assert!(why.contains("field 'a': null"), "{why}");
}

#[test]
fn fields_go_by_name_or_alias_and_what_is_not_written_has_its_default() {
    let writer = record(json!([
        {"name": "gone", "type": ["int", "string"]},
        {"name": "old", "type": "int"},
        {"name": "s", "type": "string"},
    ]));
    let reads = record(json!([
        {"name": "s", "type": "string"},
        {"name": "added", "type": ["null", "long"], "default": null},
        {"name": "new", "type": "long", "aliases": ["old"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["x", "y"]},
        {"name": "raw", "type": "bytes", "default": "\u{0}\u{ff}"},
        {"name": "n", "type": {"type": "record", "name": "N", "fields": [
            {"name": "i", "type": "int"}, {"name": "f", "type": "float", "default": 0.5}]},
            "default": {"i": 7}},
    ]));
    let found = read(&writer, &[0, 2, 6, 2, b'z'], &reader(&reads)).unwrap();
    assert_eq!(
        found,
        [
            "\"z\"",
            "null",
            "3",
            "[\"x\", \"y\"]",
            "[0, 255]",
            "(7, 0.5)"
        ]
    );
}

#[test]
fn a_schema_that_holds_itself_or_is_nested_without_measure_is_refused() {
    let of = |inner: Value| one(json!({"type": "array", "items": inner}));
    let deep = (0..40).fold(
        json!("int"),
        |inner, _| json!({"type": "array", "items": {"type": "map", "values": inner}}),
    );
    for schema in [of(json!("n.R")), of(deep)] {
        let why = reader(&one(json!("int"))).resolve(&schema.to_string());
        assert!(why.unwrap_err().contains("nested deeper than 64"));
    }
}

#[test]
fn a_few_lines_that_stand_for_millions_of_fields_are_refused() {
    // Each record has the one before it twice.
    let schema = (0..22).fold(json!("int"), |inner, n| {
        let again = match n {
            0 => json!("int"),
            _ => json!(format!("R{}", n - 1)),
        };
        let fields = json!([{"name": "a", "type": inner}, {"name": "b", "type": again}]);
        json!({"type": "record", "name": format!("R{n}"), "fields": fields})
    });
    let why = reader(&one(json!("int"))).resolve(&schema.to_string());
    assert!(why.unwrap_err().contains("more than 10000 fields"));
    // As the reader's, too.
    let why = InputSchema::parse(&schema.to_string()).unwrap_err();
    assert!(why.to_string().contains("more than 10000 fields"), "{why}");
}

#[test]
fn a_field_whose_items_take_no_bytes_is_refused_also_where_the_reader_does_not_have_it() {
    let empty = json!({"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]});
    let fixed = json!({"type": "fixed", "name": "Z", "size": 0});
    for items in [json!("null"), fixed, empty] {
        let writer = record(json!([
            {"name": "a", "type": "int"},
            {"name": "b", "type": {"type": "array", "items": items}},
        ]));
        let why = reader(&one(json!("int"))).resolve(&writer.to_string());
        assert!(why.unwrap_err().contains("items that take no bytes"));
    }
}

#[test]
fn a_default_with_a_named_type_in_it_is_one_however_the_names_are_written() {
    let written = json!({"type": "record", "name": "Order", "namespace": "shop",
        "fields": [{"name": "id", "type": "long"}]});
    let item = |name: &str| {
        json!({"type": "record", "name": name,
            "fields": [{"name": "sku", "type": "string", "default": "x"}]})
    };
    let reads = json!({"type": "record", "name": "shop.Order", "fields": [
        {"name": "id", "type": "long"},
        {"name": "items", "type": {"type": "array", "items": item("Item")}, "default": [{}]},
        {"name": "by", "type": {"type": "map", "values": item("geo.Item")}, "default": {"k": {}}},
        {"name": "one", "type": item("One"), "default": {}},
    ]});
    let found = read(&written, &[14], &reader(&reads)).unwrap();
    assert_eq!(found, ["7", "[(\"x\")]", "{(\"k\", (\"x\"))}", "(\"x\")"]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "record", "enum", "fixed", "array", "map", "int", "null", "string", "R", "n.R", "x", "",
    ]);
    let key = prop::sample::select(vec![
        "type",
        "name",
        "namespace",
        "fields",
        "items",
        "values",
        "symbols",
        "size",
        "default",
        "aliases",
        "logicalType",
    ]);
    let leaf = prop_oneof![
        word.prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|of| of.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_registry_says_is_a_schema_panics_nobody(
        schema in any_json(), referenced in any_json()
    ) {
        let whole = names::self_contained(&schema, std::slice::from_ref(&referenced));
        for schema in [Ok(schema), whole].into_iter().flatten() {
            let _ = reader(&one(json!("int"))).resolve(&schema.to_string());
        }
    }
}

#[test]
fn what_cannot_be_resolved_names_the_field_and_both_sides() {
    let nested = |kind: Value| {
        one(json!({"type": "record", "name": "N", "fields": [{"name": "b", "type": kind}]}))
    };
    for (writer, reads, expected) in [
        (
            one(json!("string")),
            one(json!("long")),
            "field 'a': the writer's Utf8 cannot become the reader's Int64",
        ),
        (
            nested(json!("double")),
            nested(json!("float")),
            "field 'a': field 'b': the writer's Float64 cannot become the reader's Float32",
        ),
        (
            one(json!(["int", "string"])),
            one(json!("int")),
            "field 'a': the writer's union of 2 types cannot become the reader's int",
        ),
        (
            record(json!([])),
            one(json!("int")),
            "field 'a': the writer's schema does not have it, and it has no default",
        ),
        (
            json!({"type": "record", "name": "Other", "fields": [{"name": "a", "type": "int"}]}),
            one(json!("int")),
            "record 'Other' is not 'n.R', nor one of its aliases",
        ),
        (json!("string"), one(json!("int")), "it cannot be decoded"),
    ] {
        let why = reader(&reads).resolve(&writer.to_string()).unwrap_err();
        assert!(why.starts_with(expected), "{why}");
    }
}

#[test]
fn a_schema_that_refers_to_others_holds_them_all() {
    let order = json!({"type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "to", "type": "shop.Address"}, {"name": "from", "type": ["null", "Address"]}]});
    let address = json!({"type": "record", "name": "shop.Address", "fields": [
        {"name": "country", "type": "geo.Country"}]});
    let country =
        json!({"type": "enum", "name": "Country", "namespace": "geo", "symbols": ["X", "Y"]});
    let whole = self_contained(&order, &[address, country]).unwrap();
    let found = read(&whole, &[2, 2, 0], &reader(&whole)).unwrap();
    assert_eq!(found, ["(symbol Y)", "(symbol X)"]);
}
