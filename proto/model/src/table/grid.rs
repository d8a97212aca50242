//! The block of one target: vantages against services.

use std::{collections::HashMap, fmt::Write};

use super::{
    Block,
    symbol::Paint,
    text::{centre, clean, pad, width},
};
use crate::{Cell, Outcome, Service};

/// A service's column: its name in lines, the port last.
struct Column {
    service: Service,
    lines: Vec<String>,
    width: usize,
}

struct Row<'a> {
    vantage: String,
    subnet: String,
    outcomes: HashMap<Service, Outcome>,
    key: (&'a str, Option<ipnet::IpNet>),
}

/// Spaces between two columns.
const GAPS: [usize; 2] = [2, 1];

pub(super) fn draw(out: &mut String, block: &Block<'_>, services: &[Service], paint: &Paint) {
    let rows = rows(&block.cells);
    let vantage_width = rows.iter().map(|row| width(&row.vantage)).max().unwrap_or(0);
    let subnet_width = rows.iter().map(|row| width(&row.subnet)).max().unwrap_or(0);
    let label_width = 2 + vantage_width + if subnet_width == 0 { 0 } else { 2 + subnet_width };
    let (columns, gap) = columns(services, label_width, paint.width());

    let address = block.address.to_string();
    let head = if block.target == address { address } else { format!("{} {address}", clean(block.target)) };
    for part in split(&columns, label_width, gap, paint.width()) {
        _ = writeln!(out, "{}", paint.strong(&head));
        header(out, part, label_width, gap);
        for row in &rows {
            let mut line = format!("  {}", pad(&row.vantage, vantage_width));
            if subnet_width > 0 {
                _ = write!(line, "  {}", pad(&row.subnet, subnet_width));
            }
            for column in part {
                let symbol = row.outcomes.get(&column.service).map_or(" ".to_owned(), |o| paint.symbol(*o));
                _ = write!(line, "{}{}", " ".repeat(gap), centre(&symbol, 1, column.width));
            }
            _ = writeln!(out, "{}", line.trim_end());
        }
    }
}

fn rows<'a>(cells: &[&'a Cell]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut places: HashMap<(&'a str, Option<ipnet::IpNet>), usize> = HashMap::new();
    for cell in cells {
        let key = (cell.vantage.as_str(), cell.subnet);
        let place = *places.entry(key).or_insert(rows.len());
        if rows.get(place).is_none() {
            rows.push(Row {
                vantage: clean(&cell.vantage),
                subnet: cell.subnet.map(|subnet| subnet.to_string()).unwrap_or_default(),
                outcomes: HashMap::new(),
                key,
            });
        }
        if let Some(row) = rows.get_mut(place) {
            debug_assert_eq!(row.key, key);
            row.outcomes.insert(cell.service, cell.outcome);
        }
    }
    rows
}

/// The columns with full names and wide gaps, or narrower ones where only those fit.
fn columns(services: &[Service], label_width: usize, limit: Option<usize>) -> (Vec<Column>, usize) {
    let mut narrowest = (Vec::new(), 1);
    for short in [false, true] {
        for gap in GAPS {
            let columns: Vec<Column> = services.iter().map(|service| column(*service, short)).collect();
            let total = label_width + columns.iter().map(|c| c.width + gap).sum::<usize>();
            if limit.is_none_or(|limit| total <= limit) {
                return (columns, gap);
            }
            narrowest = (columns, gap);
        }
    }
    narrowest
}

fn column(service: Service, short: bool) -> Column {
    let name = service.name();
    let mut lines: Vec<String> = name
        .split(['-', '/'])
        .map(|word| match word {
            "kerberos" if short => "krb".to_owned(),
            "kpasswd" if short => "kpw".to_owned(),
            "netlogon" if short => "nlogon".to_owned(),
            "netbios" if short => "nbt".to_owned(),
            word => word.to_owned(),
        })
        .collect();
    if let Some(port) = service.port().map(|port| port.to_string())
        && lines.last() != Some(&port)
    {
        lines.push(port);
    }
    let width = lines.iter().map(|line| width(line)).max().unwrap_or(1);
    Column { service, lines, width }
}

/// As many columns side by side as the width allows, and at least one.
fn split(columns: &[Column], label_width: usize, gap: usize, limit: Option<usize>) -> Vec<&[Column]> {
    let Some(limit) = limit else { return vec![columns] };
    let mut parts = Vec::new();
    let mut rest = columns;
    while !rest.is_empty() {
        let mut used = label_width;
        let fitting = rest
            .iter()
            .take_while(|column| {
                used += column.width + gap;
                used <= limit
            })
            .count();
        let (part, tail) = rest.split_at(fitting.max(1));
        parts.push(part);
        rest = tail;
    }
    parts
}

fn header(out: &mut String, columns: &[Column], label_width: usize, gap: usize) {
    let height = columns.iter().map(|column| column.lines.len()).max().unwrap_or(0);
    for level in (0..height).rev() {
        let mut line = " ".repeat(label_width);
        for column in columns {
            // The last line of every column stands on the bottom line.
            let text = column.lines.iter().rev().nth(level).map_or("", String::as_str);
            _ = write!(line, "{}{}", " ".repeat(gap), centre(text, width(text), column.width));
        }
        _ = writeln!(out, "{}", line.trim_end());
    }
}
