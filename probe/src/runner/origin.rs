//! Who sent a RST: the target, or a device on the way that speaks in its name.
//!
//! A connect with a limited IP time to live dies one hop before a router that it no longer passes, and that router says
//! so (ICMP time exceeded). Another flow to the same target shows how far packets travel: to the target itself where it
//! answers, or to the device that turns them away. A RST that comes back from fewer hops is not the target's. A filter
//! on the last router, or on the target itself, cannot be told from the target this way.

use std::{net::IpAddr, sync::Arc};

use sekisho_checks::flow::{Decision, Signal};
use sekisho_model::{Outcome, Service, Transport};
use tokio::task::JoinSet;

use super::flow::{self, Subject};

/// Farthest target looked for, hops.
const FARTHEST: usize = 32;
/// Hops asked at the same time.
const AT_ONCE: u8 = 4;
/// Attempts until a hop counts as silent.
const TRIES: usize = 6;
/// References used when the target itself answers nothing.
const DEVICES: usize = 4;

/// Whose RST it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A device before the target's last hop, and its address where it told.
    Device(Option<IpAddr>),
    /// The target, or the last router before it.
    TargetOrLastHop,
    /// No other flow shows how far the target is.
    Unproven,
}

/// How far packets to the target travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The target answers from this many hops.
    Target(u8),
    /// Routing says, at this many hops, that there is no way to the target: no RST can be its own.
    NoTarget(u8),
    /// The target answers nothing; another flow is refused by a device this many hops away.
    AtLeast(u8),
    /// Nothing is known.
    Unknown,
}

/// Flows that show how far packets to the target travel.
#[derive(Debug, Default)]
pub(super) struct References {
    target: Option<Service>,
    /// Devices that turned a flow away, and whether routing was the reason.
    devices: Vec<(IpAddr, Service, bool)>,
}

impl References {
    /// Takes what came of a flow.
    pub(super) fn note(&mut self, service: Service, decision: &Decision, subject: &Subject) {
        match &decision.signal {
            Some(Signal::Proven(_) | Signal::Wrong(_) | Signal::Ended(_)) => self.answered(service),
            Some(Signal::Icmp(error)) => match error.outcome(subject.target.address, None) {
                Some(Outcome::Closed) => self.answered(service),
                Some(outcome) => self.turned_away(error.offender, service, outcome == Outcome::Unreachable),
                None => {}
            },
            Some(Signal::Reset | Signal::NoRoute(_) | Signal::Local(_)) | None => {}
        }
    }

    /// A handshake is a better measure than a datagram, and that than an echo.
    fn answered(&mut self, service: Service) {
        let rank = |s: Service| match s.transport() {
            Transport::Tcp => 0,
            Transport::Udp => 1,
            Transport::Icmp => 2,
        };
        if self.target.is_none_or(|known| rank(service) < rank(known)) {
            self.target = Some(service);
        }
    }

    fn turned_away(&mut self, device: IpAddr, service: Service, routing: bool) {
        let known = self.devices.iter().any(|d| (d.0, d.2) == (device, routing));
        if self.devices.len() < DEVICES && !known {
            self.devices.push((device, service, routing));
        }
    }

    /// Measures.
    pub(super) async fn reach(&self, subject: &Arc<Subject>) -> Reach {
        if let Some(service) = self.target {
            return distance(subject, service).await.map_or(Reach::Unknown, Reach::Target);
        }
        let mut farthest = Reach::Unknown;
        for (_, service, routing) in &self.devices {
            farthest = match (distance(subject, *service).await, routing, farthest) {
                (Some(hops), true, _) => return Reach::NoTarget(hops),
                (Some(hops), false, Reach::AtLeast(known)) if hops <= known => farthest,
                (Some(hops), false, _) => Reach::AtLeast(hops),
                (None, _, _) => farthest,
            };
        }
        farthest
    }
}

/// What a packet with a limited time to live met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// Its time to live ended here.
    Router(IpAddr),
    /// The target, or the device that turns the flow away.
    End,
    Reset,
    Nothing,
}

/// Number of hops to where the flow ends.
async fn distance(subject: &Arc<Subject>, reference: Service) -> Option<u8> {
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

/// Whose RST answers this service.
pub(super) async fn of_reset(subject: &Arc<Subject>, service: Service, reach: Reach) -> Origin {
    // The farthest hop from which a RST cannot be the target's own, and what it is if none comes from there.
    let (last, otherwise) = match reach {
        Reach::Target(distance) => (distance.saturating_sub(1), Origin::TargetOrLastHop),
        Reach::NoTarget(distance) => (distance, Origin::Unproven),
        Reach::AtLeast(distance) => (distance.saturating_sub(1), Origin::Unproven),
        Reach::Unknown => return Origin::Unproven,
    };
    if last == 0 || ask(subject, service, last..=last).await.first() != Some(&Met::Reset) {
        return otherwise;
    }
    let way = ask(subject, service, 1..=last).await;
    let nearest = way.iter().position(|m| *m == Met::Reset);
    let device = nearest.and_then(|n| n.checked_sub(1)).and_then(|n| way.get(n));
    Origin::Device(match device {
        Some(Met::Router(address)) => Some(*address),
        Some(Met::End | Met::Reset | Met::Nothing) | None => None,
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
        match flow::once(subject.clone(), service, Some(ttl), subject.within()).await {
            Some(Signal::Icmp(error)) if error.is_ttl_exceeded() => return Met::Router(error.offender),
            Some(Signal::Icmp(_) | Signal::Proven(_) | Signal::Wrong(_) | Signal::Ended(_)) => {
                return Met::End;
            }
            Some(Signal::Reset) => return Met::Reset,
            Some(Signal::NoRoute(_) | Signal::Local(_)) | None => {}
        }
    }
    Met::Nothing
}
