//! The only place that writes to the terminal.

use std::io::Write;

/// A line of the answer. Whoever stops reading, as `head` does, has read enough.
pub(crate) fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// A line beside the answer: progress and errors.
#[expect(clippy::print_stderr, reason = "this is the command's commentary")]
pub(crate) fn note(line: &str) {
    eprintln!("sekisho-lab: {line}");
}

/// Rows as aligned columns.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    let header: Vec<String> = header.iter().map(|word| (*word).to_owned()).collect();
    let width = |column: usize| {
        std::iter::once(&header)
            .chain(rows)
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    for row in std::iter::once(&header).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<width$}", width = width(column)))
            .collect();
        say(cells.join("  ").trim_end());
    }
}
