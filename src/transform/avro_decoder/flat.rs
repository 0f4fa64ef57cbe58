//! Records whose fields are all primitive, or that or null, as those of most topics are.
//!
//! What the Avro crate decodes by a tree of decoders, for any schema, is one pass over a list of columns here. Of
//! every datum both say the same, but for one: the branch of a union that the schema does not have is an error here.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
    make_array,
};
use arrow_buffer::{
    BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer,
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef, TimeUnit};
use serde_json::Value;

/// Why a datum is not one of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlatError {
    #[error("it ends amid a value")]
    End,
    #[error("a number of more bytes than one can have")]
    Number,
    #[error("a number that is too large for an int")]
    Int,
    #[error("a text or bytes of a negative length")]
    Length,
    #[error("branch {0} of a union of two")]
    Branch(i64),
    #[error("more bytes than a column can hold")]
    Full,
}

/// Decodes datums to rows, until they are taken. Where one cannot be decoded, those before are lost too.
#[derive(Debug)]
pub struct FlatDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
struct Column {
    data_type: DataType,
    nullable: Option<Nullable>,
    values: Values,
}

#[derive(Debug)]
struct Nullable {
    /// The branch of the union that is null; the other one is 1 or 0.
    null: i64,
    valid: NullBufferBuilder,
}

#[derive(Debug)]
enum Values {
    Boolean(BooleanBufferBuilder),
    Int(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Text(Spans),
    Bytes(Spans),
}

/// Texts or bytes, one behind the other.
#[derive(Debug)]
struct Spans {
    /// One more than there are.
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl FlatDecoder {
    /// For records of the schema in `json`, which Arrow has as `schema`. `None` if not all of its fields are flat, or
    /// if it has none.
    pub fn new(json: &Value, schema: SchemaRef) -> Option<Self> {
        let fields = json["fields"].as_array()?;
        if fields.is_empty() || fields.len() != schema.fields().len() {
            return None;
        }
        let columns = fields.iter().zip(schema.fields());
        let columns = columns.map(|(json, field)| Column::new(&json["type"], field));
        Some(Self {
            columns: columns.collect::<Option<_>>()?,
            schema,
            rows: 0,
        })
    }

    /// How many bytes of `datum` the record takes.
    ///
    /// # Errors
    /// If it is none. The decoder is of no use any more then.
    #[inline]
    pub fn decode(&mut self, datum: &[u8]) -> Result<usize, FlatError> {
        let mut cursor = Cursor(datum);
        for column in &mut self.columns {
            column.decode(&mut cursor)?;
        }
        self.rows += 1;
        Ok(datum.len() - cursor.0.len())
    }

    /// All records since the last time; `None` if there are none.
    ///
    /// # Errors
    /// If a text is no UTF-8.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.rows == 0 {
            return Ok(None);
        }
        self.rows = 0;
        let columns = self.columns.iter_mut().map(Column::take);
        let columns = columns.collect::<Result<_, _>>()?;
        RecordBatch::try_new(self.schema.clone(), columns).map(Some)
    }
}

impl Column {
    fn new(json: &Value, field: &Field) -> Option<Self> {
        let (null, json) = match json.as_array().map(Vec::as_slice) {
            None => (None, json),
            Some([null, other]) if null == "null" => (Some(0), other),
            Some([other, null]) if null == "null" => (Some(1), other),
            Some(_) => return None,
        };
        if field.is_nullable() != null.is_some() {
            return None;
        }
        // A logical type is an object around the primitive one.
        let name = json.as_str().or_else(|| json["type"].as_str())?;
        let data_type = field.data_type();
        let values = match (name, data_type) {
            ("boolean", DataType::Boolean) => Values::Boolean(BooleanBufferBuilder::new(0)),
            (
                "int",
                DataType::Int32 | DataType::Date32 | DataType::Time32(TimeUnit::Millisecond),
            ) => Values::Int(Vec::new()),
            (
                "long",
                DataType::Int64 | DataType::Time64(TimeUnit::Microsecond) | DataType::Timestamp(..),
            ) => Values::Long(Vec::new()),
            ("float", DataType::Float32) => Values::Float(Vec::new()),
            ("double", DataType::Float64) => Values::Double(Vec::new()),
            ("string", DataType::Utf8) => Values::Text(Spans::new()),
            ("bytes", DataType::Binary) => Values::Bytes(Spans::new()),
            _ => return None,
        };
        Some(Self {
            data_type: data_type.clone(),
            nullable: null.map(|null| Nullable {
                null,
                valid: NullBufferBuilder::new(0),
            }),
            values,
        })
    }

    #[inline]
    fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result<(), FlatError> {
        if let Some(nullable) = &mut self.nullable {
            let branch = cursor.long()?;
            if branch == nullable.null {
                nullable.valid.append_null();
                self.values.push_default();
                return Ok(());
            }
            if branch != 1 - nullable.null {
                return Err(FlatError::Branch(branch));
            }
            nullable.valid.append_non_null();
        }
        match &mut self.values {
            Values::Boolean(all) => all.append(cursor.array::<1>()? != [0]),
            Values::Int(all) => all.push(cursor.int()?),
            Values::Long(all) => all.push(cursor.long()?),
            Values::Float(all) => all.push(f32::from_le_bytes(cursor.array()?)),
            Values::Double(all) => all.push(f64::from_le_bytes(cursor.array()?)),
            Values::Text(all) | Values::Bytes(all) => all.push(cursor.bytes()?)?,
        }
        Ok(())
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = self
            .nullable
            .as_mut()
            .and_then(|nullable| nullable.valid.finish());
        let array: ArrayRef = match &mut self.values {
            Values::Boolean(all) => Arc::new(BooleanArray::new(all.finish(), nulls)),
            Values::Int(all) => primitive::<Int32Type>(all, nulls),
            Values::Long(all) => primitive::<Int64Type>(all, nulls),
            Values::Float(all) => primitive::<Float32Type>(all, nulls),
            Values::Double(all) => primitive::<Float64Type>(all, nulls),
            Values::Text(all) => {
                let (offsets, bytes) = all.take();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Bytes(all) => {
                let (offsets, bytes) = all.take();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
        };
        if *array.data_type() == self.data_type {
            return Ok(array);
        }
        // The same numbers, as a date or a time.
        let data = array
            .to_data()
            .into_builder()
            .data_type(self.data_type.clone());
        Ok(make_array(data.build()?))
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    // The next ones are likely to be as many.
    let next = Vec::with_capacity(values.len());
    let values = ScalarBuffer::from(std::mem::replace(values, next));
    Arc::new(PrimitiveArray::<T>::new(values, nulls))
}

impl Values {
    fn push_default(&mut self) {
        match self {
            Self::Boolean(all) => all.append(false),
            Self::Int(all) => all.push(0),
            Self::Long(all) => all.push(0),
            Self::Float(all) => all.push(0.0),
            Self::Double(all) => all.push(0.0),
            Self::Text(all) | Self::Bytes(all) => all.push_empty(),
        }
    }
}

impl Spans {
    fn new() -> Self {
        Self {
            ends: vec![0],
            bytes: Vec::new(),
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Result<(), FlatError> {
        self.bytes.extend_from_slice(bytes);
        let end = i32::try_from(self.bytes.len()).map_err(|_| FlatError::Full)?;
        self.ends.push(end);
        Ok(())
    }

    fn push_empty(&mut self) {
        if let Some(&end) = self.ends.last() {
            self.ends.push(end);
        }
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let mut next = Self {
            ends: Vec::with_capacity(self.ends.len()),
            bytes: Vec::with_capacity(self.bytes.len()),
        };
        next.ends.push(0);
        let Self { ends, bytes } = std::mem::replace(self, next);
        (
            OffsetBuffer::new(ScalarBuffer::from(ends)),
            Buffer::from_vec(bytes),
        )
    }
}

/// What is left of a datum.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Seven bits a byte, the least significant ones first: Avro specification, "Primitive types".
    #[inline]
    fn unsigned(&mut self) -> Result<u64, FlatError> {
        let mut value = 0;
        for (place, &byte) in self.0.iter().enumerate() {
            // Of the tenth byte there is room for one bit.
            if place == 9 && byte > 1 {
                return Err(FlatError::Number);
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.0 = &self.0[place + 1..];
                return Ok(value);
            }
        }
        Err(FlatError::End)
    }

    #[inline]
    fn long(&mut self) -> Result<i64, FlatError> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    #[inline]
    fn int(&mut self) -> Result<i32, FlatError> {
        let value = u32::try_from(self.unsigned()?).map_err(|_| FlatError::Int)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FlatError> {
        let (value, rest) = self.0.split_first_chunk().ok_or(FlatError::End)?;
        self.0 = rest;
        Ok(*value)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], FlatError> {
        let length = usize::try_from(self.long()?).map_err(|_| FlatError::Length)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(FlatError::End)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
