//! Names of networks, hosts and services that Aerleon takes: upper case ASCII, digits, `_`, and each of them one thing only.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::super::{ChangeRequest, Ports};

/// Longest name: some generators cut what is longer, and two could become one.
const LONGEST: usize = 31;

/// The names of everything in a request.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) networks: BTreeMap<IpNet, String>,
    pub(super) hosts: BTreeMap<IpAddr, String>,
    pub(super) services: BTreeMap<Ports, String>,
}

impl Names {
    pub(super) fn of(request: &ChangeRequest) -> Self {
        let mut names = Self::default();
        // Networks and hosts are one table in Aerleon, services another.
        let (mut taken, mut taken_services) = (BTreeSet::new(), BTreeSet::new());
        for rule in &request.rules {
            for source in &rule.sources {
                let called = source.vantages.first().map_or("", String::as_str);
                let address = source.network.to_string();
                let name = || unique("NET_", called, &address, &mut taken);
                names.networks.entry(source.network).or_insert_with(name);
            }
            for destination in &rule.destinations {
                let called = destination.hosts.first().map_or("", String::as_str);
                let address = destination.address.to_string();
                let name = || unique("HOST_", called, &address, &mut taken);
                names.hosts.entry(destination.address).or_insert_with(name);
            }
            for service in &rule.services {
                let (ports, behind) = (service.ports, service.services.first());
                let called = match behind {
                    _ if ports.is_dynamic() => "rpc-dynamic".to_owned(),
                    Some(service) => service.name(),
                    None => String::new(),
                };
                let name = || unique("SVC_", &called, &ports.to_string(), &mut taken_services);
                names.services.entry(ports).or_insert_with(name);
            }
        }
        names
    }

    pub(super) fn network(&self, network: IpNet) -> Option<&str> {
        self.networks.get(&network).map(String::as_str)
    }

    pub(super) fn host(&self, address: IpAddr) -> Option<&str> {
        self.hosts.get(&address).map(String::as_str)
    }

    pub(super) fn service(&self, ports: Ports) -> Option<&str> {
        self.services.get(&ports).map(String::as_str)
    }
}

/// The name by which something is called, where it can be written and nobody has it; else its address; else a number.
fn unique(prefix: &str, called: &str, address: &str, taken: &mut BTreeSet<String>) -> String {
    let candidates = [called, address].into_iter().filter_map(|text| safe(prefix, text));
    let numbered = (1_u64..).map(|number| format!("{prefix}{number}"));
    let name = candidates.chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(name.clone());
    name
}

/// What is left of a text in a name; `None` where that is nothing, or not the whole.
fn safe(prefix: &str, text: &str) -> Option<String> {
    let safe: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let name = format!("{prefix}{safe}");
    (text.is_ascii() && !text.is_empty() && name.len() <= LONGEST).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_short_and_each_one_thing() {
        let mut taken = BTreeSet::new();
        let mut name = |called: &str, address: &str| unique("NET_", called, address, &mut taken);
        assert_eq!(name("vlan20", "10.77.20.0/24"), "NET_VLAN20");
        assert_eq!(name("vlan-20", "10.78.20.0/24"), "NET_VLAN_20");
        assert_eq!(name("vlan_20", "10.79.20.0/24"), "NET_10_79_20_0_24");
        assert_eq!(name("東京-サーバー", "10.80.0.0/16"), "NET_10_80_0_0_16");
        assert_eq!(name(&"x".repeat(40), "fd00:1:2:3:4:5:6:0/112"), "NET_FD00_1_2_3_4_5_6_0_112");
        assert_eq!(name("", "fd00:1111:2222:3333:4444:5555:6666:0/112"), "NET_1");
        assert_eq!(name("1", "10.81.0.0/16"), "NET_10_81_0_0_16");
    }
}
