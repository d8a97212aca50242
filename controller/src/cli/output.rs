//! What commands print.

use std::{
    borrow::Borrow,
    io::{self, IsTerminal, Write},
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use sekisho_model::table::{self as drawn, Style};
use serde::Serialize;

use super::{
    connection::{Color, Global},
    table::{Column, Csv, Shape, Value, write},
};

/// How a reading command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document.
    Json,
    /// For spreadsheets: a header and one line per row.
    Csv,
}

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct FormatArg {
    /// How to print: table, json or csv.
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    pub(super) format: Format,
}

/// Prints one result in the wanted format: `rows` under `columns` as CSV, and `table` draws it for people.
pub(super) fn print<T: Serialize, R: 'static>(
    format: Format,
    value: &T,
    (columns, rows): (&'static [Column<R>], impl IntoIterator<Item: Borrow<R>>),
    table: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match format {
        Format::Table => text(&table()),
        Format::Json => text(&format!("{}\n", serde_json::to_string_pretty(value)?)),
        Format::Csv => {
            let mut out = write(Shape::Csv(Csv::Lines), columns, rows, io::stdout())?;
            out.flush().context(STDOUT)
        }
    }
}

/// Rows as aligned columns for people, or that there are none.
pub(super) fn columns<R>(
    columns: &[Column<R>],
    rows: impl IntoIterator<Item: Borrow<R>>,
    none: &str,
) -> String {
    let header = columns.iter().map(|column| column.name.to_uppercase()).collect();
    let line = |row: &R| columns.iter().map(|column| shown(&column.value(row))).collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    lines.extend(rows.into_iter().map(|row| line(row.borrow())));
    if lines.len() == 1 { format!("{none}\n") } else { drawn::columns(&lines) }
}

/// One row, a line for each column.
pub(super) fn record<R>(columns: &[Column<R>], row: &R) -> String {
    let line = |column: &Column<R>| vec![column.name.to_owned(), shown(&column.value(row))];
    drawn::columns(&columns.iter().map(line).collect::<Vec<_>>())
}

/// A value, as tables show it.
fn shown(value: &Value) -> String {
    match value {
        Value::Time(at) => time(*at),
        Value::Null
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Address(_)
        | Value::Json(_)
        | Value::Bool(_) => {
            let text = value.to_string();
            if text.is_empty() { "-".to_owned() } else { text }
        }
    }
}

const STDOUT: &str = "cannot write to standard output";

pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context(STDOUT)
}

/// What is for the person at the terminal and not part of the result.
pub(super) fn note(text: &str) {
    // Without a place to write it there is nobody to tell.
    _ = writeln!(io::stderr(), "{}", drawn::plain(text));
}

/// How tables are to look on this standard output.
pub(super) fn style(global: &Global) -> Style {
    let terminal = io::stdout().is_terminal();
    let color = match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && wants_color(),
    };
    let width = if terminal { terminal_width(io::stdout()) } else { None };
    Style { color, ascii: !speaks_utf8(), width }
}

fn wants_color() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn speaks_utf8() -> bool {
    let locale = locale("LC_CTYPE").to_uppercase();
    locale.contains("UTF-8") || locale.contains("UTF8")
}

/// The language of findings that the reader wants: en or ja.
pub(super) fn language() -> &'static str {
    if locale("LC_MESSAGES").starts_with("ja") { "ja" } else { "en" }
}

/// What the environment says of the locale's category.
fn locale(category: &str) -> String {
    let known = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    ["LC_ALL", category, "LANG"].into_iter().find_map(known).unwrap_or_default()
}

/// Columns of the terminal, where it says.
pub(super) fn terminal_width(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    terminal_size(terminal).map(|(columns, _)| columns)
}

/// Columns and rows of the terminal, where it says.
pub(super) fn terminal_size(terminal: impl std::os::fd::AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// A time, as tables show it.
pub(super) fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Rows as the CSV that reading commands print.
#[cfg(test)]
pub(super) fn csv<R: 'static>(
    columns: &'static [Column<R>],
    rows: impl IntoIterator<Item: Borrow<R>>,
) -> String {
    String::from_utf8(write(Shape::Csv(Csv::Lines), columns, rows, Vec::new()).unwrap()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::{super::table, *};

    const IDS: &[Column<Option<i64>>] = &[table::integer("id", |id| *id)];

    #[test]
    fn a_list_shows_what_is_not_there_and_that_it_is_empty() {
        assert_eq!(columns(IDS, [None, Some(-7)], "no probes"), "ID\n-\n-7\n");
        assert_eq!(columns(IDS, [None; 0], "no probes"), "no probes\n");
        assert_eq!(record(IDS, &None), "id  -\n");
    }
}
