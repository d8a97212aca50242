//! What the policies of the inventory expect of the flows of a sweep.
//!
//! **Overlaps have one rule, that of an access list: the first policy of the inventory file that speaks of a flow decides,
//! and those after it do not.** A policy speaks of a flow when all of its conditions hold:
//!
//! | condition | holds when |
//! |---|---|
//! | `from.vantage`, `from.site`, `from.vlan` | the vantage has this very name, site, VLAN id |
//! | `from.subnet` | the vantage's subnet is this one or lies in it |
//! | any other `from` | the vantage has a label of that name with this very value |
//! | `to.domain` | the target belongs to the domain |
//! | `to.target` | the target has this host name or address |
//! | `profile`, `services` | the service is among them |
//!
//! Vantages are taken from the inventory as it is; one that is no longer in it is spoken of by no policy. A flow that no
//! policy speaks of is neither a gap nor an exposure.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use sekisho_model::{Cell, Service};
use serde::{Deserialize, Serialize};

use crate::{
    Inventory,
    inventory::{Coverage, Expectation, Policy, Vantage},
    profile,
};

/// Domains of the targets, by host name and address.
pub type Domains = BTreeMap<(String, IpAddr), BTreeSet<String>>;

/// A policy with the services that it speaks of.
struct Rule<'a> {
    policy: &'a Policy,
    services: BTreeSet<Service>,
}

/// The policies of an inventory, ready to be asked.
pub struct Policies<'a> {
    rules: Vec<Rule<'a>>,
    vantages: BTreeMap<&'a str, &'a Vantage>,
    domains: &'a Domains,
}

/// Why a policy decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// No vantage of the sweep fits.
    NoVantage,
    /// No target of the sweep fits.
    NoTarget,
    /// The sweep tests none of its services.
    NoService,
    /// It fits vantages, targets and services of the sweep, but no flow of it.
    NoFlow,
    /// Policies before it decide all of its flows.
    Shadowed,
}

impl Idle {
    /// As part of a sentence: "policy x decides nothing: ...".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoVantage => "it matches no vantage of the sweep",
            Self::NoTarget => "it matches no target of the sweep",
            Self::NoService => "the sweep tests none of its services",
            Self::NoFlow => "it matches no flow of the sweep",
            Self::Shadowed => "policies before it in the inventory decide all of its flows",
        }
    }
}

/// What a policy had to say about a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Name of the policy.
    pub policy: String,
    /// What it expects.
    pub expect: Expectation,
    /// Flows that it speaks of.
    pub matched: usize,
    /// Those of them that it decides: no policy before it speaks of them.
    pub decided: usize,
    /// Its services that the sweep did not test.
    pub unswept: Vec<Service>,
    /// Why it decides nothing, where it does not.
    pub idle: Option<Idle>,
}

impl<'a> Policies<'a> {
    /// The policies of `inventory`, for targets that belong to `domains`. A policy whose profile the inventory does not have
    /// speaks of nothing.
    #[must_use]
    pub fn new(inventory: &'a Inventory, domains: &'a Domains) -> Self {
        let services = |policy: &Policy| match &policy.coverage {
            Coverage::Services(services) => services.iter().copied().collect(),
            Coverage::Profile(name) => {
                let contents = profile::contents(name.as_str(), &inventory.profiles);
                contents.map(|contents| contents.services.into_iter().collect()).unwrap_or_default()
            }
        };
        Self {
            rules: inventory
                .policies
                .iter()
                .map(|policy| Rule { policy, services: services(policy) })
                .collect(),
            vantages: inventory.vantages.iter().map(|vantage| (vantage.name.as_str(), vantage)).collect(),
            domains,
        }
    }

    /// The policy that decides about the flow of a cell.
    #[must_use]
    pub fn deciding(&self, cell: &Cell) -> Option<&'a Policy> {
        let rule = self.rules.iter().find(|rule| {
            rule.services.contains(&cell.service)
                && self.is_from(rule.policy, &cell.vantage)
                && self.is_to(rule.policy, &cell.target, cell.address)
        });
        rule.map(|rule| rule.policy)
    }

    /// The services that some policy denies to somebody.
    #[must_use]
    pub fn denied(&self) -> BTreeSet<Service> {
        let denies = |rule: &&Rule<'_>| rule.policy.expect == Expectation::Deny;
        self.rules.iter().filter(denies).flat_map(|rule| rule.services.iter().copied()).collect()
    }

    /// The deciding policy of each cell, in their order, and what each policy had to say.
    #[must_use]
    pub fn judge(&self, cells: &[Cell]) -> (Vec<Option<&'a Policy>>, Vec<Use>) {
        let swept: BTreeSet<Service> = cells.iter().map(|cell| cell.service).collect();
        let mut counts = vec![(0_usize, 0_usize); self.rules.len()];
        // Which policies fit depends on the pair; flows come by the dozen for each.
        let mut pairs: BTreeMap<(&str, &str, IpAddr), Vec<usize>> = BTreeMap::new();
        let mut decided = Vec::with_capacity(cells.len());
        for cell in cells {
            let pair = (cell.vantage.as_str(), cell.target.as_str(), cell.address);
            let fitting = pairs.entry(pair).or_insert_with(|| self.fitting(cell));
            let mut first = None;
            for &place in fitting.iter() {
                let Some((rule, count)) = self.rules.get(place).zip(counts.get_mut(place)) else { continue };
                if rule.services.contains(&cell.service) {
                    count.0 = count.0.saturating_add(1);
                    if first.is_none() {
                        count.1 = count.1.saturating_add(1);
                        first = Some(rule.policy);
                    }
                }
            }
            decided.push(first);
        }
        let uses = self.rules.iter().zip(counts).map(|(rule, (matched, decided))| Use {
            policy: rule.policy.name.to_string(),
            expect: rule.policy.expect,
            matched,
            decided,
            unswept: rule.services.difference(&swept).copied().collect(),
            idle: (decided == 0).then(|| self.idle(rule, matched, cells, &swept)),
        });
        (decided, uses.collect())
    }

    /// Places of the policies that speak of this vantage and this target, in the order of the file.
    fn fitting(&self, cell: &Cell) -> Vec<usize> {
        let fits = |rule: &Rule<'_>| {
            self.is_from(rule.policy, &cell.vantage) && self.is_to(rule.policy, &cell.target, cell.address)
        };
        self.rules.iter().enumerate().filter(|(_, rule)| fits(rule)).map(|(place, _)| place).collect()
    }

    fn idle(&self, rule: &Rule<'_>, matched: usize, cells: &[Cell], swept: &BTreeSet<Service>) -> Idle {
        if matched > 0 {
            Idle::Shadowed
        } else if !cells.iter().any(|cell| self.is_from(rule.policy, &cell.vantage)) {
            Idle::NoVantage
        } else if !cells.iter().any(|cell| self.is_to(rule.policy, &cell.target, cell.address)) {
            Idle::NoTarget
        } else if rule.services.is_disjoint(swept) {
            Idle::NoService
        } else {
            Idle::NoFlow
        }
    }

    fn is_from(&self, policy: &Policy, vantage: &str) -> bool {
        let Some(vantage) = self.vantages.get(vantage) else { return false };
        policy.from.iter().all(|(key, value)| match key.as_str() {
            "vantage" => vantage.name.as_str() == value,
            "site" => vantage.site.as_ref().is_some_and(|site| site.as_str() == value),
            "vlan" => vantage.vlan.is_some_and(|vlan| value.parse() == Ok(vlan)),
            "subnet" => lies_in(vantage.subnet, value),
            label => vantage.labels.get(label) == Some(value),
        })
    }

    fn is_to(&self, policy: &Policy, target: &str, address: IpAddr) -> bool {
        policy.to.iter().all(|(key, value)| match key.as_str() {
            "domain" => {
                let domains = self.domains.get(&(target.to_owned(), address));
                domains.is_some_and(|domains| domains.contains(value))
            }
            "target" => target.eq_ignore_ascii_case(value) || value.parse() == Ok(address),
            // The inventory has no other condition; one that is not understood does not hold.
            _ => false,
        })
    }
}

fn lies_in(subnet: Option<IpNet>, wanted: &str) -> bool {
    subnet.zip(wanted.parse::<IpNet>().ok()).is_some_and(|(subnet, wanted)| wanted.contains(&subnet))
}
