//! The time of a row by which its bucket is chosen, where that is not the time of its processing.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef, TimeUnit};

use crate::clock::EpochMillis;

/// As in the setting BUCKET_BY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketBy {
    ProcessingTime,
    /// The time that Kafka has of the record.
    KafkaTimestamp,
    /// The time in this field of the record.
    Field(String),
}

impl FromStr for BucketBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("field:")) {
            ("processing-time", _) => Ok(Self::ProcessingTime),
            ("kafka-timestamp", _) => Ok(Self::KafkaTimestamp),
            (_, Some(field)) if !field.is_empty() => Ok(Self::Field(field.to_owned())),
            _ => Err(format!(
                "'{text}' is not understood; give processing-time, kafka-timestamp or field:NAME"
            )),
        }
    }
}

impl fmt::Display for BucketBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProcessingTime => f.write_str("processing-time"),
            Self::KafkaTimestamp => f.write_str("kafka-timestamp"),
            Self::Field(name) => write!(f, "field:{name}"),
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventTimeError {
    #[error("the schema has no field '{field}'; it has {known}")]
    NoField { field: String, known: String },
    #[error(
        "field '{field}' is {data_type}, which is no time: give one with the logical type \
         timestamp-millis, timestamp-micros, timestamp-nanos or date, or a long with milliseconds since 1970"
    )]
    NoTime { field: String, data_type: DataType },
}

/// The times by which rows are put into buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowTimes {
    pub of_rows: Vec<EpochMillis>,
    /// Rows that have none of their own, ascending: it says nothing of how far the others are.
    pub lent: Vec<usize>,
}

/// Says the times of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTime {
    Processing,
    Kafka,
    /// Of the column at this place.
    Column(usize),
}

impl EventTime {
    /// # Errors
    /// If the schema has no such field, or it holds no times.
    pub fn new(by: &BucketBy, schema: &SchemaRef) -> Result<Self, EventTimeError> {
        let field = match by {
            BucketBy::ProcessingTime => return Ok(Self::Processing),
            BucketBy::KafkaTimestamp => return Ok(Self::Kafka),
            BucketBy::Field(field) => field,
        };
        let Some((place, found)) = schema.column_with_name(field) else {
            let names = schema.fields().iter().map(|field| field.name().as_str());
            return Err(EventTimeError::NoField {
                field: field.clone(),
                known: names.collect::<Vec<_>>().join(", "),
            });
        };
        match found.data_type() {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Int64 => Ok(Self::Column(place)),
            other => Err(EventTimeError::NoTime {
                field: field.clone(),
                data_type: other.clone(),
            }),
        }
    }

    /// Times of all rows; `None` if it is that of their processing. A row without a time has that of
    /// Kafka, and if Kafka has none, `now`.
    pub fn of(
        self,
        rows: &RecordBatch,
        kafka: impl Iterator<Item = Option<i64>>,
        now: EpochMillis,
    ) -> Option<RowTimes> {
        let mut times = RowTimes::default();
        for (row, kafka) in kafka.enumerate() {
            let kafka = kafka.and_then(plausible);
            let own = match self {
                Self::Processing => return None,
                Self::Kafka => kafka,
                Self::Column(place) => millis(rows.column(place), row),
            };
            if own.is_none() {
                times.lent.push(row);
            }
            times.of_rows.push(own.or(kafka).unwrap_or(now));
        }
        (self != Self::Processing).then_some(times)
    }
}

/// Folders of years with four digits. What lies outside, such as the largest long for "never", is no time.
const TIMES: RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// `None` where there is no value, and for one that is no time.
fn millis(column: &dyn Array, row: usize) -> Option<EpochMillis> {
    if column.is_null(row) {
        return None;
    }
    let millis = match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => column
            .as_primitive::<TimestampSecondType>()
            .value(row)
            .saturating_mul(1_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().value(row)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => column
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
            .div_euclid(1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => column
            .as_primitive::<TimestampNanosecondType>()
            .value(row)
            .div_euclid(1_000_000),
        DataType::Date32 => i64::from(column.as_primitive::<Date32Type>().value(row)) * 86_400_000,
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row),
        // Refused at the start.
        _ => return None,
    };
    plausible(millis)
}

fn plausible(millis: i64) -> Option<EpochMillis> {
    TIMES.contains(&millis).then_some(EpochMillis(millis))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray,
        TimestampMillisecondArray,
    };

    use super::*;

    const NOW: EpochMillis = EpochMillis(99);

    fn times(column: ArrayRef) -> Vec<i64> {
        let rows = RecordBatch::try_from_iter_with_nullable([("t", column, true)]).unwrap();
        let by = EventTime::new(&"field:t".parse().unwrap(), &rows.schema()).unwrap();
        let kafka = [Some(7), None, None].into_iter().take(rows.num_rows());
        let times = by.of(&rows, kafka, NOW).unwrap();
        times.of_rows.iter().map(|time| time.0).collect()
    }

    #[test]
    fn every_kind_of_time_is_in_milliseconds_and_a_missing_one_is_kafkas() {
        let millis = TimestampMillisecondArray::from(vec![None, Some(-1), None]);
        assert_eq!(times(Arc::new(millis)), [7, -1, 99]);
        let micros = TimestampMicrosecondArray::from(vec![1_999, -1]);
        assert_eq!(times(Arc::new(micros)), [1, -1]);
        assert_eq!(times(Arc::new(Date32Array::from(vec![1]))), [86_400_000]);
        assert_eq!(times(Arc::new(Int64Array::from(vec![5]))), [5]);
    }

    #[test]
    fn what_is_no_time_is_as_good_as_missing_and_says_so() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 5, i64::MIN]));
        let rows = RecordBatch::try_from_iter([("t", column)]).unwrap();
        let by = EventTime::new(&"field:t".parse().unwrap(), &rows.schema()).unwrap();
        let times = by.of(&rows, [Some(7), None, None].into_iter(), NOW);
        let of_rows = vec![EpochMillis(7), EpochMillis(5), NOW];
        let lent = vec![0, 2];
        assert_eq!(times, Some(RowTimes { of_rows, lent }));
        let kafka = [Some(i64::MAX), Some(8), None].into_iter();
        let times = EventTime::Kafka.of(&rows, kafka, NOW).unwrap();
        assert_eq!(times.of_rows, [NOW, EpochMillis(8), NOW]);
        assert_eq!(
            EventTime::Processing.of(&rows, [None].into_iter(), NOW),
            None
        );
    }

    #[test]
    fn a_field_that_is_not_there_or_is_no_time_is_refused_by_its_name() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        let schema = RecordBatch::try_from_iter([("uuid", column)])
            .unwrap()
            .schema();
        for (by, named) in [("field:time", "it has uuid"), ("field:uuid", "no time")] {
            let refused = EventTime::new(&by.parse().unwrap(), &schema).unwrap_err();
            assert!(refused.to_string().contains(named), "{refused}");
        }
        assert!("field:".parse::<BucketBy>().is_err() && "time".parse::<BucketBy>().is_err());
    }

    #[test]
    fn what_it_is_called_is_how_it_is_given() {
        for text in ["processing-time", "kafka-timestamp", "field:at"] {
            assert_eq!(text.parse::<BucketBy>().unwrap().to_string(), text);
        }
    }
}
