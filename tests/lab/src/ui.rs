//! The only place that writes to the terminal.

/// A line of the answer.
#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(crate) fn say(line: &str) {
    println!("{line}");
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
