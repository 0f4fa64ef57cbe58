//! The schema of the input: read once at the start, and refused there if it cannot be archived.

use arrow_schema::{ArrowError, DataType, SchemaRef};
use serde_json::Value;

use super::avro_decoder::build_decoder;
use super::enrich;
use super::framing::{AvroFormat, Framing};
use super::resolution::Reader;
use super::resolution::names::Names;
use crate::digest::sha256_hex;

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("it is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is of type {0}; only a record has the named fields that become columns")]
    NotARecord(String),
    #[error(
        "field '{0}' has the name of a lineage column; that column says where the row comes from. \
         Rename the field in AVRO_SCHEMA (by position, so the data stay readable)"
    )]
    LineageColumn(String),
    #[error("field '{field}' cannot be written to Parquet: {reason}")]
    Unmappable { field: String, reason: String },
    #[error(
        "it has an empty namespace, with which AVRO_FORMAT=single-object would expect a wrong \
         fingerprint: leave the empty namespace out"
    )]
    EmptyNamespace,
    #[error("it takes more memory than records are worth: {0}")]
    TooLarge(String),
    #[error("it is not a valid Avro schema: {0}")]
    Avro(#[from] ArrowError),
}

/// An Avro record schema that can be archived.
#[derive(Debug, Clone)]
pub struct InputSchema {
    name: String,
    json: String,
    arrow: SchemaRef,
    framing: Framing,
}

impl InputSchema {
    /// Parses and checks a schema in Avro's JSON form.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let value: Value = serde_json::from_str(text)?;
        if value["type"] != "record" {
            let kind = value.get("type").unwrap_or(&value);
            return Err(SchemaError::NotARecord(kind.to_string()));
        }
        for field in value["fields"].as_array().into_iter().flatten() {
            let namespace = value["namespace"].as_str().unwrap_or_default();
            let own = value["name"].as_str().unwrap_or_default();
            let mut open = vec![full_name(own, namespace)];
            check_recursion(&field["type"], namespace, &mut open)
                .map_err(|reason| unmappable(field["name"].as_str(), reason))?;
        }
        let names = Names::new(&value).and_then(|names| names.check_size());
        names.map_err(SchemaError::TooLarge)?;
        let text = |field: &str| value[field].as_str().unwrap_or_default();
        let name = full_name(text("name"), text("namespace"));
        let json = value.to_string();
        let arrow = build_decoder(&json)?.schema();
        check_names(&arrow)?;
        for field in arrow.fields() {
            check_parquet(field.data_type())
                .map_err(|reason| unmappable(Some(field.name()), reason))?;
        }
        Ok(Self {
            name,
            json,
            arrow,
            framing: Framing::Raw,
        })
    }

    /// The same in values of this format; raw ones unless it is said.
    ///
    /// # Errors
    /// If the schema has no fingerprint, and the format needs it.
    pub fn framed(self, format: AvroFormat) -> Result<Self, SchemaError> {
        let framing = Framing::new(format, &self.json)?;
        Ok(Self { framing, ..self })
    }

    /// Of the record, with its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// SHA-256 of the schema without its white space; part of what the job is.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.json)
    }

    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Without white space.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// What records of other schemas are projected to.
    pub(super) fn reader(&self) -> Result<Reader, SchemaError> {
        let json = serde_json::from_str(&self.json)?;
        Ok(Reader::new(&self.name, json, self.arrow.clone()))
    }
}

fn unmappable(field: Option<&str>, reason: String) -> SchemaError {
    SchemaError::Unmappable {
        field: field.unwrap_or_default().to_owned(),
        reason,
    }
}

/// Query engines find columns by name without regard to case, so neither do we look at it.
fn check_names(arrow: &SchemaRef) -> Result<(), SchemaError> {
    let lineage = |name: &str| enrich::COLUMNS.iter().any(|c| c.eq_ignore_ascii_case(name));
    match arrow.fields().iter().find(|field| lineage(field.name())) {
        Some(field) => Err(SchemaError::LineageColumn(field.name().clone())),
        None => Ok(()),
    }
}

/// Refuses what Parquet's writer has no form for, before it meets it.
fn check_parquet(data_type: &DataType) -> Result<(), String> {
    match data_type {
        DataType::Union(branches, _) => Err(format!(
            "it is a union of {} types; Parquet has none but [\"null\", X]",
            branches.len()
        )),
        DataType::Null => Err("type 'null' alone holds nothing; unite it with another type".into()),
        DataType::Interval(_) => Err("logical type 'duration' has no Parquet writer".into()),
        // An array of billions of them would have no bytes, and be right.
        DataType::FixedSizeBinary(0) => Err("type 'fixed' of 0 bytes holds nothing".into()),
        DataType::Struct(fields) if fields.is_empty() => Err("a record without fields".into()),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| {
            check_parquet(field.data_type()).map_err(|e| format!("in '{}': {e}", field.name()))
        }),
        DataType::List(item) => check_parquet(item.data_type()),
        DataType::Map(entries, _) => check_parquet(entries.data_type()),
        _ => Ok(()),
    }
}

/// Fails on a type that contains itself; `open` holds the full names of the records around.
fn check_recursion(schema: &Value, namespace: &str, open: &mut Vec<String>) -> Result<(), String> {
    match schema {
        Value::String(name) if open.contains(&full_name(name, namespace)) => Err(format!(
            "type '{name}' contains itself, and Parquet has no recursive types"
        )),
        Value::Array(branches) => branches
            .iter()
            .try_for_each(|branch| check_recursion(branch, namespace, open)),
        Value::Object(object) => {
            let own = object.get("namespace").and_then(Value::as_str);
            let namespace = own.unwrap_or(namespace);
            for inner in ["type", "items", "values"] {
                if let Some(inner @ (Value::Object(_) | Value::Array(_))) = object.get(inner) {
                    check_recursion(inner, namespace, open)?;
                }
            }
            for inner in ["items", "values"] {
                if let Some(inner @ Value::String(_)) = object.get(inner) {
                    check_recursion(inner, namespace, open)?;
                }
            }
            let Some(fields) = object.get("fields").and_then(Value::as_array) else {
                return Ok(());
            };
            let name = object
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            open.push(full_name(name, namespace));
            for field in fields {
                check_recursion(&field["type"], namespace, open)?;
            }
            open.pop();
            Ok(())
        }
        _ => Ok(()),
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#)
    }

    fn refusal(fields: &str) -> String {
        InputSchema::parse(&record(fields)).unwrap_err().to_string()
    }

    #[test]
    fn the_schema_of_the_demo_is_accepted() {
        let schema = InputSchema::parse(crate::config::DEFAULT_SCHEMA).unwrap();
        let names: Vec<_> = schema
            .arrow()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        assert_eq!(names, ["uuid", "timestamp"]);
    }

    #[test]
    fn white_space_does_not_change_what_the_schema_is() {
        let a = InputSchema::parse(&record(r#"{"name":"a","type":"long"}"#)).unwrap();
        let b = InputSchema::parse(&record(r#" { "name" : "a", "type" : "long" } "#)).unwrap();
        let c = InputSchema::parse(&record(r#"{"name":"a","type":"int"}"#)).unwrap();
        assert_eq!(a.sha256(), b.sha256());
        assert_ne!(a.sha256(), c.sha256());
    }

    #[test]
    fn all_usual_types_are_accepted() {
        InputSchema::parse(&record(
            r#"{"name":"a","type":["null","string"]},
               {"name":"b","type":{"type":"array","items":"double"}},
               {"name":"c","type":{"type":"map","values":["null","long"]}},
               {"name":"d","type":{"type":"enum","name":"E","symbols":["X","Y"]}},
               {"name":"e","type":{"type":"fixed","name":"F","size":4}},
               {"name":"f","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
               {"name":"g","type":{"type":"record","name":"S","fields":[{"name":"x","type":"int"}]}},
               {"name":"h","type":{"type":"int","logicalType":"date"}}"#,
        ))
        .unwrap();
    }

    #[test]
    fn a_field_that_parquet_cannot_hold_is_named() {
        let union = refusal(r#"{"name":"u","type":["int","string"]}"#);
        assert!(
            union.contains("field 'u'") && union.contains("union"),
            "{union}"
        );
        let deep = refusal(
            r#"{"name":"d","type":{"type":"record","name":"S","fields":[
                {"name":"x","type":["null","int","string"]}]}}"#,
        );
        assert!(
            deep.contains("field 'd'") && deep.contains("in 'x'"),
            "{deep}"
        );
        let null = refusal(r#"{"name":"z","type":"null"}"#);
        assert!(null.contains("field 'z'"), "{null}");
        let duration = refusal(
            r#"{"name":"t","type":{"type":"fixed","name":"D","size":12,"logicalType":"duration"}}"#,
        );
        assert!(duration.contains("field 't'"), "{duration}");
    }

    #[test]
    fn a_recursive_field_is_named() {
        let text = refusal(r#"{"name":"next","type":["null","R"]}"#);
        assert!(
            text.contains("field 'next'") && text.contains("contains itself"),
            "{text}"
        );
        let list = refusal(r#"{"name":"all","type":{"type":"array","items":"n.R"}}"#);
        assert!(list.contains("field 'all'"), "{list}");
    }

    #[test]
    fn a_field_named_like_a_lineage_column_is_named_in_any_case() {
        for name in ["kafka_offset", "Kafka_Offset", "checkpoint_id"] {
            let text = refusal(&format!(r#"{{"name":"{name}","type":"long"}}"#));
            assert!(text.contains(&format!("field '{name}'")), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in [
            "\"string\"",
            r#"{"type":"array","items":"int"}"#,
            "{}",
            "[",
            "",
        ] {
            assert!(InputSchema::parse(text).is_err(), "{text}");
        }
    }
}
