//! The row group that is open: its columns are encoded as rows come, and are in memory until it is full.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::runs::{self, Runs};
use crate::sink::pieces::Pieces;

pub struct RowGroup {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

/// A field of the schema.
enum Column {
    /// With a writer for each of its leaves.
    Encoded(Vec<ArrowColumnWriter>),
    Runs(Runs),
}

impl RowGroup {
    /// The next one of a file.
    pub fn new(
        schema: &SchemaRef,
        factory: &ArrowRowGroupWriterFactory,
        file: &SerializedFileWriter<Pieces>,
    ) -> Result<Self, ParquetError> {
        let filter = |name: &str| {
            let column = ColumnPath::from(name);
            file.properties().bloom_filter_properties(&column).is_some()
        };
        let columns = schema.fields().iter();
        let columns = columns.map(|field| match runs::are_of(field) && !filter(field.name()) {
            true => Column::Runs(Runs::new(field)),
            false => Column::Encoded(Vec::new()),
        });
        let mut columns: Vec<_> = columns.collect();
        let writers = factory.create_column_writers(file.flushed_row_groups().len())?;
        for (leaf, writer) in writers.into_iter().enumerate() {
            let field = file.schema_descr().get_column_root_idx(leaf);
            if let Column::Encoded(writers) = &mut columns[field] {
                writers.push(writer);
            }
        }
        Ok(Self {
            schema: schema.clone(),
            columns,
            rows: 0,
        })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes in rows of the file's schema.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        let fields = self.schema.fields().iter().zip(rows.columns());
        for (column, (field, array)) in self.columns.iter_mut().zip(fields) {
            match column {
                Column::Runs(runs) => runs.append(array),
                Column::Encoded(writers) => {
                    let leaves = compute_leaves(field, array)?;
                    for (writer, leaf) in writers.iter_mut().zip(&leaves) {
                        writer.write(leaf)?;
                    }
                }
            }
        }
        self.rows += rows.num_rows();
        Ok(())
    }

    /// Bytes that it will have in the file, about.
    pub fn size(&self) -> usize {
        self.sum(ArrowColumnWriter::get_estimated_total_bytes, Runs::size)
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.sum(ArrowColumnWriter::memory_size, Runs::memory)
    }

    fn sum(
        &self,
        of_writer: impl Fn(&ArrowColumnWriter) -> usize,
        of_runs: impl Fn(&Runs) -> usize,
    ) -> usize {
        let columns = self.columns.iter().map(|column| match column {
            Column::Encoded(writers) => writers.iter().map(&of_writer).sum(),
            Column::Runs(runs) => of_runs(runs),
        });
        columns.sum()
    }

    /// Ends it: now it is in the file.
    pub fn close(self, file: &mut SerializedFileWriter<Pieces>) -> Result<(), ParquetError> {
        let leaves = file.schema_descr().columns().to_vec();
        let mut row_group = file.next_row_group()?;
        let mut at = 0;
        for column in self.columns {
            match column {
                Column::Encoded(writers) => {
                    at += writers.len();
                    for writer in writers {
                        writer.close()?.append_to_row_group(&mut row_group)?;
                    }
                }
                Column::Runs(runs) => {
                    let (bytes, closed) = runs.close(leaves[at].clone())?;
                    row_group.append_column(&bytes, closed)?;
                    at += 1;
                }
            }
        }
        row_group.close()?;
        Ok(())
    }
}
