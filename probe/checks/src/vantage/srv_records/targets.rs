//! What the records point to, and the rule of the locator: one domain controller must answer that has a directory, speaks
//! LDAP and is writable (MS-ADTS 6.3.1.2; a join asks for such a one).

use std::{collections::BTreeSet, net::IpAddr};

use sekisho_model::CheckStatus;

use super::{Ping, Said, Seen, Server, targets};
use crate::exchange::report::same_name;
use crate::vantage::judgement::Judgement;
use crate::wire::cldap::{Extended, flag};

/// Netlogon of the domain controller is paused, MS-ADTS 6.3.1.9.
const PAUSED: u16 = 24;

/// The answer of a domain controller of the domain at an address.
fn answer(seen: &Seen, address: IpAddr) -> Option<&Extended> {
    if let Some(Ping::Answer(answer)) = seen.pings.get(&address)
        && same_name(&answer.domain, &seen.domain)
    {
        return Some(answer);
    }
    None
}

/// What a target comes to, at one of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate<'a> {
    /// A domain controller of the domain, under the name that the records say.
    Good(&'a str),
    /// A domain controller of the domain, under another name.
    Renamed(&'a str),
    /// It answers, and is no domain controller of the domain.
    NotOurs,
    Closed,
    Paused,
    Nt4,
    Unanswered,
    NotSent,
}

impl<'a> Fate<'a> {
    fn of(seen: &'a Seen, host: &str, address: IpAddr) -> Self {
        match seen.pings.get(&address) {
            Some(Ping::Answer(answer)) if !same_name(&answer.domain, &seen.domain) => Self::NotOurs,
            Some(Ping::Answer(answer)) if answer.opcode == PAUSED => Self::Paused,
            Some(Ping::Answer(answer)) if answer.host.is_empty() || same_name(&answer.host, host) => {
                Self::Good(&answer.host)
            }
            Some(Ping::Answer(answer)) => Self::Renamed(&answer.host),
            Some(Ping::Nt4) => Self::Nt4,
            Some(Ping::NotServed) => Self::NotOurs,
            Some(Ping::Closed) => Self::Closed,
            Some(Ping::NotSent(_)) | None => Self::NotSent,
            Some(Ping::Unanswered(_)) => Self::Unanswered,
        }
    }
}

/// A host of the records at one address.
type Place<'a> = (&'a str, IpAddr, Fate<'a>);

pub(super) fn judge(judgement: &mut Judgement, seen: &Seen, resolver: &Server) {
    let hosts = targets(resolver);
    let places = places(seen, &hosts);
    let at = |wanted: fn(&Fate<'_>) -> bool| -> Vec<String> {
        places.iter().filter(|(.., f)| wanted(f)).map(|(host, ip, _)| format!("{host} {ip}")).collect()
    };
    let without = |wanted: fn(Option<&Said>) -> bool| -> Vec<&str> {
        hosts.iter().copied().filter(|host| wanted(seen.hosts.get(*host))).collect()
    };
    locator(judgement, seen, resolver, &places);
    judgement.list("targets", &at(|_| true));
    let nowhere = without(|said| matches!(said, Some(Said::Nothing)));
    judgement.find_any(CheckStatus::Warning, "targets-without-address", "targets-without-address", &nowhere);
    judgement.find_any(CheckStatus::Warning, "not-a-dc", "not-a-dc", &at(|f| *f == Fate::NotOurs));
    judgement.find_any(CheckStatus::Warning, "dead-targets", "dead-targets", &at(|f| *f == Fate::Closed));
    judgement.find_any(CheckStatus::Warning, "stale-targets", "stale-targets", &renamed(&places));
    judgement.find_any(CheckStatus::Warning, "bad-addresses", "bad-addresses", &misplaced(&places));
    judgement.find_any(
        CheckStatus::Warning,
        "netlogon-paused",
        "netlogon-paused",
        &at(|f| *f == Fate::Paused),
    );
    judgement.find_any(CheckStatus::Warning, "nt4-emulation", "nt4-emulation", &at(|f| *f == Fate::Nt4));
    judgement.find_any(
        CheckStatus::Warning,
        "targets-unanswered",
        "unanswered",
        &without_result(seen, &places, Fate::Unanswered),
    );
    judgement.find_any(
        CheckStatus::Warning,
        "not-tested",
        "not-tested",
        &without_result(seen, &places, Fate::NotSent),
    );
    let unresolved =
        without(|said| matches!(said, Some(Said::Error(_) | Said::Unanswered | Said::NotSent(_))));
    let name = "targets-unresolved";
    judgement.find_any(CheckStatus::Warning, name, name, &unresolved);
    if seen.left_out > 0 {
        judgement.count("targets-left-out", seen.left_out);
    }
    site(judgement, seen);
    others(judgement, seen, &places);
}

fn places<'a>(seen: &'a Seen, hosts: &BTreeSet<&'a str>) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    for host in hosts.iter().copied() {
        if let Some(Said::Addresses(addresses)) = seen.hosts.get(host) {
            places.extend(addresses.iter().map(|address| (host, *address, Fate::of(seen, host, *address))));
        }
    }
    places
}

/// The rule of the locator, for the targets that it would ping.
fn locator(judgement: &mut Judgement, seen: &Seen, resolver: &Server, all: &[Place<'_>]) {
    let locating = seen.names.iter().zip(&resolver.said).filter(|(name, _)| name.locates);
    let said: Vec<Said> = locating.map(|(_, said)| said.clone()).collect();
    let pinged = Server { said, ..resolver.clone() };
    let hosts = targets(&pinged);
    let places: Vec<&Place<'_>> = all.iter().filter(|(host, ..)| hosts.contains(host)).collect();
    let usable = places.iter().filter(|(.., fate)| matches!(fate, Fate::Good(_) | Fate::Renamed(_)));
    let answers: Vec<&Extended> = usable.filter_map(|(_, address, _)| answer(seen, *address)).collect();
    let usable = distinct(answers.iter().copied());
    let writable = distinct(answers.iter().copied().filter(|answer| is_writable(answer)));
    judgement.count("dcs-answered", usable.len());
    judgement.count("writable-dcs", writable.len());
    if !writable.is_empty() || hosts.is_empty() {
        return;
    }
    if seen.left_out > 0 {
        let detail = "the records name more targets than are asked here, and of those that were none will do";
        return judgement.find(CheckStatus::Unknown, "targets-left-out", detail);
    }
    let any = |wanted: fn(&Fate<'_>) -> bool| places.iter().any(|(.., fate)| wanted(fate));
    if any(|fate| *fate == Fate::NotSent) {
        judgement.find(CheckStatus::Unknown, "not-tested", "some of the targets could not be asked");
    } else if !usable.is_empty() {
        let detail = "no domain controller that answers from here is writable, and a join needs one";
        judgement.find(CheckStatus::Problem, "no-writable-dc", detail);
    } else if places.is_empty() {
        let unresolved = hosts.iter().any(|host| !matches!(seen.hosts.get(*host), Some(Said::Nothing)));
        let (status, reason) = if unresolved {
            (CheckStatus::Unknown, "targets-unresolved")
        } else {
            (CheckStatus::Problem, "no-target-with-address")
        };
        judgement.find(status, reason, "");
    } else {
        let detail = if any(|fate| *fate == Fate::Unanswered) {
            "no target of the records answers a netlogon ping (389/udp) from here: a join ends with 1355, \
             ERROR_NO_SUCH_DOMAIN. Silence does not tell an ACL from a domain controller that is down"
        } else {
            "no target of the records is a domain controller of this domain that can be used: a join ends with \
             1355, ERROR_NO_SUCH_DOMAIN"
        };
        judgement.find(CheckStatus::Problem, "no-dc-answers", detail);
    }
}

fn distinct<'a>(answers: impl Iterator<Item = &'a Extended>) -> BTreeSet<String> {
    answers.map(|answer| answer.host.to_ascii_lowercase()).collect()
}

const fn is_writable(answer: &Extended) -> bool {
    let needed = flag::DS | flag::LDAP | flag::WRITABLE;
    answer.flags & needed == needed
}

fn renamed(places: &[Place<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for (host, address, fate) in places {
        if let Fate::Renamed(name) = fate {
            found.push(format!("{host} {address} is {name}"));
        }
    }
    found
}

/// Addresses that no other host can reach.
fn misplaced(places: &[Place<'_>]) -> Vec<String> {
    let wrong = |ip: &IpAddr| {
        let link = match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        link || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast()
    };
    places.iter().filter(|(_, ip, _)| wrong(ip)).map(|(host, ip, _)| format!("{host} {ip}")).collect()
}

/// Targets that came to this fate, with the reason.
fn without_result(seen: &Seen, places: &[Place<'_>], fate: Fate<'_>) -> Vec<String> {
    let wanted = places.iter().filter(|(.., of)| *of == fate);
    wanted
        .map(|(host, address, _)| {
            let why = seen.pings.get(address).and_then(why).unwrap_or("not asked");
            format!("{host} {address} ({why})")
        })
        .collect()
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the others have a result")]
fn why(ping: &Ping) -> Option<&str> {
    match ping {
        Ping::Unanswered(why) | Ping::NotSent(why) => Some(why),
        _ => None,
    }
}

/// The answers of domain controllers of the domain.
fn answers(seen: &Seen) -> impl Iterator<Item = (IpAddr, &Extended)> {
    seen.pings.keys().filter_map(|address| Some((*address, answer(seen, *address)?)))
}

fn site(judgement: &mut Judgement, seen: &Seen) {
    let mut answers = answers(seen).map(|(_, answer)| answer);
    let Some(first) = answers.next() else { return };
    judgement.text("forest", &first.forest);
    judgement.text("dc-site", &first.dc_site);
    match [first].into_iter().chain(answers).find(|answer| !answer.client_site.is_empty()) {
        Some(answer) => judgement.text("client-site", &answer.client_site),
        None => {
            let detail = "no subnet object of the directory covers this address, so members take any site";
            judgement.find(CheckStatus::Warning, "no-client-site", detail);
        }
    }
}

/// Domain controllers that are known and that the records do not name: some are kept out on purpose.
fn others(judgement: &mut Judgement, seen: &Seen, places: &[Place<'_>]) {
    let hidden: Vec<String> = answers(seen)
        .filter(|(address, _)| places.iter().all(|(_, named, _)| named != address))
        .map(|(address, answer)| format!("{} {address}", answer.host))
        .collect();
    judgement.list("dcs-without-records", &hidden);
}
