//! Who sent a RST: the target, or a device on the way that speaks in its name.
//!
//! A connect with a limited IP time to live dies one hop before a router that it no longer passes, and that router says
//! so (ICMP time exceeded). Another flow to the same target shows how far packets travel: to the target itself where it
//! answers, or to the device that turns them away. A RST that comes back from fewer hops is not the target's. A filter
//! on the last router, or on the target itself, cannot be told from the target this way.

use std::{net::IpAddr, sync::Arc};

use sekisho_checks::flow::{Decision, Signal};
use sekisho_model::{Outcome, Transport};

use super::{
    flow::{Endpoint, Subject},
    lifetime::{self, Lifetimes},
    trace::Path,
    way::{Met, ask, distance},
};

/// References used when the target itself answers nothing.
const DEVICES: usize = 4;

/// Whose RST it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A device before the target's last hop, and its address where it told.
    Device(Option<IpAddr>),
    /// The target: its RST arrives as its answers do.
    Target,
    /// The target, or the last router before it.
    TargetOrLastHop,
    /// No other flow shows how far the target is.
    Unproven,
}

impl Origin {
    /// The word of the fact `rst-origin`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Device(_) => "device",
            Self::Target => "target",
            Self::TargetOrLastHop => "target-or-last-hop",
            Self::Unproven => "unproven",
        }
    }
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
    target: Option<Endpoint>,
    /// Devices that turned a flow away, and whether routing was the reason.
    devices: Vec<(IpAddr, Endpoint, bool)>,
}

impl References {
    /// Takes what came of a flow.
    pub(super) fn note(&mut self, endpoint: Endpoint, decision: &Decision, subject: &Subject) {
        match &decision.signal {
            Some(Signal::Proven(_) | Signal::Wrong(_) | Signal::Ended(_)) => self.answered(endpoint),
            Some(Signal::Icmp(error)) => match error.outcome(subject.target.address, None) {
                Some(Outcome::Closed) => self.answered(endpoint),
                Some(outcome) => self.turned_away(error.offender, endpoint, outcome == Outcome::Unreachable),
                None => {}
            },
            Some(Signal::Reset | Signal::NoRoute(_) | Signal::Local(_)) | None => {}
        }
    }

    /// A handshake is a better measure than a datagram, and that than an echo.
    fn answered(&mut self, endpoint: Endpoint) {
        let rank = |e: Endpoint| match e.service.transport() {
            Transport::Tcp => 0,
            Transport::Udp => 1,
            Transport::Icmp => 2,
        };
        if self.target.is_none_or(|known| rank(endpoint) < rank(known)) {
            self.target = Some(endpoint);
        }
    }

    fn turned_away(&mut self, device: IpAddr, endpoint: Endpoint, routing: bool) {
        let known = self.devices.iter().any(|d| (d.0, d.2) == (device, routing));
        if self.devices.len() < DEVICES && !known {
            self.devices.push((device, endpoint, routing));
        }
    }

    /// A flow that the target itself answers.
    pub(super) const fn answered_by_target(&self) -> Option<Endpoint> {
        self.target
    }

    /// Measures.
    pub(super) async fn reach(&self, subject: &Arc<Subject>, path: Option<&Path>) -> Reach {
        if let Some(endpoint) = self.target {
            let measured = match path {
                Some(path) => Some(path.distance()),
                None => distance(subject, endpoint).await,
            };
            return measured.map_or(Reach::Unknown, Reach::Target);
        }
        let mut farthest = Reach::Unknown;
        for (_, endpoint, routing) in &self.devices {
            farthest = match (distance(subject, *endpoint).await, routing, farthest) {
                (Some(hops), true, _) => return Reach::NoTarget(hops),
                (Some(hops), false, Reach::AtLeast(known)) if hops <= known => farthest,
                (Some(hops), false, _) => Reach::AtLeast(hops),
                (None, _, _) => farthest,
            };
        }
        farthest
    }
}

/// What the times to live of packets say, where they can be seen. `None` in place of the origin: nothing.
pub(super) async fn by_lifetime(
    subject: &Arc<Subject>,
    endpoint: Endpoint,
    path: &Path,
) -> Option<(Option<Origin>, Lifetimes)> {
    if path.reference().service.transport() != Transport::Tcp {
        return None;
    }
    let lifetimes = lifetime::measure(subject, endpoint, path.reference()).await?;
    Some((judge(lifetimes, path), lifetimes))
}

/// The way back may be another than the way there, and a device may set the time to live: where the target's own answer
/// seems to come from another hop than the one at which the target was found, hops say nothing of the RST either.
fn judge(lifetimes: Lifetimes, path: &Path) -> Option<Origin> {
    if lifetimes.rst == lifetimes.reply {
        return Some(Origin::Target);
    }
    let distance = usize::from(path.distance());
    lifetimes.hop_of_reply().filter(|hop| *hop == distance)?;
    // The target may begin its RSTs with another number than its answers: then they have come just as far. What comes from
    // farther is nobody's on this way.
    match lifetimes.hop_of_rst()? {
        hop if hop < distance => Some(Origin::Device(path.router(hop))),
        hop if hop == distance => Some(Origin::Target),
        _ => None,
    }
}

/// Whose RST answers here.
pub(super) async fn of_reset(subject: &Arc<Subject>, endpoint: Endpoint, reach: Reach) -> Origin {
    // The farthest hop from which a RST cannot be the target's own, and what it is if none comes from there.
    let (last, otherwise) = match reach {
        Reach::Target(distance) => (distance.saturating_sub(1), Origin::TargetOrLastHop),
        Reach::NoTarget(distance) => (distance, Origin::Unproven),
        Reach::AtLeast(distance) => (distance.saturating_sub(1), Origin::Unproven),
        Reach::Unknown => return Origin::Unproven,
    };
    if last == 0 || ask(subject, endpoint, last..=last).await.first() != Some(&Met::Reset) {
        return otherwise;
    }
    let way = ask(subject, endpoint, 1..=last).await;
    let nearest = way.iter().position(|m| *m == Met::Reset);
    let device = nearest.and_then(|n| n.checked_sub(1)).and_then(|n| way.get(n));
    Origin::Device(match device {
        Some(Met::Router(address)) => Some(*address),
        Some(Met::End | Met::Reset | Met::Nothing) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_name_a_device_only_where_they_fit_the_path() {
        let router: IpAddr = "10.77.20.1".parse().unwrap();
        let endpoint = Endpoint::of("ldap".parse().unwrap());
        let path = Path::of(endpoint, vec![Some(router), None]);
        let judged = |rst, reply| judge(Lifetimes { rst, reply }, &path);
        assert_eq!(judged(62, 62), Some(Origin::Target));
        assert_eq!(judged(64, 62), Some(Origin::Device(Some(router))));
        assert_eq!(judged(63, 62), Some(Origin::Device(None)));
        assert_eq!(judged(253, 62), Some(Origin::Target), "it begins RSTs with another number");
        assert_eq!(judged(61, 62), None, "it comes from behind the target");
        assert_eq!(judged(64, 61), None, "the answer seems to come from farther than the target stands");
        assert_eq!(judged(62, 64), None, "and from nearer");
    }
}
