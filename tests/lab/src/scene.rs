//! Scenes as data: what differs from the lab as it is, and what is true then. One file of `scenes/` each.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::LazyLock};

use anyhow::Context;
use sekisho_model::{CheckKind, CheckStatus, Outcome, Service, Transport};
use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    Expectation, Signal, WantedFacts,
    domain::Variations,
    topology::{Kind, Link, Node, Route},
    truth,
};

/// The files, by name.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scenes.rs"));

/// One scene. Its parts are set up in the order in which they stand here, and struck in reverse.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// Its name: that of its file.
    #[serde(skip)]
    pub name: &'static str,
    /// What is wrong in it, in a sentence.
    pub about: String,
    /// More nodes.
    #[serde(default, rename = "node")]
    pub(crate) nodes: Vec<Node>,
    /// More cables.
    #[serde(default, rename = "link")]
    pub(crate) links: Vec<Link>,
    /// More routes, of more nodes or of those that are there.
    #[serde(default, rename = "route")]
    pub(crate) routes: Vec<Route>,
    /// `ip` commands, by node.
    #[serde(default)]
    pub(crate) ip: BTreeMap<String, IpCommands>,
    /// Programs that run to their end. `FOLDER` in an argument stands for a folder of the scene's own.
    #[serde(default, rename = "command")]
    pub(crate) commands: Vec<Command>,
    /// How domain controllers differ. They are started anew. `FOLDER` in an option is as above.
    #[serde(default)]
    pub(crate) controllers: Variations,
    /// DNS records in the domain's own database.
    #[serde(default)]
    pub(crate) dns: Dns,
    /// Programs that run as long as the scene is on, in nodes of its own.
    #[serde(default, rename = "program")]
    pub(crate) programs: Vec<Program>,
    /// Sets and chains of a table of the scene's own, by node.
    #[serde(default)]
    pub(crate) nft: BTreeMap<String, String>,
    /// A probe is given the targets by name, as in a sweep: then the names must resolve. Otherwise by address.
    #[serde(default)]
    pub by_name: bool,
    /// More targets of its flows.
    #[serde(default)]
    targets: BTreeMap<String, Ipv4Addr>,
    #[serde(default, rename = "flow")]
    flows: Vec<Flow>,
    #[serde(default, rename = "check")]
    checks: Vec<ExpectedCheck>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IpCommands {
    pub(crate) on: String,
    /// What takes them back.
    pub(crate) off: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    pub(crate) node: String,
    pub(crate) on: Vec<String>,
    /// What takes it back; nothing where what it made is in `FOLDER`.
    #[serde(default)]
    pub(crate) off: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dns {
    #[serde(default)]
    pub(crate) add: Vec<Record>,
    #[serde(default)]
    pub(crate) remove: Vec<Record>,
}

/// A DNS record, in the words of `samba-tool dns`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) zone: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) data: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    pub(crate) node: String,
    pub(crate) run: Vec<String>,
    /// The ports on which it listens when it is ready.
    pub(crate) listens: Vec<Port>,
}

/// A port as it is written: `udp/53`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Port(pub(crate) Transport, pub(crate) u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let (transport, number) = word.split_once('/').unwrap_or_default();
        match (transport, number.parse()) {
            ("tcp", Ok(number)) => Ok(Self(Transport::Tcp, number)),
            ("udp", Ok(number)) => Ok(Self(Transport::Udp, number)),
            _ => Err(D::Error::custom(format!("\"{word}\" is not a port such as udp/53"))),
        }
    }
}

/// Who a probe runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Without any capability.
    Nobody,
    /// With all.
    Root,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flow {
    vantage: String,
    target: String,
    services: Vec<Service>,
    outcome: Outcome,
    signal: Signal,
    by: Option<Ipv4Addr>,
    #[serde(default)]
    facts: WantedFacts,
    root: Option<SeenByRoot>,
}

/// What raw sockets show besides, or instead.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenByRoot {
    outcome: Option<Outcome>,
    by: Option<Ipv4Addr>,
    #[serde(default)]
    facts: WantedFacts,
}

/// What a check of a vantage comes to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedCheck {
    /// Name of the vantage.
    pub vantage: String,
    /// First label of the target's host name, where the check concerns one.
    pub target: Option<String>,
    /// What is checked.
    pub check: CheckKind,
    /// How it ends.
    pub status: CheckStatus,
    /// The facts that must be found.
    #[serde(default)]
    pub facts: WantedFacts,
}

impl Scene {
    /// What its flows come to.
    #[must_use]
    pub fn flows(&self, user: User) -> Vec<Expectation> {
        self.flows.iter().flat_map(|flow| self.expand(flow, user)).collect()
    }

    fn expand(&self, flow: &Flow, user: User) -> Vec<Expectation> {
        let Some(address) = self.address(&flow.target) else { return Vec::new() };
        let root = flow.root.as_ref().filter(|_| user == User::Root);
        let one = |service: &Service| Expectation {
            vantage: flow.vantage.clone(),
            target: flow.target.clone(),
            address,
            service: *service,
            outcome: root.and_then(|root| root.outcome).unwrap_or(flow.outcome),
            by: root.and_then(|root| root.by).or(flow.by),
            signal: flow.signal,
            facts: flow
                .facts
                .clone()
                .into_iter()
                .chain(root.map(|r| r.facts.clone()).unwrap_or_default())
                .collect(),
        };
        flow.services.iter().map(one).collect()
    }

    /// Whether root sees something else.
    #[must_use]
    pub fn differs_for_root(&self) -> bool {
        self.flows.iter().any(|flow| flow.root.is_some())
    }

    /// What its checks of vantages come to.
    #[must_use]
    pub fn checks(&self) -> &[ExpectedCheck] {
        &self.checks
    }

    /// Address of a target, one of the lab's or one of its own.
    #[must_use]
    pub fn address(&self, target: &str) -> Option<Ipv4Addr> {
        self.targets.get(target).copied().or_else(|| truth::target(target))
    }

    /// Address of one of its nodes.
    pub(crate) fn end(&self, node: &str) -> Option<Ipv4Addr> {
        let mut ends = self.links.iter().flat_map(|link| [&link.a, &link.b]);
        ends.find(|end| end.node == node).map(|end| end.address.addr())
    }

    /// Whether domain controllers are started anew for it.
    pub(crate) fn changes_domain(&self) -> bool {
        !self.controllers.is_empty() || self.nodes.iter().any(|node| node.kind == Kind::DomainController)
    }

    /// Name of its nft tables.
    pub(crate) fn table(&self) -> String {
        format!("scene-{}", self.name)
    }
}

/// All scenes, by name.
#[must_use]
#[expect(clippy::panic, reason = "the files are compiled in, and a test parses them")]
pub fn scenes() -> &'static [Scene] {
    static SCENES: LazyLock<Vec<Scene>> = LazyLock::new(|| {
        let parse = |(name, text): &(&'static str, &str)| match toml::from_str::<Scene>(text) {
            Ok(scene) => Scene { name, ..scene },
            Err(error) => panic!("scenes/{name}.toml: {error}"),
        };
        FILES.iter().map(parse).collect()
    });
    &SCENES
}

/// The scene of that name.
///
/// # Errors
/// Where there is none; the error names those that there are.
pub fn scene(name: &str) -> anyhow::Result<&'static Scene> {
    scenes().iter().find(|scene| scene.name == name).with_context(|| {
        let known: Vec<&str> = scenes().iter().map(|scene| scene.name).collect();
        format!("there is no scene {name}; there are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests;
