//! Every attempt of every flow, as text: the evidence behind the verdicts.

use std::fmt::Write;

use super::{columns, symbol::Paint, text::clean};
use crate::{Attempt, Cell, Matrix, table::Style};

/// Draws the attempts of each flow of a matrix that has evidence.
#[must_use]
pub fn explain(matrix: &Matrix, style: &Style) -> String {
    let paint = Paint::new(*style);
    let mut out = String::new();
    for cell in matrix.cells.iter().filter(|cell| !cell.evidence.is_empty()) {
        let service = cell.service;
        _ = writeln!(
            out,
            "{} {} {} {} {}: {}, {} attempts",
            clean(&cell.vantage),
            paint.arrow(),
            clean(&cell.target),
            service,
            service.port_and_transport(),
            paint.outcome(cell.outcome, cell.outcome.word()),
            cell.attempts
        );
        let head = ["AT", "TOOK", "SOURCE", "TTL", "SENT", "RECEIVED", "WHAT"].map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> =
            std::iter::once(head).chain(cell.evidence.iter().map(|attempt| row(attempt, cell))).collect();
        for line in columns(&rows).lines() {
            _ = writeln!(out, "  {line}");
        }
        for (name, fact) in &cell.facts {
            _ = writeln!(out, "  {} = {}", clean(name), clean(&fact.to_string()));
        }
        out.push('\n');
    }
    out
}

fn row(attempt: &Attempt, cell: &Cell) -> Vec<String> {
    let or_dash = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    let bytes = |count: u32| if count == 0 { "-".to_owned() } else { format!("{count} B") };
    vec![
        milliseconds(attempt.at_us),
        milliseconds(attempt.took_us),
        or_dash(attempt.source_port.map(|port| port.to_string())),
        or_dash(attempt.ttl.map(|ttl| ttl.to_string())),
        bytes(attempt.sent_bytes),
        bytes(attempt.received_bytes),
        what(attempt, cell),
    ]
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03} ms", us / 1_000, us % 1_000)
}

fn what(attempt: &Attempt, cell: &Cell) -> String {
    let said = match attempt.icmp {
        Some((kind, code)) => format!("ICMP {kind}/{code}"),
        None => attempt.signal.clone(),
    };
    match attempt.offender {
        Some(offender) if offender == cell.address => format!("{said} from the target"),
        Some(offender) => format!("{said} from {offender}"),
        None => said,
    }
}
