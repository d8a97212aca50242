//! A pretended probe: a session as the real one has it, and observations that are made up.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use sekisho_probe::Backoff;
use sekisho_proto::{
    CONTROLLER_NAME, PROTOCOL, limits,
    v1::{
        self, controller_message::Message as Down, fact, fleet_client::FleetClient,
        probe_message::Message as Up,
    },
};
use tokio::{net::TcpSocket, sync::mpsc};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Endpoint, Uri};

use crate::{Run, enrol::Enrolled};

/// All probes together.
pub(crate) struct Fleet {
    controller: SocketAddr,
    run: Run,
    pub(crate) connected: AtomicUsize,
    pub(crate) night: AtomicU32,
    /// Observations of this night.
    pub(crate) acknowledged: AtomicU64,
    /// When the first batch of this night went out, and when the last one was acknowledged.
    span: Mutex<Option<(Instant, Instant)>>,
}

/// Counts a session while it is open.
struct Here<'a>(&'a AtomicUsize);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Fleet {
    pub(crate) fn new(port: u16, run: Run) -> Self {
        Self {
            controller: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            run,
            connected: AtomicUsize::new(0),
            night: AtomicU32::new(0),
            acknowledged: AtomicU64::new(0),
            span: Mutex::new(None),
        }
    }

    /// How long batches of this night came in. The next night begins anew.
    pub(crate) fn ingest_took(&self) -> Duration {
        self.span.lock().unwrap().take().map_or(Duration::ZERO, |(first, last)| last - first)
    }

    fn now(&self) {
        let now = Instant::now();
        let mut span = self.span.lock().unwrap();
        let first = span.map_or(now, |(first, _)| first);
        *span = Some((first, now));
    }

    /// Connects again and again, with the pauses of the real probe.
    pub(crate) async fn live(self: Arc<Self>, probe: Enrolled) {
        let mut backoff = Backoff::default();
        // Nobody starts 10,000 probes in one moment.
        tokio::time::sleep(Duration::from_secs(30).mul_f64(Backoff::random())).await;
        loop {
            let mut welcomed = None;
            // How it ended is the controller's to say.
            self.session(&probe, &mut welcomed).await.ok();
            let lasted = welcomed.map(|since: Instant| since.elapsed());
            tokio::time::sleep(backoff.after(lasted, Backoff::random())).await;
        }
    }

    async fn session(&self, probe: &Enrolled, welcomed: &mut Option<Instant>) -> anyhow::Result<()> {
        let (controller, tls) = (self.controller, probe.tls.clone());
        // Addresses of its own, or this machine would run out of ports.
        let number = u16::try_from(probe.number)?;
        let own =
            Ipv4Addr::from([127, 1, (number / 200).to_be_bytes()[1], 1 + (number % 200).to_be_bytes()[1]]);
        let connector = tower::service_fn(move |_: Uri| {
            let tls = tls.clone();
            async move {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::from((own, 0)))?;
                let stream = socket.connect(controller).await?;
                stream.set_nodelay(true)?;
                let name = CONTROLLER_NAME.try_into().map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(TokioIo::new(TlsConnector::from(tls).connect(name, stream).await?))
            }
        });
        let endpoint = Endpoint::from_static("http://controller.sekisho.internal");
        let channel =
            tokio::time::timeout(Duration::from_secs(10), endpoint.connect_with_connector(connector))
                .await??;
        let (up, messages) = mpsc::channel(32);
        up.send(message(Up::Hello(hello(probe.number)))).await?;
        let mut client = FleetClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES);
        let patience = Duration::from_secs(20);
        let opened = tokio::time::timeout(patience, client.session(ReceiverStream::new(messages))).await??;
        let mut down = opened.into_inner();
        let first = tokio::time::timeout(patience, down.message()).await??;
        let Some(v1::ControllerMessage { message: Some(Down::Welcome(welcome)) }) = first else {
            anyhow::bail!("no welcome");
        };
        *welcomed = Some(Instant::now());
        self.connected.fetch_add(1, Ordering::Relaxed);
        let _here = Here(&self.connected);
        let every = Duration::from_secs(welcome.heartbeat_seconds.into());
        let mut ticks = tokio::time::interval(every);
        let (mut sequence, mut heard) = (0, Instant::now());
        let mut work =
            Work { up: up.clone(), batch: 0, waiting: VecDeque::new(), under_way: VecDeque::new() };
        loop {
            tokio::select! {
                received = down.message() => {
                    let Some(received) = received? else { anyhow::bail!("ended") };
                    heard = Instant::now();
                    match received.message {
                        Some(Down::Job(job)) => self.take(probe, &job, &mut work).await?,
                        Some(Down::Ack(ack)) => self.acknowledged(&ack, &mut work).await?,
                        _ => {}
                    }
                }
                _ = ticks.tick() => {
                    anyhow::ensure!(heard.elapsed() < every * 3, "silence");
                    sequence += 1;
                    let clock = Some(timestamp(Timestamp::now()));
                    let heartbeat = v1::Heartbeat { sequence, clock, ..v1::Heartbeat::default() };
                    up.send(message(Up::Heartbeat(heartbeat))).await?;
                }
            }
        }
    }

    /// Everything of a job is observed at once.
    async fn take(&self, probe: &Enrolled, job: &v1::Job, work: &mut Work) -> anyhow::Result<()> {
        let night = self.night.load(Ordering::Relaxed);
        let made: Vec<v1::Observation> =
            job.tasks.iter().map(|task| observation(probe.number, self.run, job, task, night)).collect();
        let mut batches = made.chunks(limits::OBSERVATIONS_PER_BATCH).peekable();
        while let Some(batch) = batches.next() {
            let ends = batches.peek().is_none().then(|| job.id.clone());
            work.waiting.push_back((batch.to_vec(), ends));
        }
        self.go_on(work).await
    }

    async fn acknowledged(&self, ack: &v1::Ack, work: &mut Work) -> anyhow::Result<()> {
        while work.under_way.front().is_some_and(|(batch, _, _)| *batch <= ack.batch) {
            let Some((_, count, ends)) = work.under_way.pop_front() else { break };
            self.acknowledged.fetch_add(count, Ordering::Relaxed);
            if let Some(job) = ends {
                work.up.send(message(Up::JobFinished(v1::JobFinished { job }))).await?;
            }
        }
        self.now();
        self.go_on(work).await
    }

    async fn go_on(&self, work: &mut Work) -> anyhow::Result<()> {
        while work.under_way.len() < limits::BATCHES_IN_FLIGHT {
            let Some((observations, ends)) = work.waiting.pop_front() else { break };
            self.now();
            work.batch += 1;
            work.under_way.push_back((work.batch, observations.len() as u64, ends));
            let batch = v1::ObservationBatch { batch: work.batch, observations };
            work.up.send(message(Up::Observations(batch))).await?;
        }
        Ok(())
    }
}

/// Batches on their way.
struct Work {
    up: mpsc::Sender<v1::ProbeMessage>,
    batch: u64,
    /// With the job that the batch is the last of.
    waiting: VecDeque<(Vec<v1::Observation>, Option<Vec<u8>>)>,
    under_way: VecDeque<(u64, u64, Option<Vec<u8>>)>,
}

fn message(message: Up) -> v1::ProbeMessage {
    v1::ProbeMessage { message: Some(message) }
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

fn hello(number: usize) -> v1::Hello {
    v1::Hello {
        protocol: PROTOCOL,
        version: "bench".to_owned(),
        host: format!("host-{number}"),
        icmp: "none".to_owned(),
        clock: Some(timestamp(Timestamp::now())),
        keeps_shares: true,
        keeps_plan_shares: true,
        ..v1::Hello::default()
    }
}

/// A fifth of the flows are filtered, the rest open; one in a hundred is another one each night. As long as what probes of the lab
/// hand in.
fn observation(probe: usize, run: Run, job: &v1::Job, task: &v1::Task, night: u32) -> v1::Observation {
    let seed = u64::from(task.number) * 7_919 + probe as u64 * 104_729;
    let changed = (seed / 5 + u64::from(night)).is_multiple_of(100);
    let is_open = seed.is_multiple_of(5) == changed;
    let target = task.number as usize / run.services;
    let text =
        |name: &str, text: String| v1::Fact { name: name.to_owned(), value: Some(fact::Value::Text(text)) };
    let (outcome, attempts, facts) = if is_open {
        let facts = vec![
            text("host", format!("dc{target}.corp.example")),
            text("naming-context", "DC=corp,DC=example".to_owned()),
            text("functionality", "Windows Server 2016".to_owned()),
            text("certificate-subject", format!("CN=dc{target}.corp.example")),
            v1::Fact { name: "certificate-days-left".to_owned(), value: Some(fact::Value::Integer(217)) },
            v1::Fact { name: "signing-required".to_owned(), value: Some(fact::Value::Flag(true)) },
        ];
        (v1::Outcome::Open, 1 + u32::from(seed.is_multiple_of(4)), facts)
    } else {
        let facts = vec![
            text("last-hop", format!("10.77.{}.1", seed % 7)),
            text("next-hop", "10.77.254.2".to_owned()),
        ];
        (v1::Outcome::Filtered, 9, facts)
    };
    let attempt = |number: u32| v1::Attempt {
        at_us: u64::from(number) * 700_000 + seed % 90_000,
        took_us: if is_open { 500 + seed % 4_000 } else { 2_000_000 + seed % 2_000 },
        source_port: 32_768 + u32::try_from(seed % 28_000).unwrap_or(0),
        signal: if is_open { "reply" } else { "silence" }.to_owned(),
        sent_bytes: if is_open { 72 } else { 0 },
        received_bytes: if is_open { 220 } else { 0 },
        ..v1::Attempt::default()
    };
    v1::Observation {
        job: job.id.clone(),
        task: task.number,
        outcome: outcome.into(),
        rtt_us: if is_open { 800 + u32::try_from(seed % 4_000).unwrap_or(0) } else { 0 },
        attempts,
        facts,
        evidence: (0..attempts).map(attempt).collect(),
        observed_at: Some(timestamp(Timestamp::now())),
        ..v1::Observation::default()
    }
}
