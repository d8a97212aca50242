//! A change request for spreadsheets: a line for each source, destination and service of each rule.

use super::{ChangeRequest, Destination, Ports, Rule, ServicePorts, Source, distinct};
use crate::{csv::field, gaps::Gap};

/// Names of the columns.
const HEADER: [&str; 15] = [
    "rule",
    "action",
    "cause",
    "by",
    "last_hop",
    "next_hop",
    "vantage",
    "source",
    "target",
    "destination",
    "transport",
    "port",
    "services",
    "since",
    "policy",
];

/// The request as CSV (RFC 4180), with the mark at its beginning that tells spreadsheets that it is UTF-8.
#[must_use]
pub fn csv(request: &ChangeRequest) -> String {
    let line =
        |fields: &[String]| fields.iter().map(|text| field(text)).collect::<Vec<_>>().join(",") + "\r\n";
    let header = line(&HEADER.map(str::to_owned));
    let lines: String = rows(request).iter().map(|row| line(row)).collect();
    format!("\u{feff}{header}{lines}")
}

fn rows(request: &ChangeRequest) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for rule in &request.rules {
        for source in &rule.sources {
            for destination in &rule.destinations {
                rows.extend(rule.services.iter().map(|service| row(rule, source, destination, service)));
            }
        }
    }
    rows
}

fn row(rule: &Rule, source: &Source, destination: &Destination, service: &ServicePorts) -> Vec<String> {
    let flows = || rule.flows.iter().filter(|gap| is_of(gap, source, destination, service.ports));
    let (last, next) = rule.place.hops();
    let words = |words: Vec<String>| words.join(" ");
    vec![
        rule.number.to_string(),
        "permit".to_owned(),
        rule.cause.to_string(),
        text(rule.place.by),
        text(last),
        text(next),
        words(distinct(flows().map(|gap| gap.vantage.clone()))),
        source.network.to_string(),
        words(distinct(flows().map(|gap| gap.target.clone()))),
        destination.address.to_string(),
        service.ports.transport.to_string(),
        text(service.ports.numbers()),
        words(distinct(flows().map(|gap| gap.service)).iter().map(ToString::to_string).collect()),
        text(flows().filter_map(|gap| gap.since).min()),
        words(distinct(flows().map(|gap| gap.policy.clone()))),
    ]
}

fn is_of(gap: &Gap, source: &Source, destination: &Destination, ports: Ports) -> bool {
    source.vantages.contains(&gap.vantage)
        && gap.address == destination.address
        && Ports::of(gap.service, gap.port) == ports
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
