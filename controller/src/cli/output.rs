//! What commands print.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use sekisho_model::table::{self, Style};
use serde::Serialize;

use super::connection::{Color, Global};

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

/// Rows under a header, for tables and CSV alike.
pub(super) struct Rows {
    pub(super) header: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Prints one result in the wanted format; `table` draws it for people.
pub(super) fn print<T: Serialize>(
    format: Format,
    value: &T,
    rows: impl FnOnce() -> Rows,
    table: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match format {
        Format::Table => text(&table()),
        Format::Json => text(&format!("{}\n", serde_json::to_string_pretty(value)?)),
        Format::Csv => text(&csv(&rows())),
    }
}

/// Prints rows as aligned columns, or says that there are none.
pub(super) fn columns(rows: &Rows, none: &str) -> String {
    if rows.rows.is_empty() {
        return format!("{none}\n");
    }
    let header: Vec<String> = rows.header.iter().map(|name| name.to_uppercase()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(rows.rows.iter().cloned()).collect();
    table::columns(&lines)
}

pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// What is for the person at the terminal and not part of the result.
pub(super) fn note(text: &str) {
    // Without a place to write it there is nobody to tell.
    _ = writeln!(io::stderr(), "{}", table::plain(text));
}

/// RFC 4180, with line feeds. A text that a spreadsheet would take for a formula gets an apostrophe before it: names and
/// facts come from strangers too.
fn csv(rows: &Rows) -> String {
    let header = rows.header.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    std::iter::once(&header)
        .chain(&rows.rows)
        .map(|row| row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",") + "\n")
        .collect()
}

fn quoted(field: &str) -> String {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']) && field.parse::<f64>().is_err();
    let harmless = if is_formula { format!("'{field}") } else { field.to_owned() };
    let field = harmless.as_str();
    if field.contains([',', '"', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
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

/// A time that may not be there.
pub(super) fn maybe_time(at: Option<jiff::Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_needs_it() {
        let rows = Rows {
            header: vec!["vantage", "facts"],
            rows: vec![
                vec!["本社".into(), "say \"no\", twice\nor more".into()],
                vec!["a b".into(), String::new()],
            ],
        };
        assert_eq!(csv(&rows), "vantage,facts\n本社,\"say \"\"no\"\", twice\nor more\"\na b,\n");
    }

    #[test]
    fn csv_holds_no_formula_of_a_stranger() {
        for field in ["=1+1", "+x", "-x", "@SUM(A1)", "\t=1"] {
            assert!(quoted(field).contains(&format!("'{field}")), "{field}");
        }
        for field in ["-12", "+1.5", "a=b", "-0"] {
            assert_eq!(quoted(field), field);
        }
    }

    #[test]
    fn an_empty_list_says_so() {
        let rows = Rows { header: vec!["id"], rows: vec![] };
        assert_eq!(columns(&rows, "no probes"), "no probes\n");
    }
}
