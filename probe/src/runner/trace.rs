//! Where on the way a blocked flow ends: between which two devices.
//!
//! The blocked flow is sent with growing time to live, and so is an open flow to the same target: the last router that
//! still answers the blocked flow, and the next one that answers the open flow, stand on either side of the filter. A trace
//! keeps its pair of ports, so that routers which choose among several paths by the ports choose the same one each time.
//! Routers ration their ICMP errors, so a silent hop is believed only when the open flow, sent right after, was answered
//! from there.

use std::{net::IpAddr, sync::Arc, time::Duration};

use sekisho_checks::flow::Signal;
use tokio::sync::OnceCell;

use super::{
    evidence::Evidence,
    flow::{self, Endpoint, Single, Subject},
    way::{FARTHEST, Met, reaches},
};

/// Silences with an answered control after each, until a hop counts as silent.
const PAIRS: u32 = 4;
/// Pairs tried at one hop, and the pause after one whose control was not answered either.
const ROUNDS: u32 = 12;
const PAUSE: Duration = Duration::from_millis(1_200);
/// Attempts until a hop of an open flow counts as silent.
const TRIES: u32 = 6;
/// Attempts at the first silent hop, and at each after it, where no open flow can be a control.
const ALONE: (u32, u32) = (5, 2);
/// Silent hops after which the way is taken to end: routers that never answer are passed over until then.
const SILENT_HOPS: usize = 3;

/// An answer is waited for at least this long, however quickly the hop before answered.
const LEAST_PATIENCE: Duration = Duration::from_millis(250);

/// Between which devices a flow ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Between {
    /// The last device that answered the flow.
    pub(super) last_hop: Option<IpAddr>,
    /// The next one that answers an open flow: a router, or the target.
    pub(super) next_hop: Option<IpAddr>,
    /// No hop is left between: the last router, or the target itself.
    pub(super) is_end: bool,
}

/// The routers on the way to a target, as an open flow sees them.
#[derive(Debug, Clone)]
pub(super) struct Path {
    reference: Endpoint,
    /// By hop, from 1; `None` where a router does not answer.
    routers: Vec<Option<IpAddr>>,
    /// See [`Path::is_shortest`].
    shortest: OnceCell<bool>,
}

/// One traced flow with its pair of ports.
struct Tracer<'a> {
    subject: &'a Subject,
    endpoint: Endpoint,
    source: Option<u16>,
    /// How long an answer is waited for.
    patience: Duration,
}

impl<'a> Tracer<'a> {
    fn new(subject: &'a Subject, endpoint: Endpoint) -> Self {
        Self { subject, endpoint, source: None, patience: subject.within() }
    }

    async fn step(&mut self, ttl: u8) -> Option<Signal> {
        let single = Single { ttl: Some(ttl), source: self.source, ..Single::bare(self.endpoint) };
        let mut heard = flow::once(self.subject, single, self.patience).await;
        if self.source.is_some() && matches!(heard.signal, Some(Signal::Local(_))) {
            // Another socket of this machine has taken the port meanwhile.
            self.source = None;
            heard = flow::once(self.subject, Single { source: None, ..single }, self.patience).await;
        }
        self.source = self.source.or(heard.source);
        if heard.signal.is_some() {
            self.patience = self.patience.min((heard.took * 8).max(LEAST_PATIENCE));
        }
        heard.signal
    }
}

impl Path {
    /// Follows an open flow to the target. `None` if the target is not reached.
    pub(super) async fn measure(subject: &Subject, reference: Endpoint) -> Option<Self> {
        let mut tracer = Tracer::new(subject, reference);
        let mut routers = Vec::new();
        for ttl in 1..=u8::try_from(FARTHEST).unwrap_or(u8::MAX) {
            let mut met = Met::Nothing;
            for _ in 0..TRIES {
                met = Met::of(tracer.step(ttl).await.as_ref());
                if met != Met::Nothing {
                    break;
                }
            }
            match met {
                Met::Router(router) => routers.push(Some(router)),
                Met::End | Met::Reset => return Some(Self { reference, routers, shortest: OnceCell::new() }),
                Met::Nothing
                    if routers.iter().rev().take(SILENT_HOPS - 1).all(Option::is_none) && ttl > 2 =>
                {
                    return None;
                }
                Met::Nothing => routers.push(None),
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn of(reference: Endpoint, routers: Vec<Option<IpAddr>>) -> Self {
        Self { reference, routers, shortest: OnceCell::new() }
    }

    /// Number of hops to the target.
    pub(super) fn distance(&self) -> u8 {
        u8::try_from(self.routers.len().saturating_add(1)).unwrap_or(u8::MAX)
    }

    /// Whether no other of several paths to the target is shorter: else what answers from before the last hop of this one may
    /// be the target, reached by another.
    pub(super) async fn is_shortest(&self, subject: &Arc<Subject>) -> bool {
        let last = self.distance().saturating_sub(1);
        let measured =
            self.shortest.get_or_init(async || last == 0 || !reaches(subject, self.reference, last).await);
        *measured.await
    }

    /// The router at a hop, from 1, where it answers.
    pub(super) fn router(&self, hop: usize) -> Option<IpAddr> {
        self.routers.get(hop.checked_sub(1)?).copied().flatten()
    }

    /// The open flow.
    pub(super) const fn reference(&self) -> Endpoint {
        self.reference
    }

    /// The first device that answers an open flow at this hop or behind it.
    fn from(&self, hop: usize, target: IpAddr) -> IpAddr {
        self.routers.iter().skip(hop.saturating_sub(1)).find_map(|router| *router).unwrap_or(target)
    }
}

/// Traces a blocked flow against the path of an open one.
pub(super) async fn between(
    subject: &Arc<Subject>,
    blocked: Endpoint,
    path: &Path,
    evidence: &mut Evidence,
) -> Between {
    let mut tracer = Tracer::new(subject, blocked);
    let mut control = Tracer::new(subject, path.reference);
    let target = subject.target.address;
    let (mut last_hop, mut is_end) = (None, true);
    for (hop, router) in (1_usize..).zip(&path.routers) {
        let Ok(ttl) = u8::try_from(hop) else { break };
        match stepped(&mut tracer, &mut control, ttl, router.is_some(), evidence).await {
            Step::Met(Met::Router(address)) => (last_hop, is_end) = (Some(address), true),
            Step::Met(Met::End | Met::Reset) | Step::Silent => {
                return Between { last_hop, next_hop: Some(path.from(hop, target)), is_end: false };
            }
            // A router that answers nobody says nothing of the flow: it may be this one that ends it.
            Step::Met(Met::Nothing) => is_end = false,
            Step::Unproven => return Between { last_hop, next_hop: None, is_end: false },
        }
    }
    Between { last_hop, next_hop: Some(target), is_end }
}

/// What a step of a blocked flow showed.
enum Step {
    Met(Met),
    /// Nothing comes from this hop, though it answers others.
    Silent,
    /// Neither the flow nor its control was answered.
    Unproven,
}

async fn stepped(
    tracer: &mut Tracer<'_>,
    control: &mut Tracer<'_>,
    ttl: u8,
    answers: bool,
    evidence: &mut Evidence,
) -> Step {
    let mut pairs = 0;
    for _ in 0..ROUNDS {
        let met = recorded(tracer, ttl, evidence).await;
        if met != Met::Nothing || !answers {
            return Step::Met(met);
        }
        if matches!(Met::of(control.step(ttl).await.as_ref()), Met::Router(_)) {
            pairs += 1;
            if pairs == PAIRS {
                return Step::Silent;
            }
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Step::Unproven
}

async fn recorded(tracer: &mut Tracer<'_>, ttl: u8, evidence: &mut Evidence) -> Met {
    let began = tracer.subject.began;
    let place = evidence.begin(began.elapsed(), Some(ttl));
    let signal = tracer.step(ttl).await;
    evidence.source(place, tracer.source.unwrap_or(0));
    evidence.end(place, signal.as_ref(), began.elapsed());
    Met::of(signal.as_ref())
}

/// Traces a blocked flow where nothing else is open on the way: what answers last is known, what comes next is not.
pub(super) async fn alone(subject: &Arc<Subject>, blocked: Endpoint, evidence: &mut Evidence) -> Between {
    let mut tracer = Tracer::new(subject, blocked);
    let (mut last_hop, mut silent) = (None, 0);
    for ttl in 1..=u8::try_from(FARTHEST).unwrap_or(u8::MAX) {
        let mut met = Met::Nothing;
        for _ in 0..if silent == 0 { ALONE.0 } else { ALONE.1 } {
            met = recorded(&mut tracer, ttl, evidence).await;
            if met != Met::Nothing {
                break;
            }
        }
        match met {
            Met::Router(address) => (last_hop, silent) = (Some(address), 0),
            Met::End | Met::Reset => break,
            Met::Nothing => silent += 1,
        }
        if silent == SILENT_HOPS {
            break;
        }
    }
    Between { last_hop, ..Between::default() }
}
