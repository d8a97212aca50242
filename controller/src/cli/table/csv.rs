//! CSV, RFC 4180.

use std::io::{self, Write};

use anyhow::Context;
use sekisho_domain::csv;

use super::{Column, Csv, Value};

/// A table as CSV.
pub(super) struct Sheet<R: 'static, W> {
    columns: &'static [Column<R>],
    line_end: &'static str,
    out: W,
}

impl<R, W: Write> Sheet<R, W> {
    /// Writes the header.
    pub(super) fn begin(kind: Csv, columns: &'static [Column<R>], mut out: W) -> anyhow::Result<Self> {
        let (bom, line_end) = match kind {
            Csv::Lines => ("", "\n"),
            Csv::Spreadsheet { bom } => (if bom { "\u{feff}" } else { "" }, "\r\n"),
        };
        out.write_all(bom.as_bytes()).context("cannot write CSV")?;
        let mut sheet = Self { columns, line_end, out };
        sheet.line(columns.iter().map(|column| column.name.to_owned())).context("cannot write CSV")?;
        Ok(sheet)
    }

    fn line(&mut self, fields: impl Iterator<Item = String>) -> io::Result<()> {
        for (place, field) in fields.enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(self.out, "{comma}{field}")?;
        }
        self.out.write_all(self.line_end.as_bytes())
    }
}

impl<R, W: Write + Send> super::Sheet<R, W> for Sheet<R, W> {
    fn row(&mut self, row: &R) -> anyhow::Result<()> {
        let columns = self.columns;
        self.line(columns.iter().map(|column| field(&column.value(row)))).context("cannot write CSV")
    }

    fn finish(self: Box<Self>) -> anyhow::Result<W> {
        Ok(self.out)
    }
}

/// A field: words as texts, numbers as what they are, also below zero.
fn field(value: &Value) -> String {
    let text = value.to_string();
    match value {
        Value::Text(_) | Value::Address(_) | Value::Json(_) => csv::field(&text),
        Value::Null | Value::Integer(_) | Value::Time(_) | Value::Bool(_) => text,
    }
}
