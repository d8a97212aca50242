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
    flow::{Decision, Flow, Signal, Step, Tempo},
    pace::Rtt,
};
use sekisho_model::{Protocol, Service, Transport};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::Instant,
};

use super::{
    Engine, Gate,
    allowance::{Hold, is_distant},
    evidence::Evidence,
    silence::Rejections,
};
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

/// A service at a port of the target: where attempts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) service: Service,
    /// 0 for ICMP.
    pub(super) port: u16,
}

impl Endpoint {
    /// Where the service itself is asked for; an RPC interface at the endpoint mapper.
    pub(super) fn of(service: Service) -> Self {
        let is_interface = matches!(service.protocol(), Protocol::Rpc(_));
        let mapper = is_interface.then_some(exchange::MAPPER);
        Self { service, port: service.port().or(mapper).unwrap_or(0) }
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

    /// How long an attempt that would live so long may be repeated by the kernel, where that has to be counted: the target is
    /// far, or it is to be seen whether there is one. `None`: it ends before.
    fn lasts(&self, transport: Transport, life: Duration, is_worth: bool) -> Option<Duration> {
        let limit = self.limit(transport)?;
        let rtt = self.rtt.lock().unwrap_or_else(PoisonError::into_inner);
        let is_far = is_distant(rtt.kernel.smoothed().or_else(|| rtt.process.smoothed()));
        (life > limit && (is_far || is_worth)).then_some(life)
    }

    /// How long an admitted attempt may stay unanswered that would live so long.
    fn limited(&self, transport: Transport, life: Duration, hold: &Hold) -> Duration {
        hold.life.or_else(|| self.limit(transport)).map_or(life, |limit| life.min(limit))
    }

    /// After which time the kernel would repeat an attempt that is not counted as one that lasts.
    fn limit(&self, transport: Transport) -> Option<Duration> {
        match transport {
            Transport::Tcp => self.engine.syn_life(self.target.address),
            Transport::Udp | Transport::Icmp => None,
        }
    }

    /// How long a single control attempt is worth waiting for.
    pub(super) fn within(&self) -> Duration {
        self.patience().map_or(Duration::from_secs(1), |p| (p * 2).max(Duration::from_millis(250)))
    }

    fn aim(&self, endpoint: Endpoint, ttl: Option<u8>, source: Option<u16>) -> Aim {
        Aim {
            transport: endpoint.service.transport(),
            address: self.target.address,
            port: endpoint.port,
            ttl,
            source,
            icmp: self.engine.icmp,
        }
    }

    fn exchange(&self, endpoint: Endpoint) -> Option<Box<dyn exchange::Exchange>> {
        let expected = Expected {
            domain: self.target.domain.clone(),
            host: self.target.host.clone(),
            now: Some(jiff::Timestamp::now().as_second()),
        };
        let nonce = uuid::Uuid::new_v4().as_u64_pair().0;
        exchange::begin_at(endpoint.service, endpoint.port, &expected, nonce)
    }
}

/// What came of a flow.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    pub(super) rtt: Option<Duration>,
    pub(super) source: Option<SocketAddr>,
    pub(super) evidence: Evidence,
}

/// One attempt outside of a flow's own series: a control, a step of a trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Single {
    pub(super) endpoint: Endpoint,
    /// IP time to live, where it is limited: then only the way is of interest, not the service.
    pub(super) ttl: Option<u8>,
    /// Local port, where the same path is to be taken again.
    pub(super) source: Option<u16>,
    /// Over TCP the handshake is enough.
    pub(super) bare: bool,
}

impl Single {
    /// A whole attempt from a fresh port.
    pub(super) const fn whole(endpoint: Endpoint) -> Self {
        Self { endpoint, ttl: None, source: None, bare: false }
    }

    /// A handshake, or a datagram and its answer.
    pub(super) const fn bare(endpoint: Endpoint) -> Self {
        Self { bare: true, ..Self::whole(endpoint) }
    }
}

/// What a single attempt heard.
#[derive(Debug)]
pub(super) struct Heard {
    /// `None`: nothing came in time.
    pub(super) signal: Option<Signal>,
    /// The local port that it had.
    pub(super) source: Option<u16>,
    /// When it was admitted and sent; `None`: it was not.
    pub(super) sent: Option<Instant>,
    /// How long it took.
    pub(super) took: Duration,
}

/// Makes a single attempt and waits for it at most `within`.
pub(super) async fn once(subject: &Subject, single: Single, within: Duration) -> Heard {
    let Single { endpoint, ttl, source, bare } = single;
    let transport = endpoint.service.transport();
    let lasts = || subject.lasts(transport, within, false);
    let Some((_permit, hold)) = subject.engine.admit_lasting(subject.target.address, lasts).await else {
        return Heard { signal: None, source: None, sent: None, took: Duration::ZERO };
    };
    let life = subject.limited(transport, within, &hold);
    let began = Instant::now();
    let begun = match net::begin(subject.aim(endpoint, ttl, source)) {
        Ok(begun) => begun,
        Err(signal) => return Heard { signal: Some(signal), source, sent: None, took: Duration::ZERO },
    };
    let source = begun.source.map(|source| source.port());
    let is_bare = (bare || ttl.is_some()) && endpoint.service.transport() != Transport::Udp;
    let exchange = if is_bare { None } else { subject.exchange(endpoint) };
    let first = tokio::time::timeout(life, begun.first(exchange)).await;
    drop(hold);
    let signal = match first {
        Ok(Attempted::Connected(_, conversation)) => conversation.finish(within).await.signal,
        Ok(Attempted::Told(told)) => told.signal,
        Err(_) => None,
    };
    Heard { signal, source, sent: Some(began), took: began.elapsed() }
}

/// An attempt under way, with its number and the permit that it holds.
type Pending = Pin<Box<dyn Future<Output = (usize, OwnedSemaphorePermit, Attempted)> + Send>>;

/// A flow under way.
struct Running {
    subject: Arc<Subject>,
    endpoint: Endpoint,
    flow: Flow,
    evidence: Evidence,
    pending: FuturesUnordered<Pending>,
    rtts: Vec<Option<Duration>>,
    source: Option<SocketAddr>,
}

/// Tests one flow until the machine is satisfied.
pub(super) async fn run(subject: Arc<Subject>, endpoint: Endpoint) -> Outcome {
    let running = Running {
        flow: Flow::new(Tempo::of(endpoint.service.transport())),
        subject,
        endpoint,
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
                        let lasts = self.lasts();
                        admission =
                            Some(Box::pin(subject.engine.admit_lasting(subject.target.address, lasts)));
                    }
                    None
                }
                Step::WaitUntil(until) => Some(until.saturating_sub(now)),
            };
            tokio::select! {
                Some((number, permit, attempted)) = self.pending.next(), if !self.pending.is_empty() => {
                    self.take(number, permit, attempted);
                }
                admitted = maybe(admission.as_mut()) => {
                    admission = None;
                    self.start(admitted);
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                () = subject.first_rtt.notified(), if subject.patience().is_none() => {}
            }
        }
    }

    /// Whether the next attempt may be repeated by the kernel. The first one of each series may: it waits for whoever says that
    /// there is no such host, and for a target that has become far, of which no shorter attempt would ever hear.
    fn lasts(&self) -> impl FnOnce() -> Option<Duration> + use<> {
        let (subject, transport) = (self.subject.clone(), self.endpoint.service.transport());
        let (is_first, life) = (self.flow.begins_series(), self.flow.life(subject.patience()));
        move || subject.lasts(transport, life, is_first)
    }

    /// Begins an attempt that the limits admitted. The machine's clock starts now, not when it was wished for.
    fn start(&mut self, admitted: Option<(OwnedSemaphorePermit, Hold)>) {
        let now = self.subject.began.elapsed();
        let life = self.flow.life(self.subject.patience());
        let transport = self.endpoint.service.transport();
        let life = admitted.as_ref().map_or(life, |(_, hold)| self.subject.limited(transport, life, hold));
        let number = self.flow.started(now);
        self.evidence.begin(now, None);
        self.rtts.push(None);
        let begun = match admitted {
            Some(admitted) => {
                net::begin(self.subject.aim(self.endpoint, None, None)).map(|begun| (admitted, begun))
            }
            None => Err(Signal::Local("the probe is shutting down".to_owned())),
        };
        let ((permit, hold), begun) = match begun {
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
        let exchange = self.subject.exchange(self.endpoint);
        self.pending.push(Box::pin(async move {
            let attempted = tokio::time::timeout(life, begun.first(exchange)).await;
            drop(hold);
            (number, permit, attempted.unwrap_or_else(|_| Attempted::Told(Told::silent())))
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
                self.evidence.traffic(number, told.traffic);
                if let Some(signal) = meaningful {
                    self.flow.signal(number, signal);
                }
            }
        }
    }

    fn converse(&mut self, number: usize, permit: OwnedSemaphorePermit, conversation: Conversation) {
        let reply = self.flow.reply();
        self.pending.push(Box::pin(async move {
            (number, permit, Attempted::Told(conversation.finish(reply).await))
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
