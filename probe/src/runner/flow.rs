//! One flow: the loop between the pure machine and the sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use sekisho_checks::{
    exchange::{self, Expected},
    flow::{Decision, Flow, Signal, Step, Tempo},
    pace::Rtt,
};
use sekisho_model::{Service, Transport};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{Engine, evidence::Evidence, silence::Rejections};
use crate::net::{self, Aim, Told, Watch};

/// What is known of a target while it is under test, shared by its flows.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) engine: Arc<Engine>,
    pub(super) target: super::Target,
    pub(super) began: Instant,
    rtt: Mutex<Rtt>,
    /// What the whole run knows of rejecting devices. Weak, because a device is remembered with its subject.
    pub(super) rejections: Weak<Rejections>,
}

impl Subject {
    pub(super) fn new(engine: Arc<Engine>, target: super::Target, rejections: &Arc<Rejections>) -> Self {
        let rejections = Arc::downgrade(rejections);
        Self { engine, target, began: Instant::now(), rtt: Mutex::new(Rtt::default()), rejections }
    }

    fn measured(&self, rtt: Duration) {
        self.rtt.lock().unwrap_or_else(PoisonError::into_inner).measured(rtt);
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
        let expected = Expected { domain: self.target.domain.clone(), host: self.target.host.clone() };
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

/// News from an attempt.
enum News {
    Bound(usize, SocketAddr),
    Connected(usize, Duration),
    Told(usize, Told),
}

/// News under way from the attempts of one flow.
const NEWS: usize = 32;

struct Reporter {
    number: usize,
    news: mpsc::Sender<News>,
}

impl Watch for Reporter {
    fn bound(&mut self, source: SocketAddr) {
        // A full channel cannot be: the flow takes news as they come; a lost source port only thins the evidence.
        if self.news.try_send(News::Bound(self.number, source)).is_err() {
            tracing::trace!("evidence of an attempt lost");
        }
    }

    fn connected(&mut self, rtt: Duration) {
        if self.news.try_send(News::Connected(self.number, rtt)).is_err() {
            tracing::trace!("evidence of an attempt lost");
        }
    }
}

/// One attempt outside of a flow's own series: a control, or one with a limited time to live. `None`: nothing came in
/// time.
pub(super) async fn once(
    subject: Arc<Subject>,
    service: Service,
    ttl: Option<u8>,
    within: Duration,
) -> Option<Told> {
    struct Nobody;
    impl Watch for Nobody {
        fn bound(&mut self, _: SocketAddr) {}
        fn connected(&mut self, _: Duration) {}
    }
    let _permit = subject.engine.limits.admit(subject.target.address).await?;
    // With a limited time to live only the way is of interest, not the service.
    let wants_exchange = ttl.is_none() || service.transport() == Transport::Udp;
    let exchange = if wants_exchange { subject.exchange(service) } else { None };
    let mut watch = Nobody;
    let attempt = net::attempt(subject.aim(service, ttl), exchange, &mut watch);
    tokio::time::timeout(within, attempt).await.ok()
}

/// A flow under way.
struct Running {
    subject: Arc<Subject>,
    service: Service,
    flow: Flow,
    evidence: Evidence,
    attempts: JoinSet<()>,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    admission: Option<oneshot::Receiver<()>>,
    rtts: Vec<Option<Duration>>,
    sources: Vec<Option<SocketAddr>>,
}

/// Tests one flow until the machine is satisfied.
pub(super) async fn run(subject: Arc<Subject>, service: Service) -> Outcome {
    let flow = Flow::new(Tempo::of(service.transport()));
    let running = Running {
        subject,
        service,
        flow,
        evidence: Evidence::default(),
        attempts: JoinSet::new(),
        news: mpsc::channel(NEWS),
        admission: None,
        rtts: Vec::new(),
        sources: Vec::new(),
    };
    running.run().await
}

impl Running {
    async fn run(mut self) -> Outcome {
        loop {
            let now = self.subject.began.elapsed();
            let wait = match self.flow.poll(now, self.subject.patience()) {
                Step::Done(decision) => return self.finish(decision),
                Step::Start if self.admission.is_none() => {
                    self.request();
                    None
                }
                Step::Start => None,
                Step::WaitUntil(until) => Some(until.saturating_sub(now)),
            };
            let mut sleep = wait.map(|wait| Box::pin(tokio::time::sleep(wait)));
            tokio::select! {
                Some(news) = self.news.1.recv() => self.take(news),
                admitted = maybe(self.admission.as_mut()) => self.admitted(admitted),
                () = maybe(sleep.as_mut()) => {}
            }
        }
    }

    /// Asks the limits for one more attempt. The machine's clock starts when they admit it, not before.
    fn request(&mut self) {
        let (admitted, admission) = oneshot::channel();
        self.admission = Some(admission);
        let (subject, service, number) = (self.subject.clone(), self.service, self.rtts.len());
        let mut reporter = Reporter { number, news: self.news.0.clone() };
        self.attempts.spawn(async move {
            let Some(_permit) = subject.engine.limits.admit(subject.target.address).await else { return };
            if admitted.send(()).is_err() {
                return;
            }
            let told =
                net::attempt(subject.aim(service, None), subject.exchange(service), &mut reporter).await;
            if reporter.news.send(News::Told(number, told)).await.is_err() {
                tracing::trace!("an attempt ended after its flow");
            }
        });
    }

    fn admitted(&mut self, admitted: Result<(), oneshot::error::RecvError>) {
        self.admission = None;
        let now = self.subject.began.elapsed();
        let number = self.flow.started(now);
        self.evidence.begin(now, None);
        self.rtts.push(None);
        self.sources.push(None);
        if admitted.is_err() {
            self.flow.signal(number, Signal::Local("the probe is shutting down".to_owned()));
        }
    }

    fn take(&mut self, news: News) {
        let now = self.subject.began.elapsed();
        match news {
            News::Bound(number, source) => {
                self.evidence.source(number, source.port());
                self.note(number, None, Some(source));
            }
            News::Connected(number, rtt) => {
                self.subject.measured(rtt);
                self.note(number, Some(rtt), None);
                self.flow.connected(number, now);
            }
            News::Told(number, told) => {
                let meaningful = told.signal.filter(|s| match s {
                    Signal::Icmp(error) => {
                        error.outcome(self.subject.target.address, told.source.map(|s| s.ip())).is_some()
                    }
                    Signal::Proven(_)
                    | Signal::Wrong(_)
                    | Signal::Ended(_)
                    | Signal::Reset
                    | Signal::NoRoute(_)
                    | Signal::Local(_) => true,
                });
                if let Some(rtt) = told.rtt
                    && matches!(meaningful, Some(Signal::Proven(_) | Signal::Reset | Signal::Wrong(_)))
                {
                    if self.rtts.get(number).is_some_and(Option::is_none) {
                        self.subject.measured(rtt);
                    }
                    self.note(number, Some(rtt), told.source);
                }
                self.evidence.end(number, meaningful.as_ref(), now);
                if let Some(signal) = meaningful {
                    self.flow.signal(number, signal);
                }
            }
        }
    }

    fn note(&mut self, number: usize, rtt: Option<Duration>, source: Option<SocketAddr>) {
        if let Some(slot) = self.rtts.get_mut(number) {
            *slot = slot.or(rtt);
        }
        if let Some(slot) = self.sources.get_mut(number) {
            *slot = slot.or(source);
        }
    }

    fn finish(mut self, decision: Decision) -> Outcome {
        let now = self.subject.began.elapsed();
        for number in 0..self.rtts.len() {
            self.evidence.give_up(number, now);
        }
        let number = decision.attempt;
        let rtt = number.and_then(|n| self.rtts.get(n).copied().flatten());
        let source = self.sources.iter().copied().flatten().next();
        Outcome { decision, rtt, source, evidence: self.evidence }
    }
}

/// The future's value, or never.
async fn maybe<F: Future + Unpin + ?Sized>(future: Option<&mut F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
