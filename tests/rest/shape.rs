//! Keys and types of JSON, recursively, and how two of them differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Types by path; the elements of a list are one.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

pub fn shape_of(value: &Value) -> Shape {
    let mut shape = Shape::new();
    collect("$", value, &mut shape);
    shape
}

fn collect(path: &str, value: &Value, shape: &mut Shape) {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "real",
        Value::Number(_) => "whole",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    shape.entry(path.to_owned()).or_default().insert(name);
    match value {
        Value::Array(elements) => {
            for element in elements {
                collect(&format!("{path}[]"), element, shape);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let id = key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit());
                let key = if id { "ID" } else { key };
                collect(&format!("{path}.{key}"), value, shape);
            }
        }
        _ => {}
    }
}

/// What differs, from the root on: below a difference nothing is said. A list that is empty on Flink's
/// side says nothing of its elements.
pub fn differences(flink: &Value, ours: &Value) -> BTreeSet<String> {
    let (flink, ours) = (shape_of(flink), shape_of(ours));
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut below: Vec<String> = Vec::new();
    let paths: BTreeSet<_> = flink.keys().chain(ours.keys()).collect();
    for path in paths {
        if below.iter().any(|root| path.starts_with(root.as_str())) {
            continue;
        }
        let difference = match (flink.get(path), ours.get(path)) {
            (Some(theirs), Some(ours)) if ours.is_subset(theirs) => continue,
            (Some(theirs), Some(ours)) => format!("{path}: {ours:?}, Flink {theirs:?}"),
            (None, _) if path.ends_with("[]") => String::new(),
            (None, _) => format!("{path}: only ours"),
            (Some(_), None) => format!("{path}: only Flink's"),
        };
        if !difference.is_empty() {
            found.insert(difference.replace(['"', '{', '}'], ""));
        }
        below.extend([format!("{path}."), format!("{path}[")]);
    }
    found
}

#[test]
fn differences_of_key_and_type_are_found_at_any_depth() {
    let flink = serde_json::json!({"a": [{"b": 1, "c": null}, {"b": 2}], "d": [], "e": 1.5});
    let same = serde_json::json!({"a": [{"b": 7, "c": null}], "d": [{"x": 1}], "e": 2.0});
    assert!(differences(&flink, &same).is_empty());
    let other = serde_json::json!({"a": [{"b": "7", "f": {"g": 1}}], "d": [], "e": 2});
    let found: Vec<_> = differences(&flink, &other).into_iter().collect();
    assert_eq!(
        found,
        [
            "$.a[].b: text, Flink whole",
            "$.a[].c: only Flink's",
            "$.a[].f: only ours",
            "$.e: whole, Flink real",
        ]
    );
}
