//! The change request of a sweep: the smallest set of flows to open so that its gaps close, as rules of an access list.
//!
//! A gap becomes part of a rule when a change of an access list can mend it. Every other one is listed with the reason:
//!
//! | gap | reason |
//! |---|---|
//! | cause `path-filter`, `host-filter` | none: a rule opens it |
//! | cause `middlebox`, `service-down`, `host-down`, `vantage-down`, `routing`, `unknown` | the cause |
//! | an exposure, which is to be closed | `exposure` |
//! | its vantage has no subnet, so that there is no network to let in | `no-subnet` |
//! | its vantage's subnet is IPv4 and the target IPv6, or the other way round | `other-family` |
//! | its rule would open a flow as well that no policy allows | `would-open` |
//!
//! A rule lets networks reach addresses, not vantages targets: what it opens is an [`Opening`]. So that of two flows with one
//! opening never one is asked for and the other denied, an opening is asked for only if **every flow of the sweep that it
//! touches is allowed by policy**, or open already without a policy that speaks of it; and if policy denies none of those that
//! it touches and the sweep did not test. It touches the flows to the same address, with a port in common, of every vantage
//! whose subnet is, or lies in, the network. (A vantage with a larger subnet speaks for the rest of it.)
//!
//! Rules of one cause and one place are joined where they have two of source, destination and service in common. What they
//! open together is exactly the openings of the gaps, each once; no two of them could be one.

pub mod aerleon;
mod choice;
mod csv;
mod join;
mod markdown;
mod place;
mod ports;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use jiff::Timestamp;
use sekisho_model::{Cell, Service};
use serde::{Deserialize, Serialize};

use crate::{Inventory, attribution::Cause, gaps::Gap, policy::Domains};

pub use choice::{Beside, LeftOut, Reason};
pub use csv::csv;
pub use markdown::markdown;
pub use place::Place;
pub use ports::{DYNAMIC, Ports};

/// What an access list lets through: a network, to an address, on ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// The subnet of the vantage.
    pub source: IpNet,
    /// The address of the target.
    pub destination: IpAddr,
    /// The ports of the service.
    pub ports: Ports,
}

/// A network object: the subnet of vantages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The subnet.
    pub network: IpNet,
    /// Names of the vantages in it whose gaps these are.
    pub vantages: Vec<String>,
}

/// A host object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Its address.
    pub address: IpAddr,
    /// Its host names, or its address where it has none.
    pub hosts: Vec<String>,
}

/// A service object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePorts {
    /// Its ports.
    #[serde(flatten)]
    pub ports: Ports,
    /// The services behind them whose gaps these are.
    pub services: Vec<Service>,
}

/// One rule: every source may reach every destination on every service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its number, from 1.
    pub number: usize,
    /// What blocks: `path-filter` or `host-filter`.
    pub cause: Cause,
    /// The device that blocks, as far as it is known.
    #[serde(flatten)]
    pub place: Place,
    /// Since when the first of its flows is blocked.
    pub since: Option<Timestamp>,
    /// Names of the policies that allow its flows.
    pub policies: Vec<String>,
    /// From where.
    pub sources: Vec<Source>,
    /// To where.
    pub destinations: Vec<Destination>,
    /// With what.
    pub services: Vec<ServicePorts>,
    /// The gaps that it closes: the evidence.
    pub flows: Vec<Gap>,
}

/// What to open, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRequest {
    /// The rules, by cause and place.
    pub rules: Vec<Rule>,
    /// The gaps and exposures that are no part of them, and why; by reason.
    pub left_out: Vec<LeftOut>,
    /// Flows that a policy speaks of and that could not be tested, or were missed.
    pub untested: usize,
}

impl ChangeRequest {
    /// How many gaps its rules close.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.rules.iter().map(|rule| rule.flows.len()).sum()
    }

    /// The rules of one place together, in their order.
    #[must_use]
    pub fn places(&self) -> BTreeMap<(Cause, Place), Vec<&Rule>> {
        let mut places: BTreeMap<(Cause, Place), Vec<&Rule>> = BTreeMap::new();
        for rule in &self.rules {
            places.entry((rule.cause, rule.place)).or_default().push(rule);
        }
        places
    }
}

/// Asks for what closes `gaps`, which policies and `cells` of one sweep have shown; `untested` of its flows could not be tested.
#[must_use]
pub fn change_request(
    gaps: &[Gap],
    untested: usize,
    cells: &[Cell],
    inventory: &Inventory,
    domains: &Domains,
) -> ChangeRequest {
    let (chosen, mut left_out) = choice::choose(gaps, cells, inventory, domains);
    left_out.sort_by_key(|flow| (flow.reason, key(&flow.gap)));
    let mut places: BTreeMap<(Cause, Place), BTreeMap<Opening, Vec<Gap>>> = BTreeMap::new();
    for (opening, gap) in chosen {
        let place = places.entry((gap.cause, Place::of(&gap))).or_default();
        place.entry(opening).or_default().push(gap);
    }
    let mut rules = Vec::new();
    for ((cause, place), flows) in places {
        for joined in join::join(flows.keys().copied().collect()) {
            rules.push(rule(rules.len().saturating_add(1), cause, place, &joined, &flows));
        }
    }
    ChangeRequest { rules, left_out, untested }
}

fn rule(
    number: usize,
    cause: Cause,
    place: Place,
    joined: &join::Joined,
    flows: &BTreeMap<Opening, Vec<Gap>>,
) -> Rule {
    let is_in = |opening: &Opening| {
        joined.sources.contains(&opening.source)
            && joined.destinations.contains(&opening.destination)
            && joined.ports.contains(&opening.ports)
    };
    let mine = || flows.iter().filter(|(opening, _)| is_in(opening));
    let gaps = |fits: &dyn Fn(&Opening) -> bool| -> Vec<&Gap> {
        mine().filter(|(opening, _)| fits(opening)).flat_map(|(_, gaps)| gaps).collect()
    };
    let mut all: Vec<Gap> = gaps(&|_| true).into_iter().cloned().collect();
    all.sort_by_key(key);
    Rule {
        number,
        cause,
        place,
        since: all.iter().filter_map(|gap| gap.since).min(),
        policies: distinct(all.iter().map(|gap| gap.policy.clone())),
        sources: joined
            .sources
            .iter()
            .map(|network| Source {
                network: *network,
                vantages: distinct(
                    gaps(&|o| o.source == *network).into_iter().map(|gap| gap.vantage.clone()),
                ),
            })
            .collect(),
        destinations: joined
            .destinations
            .iter()
            .map(|address| Destination {
                address: *address,
                hosts: distinct(
                    gaps(&|o| o.destination == *address).into_iter().map(|gap| gap.target.clone()),
                ),
            })
            .collect(),
        services: joined
            .ports
            .iter()
            .map(|ports| ServicePorts {
                ports: *ports,
                services: distinct(gaps(&|o| o.ports == *ports).into_iter().map(|gap| gap.service)),
            })
            .collect(),
        flows: all,
    }
}

fn distinct<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.collect::<BTreeSet<T>>().into_iter().collect()
}

/// The order of flows, whatever order they came in.
fn key(gap: &Gap) -> (String, String, IpAddr, Service) {
    (gap.vantage.clone(), gap.target.clone(), gap.address, gap.service)
}
