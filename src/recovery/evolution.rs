//! A new reader's schema for a job that has files of another one.
//!
//! Guarantees: a column that files of both schemas have is of the same Parquet type in all of them, so
//! that one query reads them by name. Each schema is in the log, under its SHA-256, before the first slot
//! that names it.

use arrow_schema::{DataType, Field};
use bytes::Bytes;

use crate::checkpoint::slot::Slot;
use crate::runtime::retry::Patience;
use crate::store::{Key, Objects, Put, StoreError};
use crate::transform::avro_schema::InputSchema;

#[derive(Debug, thiserror::Error)]
pub enum SchemaRefusal {
    #[error(
        "another reader's schema: column '{column}' is {is} in it, and {was} in the files that are there. \
         No query could read both. Keep its type and give the new one a column of another name; or \
         archive with new paths"
    )]
    OtherType {
        column: String,
        was: String,
        is: String,
    },

    #[error(
        "another reader's schema than that of the files that are there (its SHA-256 was {was}), and \
         {url}, which would say what that one was, cannot be used: {why}. Start once with the former \
         schema, which puts it there; or archive with new paths"
    )]
    NotKnown {
        was: String,
        url: String,
        why: String,
    },
}

const FOLDER: &str = "schemas";

/// Where a schema is, below the root of the checkpoint log.
fn key(sha256: &str) -> Key {
    Key::new(format!("{FOLDER}/{sha256}.avsc"))
}

/// Puts the schema into the log, if it is not there.
pub async fn keep(
    objects: &dyn Objects,
    patience: &Patience,
    schema: &InputSchema,
) -> Result<(), StoreError> {
    let key = key(&schema.sha256());
    let body = Bytes::from(schema.json().to_owned());
    let concern = "keeping the schema";
    loop {
        let put = || objects.put_if_absent(&key, body.clone());
        if patience.insist(concern, put).await? == Put::Created {
            return Ok(());
        }
        match patience.insist(concern, || objects.get(&key)).await {
            Ok(found) if found == body => return Ok(()),
            // Its name says what it must be.
            Ok(_) => {
                return patience
                    .insist(concern, || objects.put(&key, body.clone()))
                    .await;
            }
            // Refused for another put that was under way, and failed.
            Err(StoreError::NotFound { .. }) => patience.pause().await,
            Err(error) => return Err(error),
        }
    }
}

/// Whether a job whose newest slot this is may go on with `schema`.
///
/// # Errors
/// Outside, what the store says; inside, why not.
pub async fn may_follow(
    objects: &dyn Objects,
    patience: &Patience,
    newest: &Slot,
    schema: &InputSchema,
) -> Result<Result<(), SchemaRefusal>, StoreError> {
    let was = &newest.identity.schema_sha256;
    if *was == schema.sha256() {
        return Ok(Ok(()));
    }
    let key = key(was);
    let refuse = |why: String| SchemaRefusal::NotKnown {
        was: was.clone(),
        url: objects.url(&key),
        why,
    };
    let body = match patience
        .insist("reading the former schema", || objects.get(&key))
        .await
    {
        Err(StoreError::NotFound { .. }) => return Ok(Err(refuse("it is not there".into()))),
        body => body?,
    };
    let former = match read(&body, was) {
        Ok(former) => former,
        Err(why) => return Ok(Err(refuse(why))),
    };
    let same = same_types(&former, schema);
    if same.is_err() {
        return Ok(same);
    }
    // A column that the former one does not have may be one of files that are older.
    for older in older(objects, patience, was).await? {
        let same = same_types(&older, schema);
        if same.is_err() {
            return Ok(same);
        }
    }
    tracing::info!(was, is = schema.sha256(), "another reader's schema");
    Ok(Ok(()))
}

fn read(body: &[u8], sha256: &str) -> Result<InputSchema, String> {
    match InputSchema::parse(&String::from_utf8_lossy(body)) {
        Ok(schema) if schema.sha256() == sha256 => Ok(schema),
        Ok(_) => Err("it was changed".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// All schemas that are kept but one. One that cannot be read says nothing, which is logged.
async fn older(
    objects: &dyn Objects,
    patience: &Patience,
    but: &str,
) -> Result<Vec<InputSchema>, StoreError> {
    let list = || objects.list(FOLDER, "");
    let names = patience.insist("listing the former schemas", list).await?;
    let kept = names.iter().filter_map(|name| name.strip_suffix(".avsc"));
    let mut schemas = Vec::new();
    for sha256 in kept.filter(|sha256| *sha256 != but) {
        let key = key(sha256);
        let get = || objects.get(&key);
        let body = patience.insist("reading a former schema", get).await?;
        match read(&body, sha256) {
            Ok(schema) => schemas.push(schema),
            Err(why) => {
                let url = objects.url(&key);
                tracing::warn!(url, why, "a former schema is not looked at");
            }
        }
    }
    Ok(schemas)
}

/// Engines find columns by name without regard to case.
fn same_types(former: &InputSchema, own: &InputSchema) -> Result<(), SchemaRefusal> {
    for is in own.arrow().fields() {
        let mut formers = former.arrow().fields().iter();
        let same_name = |was: &&std::sync::Arc<Field>| was.name().eq_ignore_ascii_case(is.name());
        let Some(was) = formers.find(same_name) else {
            continue;
        };
        let (was, now) = (stored(was), stored(is));
        if was != now {
            return Err(SchemaRefusal::OtherType {
                column: is.name().clone(),
                was,
                is: now,
            });
        }
    }
    Ok(())
}

/// What a column is in a Parquet file, for comparing and for people: the type with its inner fields.
/// Whether it may be null is no difference to who reads it.
fn stored(field: &Field) -> String {
    // What says that 16 bytes are a uuid.
    if let Some(name) = field.extension_type_name() {
        return name.trim_start_matches("arrow.").to_owned();
    }
    let inner = |field: &Field| format!("{} {}", field.name(), stored(field));
    match field.data_type() {
        // Symbols are text in the file.
        DataType::Dictionary(_, value) => value.to_string(),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|field| inner(field)).collect();
            format!("record({})", fields.join(", "))
        }
        DataType::List(item) => format!("array({})", stored(item)),
        DataType::Map(entries, _) => format!("map({})", stored(entries)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &str) -> InputSchema {
        let json = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        InputSchema::parse(&json).unwrap()
    }

    fn follows(former: &str, own: &str) -> Result<(), String> {
        same_types(&schema(former), &schema(own)).map_err(|refusal| refusal.to_string())
    }

    const A: &str = r#"{"name":"a","type":"long"}"#;

    #[test]
    fn columns_may_come_and_go_and_become_nullable() {
        let two = format!(r#"{A},{{"name":"b","type":"string"}}"#);
        assert_eq!(follows(A, &two), Ok(()));
        assert_eq!(follows(&two, A), Ok(()));
        assert_eq!(follows(A, r#"{"name":"a","type":["null","long"]}"#), Ok(()));
    }

    #[test]
    fn an_enum_may_get_symbols_and_become_text() {
        let of = |symbols: &str| {
            format!(r#"{{"name":"e","type":{{"type":"enum","name":"E","symbols":[{symbols}]}}}}"#)
        };
        assert_eq!(follows(&of(r#""X""#), &of(r#""X","Y""#)), Ok(()));
        assert_eq!(
            follows(&of(r#""X""#), r#"{"name":"e","type":"string"}"#),
            Ok(())
        );
    }

    #[test]
    fn a_column_of_another_type_is_refused_by_its_name_in_any_case_and_inside() {
        for other in [
            r#"{"name":"a","type":"int"}"#,
            r#"{"name":"A","type":"string"}"#,
            r#"{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}"#,
            r#"{"name":"a","type":{"type":"array","items":"long"}}"#,
        ] {
            let refusal = follows(A, other).unwrap_err();
            assert!(refusal.to_lowercase().contains("column 'a'"), "{refusal}");
        }
        let uuid = r#"{"name":"u","type":{"type":"string","logicalType":"uuid"}}"#;
        let fixed = r#"{"name":"u","type":{"type":"fixed","name":"F","size":16}}"#;
        for (former, own) in [(uuid, fixed), (fixed, uuid)] {
            let refusal = follows(former, own).unwrap_err();
            assert!(refusal.contains("column 'u'"), "{refusal}");
        }
        assert_eq!(follows(uuid, uuid), Ok(()));
        let nested = |fields: &str| {
            format!(r#"{{"name":"n","type":{{"type":"record","name":"N","fields":[{fields}]}}}}"#)
        };
        let refusal = follows(&nested(A), &nested(r#"{"name":"a","type":"int"}"#)).unwrap_err();
        assert!(
            refusal.contains("record(a Int32)") && refusal.contains("record(a Int64)"),
            "{refusal}"
        );
    }
}
