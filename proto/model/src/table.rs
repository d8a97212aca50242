//! The matrix as text for a terminal: a block per target, then the sentences that need a reader, then the
//! checks of the vantages, then the counts.
//!
//! Pure: a matrix and a style in, text out. The symbols differ without colour, and each is one column wide also on
//! terminals that draw East Asian ambiguous characters wide.

mod checks;
mod explain;
mod grid;
mod sentence;
mod symbol;
#[cfg(test)]
mod tests;
mod text;

use std::{collections::BTreeSet, fmt::Write, net::IpAddr};

pub use explain::explain;

use crate::{Cell, Matrix, Outcome, Service, SweepState};
use symbol::Paint;
use text::clean;

/// How the text is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Colour by ANSI escape sequences.
    pub color: bool,
    /// Nothing beyond ASCII in what this module adds; names keep their letters.
    pub ascii: bool,
    /// Columns of the terminal; a wider table is split. `None`: as wide as it needs to be.
    pub width: Option<usize>,
}

/// The cells of one target, in the order in which they came.
struct Block<'a> {
    target: &'a str,
    /// What sentences call the target.
    label: String,
    address: IpAddr,
    cells: Vec<&'a Cell>,
}

/// Name and address of a target.
type Named<'a> = (&'a str, IpAddr);

/// Draws the matrix.
#[must_use]
pub fn render(matrix: &Matrix, style: &Style) -> String {
    let paint = Paint::new(*style);
    let mut out = String::new();
    sweep_line(&mut out, matrix);
    let named = named(matrix);
    if matrix.cells.is_empty() {
        out.push_str(empty_line(matrix));
        if !matrix.checks.is_empty() {
            out.push('\n');
        }
    } else {
        let services = services(matrix);
        for block in blocks(matrix, &named) {
            grid::draw(&mut out, &block, &services, &paint);
            sentence::write(&mut out, &block, &paint);
            out.push('\n');
        }
    }
    checks::write(&mut out, &matrix.checks, &named, &paint);
    if !matrix.cells.is_empty() {
        legend(&mut out, matrix, &paint);
        counts(&mut out, matrix, &paint);
    }
    checks::count(&mut out, &matrix.checks, &paint);
    out
}

/// Lines that cannot steer a terminal: control characters are shown as `?`, line feeds stay.
#[must_use]
pub fn plain(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// One line without control characters, in at most as many columns of a terminal.
#[must_use]
pub fn cut(line: &str, columns: usize) -> String {
    text::cut(&clean(line), columns)
}

/// Rows as aligned columns. Control characters are shown as `?`.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|field| clean(field)).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (widest, field) in widths.iter_mut().zip(row) {
            *widest = text::width(field).max(*widest);
        }
    }
    let mut out = String::new();
    for row in &rows {
        let fields: Vec<String> =
            row.iter().zip(&widths).map(|(field, width)| text::pad(field, *width)).collect();
        _ = writeln!(out, "{}", fields.join("  ").trim_end());
    }
    out
}

fn sweep_line(out: &mut String, matrix: &Matrix) {
    if let Some(sweep) = &matrix.sweep {
        _ = writeln!(
            out,
            "sweep {} {}, profile {}, started {}: {} planned, {} observed, {} missed\n",
            sweep.id,
            sweep.state.word(),
            clean(&sweep.profile),
            sweep.started_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            sweep.planned_words(),
            sweep.observed,
            sweep.missed
        );
    }
    if let Some(at) = matrix.at {
        _ = writeln!(out, "as known at {}\n", at.strftime("%Y-%m-%d %H:%M:%SZ"));
    }
}

fn empty_line(matrix: &Matrix) -> &'static str {
    match matrix.sweep.as_ref().map(|sweep| sweep.state) {
        Some(SweepState::Running) => "No flows yet: the sweep is still looking for its targets.\n",
        Some(SweepState::Complete | SweepState::Partial | SweepState::Cancelled) => {
            "No flows: the sweep found no target to test. List targets in the inventory, or check the SRV records.\n"
        }
        None if matrix.at.is_some() => "No flows: nothing had been tested by then.\n",
        None if matrix.checks.is_empty() => "No flows: nothing was tested.\n",
        None => "No flows.\n",
    }
}

fn services(matrix: &Matrix) -> Vec<Service> {
    let mut services: Vec<Service> = matrix.cells.iter().map(|cell| cell.service).collect();
    services.sort_unstable();
    services.dedup();
    services
}

/// Every target that occurs, with its address.
fn named(matrix: &Matrix) -> BTreeSet<Named<'_>> {
    let checked = matrix.checks.iter().filter_map(|check| Some((check.target.as_deref()?, check.address?)));
    matrix.cells.iter().map(|cell| (cell.target.as_str(), cell.address)).chain(checked).collect()
}

fn blocks<'a>(matrix: &'a Matrix, named: &BTreeSet<Named<'_>>) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for cell in &matrix.cells {
        let place = *places.entry((cell.target.as_str(), cell.address)).or_insert(blocks.len());
        if let Some(block) = blocks.get_mut(place) {
            block.cells.push(cell);
        } else {
            let label = label(named, &cell.target, cell.address);
            blocks.push(Block { target: &cell.target, label, address: cell.address, cells: vec![cell] });
        }
    }
    blocks
}

/// The shortest of host label, host name, and host name with address that names one target only.
fn label(all: &BTreeSet<Named<'_>>, target: &str, address: IpAddr) -> String {
    let is_address = target.parse::<IpAddr>().is_ok();
    let short = if is_address { target } else { text::first_label(target) };
    let others = || all.iter().filter(|(t, a)| (*t, *a) != (target, address));
    if others().all(|(t, _)| text::first_label(t) != short) {
        clean(short)
    } else if others().all(|(t, _)| *t != target) {
        clean(target)
    } else {
        format!("{} {address}", clean(target))
    }
}

fn occurring(matrix: &Matrix) -> Vec<(Outcome, usize)> {
    Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome, matrix.cells.iter().filter(|c| c.outcome == outcome).count()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn legend(out: &mut String, matrix: &Matrix, paint: &Paint) {
    let entries: Vec<String> = occurring(matrix)
        .into_iter()
        .map(|(outcome, _)| format!("{} {outcome}", paint.symbol(outcome)))
        .collect();
    _ = writeln!(out, "{}", entries.join("   "));
}

fn counts(out: &mut String, matrix: &Matrix, paint: &Paint) {
    let entries: Vec<String> = occurring(matrix)
        .into_iter()
        .map(|(outcome, count)| paint.outcome(outcome, &format!("{count} {outcome}")))
        .collect();
    let total = matrix.cells.len();
    let noun = if total == 1 { "flow" } else { "flows" };
    _ = writeln!(out, "{total} {noun}: {}", entries.join(", "));
}
