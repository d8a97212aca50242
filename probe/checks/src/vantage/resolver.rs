//! The resolvers that a host uses: do they know the domain, and are they who they seem to be.
//!
//! The status is that of this host's own resolvers, because whatever is installed here asks them: those of `resolv.conf`,
//! and behind a stub the servers that it forwards to. Resolvers that are named for the domain are tested beside them; one
//! that fails is a warning while the host's own ones are well. Of the own ones the first with a definite answer decides, as
//! for a client, which takes "no such name" for an answer and goes on after silence or an error.

mod reply;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use sekisho_model::{CheckStatus, Facts};

use super::judgement::Judgement;
use crate::wire::dns::{Response, Srv, rcode_name};

pub use reply::{Says, says};

/// How a resolver came to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It stands in this host's `resolv.conf`.
    Own,
    /// It is the stub of systemd-resolved, which stands there.
    Stub,
    /// The stub forwards to it.
    Upstream,
    /// It was named for the domain.
    Named,
}

impl Origin {
    const fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Stub => "stub",
            Self::Upstream => "upstream",
            Self::Named => "named",
        }
    }
}

/// What came of a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Told {
    /// A response.
    Answer {
        /// The response.
        response: Response,
        /// How long it took.
        took: Duration,
        /// IP time to live that it arrived with.
        ttl: Option<u8>,
    },
    /// None; one word of why.
    Failed(&'static str),
    /// This machine could not ask, or may not; why.
    Local(String),
    /// It was not asked.
    #[default]
    NotAsked,
}

impl Told {
    /// The response, where there is one.
    #[must_use]
    pub const fn response(&self) -> Option<&Response> {
        match self {
            Self::Answer { response, .. } => Some(response),
            Self::Failed(_) | Self::Local(_) | Self::NotAsked => None,
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "ok",
            Self::Failed(word) => word,
            Self::Local(_) => "local",
            Self::NotAsked => "not-asked",
        }
    }
}

/// A resolver under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// Address.
    pub address: IpAddr,
    /// How it came to be asked.
    pub origin: Origin,
    /// SRV records of the domain's controllers, over UDP.
    pub udp: Told,
    /// The same over TCP.
    pub tcp: Told,
    /// The start of authority of the domain.
    pub zone: Told,
    /// The addresses of a random name in the domain, which nobody has.
    pub random: Told,
}

/// A domain controller that is asked for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Address.
    pub address: IpAddr,
    /// SRV records of the domain's controllers.
    pub records: Told,
    /// The addresses of the random name.
    pub random: Told,
    /// It answers a netlogon ping for the domain.
    pub is_controller: bool,
    /// IP times to live of its replies from port 53.
    pub dns_ttls: BTreeSet<u8>,
    /// The same of replies to netlogon pings, from port 389.
    pub ping_ttls: BTreeSet<u8>,
}

impl Controller {
    /// Replies of two ports came over ways of different lengths, or from two devices: something answers one of them in
    /// the place of the other. Several ways of equal cost can look so too, for which several replies are compared.
    #[must_use]
    pub fn ttl_differs(&self) -> bool {
        let known = !self.dns_ttls.is_empty() && !self.ping_ttls.is_empty();
        known && self.dns_ttls.is_disjoint(&self.ping_ttls)
    }
}

/// All that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The domain.
    pub domain: String,
    /// The resolvers, this host's own first, in the order of asking.
    pub resolvers: Vec<Resolver>,
    /// Domain controllers.
    pub controllers: Vec<Controller>,
    /// Why this host's own resolvers are not known.
    pub unreadable: Option<String>,
}

impl Seen {
    fn controller(&self, address: IpAddr) -> Option<&Controller> {
        self.controllers.iter().find(|controller| controller.address == address)
    }
}

/// Judges what was seen.
#[must_use]
pub fn judge(seen: &Seen) -> (CheckStatus, Facts) {
    let mut judgement = Judgement::default();
    let judged: Vec<(&Resolver, Says)> = seen.resolvers.iter().map(|r| (r, says(seen, r))).collect();
    for (number, (resolver, says)) in judged.iter().enumerate() {
        facts(&mut judgement, number.saturating_add(1), resolver, *says);
    }
    let (named, own): (Vec<_>, Vec<_>) = judged.iter().partition(|(r, _)| r.origin == Origin::Named);
    decide(&mut judgement, seen, &own);
    // One that may not be asked says nothing about the network.
    let unwell = named.iter().filter(|(_, says)| !matches!(says, Says::Serves | Says::Untested));
    let unwell: Vec<String> = unwell.map(|(r, s)| with_word(r, *s)).collect();
    let detail = format!("resolvers that were named for the domain: {}", unwell.join(", "));
    if !unwell.is_empty() {
        judgement.find(CheckStatus::Warning, "named-resolver", detail);
    }
    for (resolver, says) in own.iter().chain(&named) {
        carriers(&mut judgement, resolver, *says);
    }
    compare(&mut judgement, seen);
    judgement.finish()
}

fn with_word(resolver: &Resolver, says: Says) -> String {
    format!("{} {}", resolver.address, says.word())
}

/// What the host's own resolvers come to.
fn decide(judgement: &mut Judgement, seen: &Seen, own: &[&(&Resolver, Says)]) {
    use CheckStatus::{Problem, Unknown, Warning};
    let list = || own.iter().map(|(r, s)| with_word(r, *s)).collect::<Vec<_>>().join(", ");
    if own.is_empty() {
        let why = seen.unreadable.as_deref().unwrap_or("this host has no resolver configured");
        return judgement.find(Problem, "no-resolver", why);
    }
    if let Some((resolver, _)) = own.iter().find(|(_, says)| *says == Says::Hijacks) {
        let detail = format!("what answers at {} is not who it seems to be", resolver.address);
        judgement.find(Problem, "hijacked-resolver", detail);
    }
    match own.iter().find(|(_, says)| says.is_definite()) {
        Some((_, Says::Denies)) => judgement.find(Problem, "domain-unknown", list()),
        Some((_, Says::DeniesRecords)) => judgement.find(Problem, "no-dc-records", list()),
        Some((_, Says::External)) => judgement.find(Problem, "external-resolver", list()),
        Some(_) => {}
        None if own.iter().any(|(_, says)| *says == Says::Untested) => {
            judgement.find(Unknown, "not-tested", list());
        }
        // A public resolver may refuse instead of denying.
        None if own.iter().all(|(_, says)| matches!(says, Says::ExternalRefuses | Says::Silent))
            && own.iter().any(|(_, says)| *says == Says::ExternalRefuses) =>
        {
            judgement.find(Problem, "external-resolver", list());
        }
        None if own.iter().any(|(_, says)| matches!(says, Says::Fails | Says::ExternalRefuses)) => {
            judgement.find(Problem, "resolver-error", list());
        }
        None => judgement.find(Problem, "no-resolver-answers", list()),
    }
    // The first definite answer is that the domain is known: what the others say matters when that one is away.
    for (_, says) in own {
        match says {
            Says::Serves | Says::Hijacks => {}
            Says::External | Says::ExternalRefuses => judgement.find(Warning, "external-resolver", list()),
            Says::Denies | Says::DeniesRecords => judgement.find(Warning, "domain-unknown", list()),
            Says::Fails => judgement.find(Warning, "resolver-error", list()),
            Says::Silent => judgement.find(Warning, "resolver-silent", list()),
            Says::Untested => judgement.find(Warning, "not-tested", list()),
        }
    }
}

/// Large answers need TCP, and everything begins with UDP.
fn carriers(judgement: &mut Judgement, resolver: &Resolver, says: Says) {
    if says != Says::Serves {
        return;
    }
    let (udp, tcp) = (resolver.udp.response().is_some(), resolver.tcp.response().is_some());
    let found = match (udp, tcp) {
        (true, false) => Some(("udp-only", format!("{} does not answer over TCP", resolver.address))),
        (false, true) => Some(("tcp-only", format!("{} does not answer over UDP", resolver.address))),
        (true, true) | (false, false) => None,
    };
    if let Some((reason, detail)) = found {
        judgement.find(CheckStatus::Warning, reason, detail);
    }
    if resolver.random.response().is_some_and(|response| response.addresses().next().is_some()) {
        let detail = format!("{} gives an address to a name that nobody has", resolver.address);
        judgement.find(CheckStatus::Warning, "wildcard", detail);
    }
}

/// What the domain controllers say themselves.
fn compare(judgement: &mut Judgement, seen: &Seen) {
    let answered: Vec<(&Controller, BTreeSet<&Srv>)> =
        seen.controllers.iter().filter_map(|c| Some((c, records(&c.records)?))).collect();
    let mut differing = Vec::new();
    for resolver in &seen.resolvers {
        let Some(known) = records(&resolver.udp).or_else(|| records(&resolver.tcp)) else { continue };
        for (controller, records) in answered.iter().filter(|(c, _)| c.address != resolver.address) {
            if *records != known {
                differing.push(format!("{} from {}", controller.address, resolver.address));
            }
        }
    }
    judgement.find_any(CheckStatus::Warning, "answers-differ", "differs-at", &differing);
    let ttls: Vec<String> = seen.controllers.iter().filter(|c| c.ttl_differs()).map(ttls).collect();
    judgement.find_any(CheckStatus::Warning, "reply-ttl-differs", "ttl-differs", &ttls);
    judgement.count("dcs-compared", answered.len());
}

fn ttls(controller: &Controller) -> String {
    let text = |ttls: &BTreeSet<u8>| ttls.iter().map(u8::to_string).collect::<Vec<_>>().join("/");
    format!(
        "{}: {} from port 53, {} from port 389",
        controller.address,
        text(&controller.dns_ttls),
        text(&controller.ping_ttls)
    )
}

/// The records of a response that has some and is whole.
fn records(told: &Told) -> Option<BTreeSet<&Srv>> {
    let response = told.response().filter(|response| response.rcode == 0 && !response.truncated)?;
    Some(response.services().collect::<BTreeSet<_>>()).filter(|records| !records.is_empty())
}

/// The facts of one resolver: at most eleven.
fn facts(judgement: &mut Judgement, number: usize, resolver: &Resolver, says: Says) {
    let name = |part: &str| format!("resolver-{number}{part}");
    judgement.fact(&name(""), resolver.address.to_string());
    judgement.fact(&name("-origin"), resolver.origin.word());
    judgement.fact(&name("-says"), says.word());
    for (part, told) in [("-udp", &resolver.udp), ("-tcp", &resolver.tcp)] {
        judgement.fact(&name(part), told.word());
        if let Told::Answer { took, .. } = told {
            let micros = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
            judgement.fact(&name(&format!("{part}-us")), micros);
        }
    }
    if let Some(response) = resolver.udp.response().or_else(|| resolver.tcp.response()) {
        judgement.fact(&name("-rcode"), rcode_name(response.rcode));
        judgement.fact(&name("-authoritative"), response.authoritative);
        if let Some(zone) = &response.denied_by {
            let zone = if zone.is_empty() { "." } else { zone };
            judgement.text(&name("-denied-by"), zone);
        }
    }
    if let Some(address) = resolver.random.response().and_then(|response| response.addresses().next()) {
        judgement.fact(&name("-random-name"), address.to_string());
    }
}
