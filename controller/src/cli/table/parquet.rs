//! Apache Parquet: columns with types, for data tools. Every column may be null.

use std::{io::Write, sync::Arc};

use anyhow::{Context, ensure};
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};

use super::{Column, Read, Value};

/// Rows that are kept, to be written together, are at most this many ...
const GROUP_ROWS: usize = 32_768;
/// ... or the last one with which their texts come to this many bytes.
const GROUP_BYTES: usize = 16 << 20;

/// A table as Parquet.
pub(super) struct Sheet<R: 'static, W: Write> {
    columns: &'static [Column<R>],
    /// One for each column.
    kept: Vec<Kept>,
    rows: usize,
    bytes: usize,
    out: SerializedFileWriter<W>,
}

/// The values of a column that are not written yet.
struct Kept {
    values: Values,
    /// 1 where there is a value, 0 where there is none.
    levels: Vec<i16>,
}

enum Values {
    Bytes(Vec<ByteArray>),
    Integers(Vec<i64>),
    Flags(Vec<bool>),
}

impl<R, W: Write + Send> Sheet<R, W> {
    /// Writes the beginning of the file.
    pub(super) fn begin(columns: &'static [Column<R>], out: W) -> anyhow::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("sekisho ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let out =
            schema(columns).and_then(|schema| SerializedFileWriter::new(out, schema, Arc::new(properties)));
        let out = out.context("cannot begin a Parquet file")?;
        Ok(Self { columns, kept: columns.iter().map(Kept::new).collect(), rows: 0, bytes: 0, out })
    }

    /// Writes what is kept as one row group.
    fn flush(&mut self) -> anyhow::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut write = || {
            let mut group = self.out.next_row_group()?;
            self.kept.iter_mut().try_for_each(|kept| kept.write(&mut group))?;
            group.close()
        };
        write().context("cannot write Parquet")?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl<R, W: Write + Send> super::Sheet<R, W> for Sheet<R, W> {
    fn row(&mut self, row: &R) -> anyhow::Result<()> {
        for (column, kept) in self.columns.iter().zip(&mut self.kept) {
            let bytes = kept.push(column.value(row));
            let bytes = bytes.with_context(|| format!("cannot write column {} as Parquet", column.name))?;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        self.rows = self.rows.saturating_add(1);
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<W> {
        self.flush()?;
        self.out.into_inner().context("cannot end a Parquet file")
    }
}

fn schema<R>(columns: &[Column<R>]) -> Result<TypePtr, ParquetError> {
    let fields = columns.iter().map(|column| {
        let (physical, logical) = match column.read {
            Read::Text(_) | Read::Address(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Read::Json(_) => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
            Read::Integer(_) => (Physical::INT64, None),
            Read::Time(_) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Read::Bool(_) => (Physical::BOOLEAN, None),
        };
        let field = Type::primitive_type_builder(column.name, physical);
        let field = field.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build();
        field.map(Arc::new)
    });
    let fields = fields.collect::<Result<_, _>>()?;
    Type::group_type_builder("row").with_fields(fields).build().map(Arc::new)
}

impl Kept {
    fn new<R>(column: &Column<R>) -> Self {
        let values = match column.read {
            Read::Text(_) | Read::Address(_) | Read::Json(_) => Values::Bytes(Vec::new()),
            Read::Integer(_) | Read::Time(_) => Values::Integers(Vec::new()),
            Read::Bool(_) => Values::Flags(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    /// Keeps a value, and says how many bytes of text it has.
    fn push(&mut self, value: Value) -> anyhow::Result<usize> {
        let level = i16::from(value != Value::Null);
        let mut bytes = 0;
        match (&mut self.values, value) {
            (_, Value::Null) => {}
            (Values::Bytes(kept), Value::Text(text) | Value::Address(text)) => {
                bytes = text.len();
                kept.push(text.into_bytes().into());
            }
            (Values::Bytes(kept), Value::Json(value)) => {
                let text = value.to_string();
                bytes = text.len();
                kept.push(text.into_bytes().into());
            }
            (Values::Integers(kept), Value::Integer(number)) => kept.push(number),
            (Values::Integers(kept), Value::Time(at)) => kept.push(at.as_microsecond()),
            (Values::Flags(kept), Value::Bool(flag)) => kept.push(flag),
            (Values::Bytes(_) | Values::Integers(_) | Values::Flags(_), other) => {
                ensure!(false, "{other:?} is not of the column's type");
            }
        }
        self.levels.push(level);
        Ok(bytes)
    }

    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let column = group.next_column()?;
        let column =
            column.ok_or_else(|| ParquetError::General("there are more columns than fields".to_owned()))?;
        match &mut self.values {
            Values::Bytes(kept) => write::<ByteArrayType>(column, kept, &self.levels)?,
            Values::Integers(kept) => write::<Int64Type>(column, kept, &self.levels)?,
            Values::Flags(kept) => write::<BoolType>(column, kept, &self.levels)?,
        }
        self.levels.clear();
        Ok(())
    }
}

fn write<T: DataType>(
    mut column: SerializedColumnWriter<'_>,
    kept: &mut Vec<T::T>,
    levels: &[i16],
) -> Result<(), ParquetError> {
    column.typed::<T>().write_batch(kept, Some(levels), None)?;
    kept.clear();
    column.close()
}
