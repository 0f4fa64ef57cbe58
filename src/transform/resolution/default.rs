//! The default of a field: its JSON in the schema, as one value of the field's column.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow_schema::{ArrowError, DataType};
use serde_json::{Value, json};

use super::names::{Names, Node, Shape};
use crate::transform::avro_decoder::build_decoder;

/// One value. It goes the way of every other value: encoded as Avro, and decoded.
pub fn column(
    names: &Names<'_>,
    node: &Node<'_>,
    of: &DataType,
    default: &Value,
) -> Result<ArrayRef, String> {
    let mut datum = Vec::new();
    encode(names, node, default, &mut datum).map_err(|e| format!("its default is none: {e}"))?;
    let schema = json!({
        "type": "record",
        "name": "Default",
        "fields": [{"name": "value", "type": names.expanded(node)}, {"name": "end", "type": "int"}],
    });
    // Behind a datum of 0 bytes, such as that of an empty record, the decoder needs something to read.
    datum.push(0);
    let failed = |e: &dyn std::fmt::Display| format!("its default cannot be used: {e}");
    let mut decoder = build_decoder(&schema.to_string()).map_err(|e| failed(&e))?;
    decoder.decode(&datum).map_err(|e| failed(&e))?;
    let rows = decoder.flush().map_err(|e| failed(&e))?;
    match rows {
        Some(rows) => typed(rows.column(0), of).map_err(|e| failed(&e)),
        None => Err(failed(&"it gave no row")),
    }
}

/// The same values in a column of the reader's: the type of one carries the names of the types within, which
/// may be written in another way in the whole schema.
fn typed(column: &ArrayRef, of: &DataType) -> Result<ArrayRef, ArrowError> {
    Ok(match of {
        DataType::List(item) => {
            let list = column.as_list::<i32>();
            let items = typed(list.values(), item.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(item.clone(), offsets, items, nulls)?)
        }
        DataType::Struct(fields) => {
            let record = column.as_struct();
            let columns = record.columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| typed(column, field.data_type()));
            let columns = columns.collect::<Result<_, _>>()?;
            let nulls = record.nulls().cloned();
            Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?)
        }
        DataType::Map(entries, sorted) => {
            let map = column.as_map();
            let all: ArrayRef = Arc::new(map.entries().clone());
            let all = typed(&all, entries.data_type())?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(
                entries.clone(),
                offsets,
                all,
                nulls,
                *sorted,
            )?)
        }
        _ => column.clone(),
    })
}

fn encode(
    names: &Names<'_>,
    node: &Node<'_>,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let no = |what: &str| format!("{value} is no {what}");
    match names.shape(node)? {
        Shape::Primitive(kind) => primitive(kind, value, out).ok_or_else(|| no(kind))?,
        Shape::Fixed(fixed) => {
            let bytes = bytes(value).ok_or_else(|| no("fixed"))?;
            if Some(bytes.len() as u64) != fixed.definition["size"].as_u64() {
                return Err(no("fixed of its size"));
            }
            out.extend(bytes);
        }
        Shape::Enum(of) => {
            let place = of.symbols().iter().position(|symbol| value == symbol);
            long(place.ok_or_else(|| no("symbol"))? as i64, out);
        }
        Shape::Array(items) => {
            let values = value.as_array().ok_or_else(|| no("array"))?;
            block(values.len(), out);
            for value in values {
                encode(names, &items, value, out)?;
            }
            end(values.len(), out);
        }
        Shape::Map(of) => {
            let values = value.as_object().ok_or_else(|| no("map"))?;
            block(values.len(), out);
            for (key, value) in values {
                text(key.as_bytes(), out);
                encode(names, &of, value, out)?;
            }
            end(values.len(), out);
        }
        Shape::Union(branches) => {
            // The first branch, says the specification before 1.12, and the first that fits since.
            let fits = branches.iter().enumerate().find_map(|(place, branch)| {
                let mut branch_out = Vec::new();
                encode(names, branch, value, &mut branch_out).ok()?;
                Some((place, branch_out))
            });
            let (place, bytes) = fits.ok_or_else(|| no("value of its union"))?;
            long(place as i64, out);
            out.extend(bytes);
        }
        Shape::Record(record) => {
            let values = value.as_object().ok_or_else(|| no("record"))?;
            for field in record.fields() {
                let name = field["name"].as_str().unwrap_or_default();
                let value = values.get(name).or_else(|| field.get("default"));
                let value = value.ok_or_else(|| format!("it has no field '{name}'"))?;
                encode(names, &Node::field(&record, field), value, out)?;
            }
        }
    }
    Ok(())
}

/// `None` if it is no such value.
fn primitive(kind: &str, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        "null" => value.as_null()?,
        "boolean" => out.push(u8::from(value.as_bool()?)),
        "int" => long(i64::from(i32::try_from(value.as_i64()?).ok()?), out),
        "long" => long(value.as_i64()?, out),
        "float" => out.extend((value.as_f64()? as f32).to_le_bytes()),
        "double" => out.extend(value.as_f64()?.to_le_bytes()),
        "bytes" => text(&bytes(value)?, out),
        _ => text(value.as_str()?.as_bytes(), out),
    }
    Some(())
}

/// Each character up to 255 is one byte.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    let chars = value.as_str()?.chars();
    chars.map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    long(bytes.len() as i64, out);
    out.extend(bytes);
}

fn block(count: usize, out: &mut Vec<u8>) {
    long(count as i64, out);
}

/// Behind the items of a block that was not the last one.
fn end(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        long(0, out);
    }
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
