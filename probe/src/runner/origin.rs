//! Who sent a RST: the target, or a device on the way that speaks in its name.
//!
//! A connect with a limited IP time to live dies one hop before a router that it no longer passes, and that router says
//! so (ICMP time exceeded). The number of hops to the target is found with a flow that the target surely answers. A RST
//! that comes back from fewer hops is not the target's. A filter on the last router, or on the target itself, cannot be
//! told from the target this way.

use std::{net::IpAddr, sync::Arc};

use sekisho_checks::flow::Signal;
use sekisho_model::{Outcome, Service};
use tokio::task::JoinSet;

use super::flow::{self, Subject};

/// Farthest target looked for, hops.
const FARTHEST: u8 = 32;
/// Hops asked at the same time.
const AT_ONCE: u8 = 4;
/// Attempts until a hop counts as silent.
const TRIES: usize = 6;

/// Whose RST it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A device before the target's last hop, and its address where it told.
    Device(Option<IpAddr>),
    /// The target, or the last router before it.
    TargetOrLastHop,
    /// No other flow of the target answered, so its distance is not known.
    Unproven,
}

/// What a packet with a limited time to live met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    Router(IpAddr),
    Target,
    Reset,
    Nothing,
}

/// Number of hops to the target, by a service that it surely answers.
pub(super) async fn distance(subject: &Arc<Subject>, reference: Service) -> Option<u8> {
    let mut met = Vec::new();
    while met.len() < usize::from(FARTHEST) {
        let first = u8::try_from(met.len()).unwrap_or(FARTHEST) + 1;
        met.extend(ask(subject, reference, first..=first + AT_ONCE - 1).await);
        if let Some(place) = met.iter().position(|m| *m == Met::Target) {
            return u8::try_from(place + 1).ok();
        }
    }
    None
}

/// Whose RST answers this service, given the number of hops to the target.
pub(super) async fn of_reset(subject: &Arc<Subject>, service: Service, distance: Option<u8>) -> Origin {
    let Some(distance) = distance else { return Origin::Unproven };
    if distance < 2 {
        return Origin::TargetOrLastHop;
    }
    let before = ask(subject, service, distance - 1..=distance - 1).await;
    if before.first() != Some(&Met::Reset) {
        return Origin::TargetOrLastHop;
    }
    let way = ask(subject, service, 1..=distance - 1).await;
    let nearest = way.iter().position(|m| *m == Met::Reset);
    let device = nearest.and_then(|n| n.checked_sub(1)).and_then(|n| way.get(n));
    Origin::Device(match device {
        Some(Met::Router(address)) => Some(*address),
        _ => None,
    })
}

/// Asks hops at the same time; every router gets one packet, so that none rations its answers.
async fn ask(subject: &Arc<Subject>, service: Service, hops: std::ops::RangeInclusive<u8>) -> Vec<Met> {
    let mut asked = JoinSet::new();
    for ttl in hops.clone() {
        let subject = subject.clone();
        asked.spawn(async move { (ttl, meet(&subject, service, ttl).await) });
    }
    let mut met: Vec<(u8, Met)> = Vec::new();
    while let Some(answer) = asked.join_next().await {
        met.extend(answer.ok());
    }
    hops.map(|ttl| met.iter().find(|(t, _)| *t == ttl).map_or(Met::Nothing, |(_, m)| *m)).collect()
}

async fn meet(subject: &Arc<Subject>, service: Service, ttl: u8) -> Met {
    for _ in 0..TRIES {
        let told = flow::once(subject.clone(), service, Some(ttl), subject.within()).await;
        match told.and_then(|told| told.signal) {
            Some(Signal::Icmp(error)) if error.is_ttl_exceeded() => return Met::Router(error.offender),
            Some(Signal::Icmp(error))
                if error.outcome(subject.target.address, None) == Some(Outcome::Closed) =>
            {
                return Met::Target;
            }
            Some(Signal::Proven(_) | Signal::Wrong(_) | Signal::Ended(_)) => return Met::Target,
            Some(Signal::Reset) => return Met::Reset,
            Some(Signal::Icmp(_) | Signal::NoRoute(_) | Signal::Local(_)) | None => {}
        }
    }
    Met::Nothing
}
