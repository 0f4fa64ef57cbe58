//! What Kafka has of a record beside its value, as columns where they are asked for.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Fields, TimeUnit};

use crate::source::RawBatch;

/// As in the setting KAFKA_COLUMNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum KafkaColumn {
    /// `kafka_key`: the key's bytes
    Key,
    /// `kafka_headers`: a list of names and values, in their order
    Headers,
    /// `kafka_timestamp`: Kafka's time of the record, in milliseconds
    Timestamp,
}

impl KafkaColumn {
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "kafka_key",
            Self::Headers => "kafka_headers",
            Self::Timestamp => "kafka_timestamp",
        }
    }

    pub fn field(self) -> Field {
        let data_type = match self {
            Self::Key => DataType::Binary,
            Self::Headers => {
                let header = DataType::Struct(header_fields());
                // Most records have none, which is the empty list.
                return Field::new_list(self.name(), Field::new("element", header, false), false);
            }
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        };
        Field::new(self.name(), data_type, true)
    }

    /// Its values for the records at these places of a batch.
    pub fn values(self, batch: &impl RawBatch, places: &[usize]) -> ArrayRef {
        let records = places.iter().map(|&place| batch.record(place));
        match self {
            Self::Key => {
                let mut keys = BinaryBuilder::new();
                records.for_each(|record| keys.append_option(record.key));
                Arc::new(keys.finish())
            }
            Self::Timestamp => {
                let times: TimestampMillisecondArray = records.map(|r| r.timestamp).collect();
                Arc::new(times.with_timezone("UTC"))
            }
            Self::Headers => {
                let names_and_values: Vec<Box<dyn arrow_array::builder::ArrayBuilder>> = vec![
                    Box::new(StringBuilder::new()),
                    Box::new(BinaryBuilder::new()),
                ];
                let entries = StructBuilder::new(header_fields(), names_and_values);
                let element = Field::new("element", DataType::Struct(header_fields()), false);
                let mut lists = ListBuilder::new(entries).with_field(element);
                for &place in places {
                    let entries = lists.values();
                    for header in batch.headers(place) {
                        if let Some(names) = entries.field_builder::<StringBuilder>(0) {
                            names.append_value(&header.name);
                        }
                        if let Some(values) = entries.field_builder::<BinaryBuilder>(1) {
                            values.append_option(header.value.as_deref());
                        }
                        entries.append(true);
                    }
                    lists.append(true);
                }
                Arc::new(lists.finish())
            }
        }
    }
}

fn header_fields() -> Fields {
    Fields::from(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("value", DataType::Binary, true),
    ])
}
