//! Whether packets to the target take several paths, of which one is filtered.
//!
//! Routers that share traffic among paths choose by addresses and ports, so a pair of ports keeps its path. A service that
//! answers one source port and never another is filtered on one of the paths; a lost packet is not, because the same pair
//! of ports is answered when it is tried again. Once one flow shows this, every flow of the target is looked at more
//! widely.

use std::{sync::Arc, time::Duration};

use sekisho_checks::flow::Signal;
use sekisho_model::Transport;
use tokio::task::JoinSet;

use super::{
    flow::{self, Endpoint, Single, Subject},
    target::Tested,
};

/// A target gets at least this many handshakes from different ports, over all of its flows: half of the pairs of ports on a
/// filtered path all go by the other one in one of 4,096 cases.
const WIDTH: usize = 12;
/// Ports tried of each flow once a filtered path was found.
const WIDER: usize = 16;
/// Tries of one pair of ports until it counts as silent. Packet loss is not that persistent.
const TRIES: usize = 6;
/// The later tries of them, and how long each of these waits at least. A server that has not heard that its answer was lost
/// does not take the next SYN from the same port for a new connection (RFC 9293 3.10.7.4); it takes the one that the kernel
/// repeats after a second.
const PATIENT: usize = 3;
const REPEATED: Duration = Duration::from_millis(1_400);
/// Silent ports of one flow that are tried again.
const AGAIN: usize = 2;

/// Answers and silences of a flow, by source port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) answered: u32,
    pub(super) silent: u32,
}

/// Looks for filtered paths, and notes in each flow how its ports were answered where some never are.
pub(super) async fn compare(subject: &Arc<Subject>, tested: &mut [Tested]) {
    let answered: Vec<usize> =
        (0..tested.len()).filter(|n| tested.get(*n).is_some_and(is_comparable)).collect();
    let handshakes = tested.iter().filter(|t| is_comparable(t) && is_tcp(t.endpoint)).count();
    let each = if handshakes == 0 { 0 } else { WIDTH.div_ceil(handshakes).saturating_sub(1) };
    let fresh = |t: &Tested| if is_tcp(t.endpoint) { each } else { 0 };
    let seen = spreads(subject, tested, &answered, AGAIN, fresh).await;
    let contradicted = answered.iter().any(|n| tested.get(*n).is_some_and(|t| t.seen.decision.intermittent));
    if !contradicted && seen.iter().all(|(_, spread)| spread.silent == 0) {
        return;
    }
    let wider = spreads(subject, tested, &answered, 0, |_| WIDER).await;
    for (place, spread) in seen.into_iter().chain(wider) {
        if let Some(tested) = tested.get_mut(place) {
            tested.spread.answered += spread.answered;
            tested.spread.silent += spread.silent;
        }
    }
}

fn is_tcp(endpoint: Endpoint) -> bool {
    endpoint.service.transport() == Transport::Tcp
}

/// A flow that was answered by the service. Echo has no ports, so routers do not spread it.
fn is_comparable(tested: &Tested) -> bool {
    tested.endpoint.port != 0
        && matches!(
            tested.seen.decision.signal,
            Some(Signal::Proven(_) | Signal::Wrong(_) | Signal::Ended(_))
        )
}

/// Tries `fresh` new ports of each of the flows, and `again` of the ports that were silent before.
async fn spreads(
    subject: &Arc<Subject>,
    tested: &[Tested],
    places: &[usize],
    again: usize,
    fresh: impl Fn(&Tested) -> usize,
) -> Vec<(usize, Spread)> {
    let mut asked = JoinSet::new();
    for place in places {
        let Some(flow) = tested.get(*place) else { continue };
        let silent = flow.seen.evidence.silent_ports().take(again).map(Some);
        for source in silent.chain((0..fresh(flow)).map(|_| None)) {
            let (subject, endpoint, place) = (subject.clone(), flow.endpoint, *place);
            asked.spawn(async move { (place, answers(&subject, endpoint, source).await) });
        }
    }
    let mut spreads: std::collections::BTreeMap<usize, Spread> = std::collections::BTreeMap::new();
    while let Some(ended) = asked.join_next().await {
        let Ok((place, answered)) = ended else { continue };
        let spread = spreads.entry(place).or_default();
        match answered {
            Some(true) => spread.answered += 1,
            Some(false) => spread.silent += 1,
            None => {}
        }
    }
    spreads.into_iter().collect()
}

/// Whether one pair of ports is ever answered; `None` where this machine could not send.
async fn answers(subject: &Subject, endpoint: Endpoint, mut source: Option<u16>) -> Option<bool> {
    for tried in 0..TRIES {
        let single = Single { source, ..Single::bare(endpoint) };
        let patient = tried >= TRIES - PATIENT && is_tcp(endpoint);
        let within = if patient { subject.within().max(REPEATED) } else { subject.within() };
        let heard = flow::once(subject, single, within).await;
        source = heard.source;
        match heard.signal {
            None => {}
            Some(Signal::Local(_) | Signal::NoRoute(_)) => return None,
            Some(Signal::Proven(_) | Signal::Wrong(_) | Signal::Ended(_)) => return Some(true),
            // Refused on this path: the service is not reached by it either.
            Some(Signal::Reset | Signal::Icmp(_)) => return Some(false),
        }
    }
    Some(false)
}
