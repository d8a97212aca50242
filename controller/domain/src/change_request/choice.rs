//! Which gaps a change of an access list can mend, and which not.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use sekisho_model::{Cell, Outcome, Service};
use serde::{Deserialize, Serialize};

use super::{Opening, Ports};
use crate::{
    Inventory,
    attribution::Cause,
    gaps::{Gap, GapKind},
    inventory::{Expectation, Policy},
    policy::{Domains, Policies},
};

/// Why a gap is no part of the request, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Something on the way answers in the target's name, or takes packets out of a connection.
    Middlebox,
    /// Its rule would open a flow as well that no policy allows.
    WouldOpen,
    /// Its vantage has no subnet.
    NoSubnet,
    /// Its vantage's subnet and its target's address are not of one family.
    OtherFamily,
    /// The service on the target does not work.
    ServiceDown,
    /// The target is not there.
    HostDown,
    /// The vantage reaches nothing.
    VantageDown,
    /// There is no way to the target.
    Routing,
    /// Nothing proves an access list.
    Unknown,
    /// It is open and policy denies it.
    Exposure,
}

/// A flow that would be opened too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Beside {
    /// Name of its vantage.
    pub vantage: String,
    /// Its target.
    pub target: String,
    /// Its service.
    pub service: Service,
    /// The policy that denies it; none speaks of it where this is `None`.
    pub policy: Option<String>,
}

/// A gap that no rule opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Why.
    pub reason: Reason,
    /// The flow that would be opened too, where that is the reason.
    pub beside: Option<Beside>,
    /// The gap.
    #[serde(flatten)]
    pub gap: Gap,
}

/// The gaps that rules are to open, with their openings, and the others.
pub(super) fn choose(
    gaps: &[Gap],
    cells: &[Cell],
    inventory: &Inventory,
    domains: &Domains,
) -> (Vec<(Opening, Gap)>, Vec<LeftOut>) {
    let subnets: BTreeMap<&str, IpNet> = inventory
        .vantages
        .iter()
        .filter_map(|vantage| vantage.subnet.map(|subnet| (vantage.name.as_str(), subnet)))
        .collect();
    let policies = Policies::new(inventory, domains);
    let forbidden = Forbidden::new(cells, &policies, &subnets);
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for gap in gaps {
        // Its group is a place in the report of gaps.
        let gap = Gap { group: None, ..gap.clone() };
        let decided =
            opening(&gap, subnets.get(gap.vantage.as_str()).copied()).map_err(|reason| (reason, None));
        let decided = decided.and_then(|opening| match forbidden.touched(opening) {
            Some(beside) => Err((Reason::WouldOpen, Some(beside))),
            None => Ok(opening),
        });
        match decided {
            Ok(opening) => chosen.push((opening, gap)),
            Err((reason, beside)) => left_out.push(LeftOut { reason, beside, gap }),
        }
    }
    (chosen, left_out)
}

fn opening(gap: &Gap, subnet: Option<IpNet>) -> Result<Opening, Reason> {
    if gap.kind == GapKind::Exposure {
        return Err(Reason::Exposure);
    }
    match gap.cause {
        Cause::PathFilter | Cause::HostFilter => {}
        Cause::Middlebox => return Err(Reason::Middlebox),
        Cause::ServiceDown => return Err(Reason::ServiceDown),
        Cause::HostDown => return Err(Reason::HostDown),
        Cause::VantageDown => return Err(Reason::VantageDown),
        Cause::Routing => return Err(Reason::Routing),
        Cause::Unknown => return Err(Reason::Unknown),
    }
    let source = subnet.ok_or(Reason::NoSubnet)?;
    if source.addr().is_ipv4() != gap.address.is_ipv4() {
        return Err(Reason::OtherFamily);
    }
    Ok(Opening { source, destination: gap.address, ports: Ports::of(gap.service, gap.port) })
}

/// Flows that must not be opened.
struct Forbidden<'a> {
    /// Those of the sweep, by address of their target.
    swept: BTreeMap<IpAddr, Vec<(IpNet, Ports, Beside)>>,
    /// What the sweep knows of.
    flows: BTreeSet<(&'a str, &'a str, Service)>,
    /// A cell of each target, by address.
    targets: BTreeMap<IpAddr, BTreeMap<&'a str, &'a Cell>>,
    policies: &'a Policies<'a>,
    subnets: &'a BTreeMap<&'a str, IpNet>,
    /// Services that some policy denies.
    denied: BTreeSet<Service>,
}

impl<'a> Forbidden<'a> {
    fn new(cells: &'a [Cell], policies: &'a Policies<'a>, subnets: &'a BTreeMap<&'a str, IpNet>) -> Self {
        let (mut swept, mut flows, mut targets) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let (decided, _) = policies.judge(cells);
        for (cell, policy) in cells.iter().zip(decided) {
            flows.insert((cell.vantage.as_str(), cell.target.as_str(), cell.service));
            let of_address: &mut BTreeMap<_, _> = targets.entry(cell.address).or_default();
            of_address.entry(cell.target.as_str()).or_insert(cell);
            let is_forbidden = match policy.map(|policy| policy.expect) {
                Some(Expectation::Allow) => false,
                Some(Expectation::Deny) => true,
                None => cell.outcome != Outcome::Open,
            };
            if let (true, Some(subnet)) = (is_forbidden, subnets.get(cell.vantage.as_str())) {
                let of_address: &mut Vec<_> = swept.entry(cell.address).or_default();
                of_address.push((*subnet, Ports::of(cell.service, cell.port), beside(cell, policy)));
            }
        }
        Self { swept, flows, targets, policies, subnets, denied: policies.denied() }
    }

    /// The first of them that an opening would open.
    fn touched(&self, opening: Opening) -> Option<Beside> {
        let swept = self.swept.get(&opening.destination).into_iter().flatten();
        let touched = swept
            .filter(|(subnet, ports, _)| opening.source.contains(subnet) && opening.ports.meets(*ports))
            .map(|(_, _, beside)| beside)
            .min();
        touched.cloned().or_else(|| self.denied_beyond(opening))
    }

    /// The same among flows that the sweep does not have: policy speaks of them all the same.
    fn denied_beyond(&self, opening: Opening) -> Option<Beside> {
        let vantages = self.subnets.iter().filter(|(_, subnet)| opening.source.contains(*subnet));
        let services: Vec<Service> =
            self.denied.iter().copied().filter(|s| opening.ports.meets(Ports::of(*s, None))).collect();
        for (vantage, _) in vantages {
            for (target, cell) in self.targets.get(&opening.destination)? {
                for &service in services.iter().filter(|s| !self.flows.contains(&(*vantage, *target, **s))) {
                    let flow = Cell { vantage: (*vantage).to_owned(), service, ..(*cell).clone() };
                    let policy = self.policies.deciding(&flow);
                    if policy.is_some_and(|policy| policy.expect == Expectation::Deny) {
                        return Some(beside(&flow, policy));
                    }
                }
            }
        }
        None
    }
}

fn beside(cell: &Cell, policy: Option<&Policy>) -> Beside {
    Beside {
        vantage: cell.vantage.clone(),
        target: cell.target.clone(),
        service: cell.service,
        policy: policy.map(|policy| policy.name.to_string()),
    }
}
