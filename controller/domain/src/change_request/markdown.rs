//! A change request as a ticket for those who keep the firewalls.

mod reason;

use std::{collections::BTreeMap, fmt::Write};

use jiff::Timestamp;
use sekisho_model::SweepSummary;

use super::{ChangeRequest, Place, Reason, Rule, ServicePorts};
use crate::{
    attribution::{Cause, ControlKind},
    gaps::Gap,
};

/// Most flows in one table. A ticket has its limits; JSON has all.
const MOST: usize = 200;

/// The ticket.
#[must_use]
pub fn markdown(request: &ChangeRequest, sweep: &SweepSummary) -> String {
    let mut out = String::new();
    summary(&mut out, request, sweep);
    if !request.rules.is_empty() {
        rules(&mut out, request);
        notes(&mut out, request);
        evidence(&mut out, request);
    }
    left_out(&mut out, request);
    if !request.rules.is_empty() {
        afterwards(&mut out, request, sweep.id);
    }
    out
}

fn line(out: &mut String, text: &str) {
    _ = writeln!(out, "{text}");
}

fn table(out: &mut String, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    line(out, &format!("\n| {} |", header.join(" | ")));
    line(out, &format!("|{}", " --- |".repeat(header.len())));
    for row in rows {
        line(out, &format!("| {} |", row.join(" | ")));
    }
}

/// A name as it is, whatever Markdown would make of it.
fn name(text: &str) -> String {
    format!("`{}`", text.replace(['`', '|', '\n', '\r'], " "))
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn summary(out: &mut String, request: &ChangeRequest, sweep: &SweepSummary) {
    let (rules, flows) = (count(request.rules.len(), "rule"), count(request.flows(), "flow"));
    if request.rules.is_empty() {
        line(out, &format!("# Nothing to open: sweep {}", sweep.id));
    } else {
        line(out, &format!("# Firewall change request: {rules} to open {flows}"));
    }
    line(out, "\n## Summary\n");
    let proven = " Each flow of the rules is allowed by policy, was found blocked, and is proven by an open one of the same sweep to be \
                  blocked by an access list or a host's firewall.";
    line(
        out,
        &format!(
            "Measured by sweep {} ({}, profile {}, {}): {} of {} flows and checks observed.{}",
            sweep.id,
            sweep.state.word(),
            name(&sweep.profile),
            time(sweep.finished_at),
            sweep.observed,
            sweep.planned,
            if request.rules.is_empty() { "" } else { proven },
        ),
    );
    if request.untested > 0 {
        line(
            out,
            &format!(
                "\n{} that policies speak of could not be tested, and may need a further request.",
                count(request.untested, "flow")
            ),
        );
    }
    let row = |((cause, place), rules): ((Cause, Place), Vec<&Rule>)| {
        vec![
            place.to_string(),
            cause.to_string(),
            rules.len().to_string(),
            rules.iter().map(|rule| rule.flows.len()).sum::<usize>().to_string(),
            time(rules.iter().filter_map(|rule| rule.since).min()),
        ]
    };
    if !request.rules.is_empty() {
        table(
            out,
            &["where it is blocked", "cause", "rules", "flows", "blocked since"],
            request.places().into_iter().map(row),
        );
    }
}

fn rules(out: &mut String, request: &ChangeRequest) {
    line(out, "\n## Rules");
    for ((cause, place), rules) in request.places() {
        let what = match (cause, place.by, place.between) {
            (Cause::HostFilter, ..) => " (the target's own firewall)",
            (_, Some(_), _) => " (this device refuses)",
            (_, None, Some(_)) => " (packets end here without an answer)",
            (_, None, None) => " (no device could be named)",
        };
        line(out, &format!("\n### Blocked {place}{what}"));
        let header = ["rule", "action", "from", "to", "service", "since", "policy"];
        table(out, &header, rules.into_iter().map(row));
    }
}

fn row(rule: &Rule) -> Vec<String> {
    let sources = rule.sources.iter().map(|s| format!("{} ({})", s.network, names(&s.vantages)));
    let destinations = rule.destinations.iter().map(|d| format!("{} ({})", d.address, names(&d.hosts)));
    vec![
        rule.number.to_string(),
        "permit".to_owned(),
        lines(sources),
        lines(destinations),
        lines(rule.services.iter().map(service)),
        time(rule.since),
        lines(rule.policies.iter().map(|policy| name(policy))),
    ]
}

fn service(service: &ServicePorts) -> String {
    let names: Vec<String> = service.services.iter().map(ToString::to_string).collect();
    format!("{} ({})", service.ports, names.join(", "))
}

fn names(all: &[String]) -> String {
    all.iter().map(|text| name(text)).collect::<Vec<_>>().join(", ")
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join("<br>")
}

fn notes(out: &mut String, request: &ChangeRequest) {
    line(out, "\n## Notes\n");
    let services = || request.rules.iter().flat_map(|rule| &rule.services);
    line(
        out,
        "- Rules go before those that deny. A device without connection tracking needs the way back too: replies come from the port that is opened.",
    );
    line(
        out,
        "- Another device behind the one that is named may block as well. Only the next sweep can see it.",
    );
    if services().any(|service| service.ports.is_dynamic()) {
        let seen: Vec<String> = dynamic_ports(request).iter().map(u16::to_string).collect();
        let seen =
            if seen.is_empty() { String::new() } else { format!(" They were seen on {}.", seen.join(", ")) };
        line(
            out,
            &format!(
                "- **49152-65535/tcp** are the dynamic ports of Windows (Vista, Server 2008 and later). RPC services take theirs from this range at every start, and the endpoint mapper (135/tcp) tells which; a rule for the port of today closes with the next restart.{seen} Where the domain controllers are set to a fixed port or a smaller range (registry values `TCP/IP Port` of NTDS, `DCTcpipPort` of Netlogon), open that instead."
            ),
        );
    }
    if services().any(|service| service.services.iter().any(|s| s.name() == "rpc-epm")) {
        line(
            out,
            "- The endpoint mapper (135/tcp) is among what is blocked. The ports behind it cannot be tested before it is open: after this change the next sweep may ask for 49152-65535/tcp.",
        );
    }
    if services().any(|service| service.ports.first_port.is_none()) {
        line(out, "- ICMP is meant as echo request only.");
    }
}

fn dynamic_ports(request: &ChangeRequest) -> Vec<u16> {
    let flows = request.rules.iter().flat_map(|rule| &rule.flows);
    super::distinct(flows.filter(|gap| gap.service.port().is_none()).filter_map(|gap| gap.port))
}

fn evidence(out: &mut String, request: &ChangeRequest) {
    line(out, "\n## Evidence");
    let flows = request.rules.iter().flat_map(|rule| rule.flows.iter().map(move |gap| (rule.number, gap)));
    let row = |(number, gap): (usize, &Gap)| {
        let mut row = vec![number.to_string()];
        row.extend(flow(gap));
        row.extend([time(gap.since), proof(gap)]);
        row
    };
    let header = ["rule", "from", "to", "service", "outcome", "where", "since", "proof"];
    table(out, &header, flows.take(MOST).map(row));
    more(out, request.flows());
}

fn more(out: &mut String, all: usize) {
    if let Some(more) = all.checked_sub(MOST).filter(|more| *more > 0) {
        line(out, &format!("\nAnd {}: all of them are in this request as JSON.", count(more, "more flow")));
    }
}

fn flow(gap: &Gap) -> [String; 5] {
    let place = Place { by: gap.by, between: gap.between.filter(|_| gap.by.is_none()) };
    let port = gap.port.map_or_else(String::new, |port| format!(" {port}/{}", gap.transport));
    [
        name(&gap.vantage),
        format!("{} {}", name(&gap.target), gap.address),
        format!("{}{port}", gap.service),
        gap.outcome.to_string(),
        if place == (Place { by: None, between: None }) { "-".to_owned() } else { place.to_string() },
    ]
}

/// The open flow that proves the cause.
fn proof(gap: &Gap) -> String {
    let Some(control) = &gap.control else { return "-".to_owned() };
    let shows = match control.kind {
        ControlKind::SameService => "the service works",
        ControlKind::OtherService => "the way to the target works",
        ControlKind::OtherTarget => "the vantage works",
        ControlKind::OtherVantage => "the target works",
    };
    format!(
        "{} to {} is open from {}: {shows}",
        control.service,
        name(&control.target),
        name(&control.vantage)
    )
}

fn left_out(out: &mut String, request: &ChangeRequest) {
    if request.left_out.is_empty() {
        return;
    }
    let mut reasons: BTreeMap<Reason, Vec<&super::LeftOut>> = BTreeMap::new();
    for flow in &request.left_out {
        reasons.entry(flow.reason).or_default().push(flow);
    }
    line(out, "\n## Not part of this request");
    for (reason, flows) in reasons {
        line(out, &format!("\n### {}\n", reason.title()));
        line(out, &format!("{} {}", count(flows.len(), "flow"), reason.because()));
        let row = |left: &&super::LeftOut| {
            let mut row = Vec::from(flow(&left.gap));
            row.push(left.beside.as_ref().map_or_else(|| "-".to_owned(), reason::beside));
            row
        };
        let header = ["from", "to", "service", "outcome", "where", "would open too"];
        let shown = if reason == Reason::WouldOpen { 6 } else { 5 };
        let rows = flows.iter().take(MOST).map(row).map(|row| row.into_iter().take(shown).collect());
        table(out, header.get(..shown).unwrap_or_default(), rows);
        more(out, flows.len());
    }
}

fn afterwards(out: &mut String, request: &ChangeRequest, sweep: i64) {
    let flows = request.flows();
    line(out, "\n## How to verify\n");
    line(out, "```");
    line(out, "sekisho sweep run --wait");
    line(out, &format!("sekisho diff {sweep} latest"));
    line(out, "sekisho gaps");
    line(out, "```\n");
    line(
        out,
        &format!(
            "The change did what it should when the difference has {} of kind `fix`, those of the evidence above, and neither `exposure` nor `regression`. A flow that is still blocked names the next device.",
            count(flows, "change")
        ),
    );
    line(out, "\n## How to roll back\n");
    let last = request.rules.len();
    let all = if last == 1 { "rule 1".to_owned() } else { format!("rules 1 to {last}") };
    line(
        out,
        &format!(
            "Remove {all} from the devices above; nothing else is touched. `sekisho sweep run --wait` and `sekisho diff {sweep} latest` then show no difference to the state before the change."
        ),
    );
}
