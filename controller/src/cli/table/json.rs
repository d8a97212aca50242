//! JSON: rows as objects, whose fields are the columns in their order.

use std::io::Write;

use anyhow::Context;
use serde::{Serialize, Serializer};

use super::Column;

struct Object<'a, R: 'static> {
    columns: &'static [Column<R>],
    row: &'a R,
}

impl<R> Serialize for Object<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().map(|column| (column.name, column.value(self.row))))
    }
}

fn object<R>(columns: &'static [Column<R>], row: &R, out: &mut impl Write) -> anyhow::Result<()> {
    // Into an error of the place itself where it is one: a closed pipe has to be known as such.
    serde_json::to_writer(out, &Object { columns, row })
        .map_err(std::io::Error::from)
        .context("cannot write JSON")
}

/// A table as one object a line.
pub(super) struct Lines<R: 'static, W> {
    columns: &'static [Column<R>],
    out: W,
}

impl<R, W> Lines<R, W> {
    pub(super) const fn new(columns: &'static [Column<R>], out: W) -> Self {
        Self { columns, out }
    }
}

impl<R, W: Write + Send> super::Sheet<R, W> for Lines<R, W> {
    fn row(&mut self, row: &R) -> anyhow::Result<()> {
        object(self.columns, row, &mut self.out)?;
        self.out.write_all(b"\n").context("cannot write JSON")
    }

    fn finish(self: Box<Self>) -> anyhow::Result<W> {
        Ok(self.out)
    }
}

/// A table as one array of objects, each in a line.
pub(super) struct Array<R: 'static, W> {
    columns: &'static [Column<R>],
    out: W,
    is_empty: bool,
}

impl<R, W> Array<R, W> {
    pub(super) const fn new(columns: &'static [Column<R>], out: W) -> Self {
        Self { columns, out, is_empty: true }
    }
}

impl<R, W: Write + Send> super::Sheet<R, W> for Array<R, W> {
    fn row(&mut self, row: &R) -> anyhow::Result<()> {
        let before: &[u8] = if self.is_empty { b"[\n" } else { b",\n" };
        self.is_empty = false;
        self.out.write_all(before).context("cannot write JSON")?;
        object(self.columns, row, &mut self.out)
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<W> {
        let end: &[u8] = if self.is_empty { b"[]\n" } else { b"\n]\n" };
        self.out.write_all(end).context("cannot write JSON")?;
        Ok(self.out)
    }
}
