//! Datagrams: whole ones and fragments, to the domain controller and back.

mod kind;

use std::{net::IpAddr, time::Duration};

use futures_util::future::join_all;
use sekisho_checks::{
    vantage::path_mtu::{Passage, Sizes, Ways, sizes},
    wire::ldap,
};

use self::kind::{ID, KINDS, Kind, Test, Tried, question, request};
use super::{LEAST, Passes, Path, largest};
use crate::{
    net::path::Sizing,
    vantage::ask::{Carrier, Trouble, ask},
};

/// What a rootDSE holds, in parts whose replies are small.
const PARTS: [&[&str]; 4] = [
    &["supportedControl"],
    &["supportedLDAPPolicies", "supportedCapabilities", "supportedSASLMechanisms", "supportedLDAPVersion"],
    &["dsServiceName", "serverName", "namingContexts", "dnsHostName"],
    &["subschemaSubentry", "configurationNamingContext", "schemaNamingContext", "ldapServiceName"],
];
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
        let steps = Steps { path, patience: patience(rtt, STEP_GAP, STEP_LAST) };
        Some(largest(path, lost, None, &steps).await)
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
            // Only after the large ones: a domain controller that went away meanwhile lost nothing. A padded request must
            // pass where it is small, or else size is not what is wrong.
            let (small, padded) = (self.small().await, self.request(Sizing::Whole, LEAST).await.is_ok());
            for (kind, second) in again.into_iter().zip(second) {
                let control = match kind {
                    Kind::ToTarget | Kind::FragmentsTo => small && padded,
                    Kind::FromTarget | Kind::FragmentsFrom => small,
                };
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
}
