//! Cells of a sweep for tests, one a line: `vlan20 dc1 smb filtered last-hop=10.77.20.1 by=10.77.20.1`.

use std::net::IpAddr;

use sekisho_model::{Cell, Fact, Service};

/// Addresses of the targets that occur.
const TARGETS: [(&str, &str); 3] = [("dc1", "10.77.1.10"), ("dc2", "10.77.1.11"), ("app1", "10.77.1.20")];

pub(crate) fn cells(lines: &str) -> Vec<Cell> {
    lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(cell).collect()
}

pub(crate) fn cell(line: &str) -> Cell {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap();
    let (vantage, target) = (word().to_owned(), word());
    let service: Service = word().parse().unwrap();
    let outcome = word().parse().unwrap();
    let address: IpAddr = TARGETS.iter().find(|(name, _)| *name == target).unwrap().1.parse().unwrap();
    let mut cell = Cell {
        vantage,
        subnet: None,
        target: target.to_owned(),
        address,
        service,
        transport: service.transport(),
        need: service.need(),
        port: service.port(),
        outcome,
        by: None,
        rtt_us: None,
        attempts: 3,
        confirmed: false,
        facts: Default::default(),
        evidence: Vec::new(),
        observed_at: None,
    };
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let fact = if value.is_empty() { Fact::Flag(true) } else { Fact::from(value) };
        match name {
            "by" => cell.by = Some(value.parse().unwrap()),
            "at" => cell.observed_at = Some(value.parse().unwrap()),
            name => _ = cell.facts.insert(name.to_owned(), fact),
        }
    }
    cell
}
