//! One flow: the loop between the pure machine and the sockets.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use sekisho_checks::{
    exchange::{self, Expected},
    flow::{Decision, Ending, Flow, Signal, Step, Tempo},
    pace::Rtt,
};
use sekisho_model::{Service, Transport};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::Instant,
};

use super::{Engine, Gate, evidence::Evidence, silence::Rejections};
use crate::net::{self, Aim, Conversation, RoundTrip, Step as Attempted, Told};

/// Round trips to a target, by who measured them.
#[derive(Debug, Default)]
struct Measured {
    kernel: Rtt,
    process: Rtt,
}

impl Measured {
    /// This process is late when it is busy, so its own measurements count only while there are no better ones.
    fn patience(&self) -> Option<Duration> {
        self.kernel.patience().or_else(|| self.process.patience())
    }
}

/// What is known of a target while it is under test, shared by its flows.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) engine: Arc<Engine>,
    pub(super) target: super::Target,
    pub(super) gate: Gate,
    pub(super) began: Instant,
    rtt: Mutex<Measured>,
    /// Told when the first round trip is measured: flows that wait for an unmeasured target wait too long.
    first_rtt: Notify,
    /// What the whole run knows of rejecting devices. Weak, because a device is remembered with its subject.
    pub(super) rejections: Weak<Rejections>,
}

impl Subject {
    pub(super) fn new(
        engine: Arc<Engine>,
        target: super::Target,
        gate: Gate,
        rejections: &Arc<Rejections>,
    ) -> Self {
        let rejections = Arc::downgrade(rejections);
        Self {
            engine,
            target,
            gate,
            began: Instant::now(),
            rtt: Mutex::default(),
            first_rtt: Notify::new(),
            rejections,
        }
    }

    fn measured(&self, sample: RoundTrip) {
        let mut rtt = self.rtt.lock().unwrap_or_else(PoisonError::into_inner);
        let first = rtt.patience().is_none();
        match sample {
            RoundTrip::Kernel(sample) => rtt.kernel.measured(sample),
            RoundTrip::Process(sample) => rtt.process.measured(sample),
        }
        if first {
            self.first_rtt.notify_waiters();
        }
    }

    /// Time within which the target should answer, where it was measured.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.rtt.lock().unwrap_or_else(PoisonError::into_inner).patience()
    }

    /// How long a single control attempt is worth waiting for.
    pub(super) fn within(&self) -> Duration {
        self.patience().map_or(Duration::from_secs(1), |p| (p * 2).max(Duration::from_millis(250)))
    }

    fn aim(&self, service: Service, ttl: Option<u8>) -> Aim {
        Aim {
            transport: service.transport(),
            address: self.target.address,
            port: service.port().unwrap_or(0),
            ttl,
            icmp: self.engine.icmp,
        }
    }

    fn exchange(&self, service: Service) -> Option<Box<dyn exchange::Exchange>> {
        let expected = Expected {
            domain: self.target.domain.clone(),
            host: self.target.host.clone(),
            now: Some(jiff::Timestamp::now().as_second()),
        };
        exchange::begin(service, &expected, uuid::Uuid::new_v4().as_u64_pair().0)
    }
}

/// What came of a flow.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    pub(super) rtt: Option<Duration>,
    pub(super) source: Option<SocketAddr>,
    pub(super) evidence: Evidence,
}

/// One attempt outside of a flow's own series: a control, or one with a limited time to live. `None`: nothing came in
/// time.
pub(super) async fn once(
    subject: Arc<Subject>,
    service: Service,
    ttl: Option<u8>,
    within: Duration,
) -> Option<Signal> {
    let _permit = subject.engine.limits.admit(subject.target.address).await?;
    // With a limited time to live only the way is of interest, not the service.
    let wants_exchange = ttl.is_none() || service.transport() == Transport::Udp;
    let begun = match net::begin(subject.aim(service, ttl)) {
        Ok(begun) => begun,
        Err(signal) => return Some(signal),
    };
    let exchange = if wants_exchange { subject.exchange(service) } else { None };
    let attempt = async {
        match begun.first(exchange).await {
            Attempted::Connected(_, conversation) => conversation.finish().await.signal,
            Attempted::Told(told) => told.signal,
        }
    };
    tokio::time::timeout(within, attempt).await.ok().flatten()
}

/// An attempt under way, with its number and the permit that it holds.
type Pending = Pin<Box<dyn Future<Output = (usize, OwnedSemaphorePermit, Attempted)> + Send>>;

/// A flow under way.
struct Running {
    subject: Arc<Subject>,
    service: Service,
    flow: Flow,
    evidence: Evidence,
    pending: FuturesUnordered<Pending>,
    rtts: Vec<Option<Duration>>,
    source: Option<SocketAddr>,
}

/// Tests one flow until the machine is satisfied.
pub(super) async fn run(subject: Arc<Subject>, service: Service) -> Outcome {
    let running = Running {
        flow: Flow::new(Tempo::of(service.transport())),
        subject,
        service,
        evidence: Evidence::default(),
        pending: FuturesUnordered::new(),
        rtts: Vec::new(),
        source: None,
    };
    running.run().await
}

impl Running {
    async fn run(mut self) -> Outcome {
        let subject = self.subject.clone();
        let mut admission = None;
        loop {
            let now = subject.began.elapsed();
            let wait = match self.flow.poll(now, subject.patience()) {
                Step::Done(decision) => return self.finish(decision),
                Step::Start => {
                    if admission.is_none() {
                        admission = Some(Box::pin(subject.engine.limits.admit(subject.target.address)));
                    }
                    None
                }
                Step::WaitUntil(until) => Some(until.saturating_sub(now)),
            };
            tokio::select! {
                Some((number, permit, attempted)) = self.pending.next(), if !self.pending.is_empty() => {
                    self.take(number, permit, attempted);
                }
                permit = maybe(admission.as_mut()) => {
                    admission = None;
                    self.start(permit);
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                () = subject.first_rtt.notified(), if subject.patience().is_none() => {}
            }
        }
    }

    /// Begins an attempt that the limits admitted. The machine's clock starts now, not when it was wished for.
    fn start(&mut self, permit: Option<OwnedSemaphorePermit>) {
        let now = self.subject.began.elapsed();
        let life = self.flow.life(self.subject.patience());
        let number = self.flow.started(now);
        self.evidence.begin(now, None);
        self.rtts.push(None);
        let begun = match permit {
            Some(permit) => net::begin(self.subject.aim(self.service, None)).map(|begun| (permit, begun)),
            None => Err(Signal::Local("the probe is shutting down".to_owned())),
        };
        let (permit, begun) = match begun {
            Ok(begun) => begun,
            Err(signal) => {
                self.evidence.end(number, Some(&signal), now);
                return self.flow.signal(number, signal);
            }
        };
        if let Some(source) = begun.source {
            self.evidence.source(number, source.port());
            self.source = Some(source);
        }
        let exchange = self.subject.exchange(self.service);
        self.pending.push(Box::pin(async move {
            let attempted = tokio::time::timeout(life, begun.first(exchange)).await;
            (number, permit, attempted.unwrap_or(Attempted::Told(Told { signal: None, rtt: None })))
        }));
    }

    fn take(&mut self, number: usize, permit: OwnedSemaphorePermit, attempted: Attempted) {
        let now = self.subject.began.elapsed();
        match attempted {
            Attempted::Connected(rtt, conversation) => {
                self.measured(number, rtt);
                self.flow.connected(number, now);
                self.converse(number, permit, conversation);
            }
            Attempted::Told(told) => {
                let meaningful = told.signal.filter(|signal| self.says_something(signal));
                if matches!(meaningful, Some(Signal::Proven(_) | Signal::Reset | Signal::Wrong(_))) {
                    self.measured(number, told.rtt);
                }
                self.evidence.end(number, meaningful.as_ref(), now);
                if let Some(signal) = meaningful {
                    self.flow.signal(number, signal);
                }
            }
        }
    }

    fn converse(&mut self, number: usize, permit: OwnedSemaphorePermit, conversation: Conversation) {
        let reply = self.flow.reply();
        self.pending.push(Box::pin(async move {
            let told = tokio::time::timeout(reply, conversation.finish()).await;
            let told = told.unwrap_or(Told { signal: Some(Signal::Ended(Ending::Silence)), rtt: None });
            (number, permit, Attempted::Told(told))
        }));
    }

    /// An ICMP error may concern something else than the flow.
    fn says_something(&self, signal: &Signal) -> bool {
        match signal {
            Signal::Icmp(error) => {
                error.outcome(self.subject.target.address, self.source.map(|s| s.ip())).is_some()
            }
            Signal::Proven(_)
            | Signal::Wrong(_)
            | Signal::Ended(_)
            | Signal::Reset
            | Signal::NoRoute(_)
            | Signal::Local(_) => true,
        }
    }

    fn measured(&mut self, number: usize, rtt: Option<RoundTrip>) {
        let Some(rtt) = rtt else { return };
        if let Some(slot @ None) = self.rtts.get_mut(number) {
            *slot = Some(rtt.duration());
            self.subject.measured(rtt);
        }
    }

    fn finish(mut self, decision: Decision) -> Outcome {
        let now = self.subject.began.elapsed();
        for number in 0..self.rtts.len() {
            self.evidence.give_up(number, now);
        }
        let rtt = decision.attempt.and_then(|n| self.rtts.get(n).copied().flatten());
        Outcome { decision, rtt, source: self.source, evidence: self.evidence }
    }
}

/// The future's value, or never.
async fn maybe<F: Future + Unpin + ?Sized>(future: Option<&mut F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
