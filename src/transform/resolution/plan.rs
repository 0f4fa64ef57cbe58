//! Which column of a writer's schema becomes which of the reader's, and how.

use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use arrow_schema::{DataType, FieldRef, Fields};

use super::default;
use super::names::{Named, Names, Node, Shape, strings};

/// How the values of one type become those of another.
#[derive(Debug)]
pub enum Plan {
    /// They are the reader's already.
    Same,
    /// A promotion, or another meaning of the same numbers.
    Cast(DataType),
    /// Symbols by name; `None` where the reader knows neither it nor a default.
    Enum {
        symbols: Vec<String>,
        keys: Vec<Option<i32>>,
        values: ArrayRef,
    },
    Struct {
        fields: Fields,
        columns: Vec<Source>,
    },
    List {
        item: FieldRef,
        plan: Box<Plan>,
    },
    Map {
        entries: FieldRef,
        value: Box<Plan>,
    },
    /// Null is none of the reader's values.
    NotNull(Box<Plan>),
}

/// Where a column of the reader comes from.
#[derive(Debug)]
pub struct Source {
    /// Of the reader's field, for who is told of a bad value.
    pub name: String,
    pub from: From,
}

#[derive(Debug)]
pub enum From {
    Column(usize, Plan),
    /// One value, for all rows.
    Default(ArrayRef),
}

impl Plan {
    /// Whether all columns are the writer's, in its order.
    pub fn are_same(columns: &[Source]) -> bool {
        let mut places = columns.iter().enumerate();
        places.all(
            |(place, column)| matches!(column.from, From::Column(from, Plan::Same) if from == place),
        )
    }
}

type Side<'a, 'n> = (&'n Names<'a>, &'n Fields);

/// For the records that the two schemas are.
pub fn record(writer: Side<'_, '_>, reader: Side<'_, '_>) -> Result<Vec<Source>, String> {
    let shapes = (
        writer.0.shape(&writer.0.root())?,
        reader.0.shape(&reader.0.root())?,
    );
    let (Shape::Record(from), Shape::Record(to)) = shapes else {
        return Err("it is no record".into());
    };
    columns((writer, &from), (reader, &to))
}

fn columns(
    (writer, from): (Side<'_, '_>, &Named<'_>),
    (reader, to): (Side<'_, '_>, &Named<'_>),
) -> Result<Vec<Source>, String> {
    if !to.reads(from) {
        return Err(format!(
            "record '{}' is not '{}', nor one of its aliases",
            from.full_name, to.full_name
        ));
    }
    let sources = to.fields().zip(reader.1).map(|(field, column)| {
        let name = column.name();
        let wanted: Vec<_> = std::iter::once(name.as_str())
            .chain(strings(&field["aliases"]))
            .collect();
        let found = wanted.iter().find_map(|wanted| {
            let mut fields = from.fields().enumerate();
            fields.find(|(_, field)| field["name"] == *wanted)
        });
        let node = Node::field(to, field);
        let from = match found {
            Some((place, writers)) => {
                let writers = (writer.0, &Node::field(from, writers), &writer.1[place]);
                plan(writers, (reader.0, &node, column)).map(|plan| From::Column(place, plan))
            }
            None => match field.get("default") {
                Some(value) => {
                    default::column(reader.0, &node, column.data_type(), value).map(From::Default)
                }
                None => Err("the writer's schema does not have it, and it has no default".into()),
            },
        };
        Ok(Source {
            name: name.clone(),
            from: from.map_err(|why| format!("field '{name}': {why}"))?,
        })
    });
    sources.collect()
}

type Typed<'a, 'n> = (&'n Names<'a>, &'n Node<'a>, &'n FieldRef);

fn plan(writer: Typed<'_, '_>, reader: Typed<'_, '_>) -> Result<Plan, String> {
    let plan = values(
        (writer.0, &writer.0.not_null(writer.1)?, writer.2),
        (reader.0, &reader.0.not_null(reader.1)?, reader.2),
    )?;
    Ok(match writer.2.is_nullable() && !reader.2.is_nullable() {
        true => Plan::NotNull(Box::new(plan)),
        false => plan,
    })
}

fn values(
    (writer_names, writer, from): Typed<'_, '_>,
    (reader_names, reader, to): Typed<'_, '_>,
) -> Result<Plan, String> {
    let (from, to) = (from.data_type(), to.data_type());
    let shapes = (writer_names.shape(writer)?, reader_names.shape(reader)?);
    match (shapes, from, to) {
        (
            (Shape::Record(writer), Shape::Record(reader)),
            DataType::Struct(writers),
            DataType::Struct(fields),
        ) => {
            let writer = ((writer_names, writers), &writer);
            let columns = columns(writer, ((reader_names, fields), &reader))?;
            if from == to && Plan::are_same(&columns) {
                return Ok(Plan::Same);
            }
            Ok(Plan::Struct {
                fields: fields.clone(),
                columns,
            })
        }
        ((Shape::Array(writer), Shape::Array(reader)), DataType::List(w), DataType::List(r)) => {
            match plan((writer_names, &writer, w), (reader_names, &reader, r))? {
                Plan::Same if from == to => Ok(Plan::Same),
                plan => Ok(Plan::List {
                    item: r.clone(),
                    plan: Box::new(plan),
                }),
            }
        }
        ((Shape::Map(writer), Shape::Map(reader)), DataType::Map(w, _), DataType::Map(r, _)) => {
            let value = |entries: &FieldRef| match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Ok(fields[1].clone()),
                other => Err(format!("a map of {other}")),
            };
            let (writers, readers) = (value(w)?, value(r)?);
            let writer = (writer_names, &writer, &writers);
            match plan(writer, (reader_names, &reader, &readers))? {
                Plan::Same if from == to => Ok(Plan::Same),
                plan => Ok(Plan::Map {
                    entries: r.clone(),
                    value: Box::new(plan),
                }),
            }
        }
        ((Shape::Enum(writer), Shape::Enum(reader)), ..) => symbols(&writer, &reader),
        ((Shape::Fixed(writer), Shape::Fixed(reader)), ..)
            if from == to && (is_decimal(to) || reader.reads(&writer)) =>
        {
            Ok(Plan::Same)
        }
        ((Shape::Primitive(_), Shape::Primitive(_)), ..) => cast(from, to),
        // Bytes and fixed hold the same decimals.
        ((Shape::Primitive(_) | Shape::Fixed(_), _), ..) if from == to && is_decimal(to) => {
            Ok(Plan::Same)
        }
        _ => Err(no(
            &described(writer_names, writer),
            &described(reader_names, reader),
        )),
    }
}

fn symbols(writer: &Named<'_>, reader: &Named<'_>) -> Result<Plan, String> {
    if !reader.reads(writer) {
        return Err(no(
            &format!("enum '{}'", writer.full_name),
            &format!("enum '{}'", reader.full_name),
        ));
    }
    let (from, to) = (writer.symbols(), reader.symbols());
    if from == to {
        return Ok(Plan::Same);
    }
    let place = |symbol: &str| {
        let place = to.iter().position(|known| *known == symbol)?;
        i32::try_from(place).ok()
    };
    let default = reader.definition["default"].as_str().and_then(place);
    Ok(Plan::Enum {
        keys: from
            .iter()
            .map(|symbol| place(symbol).or(default))
            .collect(),
        symbols: from.iter().map(|symbol| (*symbol).to_owned()).collect(),
        values: Arc::new(StringArray::from(to)),
    })
}

/// Promotions of the specification. Between two logical types there is none, even where both are the same
/// numbers: these would silently mean something else. A plain number may get or lose its meaning.
fn cast(from: &DataType, to: &DataType) -> Result<Plan, String> {
    use DataType::{
        Binary, Date32, FixedSizeBinary, Float32, Float64, Int32, Int64, Time32, Time64, Timestamp,
        Utf8,
    };
    if from == to {
        return Ok(Plan::Same);
    }
    match (from, to) {
        (Int32, Int64 | Float32 | Float64 | Date32 | Time32(_) | Time64(_) | Timestamp(..))
        | (Int64, Float32 | Float64 | Time64(_) | Timestamp(..))
        | (Float32, Float64)
        | (Utf8, Binary)
        | (Binary, Utf8)
        // A uuid, which is the only primitive type that is kept so.
        | (Utf8, FixedSizeBinary(16))
        | (FixedSizeBinary(16), Utf8)
        | (Date32 | Time32(_), Int32 | Int64)
        | (Time64(_) | Timestamp(..), Int64) => Ok(Plan::Cast(to.clone())),
        _ => Err(no(&from.to_string(), &to.to_string())),
    }
}

fn is_decimal(of: &DataType) -> bool {
    matches!(of, DataType::Decimal128(..) | DataType::Decimal256(..))
}

fn no(from: &str, to: &str) -> String {
    format!("the writer's {from} cannot become the reader's {to}")
}

fn described(names: &Names<'_>, node: &Node<'_>) -> String {
    match names.shape(node) {
        Ok(Shape::Primitive(kind)) => kind.to_owned(),
        Ok(Shape::Array(_)) => "array".into(),
        Ok(Shape::Map(_)) => "map".into(),
        Ok(Shape::Union(branches)) => format!("union of {} types", branches.len()),
        Ok(Shape::Record(of)) => format!("record '{}'", of.full_name),
        Ok(Shape::Enum(of)) => format!("enum '{}'", of.full_name),
        Ok(Shape::Fixed(of)) => format!("fixed '{}'", of.full_name),
        Err(why) => why,
    }
}
