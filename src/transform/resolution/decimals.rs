//! Decimals with more digits than their type has: the decoder takes them, and Parquet's writer would cut
//! them off, to another number.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{ArrowError, DataType};

/// Whether values of this type may be such.
pub fn are_in(of: &DataType) -> bool {
    match of {
        DataType::Decimal128(..) | DataType::Decimal256(..) => true,
        DataType::List(inner) | DataType::Map(inner, _) => are_in(inner.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| are_in(field.data_type())),
        _ => false,
    }
}

/// # Errors
/// With the first one that has too many digits.
pub fn check(column: &ArrayRef) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Decimal128(digits, _) => {
            let values = column.as_primitive::<Decimal128Type>();
            values.validate_decimal_precision(*digits)
        }
        DataType::Decimal256(digits, _) => {
            let values = column.as_primitive::<Decimal256Type>();
            values.validate_decimal_precision(*digits)
        }
        DataType::Struct(_) => column.as_struct().columns().iter().try_for_each(check),
        // A part of the rows has the items of all of them behind it.
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            check(&part(list.values(), list.value_offsets()))
        }
        DataType::Map(..) => {
            let map = column.as_map();
            check(&part(map.values(), map.value_offsets()))
        }
        _ => Ok(()),
    }
}

fn part(items: &ArrayRef, offsets: &[i32]) -> ArrayRef {
    let place = |offset: Option<&i32>| offset.map_or(0, |offset| *offset as usize);
    let (begin, end) = (place(offsets.first()), place(offsets.last()));
    items.slice(begin, end - begin)
}
