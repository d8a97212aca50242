//! Openings joined to few rules that open exactly these. The fewest that there are is a question that takes exponential time;
//! joining misses it by a rule where openings lie crosswise in source, destination and ports at once (see the tests).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{Opening, Ports};

/// Every source to every destination on all ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Joined {
    pub(super) sources: BTreeSet<IpNet>,
    pub(super) destinations: BTreeSet<IpAddr>,
    pub(super) ports: BTreeSet<Ports>,
}

/// Joins what differs in one thing only.
type Step = fn(Vec<Joined>) -> Vec<Joined>;

/// Which of sources, destinations and ports are joined first makes a difference: every order is tried.
const ORDERS: [[Step; 3]; 6] = [
    [ports, destinations, sources],
    [ports, sources, destinations],
    [destinations, ports, sources],
    [destinations, sources, ports],
    [sources, ports, destinations],
    [sources, destinations, ports],
];

/// The fewest rules that joining comes to. They open exactly `openings`, each in one rule, and no two of them have two of
/// source, destination and ports in common.
pub(super) fn join(openings: BTreeSet<Opening>) -> Vec<Joined> {
    let single: Vec<Joined> = openings
        .into_iter()
        .map(|opening| Joined {
            sources: [opening.source].into(),
            destinations: [opening.destination].into(),
            ports: [opening.ports].into(),
        })
        .collect();
    let ways = ORDERS.iter().map(|order| until_nothing_joins(single.clone(), order));
    let mut fewest = ways.min_by_key(Vec::len).unwrap_or_default();
    fewest.sort();
    fewest
}

fn until_nothing_joins(mut rules: Vec<Joined>, order: &[Step; 3]) -> Vec<Joined> {
    loop {
        let before = rules.len();
        for step in order {
            rules = step(rules);
        }
        if rules.len() == before {
            return rules;
        }
    }
}

fn sources(rules: Vec<Joined>) -> Vec<Joined> {
    let same = grouped(rules.into_iter().map(|rule| ((rule.destinations, rule.ports), rule.sources)));
    same.map(|((destinations, ports), sources)| Joined { sources, destinations, ports }).collect()
}

fn destinations(rules: Vec<Joined>) -> Vec<Joined> {
    let same = grouped(rules.into_iter().map(|rule| ((rule.sources, rule.ports), rule.destinations)));
    same.map(|((sources, ports), destinations)| Joined { sources, destinations, ports }).collect()
}

fn ports(rules: Vec<Joined>) -> Vec<Joined> {
    let same = grouped(rules.into_iter().map(|rule| ((rule.sources, rule.destinations), rule.ports)));
    same.map(|((sources, destinations), ports)| Joined { sources, destinations, ports }).collect()
}

fn grouped<K: Ord, T: Ord>(
    rules: impl Iterator<Item = (K, BTreeSet<T>)>,
) -> impl Iterator<Item = (K, BTreeSet<T>)> {
    let mut same: BTreeMap<K, BTreeSet<T>> = BTreeMap::new();
    for (key, more) in rules {
        same.entry(key).or_default().extend(more);
    }
    same.into_iter()
}
