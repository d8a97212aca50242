//! The records by themselves: missing, twice, at a wrong port, and different from server to server.

use sekisho_model::CheckStatus;

use super::{Name, Need, Said, Seen, Server};
use crate::vantage::judgement::Judgement;
use crate::wire::dns::Srv;

pub(super) fn judge(judgement: &mut Judgement, seen: &Seen, resolver: &Server) {
    let of = |wanted: fn(&Name, &Said) -> bool, need: Need| -> Vec<&str> {
        let pairs = seen.names.iter().zip(&resolver.said);
        let wanted = pairs.filter(|(name, said)| name.need == need && wanted(name, said));
        wanted.map(|(name, _)| name.text.as_str()).collect()
    };
    let missing = |need| of(|_, said| *said == Said::Nothing, need);
    let unanswered = |need| of(|name, said| !said.answers(name.kind) && *said != Said::NotAsked, need);
    // The facts hold all of them, whatever the need.
    let (required, expected) = (missing(Need::Required), missing(Need::Expected));
    judgement.list("names-missing", &[required.clone(), expected.clone()].concat());
    if !required.is_empty() {
        judgement.find(CheckStatus::Problem, "missing-records", "");
    }
    let (open, minor) = (unanswered(Need::Required), unanswered(Need::Expected));
    judgement.list("names-unanswered", &[open.clone(), minor.clone()].concat());
    let not_asked = !of(|_, said| *said == Said::NotAsked, Need::Required).is_empty();
    if !open.is_empty() || not_asked {
        judgement.find(CheckStatus::Unknown, "names-unanswered", "");
    }
    if !expected.is_empty() {
        judgement.find(CheckStatus::Warning, "missing-records", "");
    }
    if !minor.is_empty() {
        judgement.find(CheckStatus::Warning, "names-unanswered", "");
    }
    let services: Vec<(&Name, &[Srv])> = services(seen, resolver);
    judgement.find_any(CheckStatus::Warning, "duplicate-records", "duplicates", &duplicates(&services));
    judgement.find_any(CheckStatus::Warning, "wrong-ports", "wrong-ports", &wrong_ports(&services));
    judgement.find_any(CheckStatus::Warning, "answers-differ", "differs-at", &differences(seen, resolver));
    let direct = seen.servers.iter().filter(|s| !s.resolver && s.said.first().is_some_and(Said::is_definite));
    judgement.count("dcs-compared", direct.count());
}

#[allow(clippy::wildcard_enum_match_arm, reason = "nothing else holds records")]
fn services<'a>(seen: &'a Seen, resolver: &'a Server) -> Vec<(&'a Name, &'a [Srv])> {
    let pairs = seen.names.iter().zip(&resolver.said);
    pairs
        .filter_map(|(name, said)| match said {
            Said::Services(services) => Some((name, services.as_slice())),
            _ => None,
        })
        .collect()
}

/// The same target at the same port more than once: DNS itself has no equal records, so they differ in priority or weight.
fn duplicates(services: &[(&Name, &[Srv])]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, records) in services {
        for (place, record) in records.iter().enumerate() {
            let same = |other: &Srv| (&other.target, other.port) == (&record.target, record.port);
            let text = format!("{} at {}", record.target, name.text);
            if records.iter().take(place).any(same) && !found.contains(&text) {
                found.push(text);
            }
        }
    }
    found
}

fn wrong_ports(services: &[(&Name, &[Srv])]) -> Vec<String> {
    let all = services.iter().flat_map(|(name, records)| records.iter().map(move |record| (name, record)));
    all.filter(|(name, record)| record.port != name.port)
        .map(|(name, record)| format!("{}:{} at {}", record.target, record.port, name.text))
        .collect()
}

/// Who says something else, and to what. A server that gives no definite answer is not compared.
fn differences(seen: &Seen, resolver: &Server) -> Vec<String> {
    let differing =
        seen.servers.iter().filter(|server| server.address != resolver.address).filter_map(|server| {
            let pairs = seen.names.iter().zip(resolver.said.iter().zip(&server.said));
            let mut names = pairs
                .filter(|(_, (one, other))| one.is_definite() && other.is_definite() && one != other)
                .map(|(name, _)| name.text.as_str());
            let first = names.next()?;
            Some(match names.count() {
                0 => format!("{}: {first}", server.address),
                more => format!("{}: {first} and {more} more", server.address),
            })
        });
    differing.collect()
}
