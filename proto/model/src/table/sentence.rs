//! What is not open, in words: one sentence per cause, for all the flows that it holds for.

use std::fmt::Write;

use super::{Block, symbol::Paint, text::clean};
use crate::{Cell, Fact, Facts, Outcome, Service};

/// Most facts that a sentence tells; JSON has the others.
const FACTS: usize = 3;
/// Most vantages that a sentence names before it counts the others.
const VANTAGES: usize = 4;
/// Facts that say why, in the order of telling.
const FIRST: [&str; 8] =
    ["reason", "detail", "icmp", "rst-origin", "ended", "no-certificate", "data", "error"];
/// Facts that say nothing of the cause, or are told otherwise: counts, and where a flow ends.
const INCIDENTAL: [&str; 7] =
    ["silent-attempts", "last-hop", "next-hop", "filter-at", "rst-ttl", "reply-ttl", "attempts-answered"];

/// Flows of one vantage with one cause.
struct Group<'a> {
    vantages: Vec<&'a str>,
    outcome: Outcome,
    cause: String,
    attempts: (u32, u32),
    /// With the port that was tested, which an RPC interface has only then.
    services: Vec<(Service, Option<u16>)>,
    /// Every flow of the vantage to this target.
    all: bool,
}

pub(super) fn write(out: &mut String, block: &Block<'_>, paint: &Paint) {
    for group in merged(groups(&block.cells)) {
        let who = vantages(&group.vantages);
        let arrow = paint.arrow();
        let cause = cause(&group);
        let what = paint.outcome(group.outcome, group.outcome.word());
        let label = &block.label;
        _ = match group.services.as_slice() {
            [service] => writeln!(out, "{who} {arrow} {label} {}: {what}{cause}", named(service)),
            services if group.all => {
                writeln!(out, "{who} {arrow} {label}: all {} flows {what}{cause}", services.len())
            }
            services => {
                let names: Vec<String> = services.iter().map(named).collect();
                writeln!(
                    out,
                    "{who} {arrow} {label}: {} flows {what}{cause}: {}",
                    names.len(),
                    names.join(", ")
                )
            }
        };
    }
}

/// `smb 445/tcp`; `icmp` and `tcp/8443` say it all.
fn named((service, port): &(Service, Option<u16>)) -> String {
    let (name, transport) = (service.name(), service.transport());
    match port {
        _ if name.contains('/') || name == transport.word() => name,
        Some(port) => format!("{name} {port}/{transport}"),
        None => format!("{name} {transport}"),
    }
}

fn groups<'a>(cells: &[&'a Cell]) -> Vec<Group<'a>> {
    let mut totals: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for cell in cells {
        *totals.entry(&cell.vantage).or_default() += 1;
    }
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for cell in cells.iter().filter(|cell| matters(cell)) {
        let cause = told(cell);
        let key = (cell.vantage.as_str(), cell.outcome, cause.clone());
        let place = *places.entry(key).or_insert(groups.len());
        if let Some(group) = groups.get_mut(place) {
            group.services.push((cell.service, cell.port));
            group.attempts = (group.attempts.0.min(cell.attempts), group.attempts.1.max(cell.attempts));
        } else {
            groups.push(Group {
                vantages: vec![&cell.vantage],
                outcome: cell.outcome,
                cause,
                attempts: (cell.attempts, cell.attempts),
                services: vec![(cell.service, cell.port)],
                all: false,
            });
        }
    }
    for group in &mut groups {
        group.services.sort_unstable();
        let total = group.vantages.first().and_then(|vantage| totals.get(vantage)).copied();
        group.all = total == Some(group.services.len()) && group.services.len() > 1;
    }
    groups
}

/// One group for all vantages where the same flows have the same cause.
fn merged(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let mut merged: Vec<Group<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for group in groups {
        let key = (group.outcome, group.cause.clone(), group.services.clone(), group.all);
        let place = *places.entry(key).or_insert(merged.len());
        if let Some(same) = merged.get_mut(place) {
            same.vantages.extend(group.vantages);
            same.attempts = (same.attempts.0.min(group.attempts.0), same.attempts.1.max(group.attempts.1));
        } else {
            merged.push(group);
        }
    }
    merged
}

fn matters(cell: &Cell) -> bool {
    match cell.outcome {
        Outcome::Open => cell.facts.get("intermittent") == Some(&Fact::Flag(true)),
        Outcome::Closed
        | Outcome::Filtered
        | Outcome::Rejected
        | Outcome::Unreachable
        | Outcome::Mute
        | Outcome::Wrong
        | Outcome::Failed
        | Outcome::Missed => true,
    }
}

/// What the observation itself says about the cause, without what differs from attempt to attempt.
fn told(cell: &Cell) -> String {
    let by = cell.by.map_or_else(|| place(cell), |by| format!(" by {by}"));
    let facts = match cell.outcome {
        Outcome::Open => "intermittent".to_owned(),
        Outcome::Closed
        | Outcome::Filtered
        | Outcome::Rejected
        | Outcome::Unreachable
        | Outcome::Mute
        | Outcome::Wrong
        | Outcome::Failed
        | Outcome::Missed => facts(&cell.facts),
    };
    if facts.is_empty() { by } else { format!("{by} ({facts})") }
}

/// Where a flow that the path blocks ends, as far as its trace tells.
fn place(cell: &Cell) -> String {
    if !matches!(cell.outcome, Outcome::Filtered | Outcome::Rejected) {
        return String::new();
    }
    let hop = |name: &str| cell.facts.get(name).map(|hop| clean(&hop.to_string()));
    match (hop("last-hop"), hop("next-hop")) {
        (Some(last), Some(_)) if cell.facts.contains_key("filter-at") => {
            format!(" at {last} or at the target")
        }
        (None, Some(_)) if cell.facts.contains_key("filter-at") => " at the target".to_owned(),
        (Some(last), Some(next)) => format!(" between {last} and {next}"),
        (Some(last), None) => format!(" behind {last}"),
        (None, Some(next)) => format!(" before {next}"),
        (None, None) => String::new(),
    }
}

fn cause(group: &Group<'_>) -> String {
    if group.outcome != Outcome::Filtered || group.attempts.1 == 0 {
        return group.cause.clone();
    }
    let silence = match group.attempts {
        (1, 1) => "silence, 1 attempt".to_owned(),
        (low, high) if low == high => format!("silence through {high} attempts"),
        (low, high) => format!("silence through {low} to {high} attempts"),
    };
    match group.cause.strip_suffix(')').and_then(|cause| cause.split_once('(')) {
        Some((by, facts)) => format!("{by}({silence}, {facts})"),
        None => format!("{} ({silence})", group.cause),
    }
}

/// The facts that a reader needs first, as words.
pub(super) fn facts(facts: &Facts) -> String {
    let first = FIRST.iter().filter_map(|name| facts.get_key_value(*name));
    // A reason stands beside a flag of its own name, for those who search.
    let reason = facts.get("reason").map(ToString::to_string);
    let others = facts.iter().filter(|(name, _)| {
        !FIRST.contains(&name.as_str())
            && !INCIDENTAL.contains(&name.as_str())
            && Some(*name) != reason.as_ref()
    });
    let mut told: Vec<String> = first.chain(others).filter_map(|(name, fact)| phrase(name, fact)).collect();
    told.truncate(FACTS);
    told.join(", ")
}

fn phrase(name: &str, fact: &Fact) -> Option<String> {
    let text = clean(&fact.to_string());
    match (name, fact) {
        (_, Fact::Flag(false)) => None,
        ("reason" | "detail" | "error", _) => Some(text),
        ("rst-origin", _) => Some(match text.as_str() {
            "device" => "RST from a device before the target".to_owned(),
            "target" => "RST of the target".to_owned(),
            "target-or-last-hop" => "RST of the target, or of the last hop before it".to_owned(),
            _ => "RST, whose is not proven".to_owned(),
        }),
        ("ended", _) => Some(match text.as_str() {
            "silent" => "accepts, then says nothing".to_owned(),
            "closed-without-reply" => "accepts, then closes without a reply".to_owned(),
            "reset-without-reply" => "accepts, then resets without a reply".to_owned(),
            _ => text,
        }),
        ("data", _) => Some(match text.as_str() {
            "acknowledged" => "what was sent is acknowledged".to_owned(),
            _ => "what was sent is not acknowledged".to_owned(),
        }),
        ("syn-proxy", _) => Some("something on the way accepts connections in its name".to_owned()),
        ("no-certificate", _) => Some("as without a certificate".to_owned()),
        ("icmp", _) if !text.starts_with("ICMP") => Some(format!("ICMP {text}")),
        ("icmp", _) => Some(text),
        (_, Fact::Flag(true)) => Some(clean(name)),
        (_, Fact::Integer(_) | Fact::Text(_)) => Some(format!("{} {text}", clean(name))),
    }
}

pub(super) fn vantages(names: &[&str]) -> String {
    let mut words = String::new();
    for (place, name) in names.iter().take(VANTAGES).enumerate() {
        _ = write!(words, "{}{}", if place == 0 { "" } else { ", " }, clean(name));
    }
    match names.len().saturating_sub(VANTAGES) {
        0 => words,
        more => format!("{words} and {more} more"),
    }
}
