//! Whole columns of a writer's schema, made into those of the reader.
//!
//! Values below a null are never looked at: what stands there is no value of anybody.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time32MillisecondType, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, ListArray, MapArray, PrimitiveArray,
    StructArray, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, TimeUnit};
use arrow_select::take::take;
use uuid::Uuid;

use super::plan::{From, Plan, Source};

/// The reader's columns of `rows` rows. Only rows in `relevant` are looked at; all without it.
pub fn columns(
    sources: &[Source],
    from: &[ArrayRef],
    rows: usize,
    relevant: Option<&NullBuffer>,
) -> Result<Vec<ArrayRef>, String> {
    let columns = sources.iter().map(|source| {
        let column = match &source.from {
            From::Column(place, plan) => values(&from[*place], plan, relevant),
            From::Default(value) => {
                let first = UInt32Array::from(vec![0; rows]);
                take(value, &first, None).map_err(|e| e.to_string())
            }
        };
        column.map_err(|why| format!("field '{}': {why}", source.name))
    });
    columns.collect()
}

fn values(
    array: &ArrayRef,
    plan: &Plan,
    relevant: Option<&NullBuffer>,
) -> Result<ArrayRef, String> {
    let valid = NullBuffer::union(array.nulls(), relevant);
    let failed = |e: arrow_schema::ArrowError| e.to_string();
    Ok(match plan {
        Plan::Same => array.clone(),
        Plan::NotNull(plan) => {
            let lost = (0..array.len())
                .any(|row| array.is_null(row) && relevant.is_none_or(|r| r.is_valid(row)));
            if lost {
                return Err("null, and the reader's schema has no null there".into());
            }
            values(array, plan, relevant)?
        }
        Plan::Cast(to) => cast(array, to, valid.as_ref())?,
        Plan::Enum {
            symbols,
            keys,
            values,
        } => {
            let dictionary = array.as_dictionary::<Int32Type>();
            let mut mapped = Vec::with_capacity(array.len());
            for (row, &key) in dictionary.keys().values().iter().enumerate() {
                let place = usize::try_from(key).ok();
                let key = place.and_then(|place| keys.get(place).copied().flatten());
                match key {
                    Some(key) => mapped.push(key),
                    None if valid.as_ref().is_none_or(|v| v.is_valid(row)) => {
                        let symbol = place.and_then(|place| symbols.get(place));
                        let symbol = symbol.map(String::as_str).unwrap_or_default();
                        return Err(format!(
                            "symbol '{symbol}', which the reader's enum does not have, nor a default"
                        ));
                    }
                    None => mapped.push(0),
                }
            }
            let keys = Int32Array::new(ScalarBuffer::from(mapped), array.nulls().cloned());
            Arc::new(DictionaryArray::try_new(keys, values.clone()).map_err(failed)?)
        }
        Plan::Struct { fields, columns } => {
            let from = array.as_struct();
            let made = self::columns(columns, from.columns(), array.len(), valid.as_ref())?;
            let nulls = array.nulls().cloned();
            Arc::new(StructArray::try_new(fields.clone(), made, nulls).map_err(failed)?)
        }
        Plan::List { item, plan } => {
            let list = array.as_list::<i32>();
            let (offsets, items) = own_items(list.offsets(), list.values());
            let items = values(&items, plan, None)?;
            let nulls = array.nulls().cloned();
            Arc::new(ListArray::try_new(item.clone(), offsets, items, nulls).map_err(failed)?)
        }
        Plan::Map { entries, value } => {
            let map = array.as_map();
            let all: ArrayRef = Arc::new(map.entries().clone());
            let (offsets, own) = own_items(map.offsets(), &all);
            let own = own.as_struct();
            let made = values(own.column(1), value, None)?;
            let columns = vec![own.column(0).clone(), made];
            let made = map_entries(entries, columns)?;
            let nulls = array.nulls().cloned();
            Arc::new(
                MapArray::try_new(entries.clone(), offsets, made, nulls, false).map_err(failed)?,
            )
        }
    })
}

fn map_entries(entries: &FieldRef, columns: Vec<ArrayRef>) -> Result<StructArray, String> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(format!("a map of {}", entries.data_type()));
    };
    StructArray::try_new(fields.clone(), columns, None).map_err(|e| e.to_string())
}

/// The items that the lists have, without those of rows that were cut off, and offsets into them.
fn own_items(offsets: &OffsetBuffer<i32>, items: &ArrayRef) -> (OffsetBuffer<i32>, ArrayRef) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let own = items.slice(first as usize, (last - first) as usize);
    let offsets: Vec<_> = offsets.iter().map(|offset| offset - first).collect();
    (OffsetBuffer::new(ScalarBuffer::from(offsets)), own)
}

fn uuids(array: &ArrayRef, valid: Option<&NullBuffer>) -> Result<ArrayRef, String> {
    let mut bytes = FixedSizeBinaryBuilder::with_capacity(array.len(), 16);
    for (row, text) in array.as_string::<i32>().iter().enumerate() {
        match text.map(Uuid::parse_str) {
            Some(Ok(uuid)) => bytes
                .append_value(uuid.as_bytes())
                .map_err(|e| e.to_string())?,
            Some(Err(_)) if valid.is_none_or(|v| v.is_valid(row)) => {
                return Err("text that is no uuid, to become one".into());
            }
            _ => bytes.append_null(),
        }
    }
    Ok(Arc::new(bytes.finish()))
}

fn cast(array: &ArrayRef, to: &DataType, valid: Option<&NullBuffer>) -> Result<ArrayRef, String> {
    match (array.data_type(), to) {
        (DataType::Utf8, DataType::FixedSizeBinary(_)) => uuids(array, valid),
        (DataType::FixedSizeBinary(_), _) => {
            let mut texts = StringBuilder::new();
            for bytes in array.as_fixed_size_binary() {
                let uuid = bytes.and_then(|bytes| Uuid::from_slice(bytes).ok());
                texts.append_option(uuid.map(|uuid| uuid.to_string()));
            }
            Ok(Arc::new(texts.finish()))
        }
        (DataType::Utf8, _) => {
            let texts = array.as_string::<i32>().iter();
            let mut bytes = BinaryBuilder::new();
            texts.for_each(|text| bytes.append_option(text));
            Ok(Arc::new(bytes.finish()))
        }
        (DataType::Binary, _) => {
            let mut texts = StringBuilder::new();
            for (row, bytes) in array.as_binary::<i32>().iter().enumerate() {
                match bytes.map(std::str::from_utf8) {
                    None => texts.append_null(),
                    Some(Ok(text)) => texts.append_value(text),
                    Some(Err(_)) if valid.is_some_and(|v| v.is_null(row)) => texts.append_null(),
                    Some(Err(_)) => return Err("bytes that are not UTF-8, to become text".into()),
                }
            }
            Ok(Arc::new(texts.finish()))
        }
        (DataType::Int32 | DataType::Date32 | DataType::Time32(_), _) => {
            number(&plain::<Int32Type>(array)?, to)
        }
        (DataType::Float32, _) => Ok(Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float64Type>(f64::from),
        )),
        _ => long(&plain::<Int64Type>(array)?, to),
    }
}

/// The numbers without their meaning.
fn plain<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<PrimitiveArray<T>, String> {
    let data = array.to_data().into_builder().data_type(T::DATA_TYPE);
    Ok(PrimitiveArray::from(
        data.build().map_err(|e| e.to_string())?,
    ))
}

fn number(ints: &Int32Array, to: &DataType) -> Result<ArrayRef, String> {
    Ok(match to {
        DataType::Int32 => Arc::new(ints.clone()),
        DataType::Date32 => Arc::new(ints.reinterpret_cast::<Date32Type>()),
        DataType::Time32(_) => Arc::new(ints.reinterpret_cast::<Time32MillisecondType>()),
        // Every 32-bit integer is not a float; the nearest one is what the specification wants.
        DataType::Float32 => Arc::new(ints.unary::<_, Float32Type>(|n| n as f32)),
        DataType::Float64 => Arc::new(ints.unary::<_, Float64Type>(f64::from)),
        _ => return long(&ints.unary::<_, Int64Type>(i64::from), to),
    })
}

fn long(longs: &Int64Array, to: &DataType) -> Result<ArrayRef, String> {
    Ok(match to {
        DataType::Int64 => Arc::new(longs.clone()),
        DataType::Float32 => Arc::new(longs.unary::<_, Float32Type>(|n| n as f32)),
        DataType::Float64 => Arc::new(longs.unary::<_, Float64Type>(|n| n as f64)),
        DataType::Time64(_) => Arc::new(longs.reinterpret_cast::<Time64MicrosecondType>()),
        DataType::Timestamp(unit, zone) => match unit {
            TimeUnit::Millisecond => Arc::new(
                longs
                    .reinterpret_cast::<TimestampMillisecondType>()
                    .with_timezone_opt(zone.clone()),
            ),
            TimeUnit::Microsecond => Arc::new(
                longs
                    .reinterpret_cast::<TimestampMicrosecondType>()
                    .with_timezone_opt(zone.clone()),
            ),
            _ => Arc::new(
                longs
                    .reinterpret_cast::<TimestampNanosecondType>()
                    .with_timezone_opt(zone.clone()),
            ),
        },
        other => return Err(format!("{other} is no number")),
    })
}
