//! Tables: one description of typed columns, and a writer for each format.
//!
//! What a column is read with says its type, so that the two cannot differ.

mod csv;
mod json;
mod parquet;

use std::{borrow::Borrow, io::Write};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A column of rows `R`.
pub(super) struct Column<R> {
    /// Its name in every format.
    pub(super) name: &'static str,
    read: Read<R>,
}

/// Takes a value of each type off a row; `None` where the row has none.
enum Read<R> {
    Text(fn(&R) -> Option<String>),
    Integer(fn(&R) -> Option<i64>),
    Time(fn(&R) -> Option<Timestamp>),
    Address(fn(&R) -> Option<String>),
    Json(fn(&R) -> Option<serde_json::Value>),
    Bool(fn(&R) -> Option<bool>),
}

/// Words, also those of strangers.
pub(super) const fn text<R>(name: &'static str, read: fn(&R) -> Option<String>) -> Column<R> {
    Column { name, read: Read::Text(read) }
}

/// A whole number.
pub(super) const fn integer<R>(name: &'static str, read: fn(&R) -> Option<i64>) -> Column<R> {
    Column { name, read: Read::Integer(read) }
}

/// A point in time.
pub(super) const fn time<R>(name: &'static str, read: fn(&R) -> Option<Timestamp>) -> Column<R> {
    Column { name, read: Read::Time(read) }
}

/// An IP address, or a subnet.
pub(super) const fn address<R>(name: &'static str, read: fn(&R) -> Option<String>) -> Column<R> {
    Column { name, read: Read::Address(read) }
}

/// Names and values.
pub(super) const fn json<R>(name: &'static str, read: fn(&R) -> Option<serde_json::Value>) -> Column<R> {
    Column { name, read: Read::Json(read) }
}

/// Yes or no.
pub(super) const fn flag<R>(name: &'static str, read: fn(&R) -> Option<bool>) -> Column<R> {
    Column { name, read: Read::Bool(read) }
}

/// A value as it is called in JSON.
pub(super) fn word<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// What a row has in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    Integer(i64),
    Time(Timestamp),
    Address(String),
    Json(serde_json::Value),
    Bool(bool),
}

impl<R> Column<R> {
    /// What `row` has in this column.
    pub(super) fn value(&self, row: &R) -> Value {
        match self.read {
            Read::Text(read) => read(row).map(Value::Text),
            Read::Integer(read) => read(row).map(Value::Integer),
            Read::Time(read) => read(row).map(Value::Time),
            Read::Address(read) => read(row).map(Value::Address),
            Read::Json(read) => read(row).map(Value::Json),
            Read::Bool(read) => read(row).map(Value::Bool),
        }
        .unwrap_or(Value::Null)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Text(text) | Self::Address(text) => serializer.serialize_str(text),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Time(at) => at.serialize(serializer),
            Self::Json(value) => value.serialize(serializer),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
        }
    }
}

/// As text: nothing where there is nothing, times as in RFC 3339, JSON objects as `name=value; name=value`.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Text(text) | Self::Address(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Time(at) => write!(f, "{at}"),
            Self::Json(value) => f.write_str(&flat(value)),
            Self::Bool(flag) => write!(f, "{flag}"),
        }
    }
}

fn flat(value: &serde_json::Value) -> String {
    let word = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let Some(object) = value.as_object() else { return word(value) };
    let fields: Vec<String> = object.iter().map(|(name, value)| format!("{name}={}", word(value))).collect();
    fields.join("; ")
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Csv(Csv),
    /// One array of objects.
    Json,
    /// One object a line.
    Ndjson,
    Parquet,
}

/// For whom CSV is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Csv {
    /// For pipes and scripts: lines end as lines do there.
    Lines,
    /// For spreadsheets: the lines of RFC 4180. `bom` is how they know UTF-8.
    Spreadsheet { bom: bool },
}

/// A table that is being written, row by row: none of them is kept, but for those that Parquet writes together.
pub(super) trait Sheet<R, W> {
    /// Writes the next row.
    fn row(&mut self, row: &R) -> anyhow::Result<()>;

    /// Writes what comes after the last row, and gives the place back.
    fn finish(self: Box<Self>) -> anyhow::Result<W>;
}

/// Begins a table on `out`.
pub(super) fn sheet<R: 'static, W: Write + Send + 'static>(
    shape: Shape,
    columns: &'static [Column<R>],
    out: W,
) -> anyhow::Result<Box<dyn Sheet<R, W>>> {
    Ok(match shape {
        Shape::Csv(kind) => Box::new(csv::Sheet::begin(kind, columns, out)?),
        Shape::Json => Box::new(json::Array::new(columns, out)),
        Shape::Ndjson => Box::new(json::Lines::new(columns, out)),
        Shape::Parquet => Box::new(parquet::Sheet::begin(columns, out)?),
    })
}

/// Writes a whole table.
pub(super) fn write<R: 'static, W: Write + Send + 'static>(
    shape: Shape,
    columns: &'static [Column<R>],
    rows: impl IntoIterator<Item: Borrow<R>>,
    out: W,
) -> anyhow::Result<W> {
    let mut sheet = sheet(shape, columns, out)?;
    for row in rows {
        sheet.row(row.borrow())?;
    }
    sheet.finish()
}

#[cfg(test)]
mod tests;
