//! Flows that share one cause.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use sekisho_model::{Cell, Outcome, Service};
use serde::{Deserialize, Serialize};

use super::{Between, Cause, Control, Verdict};

/// Blocked flows with one cause, as one line of a report tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The cause.
    pub cause: Cause,
    /// The outcome of all of them.
    pub outcome: Outcome,
    /// Who refuses, where that is known.
    pub by: Option<IpAddr>,
    /// Where they end, where that is known and nobody refuses.
    pub between: Option<Between>,
    /// An open flow that proves the cause, the first of theirs.
    pub control: Option<Control>,
    /// Names of their vantages.
    pub vantages: Vec<String>,
    /// Names of their targets.
    pub targets: Vec<String>,
    /// Their services.
    pub services: Vec<Service>,
    /// How many they are.
    pub flows: usize,
}

/// What flows of one group have in common. What the cause does not depend on is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    cause: Cause,
    outcome: Outcome,
    by: Option<IpAddr>,
    between: Option<Between>,
    vantage: Option<&'a str>,
    target: Option<(&'a str, IpAddr)>,
    service: Option<Service>,
}

impl<'a> Key<'a> {
    fn of(cell: &'a Cell, verdict: &Verdict) -> Self {
        let cause = verdict.cause;
        // Who refuses says more than how far packets get.
        let between = verdict.between.filter(|_| cell.by.is_none());
        let is_placed = cell.by.is_some() || between.is_some();
        let vantage = Some(cell.vantage.as_str());
        let target = Some((cell.target.as_str(), cell.address));
        let (vantage, target, service) = match cause {
            Cause::PathFilter | Cause::Middlebox => (vantage, target.filter(|_| !is_placed), None),
            Cause::HostFilter => (None, target, None),
            Cause::ServiceDown => (None, target, Some(cell.service)),
            Cause::HostDown => (None, target, None),
            Cause::VantageDown => (vantage, None, None),
            Cause::Routing => (vantage.filter(|_| !is_placed), target, None),
            Cause::Unknown => (vantage, target, None),
        };
        let (by, between) = match cause {
            // The fault lies at an end, whichever way packets go.
            Cause::HostFilter | Cause::ServiceDown | Cause::HostDown | Cause::VantageDown => (None, None),
            Cause::PathFilter | Cause::Middlebox | Cause::Routing | Cause::Unknown => (cell.by, between),
        };
        Self { cause, outcome: cell.outcome, by, between, vantage, target, service }
    }
}

/// Groups the flows at `chosen` places of `cells`, whose verdicts are `verdicts`; a flow without verdict is in no group. With
/// each group come the places of its flows. The largest is first.
#[must_use]
pub fn group(cells: &[Cell], verdicts: &[Option<Verdict>], chosen: &[usize]) -> Vec<(Group, Vec<usize>)> {
    type Flow<'a> = (&'a str, IpAddr, Service);
    let mut by_key: BTreeMap<Key<'_>, Vec<usize>> = BTreeMap::new();
    for &place in chosen {
        if let (Some(cell), Some(Some(verdict))) = (cells.get(place), verdicts.get(place)) {
            by_key.entry(Key::of(cell, verdict)).or_default().push(place);
        }
    }
    // The same device says the same no to several vantages: one rule, as far as can be seen.
    let mut merged: BTreeMap<(Key<'_>, BTreeSet<Flow<'_>>), Vec<usize>> = BTreeMap::new();
    for (key, places) in by_key {
        let is_one_rule = matches!(key.cause, Cause::PathFilter | Cause::Middlebox)
            && (key.by.is_some() || key.between.is_some());
        let flows = places.iter().filter_map(|place| cells.get(*place));
        let flows = flows.map(|cell| (cell.target.as_str(), cell.address, cell.service)).collect();
        let key = if is_one_rule { Key { vantage: None, ..key } } else { key };
        merged.entry((key, flows)).or_default().extend(places);
    }
    let mut groups: Vec<(Group, Vec<usize>)> = merged
        .into_iter()
        .map(|((key, _), places)| (described(&key, cells, verdicts, &places), places))
        .collect();
    groups.sort_by_key(|(group, _)| std::cmp::Reverse(group.flows));
    groups
}

fn described(key: &Key<'_>, cells: &[Cell], verdicts: &[Option<Verdict>], places: &[usize]) -> Group {
    let flows = || places.iter().filter_map(|place| cells.get(*place));
    let names = |name: fn(&Cell) -> &String| -> Vec<String> {
        flows().map(name).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    };
    let controls = places.iter().filter_map(|place| verdicts.get(*place)?.as_ref()?.control.clone());
    Group {
        cause: key.cause,
        outcome: key.outcome,
        by: key.by,
        between: key.between,
        control: controls.min(),
        vantages: names(|cell| &cell.vantage),
        targets: names(|cell| &cell.target),
        services: flows().map(|cell| cell.service).collect::<BTreeSet<_>>().into_iter().collect(),
        flows: places.len(),
    }
}
