//! A change request as input of Aerleon, which writes the access lists of many makers from it (version 1.18): YAML policies,
//! and the networks and services that they name.
//!
//! A policy is what one device gets. Each has a filter for IPv4 and one for IPv6, as far as there are rules; a rule becomes a
//! term for each of its transports. All files are ASCII, whatever the names of the inventory are written in.

mod names;
mod target;

use std::fmt::Write;

use ipnet::IpNet;
use sekisho_model::{SweepSummary, Transport};

use super::{ChangeRequest, Place, Rule, ServicePorts, distinct, markdown};
use names::Names;

pub use target::{BadTarget, Target};

/// A file of the export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is, below the folder of the export.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Letters of a comment. Generators put comments into configurations, where some devices take no more.
const COMMENT: usize = 90;

/// The files for one kind of device.
///
/// # Errors
/// When Aerleon cannot write the request for it.
pub fn files(request: &ChangeRequest, sweep: &SweepSummary, target: &Target) -> Result<Vec<File>, BadTarget> {
    let names = Names::of(request);
    let mut files = vec![
        File { path: "aerleon.yml".to_owned(), text: configuration() },
        File { path: "change-request.md".to_owned(), text: markdown(request, sweep) },
        File { path: "def/networks.yaml".to_owned(), text: networks(request, &names) },
        File { path: "def/services.yaml".to_owned(), text: services(request, &names) },
    ];
    for ((cause, place), rules) in request.places() {
        let path = format!("policies/pol/{cause}-{}.yaml", place.slug());
        files.push(File { path, text: policy(sweep.id, place, &rules, &names, target)? });
    }
    Ok(files)
}

fn configuration() -> String {
    "# Run `aclgen` in this folder. What it writes belongs before the rules that deny; it is not a whole access list.\n\
     base_directory: ./policies\ndefinitions_directory: ./def\noutput_directory: ./generated\n"
        .to_owned()
}

fn networks(request: &ChangeRequest, names: &Names) -> String {
    let mut out = "networks:\n".to_owned();
    let mut define = |name: &str, address: String, comment: &str| {
        _ = write!(
            out,
            "  {name}:\n    values:\n      - address: {}\n        comment: {}\n",
            quoted(&address),
            quoted(comment)
        );
    };
    for (network, name) in &names.networks {
        let all = request.rules.iter().flat_map(|rule| &rule.sources).filter(|s| s.network == *network);
        define(name, network.to_string(), &distinct(all.flat_map(|s| s.vantages.clone())).join(", "));
    }
    for (address, name) in &names.hosts {
        let all = request.rules.iter().flat_map(|rule| &rule.destinations).filter(|d| d.address == *address);
        let hosts = distinct(all.flat_map(|d| d.hosts.clone())).join(", ");
        define(name, IpNet::from(*address).to_string(), &hosts);
    }
    out
}

fn services(request: &ChangeRequest, names: &Names) -> String {
    let mut out = "services:\n".to_owned();
    for (ports, name) in &names.services {
        let Some(numbers) = ports.numbers() else { continue };
        let all = request.rules.iter().flat_map(|rule| &rule.services).filter(|s| s.ports == *ports);
        let behind: Vec<String> =
            distinct(all.flat_map(|s| s.services.clone())).iter().map(ToString::to_string).collect();
        _ = write!(
            out,
            "  {name}:\n    - protocol: {}\n      port: {}\n      comment: {}\n",
            ports.transport,
            quoted(&numbers),
            quoted(&behind.join(", "))
        );
    }
    // Aerleon reads no empty table: a request for ICMP alone has no service.
    if out.lines().count() == 1 { "services: {}\n".to_owned() } else { out }
}

fn policy(
    sweep: i64,
    place: Place,
    rules: &[&Rule],
    names: &Names,
    target: &Target,
) -> Result<String, BadTarget> {
    let mut out = "filters:\n".to_owned();
    for is_ipv6 in [false, true] {
        let of_family =
            |rule: &&&Rule| rule.sources.iter().all(|source| source.network.addr().is_ipv6() == is_ipv6);
        let mut rules = rules.iter().filter(of_family).peekable();
        if rules.peek().is_none() {
            continue;
        }
        _ = write!(
            out,
            "  - header:\n      comment: {}\n      targets:\n        {}: {}\n    terms:\n",
            quoted(&comment(&format!("Change request of sweep {sweep}, {place}"))),
            target.name(),
            quoted(&target.options(is_ipv6)?)
        );
        rules.for_each(|rule| terms(&mut out, rule, is_ipv6, names, target));
    }
    Ok(out)
}

fn terms(out: &mut String, rule: &Rule, is_ipv6: bool, names: &Names, target: &Target) {
    let tokens = |all: Vec<&str>| all.join(" ");
    let sources = tokens(rule.sources.iter().filter_map(|s| names.network(s.network)).collect());
    let hosts = tokens(rule.destinations.iter().filter_map(|d| names.host(d.address)).collect());
    for transport in [Transport::Tcp, Transport::Udp, Transport::Icmp] {
        let services: Vec<&ServicePorts> =
            rule.services.iter().filter(|s| s.ports.transport == transport).collect();
        if services.is_empty() {
            continue;
        }
        let what = match transport {
            Transport::Tcp | Transport::Udp => {
                let ports = services.iter().filter_map(|s| names.service(s.ports)).collect();
                format!("protocol: {transport}\n        destination-port: {}", tokens(ports))
            }
            Transport::Icmp => {
                let protocol = if is_ipv6 { "icmpv6" } else { "icmp" };
                format!("protocol: {protocol}\n        icmp-type: {}", target.echo())
            }
        };
        _ = write!(
            out,
            "      - name: rule-{}-{transport}\n        comment: {}\n        source-address: {sources}\n        \
             destination-address: {hosts}\n        {what}\n        action: accept\n",
            rule.number,
            quoted(&comment(&told(rule)))
        );
    }
}

/// `path-filter since 2026-01-01T02:00:00Z, policy servers-reach-dcs`.
fn told(rule: &Rule) -> String {
    let since = rule.since.map_or_else(String::new, |since| format!(" since {since}"));
    format!("{}{since}, policy {}", rule.cause, rule.policies.join(" "))
}

/// Letters that every generator and device takes, and not too many.
fn comment(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || " .,:-_".contains(c) { c } else { '?' };
    text.chars().map(plain).take(COMMENT).collect()
}

/// A YAML text in double quotes, in ASCII.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => _ = write!(out, "\\U{:08X}", u32::from(c)),
        }
    }
    out.push('"');
    out
}
