//! The network as data: `topology.toml`.

use std::{net::Ipv4Addr, sync::LazyLock};

use ipnet::Ipv4Net;
use serde::Deserialize;

/// The whole network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Everything inside the lab has an address of it.
    pub campus: Ipv4Net,
    /// The node with the link to the root namespace.
    pub(crate) management: String,
    /// The node that drops packets when it is told to.
    pub(crate) lossy: String,
    /// The Active Directory domain.
    pub domain: Domain,
    /// The namespaces.
    #[serde(rename = "node")]
    pub nodes: Vec<Node>,
    /// The cables.
    #[serde(rename = "link")]
    pub(crate) links: Vec<Link>,
    #[serde(rename = "route")]
    pub(crate) routes: Vec<Route>,
    pub(crate) farm: Farm,
}

/// The Active Directory domain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// DNS name.
    pub name: String,
    /// The name of older protocols.
    pub netbios: String,
    /// Password of the account Administrator. The lab is no secret.
    pub administrator_password: String,
}

/// One namespace.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name in the lab.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// Name server of the programs in it.
    pub resolver: Option<Ipv4Addr>,
    /// File of its access list.
    pub(crate) acl: Option<String>,
    /// A domain controller that joins the domain as one that only reads.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// TCP ports that accept and say nothing.
    #[serde(default)]
    pub(crate) silent: Vec<u16>,
    /// TCP ports that speak HTTP.
    #[serde(default)]
    pub(crate) http: Vec<u16>,
}

/// What a namespace does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Forwards, and holds an access list.
    Router,
    /// Where probes run.
    Vantage,
    /// Samba.
    DomainController,
    /// Some other computer.
    Host,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) a: End,
    pub(crate) b: End,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) node: String,
    pub(crate) interface: String,
    pub(crate) address: Ipv4Net,
    /// The neighbours of the network are not on this link.
    #[serde(default)]
    pub(crate) host_only: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    pub(crate) node: String,
    pub(crate) to: Ipv4Net,
    pub(crate) via: Option<Ipv4Addr>,
    pub(crate) dev: Option<String>,
    #[serde(default)]
    pub(crate) unreachable: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Farm {
    pub(crate) node: String,
    pub(crate) network: Ipv4Net,
    pub(crate) hosts: u8,
    pub(crate) acl: String,
    pub(crate) tcp: Vec<u16>,
    pub(crate) link: Link,
}

impl Topology {
    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The first address of a node.
    #[must_use]
    pub fn address(&self, node: &str) -> Option<Ipv4Addr> {
        self.ends(node).next().map(|end| end.address.addr())
    }

    /// The nodes where probes run.
    pub fn vantages(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.kind == Kind::Vantage)
    }

    pub(crate) fn ends(&self, node: &str) -> impl Iterator<Item = &End> {
        self.links.iter().flat_map(|link| [&link.a, &link.b]).filter(move |end| end.node == node)
    }
}

/// The access list of that file name.
pub(crate) fn acl(file: &str) -> anyhow::Result<&'static str> {
    match file {
        "edge.nft" => Ok(include_str!("../acl/edge.nft")),
        "core.nft" => Ok(include_str!("../acl/core.nft")),
        "farm.nft" => Ok(include_str!("../acl/farm.nft")),
        "loss.nft" => Ok(include_str!("../acl/loss.nft")),
        unknown => anyhow::bail!("topology.toml names the access list {unknown}, which is not compiled in"),
    }
}

/// The network of every lab.
#[must_use]
#[expect(clippy::expect_used, reason = "the file is compiled in, and a test parses it")]
pub fn topology() -> &'static Topology {
    static TOPOLOGY: LazyLock<Topology> =
        LazyLock::new(|| toml::from_str(include_str!("../topology.toml")).expect("topology.toml is valid"));
    &TOPOLOGY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_routes_join_nodes_that_exist() {
        let topology = topology();
        for end in topology.links.iter().flat_map(|link| [&link.a, &link.b]) {
            assert!(topology.node(&end.node).is_some(), "{}", end.node);
            assert!(topology.campus.contains(&end.address.addr()), "{}", end.address);
            assert!(end.interface.len() <= 15, "{}", end.interface);
        }
        for route in &topology.routes {
            assert!(topology.node(&route.node).is_some(), "{}", route.node);
            let ways = [route.via.is_some(), route.dev.is_some(), route.unreachable];
            assert_eq!(ways.iter().filter(|way| **way).count(), 1, "route of {} to {}", route.node, route.to);
        }
    }

    #[test]
    fn names_fit_namespaces_and_access_lists_are_compiled_in() {
        for node in &topology().nodes {
            assert!(node.name.chars().all(|c| c.is_ascii_alphanumeric()), "{}", node.name);
            if let Some(file) = &node.acl {
                acl(file).unwrap();
            }
        }
        acl(&topology().farm.acl).unwrap();
        assert!(acl("other.nft").is_err());
        assert!(topology().nodes.iter().any(|node| node.kind == Kind::DomainController));
        assert!(topology().node(&topology().management).is_some());
        assert!(topology().node(&topology().lossy).is_some());
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(toml::from_str::<Node>("name = \"x\"\nkind = \"host\"").is_ok());
        assert!(toml::from_str::<Node>("name = \"x\"\nkind = \"host\"\nport = 1").is_err());
    }
}
