//! Datagrams: whole ones and fragments, to the domain controller and back.

use std::{net::IpAddr, time::Duration};

use futures_util::future::join_all;
use sekisho_checks::{
    vantage::path_mtu::{Passage, Sizes, Ways, choose, root_dse, sizes},
    wire::ldap,
};

use super::{LDAP, LEAST, Passes, Path, largest};
use crate::{
    net::path::{Sizing, TooBig},
    vantage::ask::{Answer, Carrier, Question, Trouble, ask, ask_for},
};

/// What a rootDSE holds, in parts whose replies are small.
const PARTS: [&[&str]; 4] = [
    &["supportedControl"],
    &["supportedLDAPPolicies", "supportedCapabilities", "supportedSASLMechanisms", "supportedLDAPVersion"],
    &["dsServiceName", "serverName", "namingContexts", "dnsHostName"],
    &["subschemaSubentry", "configurationNamingContext", "schemaNamingContext", "ldapServiceName"],
];
/// LDAP message id of every request.
const ID: u32 = 1;
/// Tries of which every one must be silent before large datagrams are lost. With 5 % loss each way, and two fragments, one
/// in 100,000 series is silent by chance.
const TRIES: usize = 6;
/// The next try begins after this, or half a round trip where that is longer.
const GAP: Duration = Duration::from_millis(100);
/// The last try is waited for so long, or three round trips where that is longer.
const LAST: Duration = Duration::from_millis(400);
/// No try is waited for longer.
const LONGEST: Duration = Duration::from_millis(1_500);
/// The same for one step of a search: a wrong one makes a number wrong, and no verdict.
const STEPS: usize = 5;
const STEP_GAP: Duration = Duration::from_millis(40);
const STEP_LAST: Duration = Duration::from_millis(250);
/// What is silent is tried again after this: a device may ration its ICMP errors.
const QUIET: Duration = Duration::from_secs(1);
/// Devices that may each say that a datagram is too large for their next link. Then it is not tested any further.
const NARROWER: usize = 8;
/// A domain controller answers no larger request over UDP (LDAP policy MaxDatagramRecv, 4096 by default).
const LARGEST: u32 = 4_000;
/// A request in fragments is larger than what the first link carries by so much.
const BEYOND: u32 = 500;
/// A reply that comes whole tells something from this size on: what fits through the narrowest tunnels tells nothing.
const WHOLE: usize = 1_300;

/// What was found out with datagrams. Sizes are octets of a packet.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) ways: Ways,
    pub(super) fragments: Ways,
    /// The largest that arrived, where no larger ones are lost.
    pub(super) reached: Option<u32>,
    /// One that is lost, and the round trip of small ones.
    lost: Option<(u32, Duration)>,
    pub(super) hop: Option<IpAddr>,
    pub(super) trouble: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ToTarget,
    FromTarget,
    FragmentsTo,
    FragmentsFrom,
}

const KINDS: [Kind; 4] = [Kind::ToTarget, Kind::FromTarget, Kind::FragmentsTo, Kind::FragmentsFrom];

/// What came of one kind of datagrams.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    passage: Passage,
    /// The size that passed, or was lost.
    size: u32,
    hop: Option<IpAddr>,
}

/// Datagrams under test.
struct Test<'a> {
    path: &'a Path<'a>,
    mtu: u32,
    sizes: Sizes,
    rtt: Duration,
    patience: [Duration; TRIES],
}

pub(super) async fn test(path: &Path<'_>) -> Found {
    let trouble = |word| Found { trouble: Some(word), ..Found::default() };
    let Some(mtu) = path.interface_mtu else { return trouble("failed") };
    let (sizes, rtt) = match learn(path).await {
        Ok(learned) => learned,
        Err(why) => return trouble(why.word()),
    };
    Test { path, mtu, sizes, rtt, patience: patience(rtt, GAP, LAST) }.run().await
}

/// How long each try is waited for, by the round trip of a small one.
fn patience<const N: usize>(rtt: Duration, gap: Duration, last: Duration) -> [Duration; N] {
    std::array::from_fn(|n| {
        if n + 1 < N { (rtt / 2).clamp(gap, LONGEST) } else { (rtt * 3).clamp(last, LONGEST) }
    })
}

impl Found {
    /// The largest request that passes, where larger ones are lost.
    pub(super) async fn search(&self, path: &Path<'_>) -> Option<u32> {
        let (lost, rtt) = self.lost?;
        largest(path, lost, None, &Steps { path, patience: patience(rtt, STEP_GAP, STEP_LAST) }).await
    }
}

/// The steps of a search.
struct Steps<'a> {
    path: &'a Path<'a>,
    patience: [Duration; STEPS],
}

impl Passes for Steps<'_> {
    async fn passes(&self, size: u32) -> bool {
        request(self.path, Sizing::Whole, size, &self.patience).await.is_ok()
    }
}

/// Asks for each part: small requests with small replies, which is the control for everything that follows.
async fn learn(path: &Path<'_>) -> Result<(Sizes, Duration), Trouble> {
    let parts = PARTS.map(|part| async move {
        let question = question(path, Carrier::Datagram, ldap::root_dse_request(ID, part));
        ask(path.means, &question, |reply| sizes(reply, ID)).await
    });
    let (mut all, mut rtt, mut trouble) = (Sizes::new(), None, Trouble::Silent);
    for answer in join_all(parts).await {
        match answer {
            Ok(answer) => {
                all.extend(answer.value);
                rtt = Some(rtt.map_or(answer.took, |rtt: Duration| rtt.min(answer.took)));
            }
            Err(why) => trouble = why,
        }
    }
    rtt.map(|rtt| (all, rtt)).ok_or(trouble)
}

fn question(path: &Path<'_>, carrier: Carrier, request: Vec<u8>) -> Question {
    Question { address: path.address, port: LDAP, carrier, request }
}

impl Test<'_> {
    async fn run(&self) -> Found {
        let mut tried = self.all(&KINDS).await;
        let lost = |tried: &[Tried]| -> Vec<Kind> {
            let lost = KINDS.iter().zip(tried).filter(|(_, tried)| tried.passage == Passage::Lost);
            lost.map(|(kind, _)| *kind).collect()
        };
        let again = lost(&tried);
        if !again.is_empty() {
            tokio::time::sleep(QUIET).await;
            let second = self.all(&again).await;
            // Only after the large ones: a domain controller that went away meanwhile lost nothing.
            let control = self.small().await;
            for (kind, second) in again.into_iter().zip(second) {
                let known = KINDS.iter().position(|other| *other == kind).and_then(|n| tried.get_mut(n));
                if let Some(known) = known {
                    *known = if control { second } else { Tried::default() };
                }
            }
        }
        self.found(&tried)
    }

    fn found(&self, tried: &[Tried]) -> Found {
        let of = |kind| {
            KINDS.iter().zip(tried).find(|(k, _)| **k == kind).map_or_else(Tried::default, |(_, t)| *t)
        };
        let to = of(Kind::ToTarget);
        let passage = |kind| of(kind).passage;
        Found {
            ways: Ways { to_target: to.passage, from_target: passage(Kind::FromTarget) },
            fragments: Ways {
                to_target: passage(Kind::FragmentsTo),
                from_target: passage(Kind::FragmentsFrom),
            },
            reached: Some(to.size).filter(|_| to.passage == Passage::Ok),
            lost: Some((to.size, self.rtt)).filter(|_| to.passage == Passage::Lost),
            hop: to.hop,
            trouble: None,
        }
    }

    async fn all(&self, kinds: &[Kind]) -> Vec<Tried> {
        join_all(kinds.iter().map(|kind| Box::pin(self.one(*kind)))).await
    }

    async fn one(&self, kind: Kind) -> Tried {
        let passage = match kind {
            Kind::ToTarget => return self.whole_request().await,
            Kind::FromTarget => self.whole_reply().await,
            Kind::FragmentsTo => self.cut_request().await,
            Kind::FragmentsFrom => self.cut_reply().await,
        };
        Tried { passage, ..Tried::default() }
    }

    /// The largest request that the first link carries, or that a device on the way says it does.
    async fn whole_request(&self) -> Tried {
        let (mut size, mut hop) = (self.mtu.min(LARGEST), None);
        for _ in 0..NARROWER {
            let passage = match self.request(Sizing::Whole, size).await {
                Err(Trouble::TooBig(TooBig { mtu, by })) if (LEAST..size).contains(&mtu) => {
                    (size, hop) = (mtu, by);
                    continue;
                }
                // A device that does not say what it carries: as good as silent.
                Err(Trouble::TooBig(TooBig { by, .. })) => {
                    hop = by.or(hop);
                    Passage::Lost
                }
                other => passage(&other),
            };
            return Tried { passage, size, hop };
        }
        Tried { hop, ..Tried::default() }
    }

    /// The largest reply that may come whole.
    async fn whole_reply(&self) -> Passage {
        let limit = usize::try_from(self.mtu.saturating_sub(self.path.udp_headers())).unwrap_or_default();
        let limit = limit.min(usize::try_from(LARGEST).unwrap_or_default());
        match self.reply(&choose(&self.sizes, limit)).await {
            Ok(answer) if !(WHOLE..=limit).contains(&answer.value) => Passage::Untested,
            other => passage(&other),
        }
    }

    async fn cut_request(&self) -> Passage {
        let size = self.mtu.saturating_add(BEYOND);
        if size > LARGEST {
            return Passage::Untested;
        }
        passage(&self.request(Sizing::Fragments, size).await)
    }

    /// A reply that is larger than what the first link carries: everything that was answered in parts.
    async fn cut_reply(&self) -> Passage {
        let all: Vec<&str> = self.sizes.keys().map(String::as_str).collect();
        let whole = usize::try_from(self.mtu.saturating_sub(self.path.udp_headers())).unwrap_or(usize::MAX);
        match self.reply(&all).await {
            Ok(answer) if answer.value <= whole => Passage::Untested,
            other => passage(&other),
        }
    }

    /// Whether a small request is answered.
    async fn small(&self) -> bool {
        let question = question(self.path, Carrier::Datagram, ldap::root_dse_request(ID, &["currentTime"]));
        ask(self.path.means, &question, |reply| sizes(reply, ID)).await.is_ok()
    }

    async fn request(&self, sizing: Sizing, size: u32) -> Result<Answer<usize>, Trouble> {
        request(self.path, sizing, size, &self.patience).await
    }

    /// A small request, and its reply's size.
    async fn reply(&self, attributes: &[&str]) -> Result<Answer<usize>, Trouble> {
        let question = question(self.path, Carrier::Datagram, ldap::root_dse_request(ID, attributes));
        size(self.path, &question, &self.patience).await
    }
}

/// A request that makes a packet of this size, and a small reply.
async fn request(
    path: &Path<'_>,
    sizing: Sizing,
    octets: u32,
    patience: &[Duration],
) -> Result<Answer<usize>, Trouble> {
    let payload = usize::try_from(octets.saturating_sub(path.udp_headers())).unwrap_or_default();
    let question = question(path, Carrier::Sized(sizing), root_dse(ID, payload));
    size(path, &question, patience).await
}

/// Asks, and gives the reply's size.
async fn size(path: &Path<'_>, question: &Question, patience: &[Duration]) -> Result<Answer<usize>, Trouble> {
    ask_for(path.means, question, patience, |reply| sizes(reply, ID).map(|_| reply.len())).await
}

fn passage<T>(asked: &Result<T, Trouble>) -> Passage {
    match asked {
        Ok(_) => Passage::Ok,
        Err(Trouble::Silent) => Passage::Lost,
        Err(_) => Passage::Untested,
    }
}
