//! How far packets travel: attempts with a limited IP time to live, and what they meet.
//!
//! A packet whose time to live ends at a router is thrown away there, before the router's access list sees it, and the
//! router says so (ICMP time exceeded). The socket learns who it was, without any privilege.

use std::{net::IpAddr, sync::Arc};

use sekisho_checks::flow::Signal;
use tokio::task::JoinSet;

use super::flow::{self, Endpoint, Single, Subject};

/// Farthest target looked for, hops.
pub(super) const FARTHEST: usize = 32;
/// Hops asked at the same time.
const AT_ONCE: u8 = 4;
/// Attempts until a hop counts as silent.
const TRIES: usize = 6;

/// Ports that an open flow is tried from, to see whether one of several paths is shorter: a half of the ports all miss it in
/// one of 256 cases.
const PORTS: usize = 8;

/// What a packet with a limited time to live met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// Its time to live ended here.
    Router(IpAddr),
    /// The target, or the device that turns the flow away.
    End,
    Reset,
    Nothing,
}

impl Met {
    pub(super) fn of(signal: Option<&Signal>) -> Self {
        match signal {
            Some(Signal::Icmp(error)) if error.is_ttl_exceeded() => Self::Router(error.offender),
            Some(Signal::Icmp(_) | Signal::Proven(_) | Signal::Wrong(_) | Signal::Ended(_)) => Self::End,
            Some(Signal::Reset) => Self::Reset,
            Some(Signal::NoRoute(_) | Signal::Local(_)) | None => Self::Nothing,
        }
    }
}

/// Number of hops to where the flow ends.
pub(super) async fn distance(subject: &Arc<Subject>, reference: Endpoint) -> Option<u8> {
    let mut met = Vec::new();
    while met.len() < FARTHEST {
        let first = u8::try_from(met.len() + 1).unwrap_or(u8::MAX);
        met.extend(ask(subject, reference, first..=first.saturating_add(AT_ONCE - 1)).await);
        if let Some(place) = met.iter().position(|m| *m == Met::End) {
            return u8::try_from(place + 1).ok();
        }
        // Nobody answers any more: farther hops would only cost time.
        if met.iter().rev().take(usize::from(AT_ONCE)).all(|m| *m == Met::Nothing) {
            return None;
        }
    }
    None
}

/// Asks hops at the same time; every router gets one packet, so that none rations its answers.
pub(super) async fn ask(
    subject: &Arc<Subject>,
    endpoint: Endpoint,
    hops: std::ops::RangeInclusive<u8>,
) -> Vec<Met> {
    let mut asked = JoinSet::new();
    for ttl in hops.clone() {
        let subject = subject.clone();
        asked.spawn(async move { (ttl, meet(&subject, endpoint, ttl).await) });
    }
    let mut met: Vec<(u8, Met)> = Vec::new();
    while let Some(answer) = asked.join_next().await {
        met.extend(answer.ok());
    }
    hops.map(|ttl| met.iter().find(|(t, _)| *t == ttl).map_or(Met::Nothing, |(_, m)| *m)).collect()
}

/// Whether an open flow gets to its end with so short a time to live, from any of several ports.
pub(super) async fn reaches(subject: &Arc<Subject>, reference: Endpoint, ttl: u8) -> bool {
    let mut asked = JoinSet::new();
    for _ in 0..PORTS {
        let subject = subject.clone();
        asked.spawn(async move { meet(&subject, reference, ttl).await });
    }
    while let Some(met) = asked.join_next().await {
        if matches!(met, Ok(Met::End | Met::Reset)) {
            return true;
        }
    }
    false
}

async fn meet(subject: &Subject, endpoint: Endpoint, ttl: u8) -> Met {
    let single = Single { ttl: Some(ttl), ..Single::bare(endpoint) };
    for _ in 0..TRIES {
        let met = Met::of(flow::once(subject, single, subject.within()).await.signal.as_ref());
        if met != Met::Nothing {
            return met;
        }
    }
    Met::Nothing
}
