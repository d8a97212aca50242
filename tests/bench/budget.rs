//! A fleet of pretended probes and one target: how near it comes to the target's budget, and whether it ever goes beyond.
//!
//! Controllers, database and the rates of the probes are the real ones; so are the datagrams, which arrive at a socket of
//! this machine and are counted by the time at which the kernel took them. See tests/bench/README.md.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the measurement")]

#[path = "budget/planned.rs"]
mod planned;

use std::{
    collections::{HashMap, HashSet},
    io::IoSliceMut,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{RcvBufForce, ReceiveTimestampns},
};
use sekisho::service::{
    Actor, Beat, CertificateIssuer, EnrolRequest, HandedIn, Hello, IssueError, Issued, Order, Services,
    Session, Settings, SweepRequest,
};
use sekisho_model::{Facts, Outcome};
use sekisho_probe::{
    net::IcmpAccess,
    runner::{Engine, Rates, Shares},
};
use sekisho_tests::Postgres;
use sqlx::postgres::PgPoolOptions;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use uuid::Uuid;

const SECOND: u64 = 1_000_000_000;
/// Until the first shares are lent and used. Not measured.
const WARM_UP: Duration = Duration::from_secs(8);

/// What is measured.
#[derive(Clone, Copy)]
struct Run {
    budget: u32,
    probes: usize,
    /// Sweeps at the same time.
    sweeps: usize,
    /// Flows of each job, and attempts of each flow.
    flows: usize,
    tries: usize,
    seconds: u64,
    /// The controllers stop when the measurement begins.
    alone: bool,
    /// One probe of so many goes on with its first jobs and is never heard again.
    lost: usize,
    /// Probes that are away run their planned jobs meanwhile, in a window of so many minutes, by clocks that are wrong by so many seconds.
    planned: bool,
    window: u32,
    drift: u32,
}

impl Run {
    fn of_arguments() -> Self {
        let mut run = Self {
            budget: 200,
            probes: 1_000,
            sweeps: 2,
            flows: 30,
            tries: 1,
            seconds: 60,
            alone: false,
            lost: 0,
            planned: false,
            window: 10,
            drift: 0,
        };
        for argument in std::env::args().skip(1) {
            let (name, value) = argument.split_once('=').unwrap_or((&argument, "1"));
            let number: usize = value.parse().unwrap();
            match name {
                "--budget" => run.budget = u32::try_from(number).unwrap(),
                "--probes" => run.probes = number,
                "--sweeps" => run.sweeps = number,
                "--flows" => run.flows = number,
                "--tries" => run.tries = number,
                "--seconds" => run.seconds = number as u64,
                "--alone" => run.alone = true,
                "--lost" => run.lost = number,
                "--planned" => run.planned = true,
                "--window" => run.window = u32::try_from(number).unwrap(),
                "--drift" => run.drift = u32::try_from(number).unwrap(),
                _ => panic!(
                    "{name}: options are --budget= --probes= --sweeps= --flows= --tries= --seconds= --lost= --alone \
                     --planned --window= --drift="
                ),
            }
        }
        run
    }

    fn inventory(&self) -> String {
        let services: Vec<String> = (1..=self.flows).map(|port| format!("\"tcp/{port}\"")).collect();
        let mut text = format!(
            "[[domain]]\nname = \"corp.example\"\n[[target]]\ndomain = \"corp.example\"\nhost = \"dc1.corp.example\"\n\
             address = \"127.0.0.1\"\nbudget = {}\n[[profile]]\nname = \"bench\"\nservices = [{}]\n",
            self.budget,
            services.join(", ")
        );
        for number in 0..self.probes {
            text.push_str(&format!("[[vantage]]\nname = \"v{number}\"\n"));
        }
        text
    }
}

/// Signs anything.
struct Issuer;

impl CertificateIssuer for Issuer {
    fn issue(&self, _: &[u8], probe: Uuid, now: Timestamp) -> Result<Issued, IssueError> {
        let serial = probe.as_bytes().to_vec();
        Ok(Issued {
            chain: vec![serial.clone()],
            serial,
            not_before: now,
            not_after: now + Duration::from_secs(86_400),
        })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        Ok(message.to_vec())
    }
}

/// The target: when datagrams arrived, in nanoseconds.
struct Target {
    address: SocketAddr,
    arrivals: Arc<Mutex<Vec<u64>>>,
}

impl Target {
    fn listen() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        setsockopt(&socket, ReceiveTimestampns, &true).unwrap();
        setsockopt(&socket, RcvBufForce, &(16 << 20)).unwrap();
        let target = Self { address: socket.local_addr().unwrap(), arrivals: Arc::default() };
        let arrivals = target.arrivals.clone();
        std::thread::spawn(move || {
            loop {
                let (mut bytes, mut control) = ([0; 16], [0; 128]);
                let mut buffers = [IoSliceMut::new(&mut bytes)];
                let message = recvmsg::<SockaddrStorage>(
                    socket.as_raw_fd(),
                    &mut buffers,
                    Some(&mut control),
                    MsgFlags::empty(),
                )
                .unwrap();
                let time = message.cmsgs().unwrap().find_map(|control| {
                    let ControlMessageOwned::ScmTimestampns(time) = control else { return None };
                    Some(Duration::from(time))
                });
                arrivals.lock().unwrap().push(u64::try_from(time.unwrap().as_nanos()).unwrap());
            }
        });
        target
    }
}

/// The most of any second, whenever it begins.
fn most(arrivals: &[u64]) -> usize {
    let (mut most, mut last) = (0, 0);
    for (first, at) in arrivals.iter().enumerate() {
        while arrivals.get(last).is_some_and(|later| *later < at + SECOND) {
            last += 1;
        }
        most = most.max(last - first);
    }
    most
}

/// A probe that knows nothing but its jobs.
struct Probe {
    run: Run,
    number: usize,
    services: Services,
    session: Session,
    engine: Arc<Engine>,
    to: SocketAddr,
    controllers: watch::Receiver<bool>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    jobs: AtomicUsize,
    looks: AtomicUsize,
}

impl Probe {
    async fn live(self) {
        let spread = Duration::from_millis(2_000 * self.number as u64 / self.run.probes as u64);
        sleep(spread).await;
        let (mut held, mut jobs, mut beat) = (HashSet::new(), JoinSet::new(), 0_u32);
        loop {
            if !*self.controllers.borrow() {
                // Nobody answers any more: what is under way goes on.
                while jobs.join_next().await.is_some() {}
                return;
            }
            let work = self.services.work(&self.session, &held).await.unwrap();
            self.counts.looks.fetch_add(1, Ordering::Relaxed);
            for order in work.orders {
                held.insert(order.id);
                let (engine, to, run) = (self.engine.clone(), self.to, self.run);
                jobs.spawn(async move { job(engine, to, run, order).await });
            }
            work.forget.iter().chain(&work.cancel).for_each(|job| {
                held.remove(job);
            });
            if beat % 2 == 0 {
                let beat =
                    Beat { spooled: 0, dropped: 0, clock: None, problems: Vec::new(), progressed: true };
                self.services.heartbeat(&self.session, &beat).await.unwrap();
            }
            beat += 1;
            let vanishes = self.run.lost > 0 && self.number % self.run.lost == 1 && !held.is_empty();
            let pause = sleep(Duration::from_secs(2));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(order) = jobs.join_next() => {
                        let order = order.unwrap();
                        if vanishes || !*self.controllers.borrow() {
                            continue;
                        }
                        self.services.ingest(self.session.probe, results(&order)).await.unwrap();
                        self.services.job_finished(&self.session, order.id).await.unwrap();
                        held.remove(&order.id);
                        self.counts.jobs.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
            }
            if vanishes {
                // It goes on with its job and says nothing more.
                while jobs.join_next().await.is_some() {}
                return;
            }
        }
    }
}

/// Every try of every flow, as soon as the probe's rates admit it.
async fn job(engine: Arc<Engine>, to: SocketAddr, run: Run, order: Order) -> Order {
    let shares = Shares { targets: order.shares.targets.clone(), link: order.shares.link };
    let within = Duration::from_secs(order.seconds_left.into());
    let engine = engine.within(&shares, within);
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let mut flows = JoinSet::new();
    for _ in &order.tasks {
        let (engine, socket) = (engine.clone(), socket.clone());
        flows.spawn(async move {
            for _ in 0..run.tries {
                let _permit = engine.admit(to.ip()).await;
                socket.send_to(b"x", to).unwrap();
            }
        });
    }
    drop(tokio::time::timeout(within, flows.join_all()).await);
    order
}

fn results(order: &Order) -> Vec<HandedIn> {
    let result = |task: u32| HandedIn {
        job: order.id,
        task,
        outcome: Outcome::Open,
        by: None,
        rtt_us: Some(1),
        attempts: 1,
        confirmed: false,
        facts: Facts::new(),
        evidence: Vec::new(),
        observed_at: Some(Timestamp::now()),
        discovered: Vec::new(),
        status: None,
        autonomous: false,
    };
    order.tasks.iter().map(|task| result(task.number)).collect()
}

/// A controller on the database, with its background.
async fn controller(postgres: &Postgres, stop: watch::Receiver<bool>) -> Services {
    let pool = PgPoolOptions::new().max_connections(20).connect(&postgres.url()).await.unwrap();
    sekisho::store::migrate(&pool).await.unwrap();
    let id = Uuid::new_v4();
    let services = Services::new(pool, id, Arc::new(Issuer), Settings::default());
    services.register_controller(id.as_bytes(), "bench").await.unwrap();
    tokio::spawn(sekisho::background::run(services.clone(), stop));
    services
}

fn hello() -> Hello {
    Hello {
        version: "bench".to_owned(),
        host: "bench".to_owned(),
        services: Vec::new(),
        icmp: "none".to_owned(),
        clock: None,
        spooled: 0,
        keeps_shares: true,
        keeps_plan_shares: true,
    }
}

async fn enrolled(services: &Services, actor: &Actor, vantage: &str) -> Uuid {
    let token = services.create_enrolment_token(actor, vantage, Duration::from_secs(600)).await.unwrap();
    let request = EnrolRequest {
        secret: token.secret,
        csr: Vec::new(),
        host: "bench".to_owned(),
        version: "bench".to_owned(),
    };
    services.enrol(request).await.unwrap().probe
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// A night without any controller, until it is over for everybody.
async fn night(
    run: Run,
    services: &Services,
    actor: &Actor,
    target: &Target,
    stop: &watch::Sender<bool>,
) -> ExitCode {
    let held = planned::held(run, services, actor).await;
    stop.send_replace(true);
    let (given, over) = (held.given, held.over);
    let mut probes = planned::begin(run, held, target.address);
    let left = Duration::try_from(over.duration_since(Timestamp::now())).unwrap_or_default();
    drop(tokio::time::timeout(left, async { while probes.join_next().await.is_some() {} }).await);
    // What is under way arrives.
    sleep(Duration::from_secs(1)).await;
    let mut arrivals = target.arrivals.lock().unwrap().clone();
    arrivals.sort_unstable();
    let (most, wanted) = (most(&arrivals), given * run.flows * run.tries);
    let took = arrivals.first().zip(arrivals.last()).map_or(0, |(first, last)| (last - first) / SECOND);
    println!(
        "budget {} probes {} flows {}x{} window {} min, clocks wrong by {} s: {given} probes had the plan; most in a second {most} \
         ({:.3} of the budget), {} of {wanted} arrivals in {took} s",
        run.budget,
        run.probes,
        run.flows,
        run.tries,
        run.window,
        run.drift,
        most as f64 / f64::from(run.budget),
        arrivals.len(),
    );
    let good = most <= run.budget as usize / 2 && given == run.probes && arrivals.len() == wanted;
    ExitCode::from(u8::from(!good))
}

/// Probes that are to be connected.
struct Probes {
    run: Run,
    to: SocketAddr,
    reachable: watch::Receiver<bool>,
    counts: Arc<Counts>,
}

impl Probes {
    async fn connect(self, controllers: &[Services; 2], actor: &Actor) -> JoinSet<()> {
        let mut ids = HashMap::new();
        for number in 0..self.run.probes {
            ids.insert(number, enrolled(&controllers[0], actor, &format!("v{number}")).await);
        }
        let mut probes = JoinSet::new();
        for (number, id) in ids {
            let services = controllers[number % 2].clone();
            let session = services.open_session(id, &hello()).await.unwrap();
            let probe = Probe {
                run: self.run,
                number,
                session,
                services,
                engine: Engine::new(Rates::default(), IcmpAccess::None),
                to: self.to,
                controllers: self.reachable.clone(),
                counts: self.counts.clone(),
            };
            probes.spawn(probe.live());
        }
        probes
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let run = Run::of_arguments();
    let start = Instant::now();
    let tell = |what: &str| eprintln!("{:6.1} s: {what}", start.elapsed().as_secs_f64());
    let postgres = Postgres::start().unwrap();
    let (stop, stopped) = watch::channel(false);
    let controllers = [controller(&postgres, stopped.clone()).await, controller(&postgres, stopped).await];
    let actor = Actor { name: "bench".to_owned(), trace: None };
    controllers[0].apply_inventory(&actor, "bench", &run.inventory(), false).await.unwrap();
    let target = Target::listen();
    let (away, reachable) = watch::channel(true);
    let counts = Arc::new(Counts::default());
    if run.planned && run.alone {
        return night(run, &controllers[0], &actor, &target, &stop).await;
    }
    let held = match run.planned {
        true => Some(planned::held(run, &controllers[0], &actor).await),
        false => None,
    };
    let probes = Probes { run, to: target.address, reachable, counts: counts.clone() };
    let mut probes = probes.connect(&controllers, &actor).await;
    tell("probes are connected");
    for _ in 0..run.sweeps {
        let request = SweepRequest { profile: Some("bench".to_owned()), ..SweepRequest::default() };
        controllers[0].start_sweep(&actor, request).await.unwrap();
    }
    tell("sweeps are started");
    let night = held.map(|held| (held.given, planned::begin(run, held, target.address)));
    sleep(WARM_UP).await;
    tell("it is measured");
    if run.alone {
        away.send_replace(false);
        stop.send_replace(true);
    }
    let (jobs, looks) = (counts.jobs.load(Ordering::Relaxed), counts.looks.load(Ordering::Relaxed));
    let began = now();
    sleep(Duration::from_secs(run.seconds)).await;
    let ended = now();
    let mut arrivals = target.arrivals.lock().unwrap().clone();
    arrivals.sort_unstable();
    let most = most(&arrivals);
    let within = arrivals.iter().filter(|at| (began..ended).contains(*at)).count();
    let mean = within as f64 / ((ended - began) as f64 / SECOND as f64);
    let mut each = vec![0; usize::try_from(run.seconds).unwrap() + 1];
    for at in arrivals.iter().filter(|at| (began..ended).contains(*at)) {
        each[usize::try_from((at - began) / SECOND).unwrap()] += 1;
    }
    tell(&format!("by second: {each:?}"));
    let queued = postgres.query("SELECT count(*) FROM job WHERE state = 'queued'").unwrap();
    let budget = f64::from(run.budget);
    println!(
        "budget {} probes {} sweeps {} flows {}x{} {}: most in a second {most} ({:.3} of the budget), mean {mean:.1} a second \
         ({:.3}); {} arrivals, {} jobs ended, {} looks, {queued} jobs still queued",
        run.budget,
        run.probes,
        run.sweeps,
        run.flows,
        run.tries,
        if run.alone { "without a controller" } else { "with two controllers" },
        most as f64 / budget,
        mean / budget,
        arrivals.len(),
        counts.jobs.load(Ordering::Relaxed) - jobs,
        counts.looks.load(Ordering::Relaxed) - looks,
    );
    // Before the database goes.
    probes.shutdown().await;
    stop.send_replace(true);
    if let Some((given, mut night)) = night {
        println!("meanwhile {given} probes that were away had their planned jobs");
        night.shutdown().await;
        return ExitCode::from(u8::from(most > run.budget as usize));
    }
    let good = most <= run.budget as usize && (run.lost > 0 || mean >= 0.9 * budget);
    ExitCode::from(u8::from(!good))
}
