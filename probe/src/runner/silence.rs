//! Whether a silence is a silence: routers ration their ICMP errors, so a rejection can look like a drop.
//!
//! Linux routers send one ICMP error a second to each destination after a burst of six (`net.ipv4.icmp_ratelimit`),
//! others ration alike. When a device is known to reject, the silent flow is tried once more and right after it the flow
//! that the device rejects: the control. A control that is answered proves that the device had an answer left, so it did
//! not swallow one for the silent flow. Two such pairs are asked for, because one packet may be lost. As long as the
//! control stays silent too, or does not go out right after the flow, nothing is proved, and the pair is repeated after a
//! pause.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sekisho_checks::flow::Signal;
use tokio::time::Instant;

use super::flow::{self, Endpoint, Outcome, Single, Subject};

/// Devices remembered. Further ones serve as no control.
const DEVICES: usize = 64;
/// Devices asked about one flow.
const ASKED: usize = 3;
/// Pairs in which the control was answered, until the silence is believed.
const PAIRS: u32 = 2;
/// Pairs tried with one device, and the pause after one that proved nothing.
const ROUNDS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(1_200);
/// A control serves all flows that were tried at most this long before it.
const TOGETHER: Duration = Duration::from_millis(250);
/// The control waits for other flows that are about to be tried.
const GATHER: Duration = Duration::from_millis(30);

/// The devices that were seen to reject in one run, and how to make them do so again.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    devices: Mutex<BTreeMap<(IpAddr, IpAddr), Arc<Device>>>,
}

#[derive(Debug)]
struct Device {
    address: IpAddr,
    subject: Arc<Subject>,
    endpoint: Endpoint,
    /// When the last control was sent, and whether it was answered.
    last: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

/// Remembers that the device rejected this flow.
pub(super) fn note(address: IpAddr, subject: &Arc<Subject>, endpoint: Endpoint) {
    if let Some(rejections) = subject.rejections.upgrade() {
        rejections.note(address, subject, endpoint);
    }
}

impl Rejections {
    fn note(&self, address: IpAddr, subject: &Arc<Subject>, endpoint: Endpoint) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address, subject.target.address);
        if devices.len() < DEVICES && !devices.contains_key(&key) {
            let last = tokio::sync::Mutex::new(None);
            devices.insert(key, Arc::new(Device { address, subject: subject.clone(), endpoint, last }));
        }
    }

    /// The devices that rejected something on the way to this target, or else to any other.
    fn suspects(&self, target: IpAddr) -> Vec<Arc<Device>> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let near: Vec<_> =
            devices.values().filter(|d| d.subject.target.address == target).take(ASKED).cloned().collect();
        if !near.is_empty() {
            return near;
        }
        let mut far: Vec<Arc<Device>> = Vec::new();
        for device in devices.values() {
            // What another target rejects by itself says nothing about the way to this one.
            let own = device.address == device.subject.target.address;
            if !own && far.len() < ASKED && !far.iter().any(|d| d.address == device.address) {
                far.push(device.clone());
            }
        }
        far
    }
}

impl Device {
    /// The next control after `wished`: when it was sent, and whether it was answered.
    async fn control_after(&self, wished: Instant) -> Option<(Instant, bool)> {
        let mut last = self.last.lock().await;
        if let Some((sent, _)) = *last
            && is_together(wished, sent)
        {
            return *last;
        }
        tokio::time::sleep(GATHER).await;
        let single = Single::whole(self.endpoint);
        let heard = flow::once(&self.subject, single, self.subject.within()).await;
        let answered = matches!(heard.signal, Some(Signal::Icmp(e)) if e.offender == self.address);
        *last = heard.sent.map(|sent| (sent, answered));
        *last
    }
}

/// Whether a control proves something of a try: it went out right after it. Both may wait for the limits, each for others.
fn is_together(tried: Instant, control: Instant) -> bool {
    control >= tried && control.duration_since(tried) < TOGETHER
}

/// Believes a silence, or finds what it hid. Gives the device that may have swallowed a rejection when that cannot be
/// ruled out.
pub(super) async fn settle(
    subject: &Arc<Subject>,
    endpoint: Endpoint,
    outcome: &mut Outcome,
) -> Option<IpAddr> {
    let devices = subject.rejections.upgrade()?.suspects(subject.target.address);
    for device in devices {
        let (mut pairs, mut rounds) = (0, 0);
        while pairs < PAIRS {
            if rounds == ROUNDS {
                return Some(device.address);
            }
            rounds += 1;
            let place = outcome.evidence.begin(subject.began.elapsed(), None);
            let flow = flow::once(subject, Single::whole(endpoint), subject.within());
            let (heard, control) = tokio::join!(flow, device.control_after(Instant::now()));
            let answered = heard
                .sent
                .zip(control)
                .is_some_and(|(tried, (sent, answered))| answered && is_together(tried, sent));
            let signal = heard.signal;
            outcome.evidence.source(place, heard.source.unwrap_or(0));
            outcome.evidence.end(place, signal.as_ref(), subject.began.elapsed());
            if let Some(signal) = signal {
                outcome.decision.signal = Some(signal);
                return None;
            }
            outcome.decision.silent += 1;
            if answered {
                pairs += 1;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    None
}
