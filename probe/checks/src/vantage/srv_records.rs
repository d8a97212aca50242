//! The names that a member of a domain looks up, what they point to, and whether the locator of domain controllers finds
//! one from here (MS-ADTS 6.3.6.1).
//!
//! The resolver that answers first in its list decides, as it does for a client. What other resolvers and the domain
//! controllers themselves say is compared with it. Silence proves nothing about a target: it may be an ACL.

mod names;
mod records;
mod targets;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use sekisho_model::{CheckStatus, Facts};

use super::judgement::Judgement;
use crate::wire::cldap::Extended;
use crate::wire::dns::{Kind, Response, Srv, rcode_name};

pub use names::{FIRST, Name, Need, Places, names};

/// What a server said to one of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// SRV records.
    Services(Vec<Srv>),
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// There is none: no such name, or no record of that kind.
    Nothing,
    /// Another response code.
    Error(u16),
    /// No answer, or one that was cut and could not be had in full.
    Unanswered,
    /// This machine could not ask; why.
    NotSent(String),
    /// It was not asked.
    NotAsked,
}

impl Said {
    /// What a response says to a question of a kind.
    #[must_use]
    pub fn of(response: &Response, kind: Kind) -> Self {
        let mut services: Vec<Srv> = response.services().cloned().collect();
        let mut addresses: Vec<IpAddr> = response.addresses().collect();
        services.sort();
        addresses.sort();
        match (response.rcode, kind) {
            (0, _) if response.truncated => Self::Unanswered,
            (0, Kind::Srv) if !services.is_empty() => Self::Services(services),
            (0, Kind::A | Kind::Aaaa) if !addresses.is_empty() => Self::Addresses(addresses),
            (0 | 3, _) => Self::Nothing,
            (rcode, _) => Self::Error(rcode),
        }
    }

    /// It answers a question of a kind.
    const fn answers(&self, kind: Kind) -> bool {
        match self {
            Self::Services(_) => matches!(kind, Kind::Srv),
            Self::Addresses(_) => matches!(kind, Kind::A | Kind::Aaaa),
            Self::Nothing => true,
            Self::Error(_) | Self::Unanswered | Self::NotSent(_) | Self::NotAsked => false,
        }
    }

    /// The server knows: a client that hears it asks nobody else.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        matches!(self, Self::Services(_) | Self::Addresses(_) | Self::Nothing)
    }
}

/// A DNS server, with what it said to each of the names, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// It is one of the resolvers; otherwise a domain controller that is asked for comparison.
    pub resolver: bool,
    /// What it said.
    pub said: Vec<Said>,
}

/// What came of a netlogon ping to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ping {
    /// An answer.
    Answer(Box<Extended>),
    /// An answer in the form of NT 4.0, which clients of this century do not use.
    Nt4,
    /// An answer that it does not serve the domain.
    NotServed,
    /// The host itself says that nobody listens.
    Closed,
    /// No answer; what came instead, in words.
    Unanswered(String),
    /// It was not asked: this machine cannot, or may not; why.
    NotSent(String),
}

/// All that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The domain.
    pub domain: String,
    /// What was asked for; the name that a join asks for first at the beginning.
    pub names: Vec<Name>,
    /// Who was asked, resolvers in the order of asking.
    pub servers: Vec<Server>,
    /// What the deciding resolver says of the addresses of each target.
    pub hosts: BTreeMap<String, Said>,
    /// What came of the pings.
    pub pings: BTreeMap<IpAddr, Ping>,
    /// Lowest time to live of the records of the first name, seconds.
    pub ttl: Option<u32>,
    /// Targets beyond the bound, which nobody asked.
    pub left_out: usize,
    /// Why resolvers were not asked, where the local scope forbids it.
    pub forbidden: Option<String>,
}

/// The resolver that decides: the first that gives a definite answer to the first name, as for a client.
#[must_use]
pub fn deciding(servers: &[Server]) -> Option<&Server> {
    servers.iter().find(|server| server.resolver && server.said.first().is_some_and(Said::is_definite))
}

/// The hosts that a server names for any service.
#[must_use]
#[allow(clippy::wildcard_enum_match_arm, reason = "nothing else names a host")]
pub fn targets(server: &Server) -> BTreeSet<&str> {
    let services = server.said.iter().filter_map(|said| match said {
        Said::Services(services) => Some(services),
        _ => None,
    });
    services.flatten().map(|srv| srv.target.as_str()).collect()
}

/// Judges what was seen.
#[must_use]
pub fn judge(seen: &Seen) -> (CheckStatus, Facts) {
    let mut judgement = Judgement::default();
    judgement.count("names-asked", seen.names.len());
    match deciding(&seen.servers) {
        Some(resolver) => {
            judgement.fact("resolver", resolver.address.to_string());
            if let Some(ttl) = seen.ttl {
                judgement.fact("ttl-s", i64::from(ttl));
            }
            records::judge(&mut judgement, seen, resolver);
            targets::judge(&mut judgement, seen, resolver);
        }
        None => undecided(&mut judgement, seen),
    }
    judgement.finish()
}

/// No resolver gave a definite answer. What is the matter with the network comes before what is the matter with the probe,
/// but a resolver that could not be asked might be well.
fn undecided(judgement: &mut Judgement, seen: &Seen) {
    use CheckStatus::{Problem, Unknown};
    let resolvers: Vec<(IpAddr, Option<&Said>)> =
        seen.servers.iter().filter(|s| s.resolver).map(|s| (s.address, s.said.first())).collect();
    let not_sent = resolvers.iter().find_map(|(address, said)| match said {
        Some(Said::NotSent(why)) => Some(format!("{address}: {why}")),
        _ => None,
    });
    if let Some(why) = not_sent.or_else(|| seen.forbidden.clone()) {
        return judgement.find(Unknown, "not-tested", why);
    }
    let errors = resolvers.iter().filter_map(|(address, said)| match said {
        Some(Said::Error(rcode)) => Some(format!("{address} answers {}", rcode_name(*rcode))),
        _ => None,
    });
    let errors: Vec<String> = errors.collect();
    let list = resolvers.iter().map(|(address, _)| address.to_string()).collect::<Vec<_>>().join(", ");
    if resolvers.is_empty() {
        judgement.find(Problem, "no-resolver", "this host has no resolver configured");
    } else if errors.is_empty() {
        let detail = format!("no answer from {list}: nothing of the domain can be found");
        judgement.find(Problem, "no-resolver-answers", detail);
    } else {
        let detail = format!("{}, asked for {FIRST}{}", errors.join(", "), seen.domain);
        judgement.find(Problem, "resolver-error", detail);
    }
}
