//! Records of a writer's schema, brought to the reader's: Avro's schema resolution.
//!
//! A record is decoded with the schema that it was written with, and its columns are projected to those
//! of the reader's schema: fields by name or alias, defaults for what the writer does not have,
//! promotions, enum symbols by name. Which columns become which is decided once for each writer's
//! schema ([`plan`]), and done to whole batches ([`project`]).
//!
//! What the specification lets fail for a single value (a symbol that the reader does not know, a null
//! where it has none) fails for that record. What it lets fail for the schema, and what is not supported
//! here, makes the writer's schema incompatible, with the field and the reason.

mod decimals;
mod default;
pub mod names;
mod plan;
mod project;
#[cfg(test)]
mod tests;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use serde_json::Value;

use super::avro_decoder::{DatumDecoder, build_decoder};
use names::Names;
use plan::Plan;

/// A reader's schema, to project to.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Of the record, with its namespace.
    pub name: String,
    json: Value,
    arrow: SchemaRef,
}

/// What one writer's schema needs.
#[derive(Debug)]
pub struct Writer {
    json: String,
    /// A datum of 0 bytes may be one of its records.
    pub may_be_empty: bool,
    /// The columns of the reader; `None` if they are the writer's own.
    columns: Option<Vec<plan::Source>>,
    /// Those of the reader's columns that may have too many digits.
    decimals: Vec<usize>,
    arrow: SchemaRef,
}

impl Reader {
    pub fn new(name: &str, json: Value, arrow: SchemaRef) -> Self {
        Self {
            name: name.to_owned(),
            json,
            arrow,
        }
    }

    /// How records of the reader's own schema are read: as they are.
    pub fn own(self) -> Result<Writer, ArrowError> {
        Ok(Writer {
            json: self.json.to_string(),
            may_be_empty: self.arrow.fields().is_empty(),
            columns: None,
            decimals: self.decimals(),
            arrow: self.arrow,
        })
    }

    /// How records of the schema in `json` are read.
    ///
    /// # Errors
    /// Why they cannot be, with the field that stands in the way.
    pub fn resolve(&self, json: &str) -> Result<Writer, String> {
        let value: Value =
            serde_json::from_str(json).map_err(|e| format!("it is not JSON: {e}"))?;
        let writer = Names::new(&value)?;
        writer.check_size()?;
        let decoder = build_decoder(json).map_err(|e| format!("it cannot be decoded: {e}"))?;
        let reader = Names::new(&self.json)?;
        let columns = plan::record(
            (&writer, decoder.schema().fields()),
            (&reader, self.arrow.fields()),
        )?;
        let same = decoder.schema().fields() == self.arrow.fields() && Plan::are_same(&columns);
        Ok(Writer {
            json: json.to_owned(),
            may_be_empty: decoder.schema().fields().is_empty(),
            columns: (!same).then_some(columns),
            decimals: self.decimals(),
            arrow: self.arrow.clone(),
        })
    }

    fn decimals(&self) -> Vec<usize> {
        let fields = self.arrow.fields().iter().enumerate();
        let such = fields.filter(|(_, field)| decimals::are_in(field.data_type()));
        such.map(|(place, _)| place).collect()
    }
}

impl Writer {
    pub fn decoder(&self) -> Result<DatumDecoder, ArrowError> {
        DatumDecoder::new(&self.json)
    }

    /// The rows of its decoder with the reader's columns.
    ///
    /// # Errors
    /// If a value of them has none in the reader's schema: which, and why.
    pub fn project(&self, rows: &RecordBatch) -> Result<RecordBatch, String> {
        let rows = match &self.columns {
            None => rows.clone(),
            Some(columns) => {
                let columns = project::columns(columns, rows.columns(), rows.num_rows(), None)?;
                RecordBatch::try_new(self.arrow.clone(), columns).map_err(|e| e.to_string())?
            }
        };
        for place in &self.decimals {
            let checked = decimals::check(rows.column(*place));
            checked.map_err(|e| format!("field '{}': {e}", self.arrow.field(*place).name()))?;
        }
        Ok(rows)
    }
}
