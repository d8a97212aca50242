//! Whether a silence is a silence: routers ration their ICMP errors, so a rejection can look like a drop.
//!
//! Linux routers send one ICMP error a second to each destination after a burst of six (`net.ipv4.icmp_ratelimit`),
//! others ration alike. When some device is known to reject, its rejection is asked for again, several times at once,
//! right after the silence. A device that answers most of them at once is not rationing, and the silence is real. One
//! that does not may be rationing: the silent flow is tried again after longer and longer pauses.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sekisho_checks::flow::Signal;
use sekisho_model::Service;
use tokio::{task::JoinSet, time::Instant};

use super::flow::{self, Outcome, Subject};

/// Devices remembered. Further ones serve as no control.
const DEVICES: usize = 64;
/// Controls sent at once, and how many must be answered for the device to count as not rationing.
const CONTROLS: usize = 4;
const ANSWERS: usize = 2;
/// How long the result of a control holds for other flows.
const HOLDS: Duration = Duration::from_millis(400);
/// Times that a silent flow is tried again, and the first pause before; each pause is longer by the same.
const ROUNDS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(1_200);

/// The devices that were seen to reject in one run, and how to make them do so again.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    devices: Mutex<HashMap<IpAddr, Arc<Device>>>,
}

#[derive(Debug)]
struct Device {
    address: IpAddr,
    subject: Arc<Subject>,
    service: Service,
    last: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

/// Remembers that the device rejected this flow.
pub(super) fn note(address: IpAddr, subject: &Arc<Subject>, service: Service) {
    if let Some(rejections) = subject.rejections.upgrade() {
        rejections.note(address, subject, service);
    }
}

impl Rejections {
    fn note(&self, address: IpAddr, subject: &Arc<Subject>, service: Service) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if devices.len() < DEVICES || devices.contains_key(&address) {
            let last = tokio::sync::Mutex::new(None);
            devices.insert(address, Arc::new(Device { address, subject: subject.clone(), service, last }));
        }
    }

    /// A device that rejected something on the way to this target, or else to any.
    fn suspect(&self, target: IpAddr) -> Option<Arc<Device>> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let near = devices.values().find(|d| d.subject.target.address == target);
        near.or_else(|| devices.values().next()).cloned()
    }
}

impl Device {
    /// Whether the device answers everything that it rejects just now.
    async fn answers(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, answers)) = *last
            && at.elapsed() < HOLDS
        {
            return answers;
        }
        let mut controls = JoinSet::new();
        for _ in 0..CONTROLS {
            controls.spawn(flow::once(self.subject.clone(), self.service, None, self.subject.within()));
        }
        let mut answered = 0;
        while let Some(signal) = controls.join_next().await {
            answered +=
                usize::from(matches!(signal, Ok(Some(Signal::Icmp(e))) if e.offender == self.address));
        }
        *last = Some((Instant::now(), answered >= ANSWERS));
        answered >= ANSWERS
    }
}

/// Believes a silence, or finds what it hid. Gives the device that may have swallowed a rejection when that cannot be
/// ruled out.
pub(super) async fn settle(
    subject: &Arc<Subject>,
    service: Service,
    outcome: &mut Outcome,
) -> Option<IpAddr> {
    let mut rationing = None;
    for round in 0..=ROUNDS {
        let device = subject.rejections.upgrade()?.suspect(subject.target.address)?;
        if device.answers().await {
            return None;
        }
        rationing = Some(device.address);
        if round == ROUNDS {
            break;
        }
        tokio::time::sleep(PAUSE * (round + 1)).await;
        let at = subject.began.elapsed();
        let place = outcome.evidence.begin(at, None);
        let signal = flow::once(subject.clone(), service, None, subject.within()).await;
        outcome.evidence.end(place, signal.as_ref(), subject.began.elapsed());
        if let Some(signal) = signal {
            outcome.decision.signal = Some(signal);
            return None;
        }
        outcome.decision.silent += 1;
    }
    rationing
}
