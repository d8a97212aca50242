//! Selectors: which vantages and which targets a draft speaks of, as the policies of the inventory name them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use sekisho_model::Cell;

use crate::{
    Inventory,
    inventory::{Label, Vantage},
    policy::Domains,
};

/// A target of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target<'a> {
    name: &'a str,
    address: IpAddr,
}

impl<'a> Target<'a> {
    pub(super) fn of(cell: &'a Cell) -> Self {
        Self { name: &cell.target, address: cell.address }
    }

    /// What may stand for it, the more readable first.
    pub(super) fn selectors(&self) -> [To; 2] {
        [To::Target(self.name.to_owned()), To::Target(self.address.to_string())]
    }
}

/// Which targets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum To {
    /// Those of a domain.
    Domain(String),
    /// Those of a host name or an address.
    Target(String),
}

impl To {
    pub(super) fn conditions(&self) -> BTreeMap<String, String> {
        let (key, value) = match self {
            Self::Domain(domain) => ("domain", domain),
            Self::Target(target) => ("target", target),
        };
        BTreeMap::from([(key.to_owned(), value.clone())])
    }

    /// The inventory takes short texts only.
    pub(super) fn is_expressible(&self) -> bool {
        let (Self::Domain(value) | Self::Target(value)) = self;
        value.parse::<Label>().is_ok()
    }

    pub(super) fn fits(&self, target: &Target<'_>, domains: &Domains) -> bool {
        match self {
            Self::Domain(domain) => {
                let of_target = domains.get(&(target.name.to_owned(), target.address));
                of_target.is_some_and(|domains| domains.contains(domain))
            }
            Self::Target(value) => {
                target.name.eq_ignore_ascii_case(value) || value.parse() == Ok(target.address)
            }
        }
    }
}

/// Which vantages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct From {
    pub(super) conditions: BTreeMap<String, String>,
    /// Those of the inventory that fit.
    pub(super) vantages: BTreeSet<String>,
}

/// Lengths of the subnets around those of vantages. Wider ones say no more than "all".
const SUBNETS_V4: [u8; 3] = [24, 20, 16];
const SUBNETS_V6: [u8; 3] = [64, 56, 48];

/// Selectors that at least two of these vantages fit, and then each of these by its name. Of selectors that fit the same
/// ones the first is the one to take.
pub(super) fn candidates(inventory: &Inventory, vantages: &BTreeSet<&str>) -> Vec<From> {
    let mut conditions: BTreeSet<(u8, Option<(String, String)>)> = BTreeSet::new();
    let of_these = inventory.vantages.iter().filter(|vantage| vantages.contains(vantage.name.as_str()));
    for vantage in of_these.clone() {
        let labels = vantage.labels.iter().map(|(key, value)| (0, Some((key.clone(), value.clone()))));
        conditions.extend(labels);
        conditions.extend(vantage.site.as_ref().map(|site| (1, Some(("site".to_owned(), site.to_string())))));
        let around = vantage.subnet.into_iter().flat_map(around);
        conditions
            .extend(around.map(|(rank, subnet)| (rank, Some(("subnet".to_owned(), subnet.to_string())))));
    }
    conditions.insert((u8::MAX, None));
    let several = conditions.into_iter().map(|(_, condition)| selected(inventory, condition));
    let of_several = |from: &From| from.vantages.iter().filter(|v| vantages.contains(v.as_str())).count() > 1;
    let single =
        of_these.map(|vantage| selected(inventory, Some(("vantage".to_owned(), vantage.name.to_string()))));
    several.filter(of_several).chain(single).collect()
}

/// The subnets around a subnet, the narrowest first, each with its rank among selectors.
fn around(subnet: IpNet) -> Vec<(u8, IpNet)> {
    let lengths = if subnet.addr().is_ipv4() { SUBNETS_V4 } else { SUBNETS_V6 };
    let wider = lengths.into_iter().filter(|length| *length < subnet.prefix_len());
    let nets = wider.filter_map(|length| IpNet::new(subnet.addr(), length).ok());
    (2_u8..).zip(nets.map(|net| net.trunc())).collect()
}

fn selected(inventory: &Inventory, condition: Option<(String, String)>) -> From {
    let fits = |vantage: &&Vantage| condition.as_ref().is_none_or(|(key, value)| fits(vantage, key, value));
    let vantages = inventory.vantages.iter().filter(fits).map(|vantage| vantage.name.to_string()).collect();
    From { conditions: condition.into_iter().collect(), vantages }
}

fn fits(vantage: &Vantage, key: &str, value: &str) -> bool {
    match key {
        "vantage" => vantage.name.as_str() == value,
        "site" => vantage.site.as_ref().is_some_and(|site| site.as_str() == value),
        "subnet" => {
            let wanted = value.parse::<IpNet>().ok();
            vantage.subnet.zip(wanted).is_some_and(|(subnet, wanted)| wanted.contains(&subnet))
        }
        label => vantage.labels.get(label).is_some_and(|known| known == value),
    }
}
