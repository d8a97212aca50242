//! What the replies of one resolver say together.

use std::net::IpAddr;

use super::{Resolver, Seen, Told};
use crate::wire::dns::{Record, Response};

/// What a resolver says of the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It has SRV records of the domain's controllers.
    Serves,
    /// There is no such domain.
    Denies,
    /// There is the domain, and no SRV record of its controllers: the zone `_msdcs` may be missing.
    DeniesRecords,
    /// There is no such domain, says one with a public address.
    External,
    /// One with a public address refuses to answer.
    ExternalRefuses,
    /// It makes up addresses, or is not who it seems to be.
    Hijacks,
    /// It answers with an error.
    Fails,
    /// It does not answer.
    Silent,
    /// This machine could not ask it, or may not.
    Untested,
}

impl Says {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Serves => "serves",
            Self::Denies => "denies",
            Self::DeniesRecords => "denies-records",
            Self::External => "external",
            Self::ExternalRefuses => "external-refuses",
            Self::Hijacks => "hijacks",
            Self::Fails => "fails",
            Self::Silent => "silent",
            Self::Untested => "untested",
        }
    }

    /// A client that hears it asks nobody else.
    pub(super) const fn is_definite(self) -> bool {
        matches!(self, Self::Serves | Self::Denies | Self::DeniesRecords | Self::External | Self::Hijacks)
    }
}

const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// What a resolver says of the domain.
#[must_use]
pub fn says(seen: &Seen, resolver: &Resolver) -> Says {
    let replies = [&resolver.udp, &resolver.tcp];
    let Some(response) = best(replies) else {
        let local = |told: &&Told| matches!(told, Told::Local(_) | Told::NotAsked);
        return if replies.iter().any(local) { Says::Untested } else { Says::Silent };
    };
    let serves = response.rcode == 0 && response.services().next().is_some();
    if hijacks(seen, resolver, response, serves) {
        return Says::Hijacks;
    }
    let public = is_public(resolver.address);
    match response.rcode {
        0 if serves => Says::Serves,
        // A cut response without the rest says nothing of the records.
        0 if response.truncated => Says::Fails,
        // A public zone of the same name, of which the public internet knows, is not the domain.
        0 | NXDOMAIN if has_zone(&resolver.zone, public) => Says::DeniesRecords,
        0 | NXDOMAIN if public => Says::External,
        0 | NXDOMAIN => Says::Denies,
        REFUSED if public => Says::ExternalRefuses,
        _ => Says::Fails,
    }
}

/// The response that says most: a whole one before a cut one.
fn best(replies: [&Told; 2]) -> Option<&Response> {
    let mut responses = replies.into_iter().filter_map(Told::response);
    let first = responses.next()?;
    if first.truncated { responses.next().or(Some(first)) } else { Some(first) }
}

fn has_zone(told: &Told, with_authority: bool) -> bool {
    let soa = |record: &Record| matches!(record, Record::Soa { .. });
    told.response().is_some_and(|response| {
        response.rcode == 0 && response.answers.iter().any(soa) && (response.authoritative || !with_authority)
    })
}

/// A zone says that the name is there and has no such record, as it does of a name that its wildcard covers
/// (RFC 2308 2.2, RFC 4592 2.2.1).
const fn is_of_a_zone(response: &Response) -> bool {
    response.rcode == 0 && response.denied_by.is_some()
}

/// Two proofs of a hijacker.
///
/// A name that nobody has gets an address: from one that knows nothing of the domain, or against what a domain controller
/// says with authority. A wildcard record in the zone gives addresses too, and then the controllers agree. So may a
/// wildcard of a public zone of the name, or of one above it, which proves nothing.
///
/// Or the address belongs to a domain controller, which denies its own domain, in replies that came another way than
/// those to its pings.
fn hijacks(seen: &Seen, resolver: &Resolver, response: &Response, serves: bool) -> bool {
    let invents = resolver.random.response().is_some_and(|response| response.addresses().next().is_some());
    let denied = |told: &Told| {
        told.response().is_some_and(|response| response.rcode == NXDOMAIN && response.authoritative)
    };
    let from_nowhere = !serves && !has_zone(&resolver.zone, false) && !is_of_a_zone(response);
    if invents && (from_nowhere || seen.controllers.iter().any(|controller| denied(&controller.random))) {
        return true;
    }
    let itself = seen.controller(resolver.address);
    let denies = !serves && matches!(response.rcode, 0 | NXDOMAIN | REFUSED) && !response.truncated;
    denies && itself.is_some_and(|controller| controller.is_controller && controller.ttl_differs())
}

/// Whether an address is one of the public internet: none of RFC 1918, RFC 4193, RFC 6598, of loopback and of links.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && (64..128).contains(&second);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses() {
        for public in ["8.8.8.8", "100.63.0.1", "100.128.0.1", "172.32.0.1", "2001:4860:4860::8888"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.53",
            "169.254.1.1",
            "fd00::1",
            "::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }
}
