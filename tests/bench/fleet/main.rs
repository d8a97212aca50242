//! 10,000 pretended probes on one controller: how much memory and CPU they cost, how soon they are back after a restart, how
//! fast a night of theirs comes in and is compared. See tests/bench/README.md.
//!
//! Controller and PostgreSQL are processes of their own, the sessions are gRPC over mutual TLS. What the probes hand in is made up.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the measurement")]

mod cost;
mod enrol;
mod probe;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sekisho_tests::{Controller, Postgres, Programs};
use serde_json::Value;
use tokio::{task::JoinSet, time::sleep};

use cost::Cost;
use probe::Fleet;

/// What deploy/examples/sekisho.toml advises for a fleet of this size.
const SETTINGS: &str = "[settings]\nheartbeat = \"30s\"\nlive_window = \"100s\"\nlost_grace = \"150s\"\n";

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    probes: usize,
    /// Sweeps of a night: each of a part of the vantages.
    sweeps: usize,
    nights: u32,
    targets: usize,
    services: usize,
    /// Seconds until memory is read, and in which CPU is.
    settle: u64,
    idle: u64,
    /// Whether the controller is killed once.
    restart: bool,
}

impl Run {
    fn of_arguments() -> Self {
        let mut run = Self {
            probes: 10_000,
            sweeps: 10,
            nights: 3,
            targets: 10,
            services: 25,
            settle: 30,
            idle: 60,
            restart: true,
        };
        for argument in std::env::args().skip(1) {
            let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
            let number: usize = value.parse().unwrap_or(0);
            match name {
                "--probes" => run.probes = number,
                "--sweeps" => run.sweeps = number,
                "--nights" => run.nights = u32::try_from(number).unwrap(),
                "--targets" => run.targets = number,
                "--services" => run.services = number,
                "--settle" => run.settle = number as u64,
                "--no-restart" => run.restart = false,
                "--idle" => run.idle = number as u64,
                _ => {
                    panic!(
                        "{name}: options are --probes= --sweeps= --nights= --targets= --services= --settle= --idle= --no-restart"
                    )
                }
            }
        }
        run
    }

    /// Vantages of one sweep: those of one site.
    fn per_sweep(&self) -> usize {
        self.probes.div_ceil(self.sweeps)
    }

    fn observations(&self) -> usize {
        self.probes * self.targets * self.services
    }

    fn inventory(&self) -> String {
        let services: Vec<String> =
            (1..=self.services).map(|port| format!("\"tcp/{}\"", 1_000 + port)).collect();
        let mut text = String::from("[[domain]]\nname = \"corp.example\"\n");
        for target in 0..self.targets {
            text.push_str(&format!(
                "[[target]]\ndomain = \"corp.example\"\nhost = \"dc{target}.corp.example\"\naddress = \"192.0.2.{target}\"\nbudget = 100000\n"
            ));
        }
        text.push_str(&format!("[[profile]]\nname = \"bench\"\nservices = [{}]\n", services.join(", ")));
        for number in 0..self.probes {
            let site = number / self.per_sweep();
            text.push_str(&format!("[[vantage]]\nname = \"v{number}\"\nsite = \"s{site}\"\n"));
        }
        text.push_str(
            "[[policy]]\nname = \"dcs\"\nfrom = {}\nto = { domain = \"corp.example\" }\nprofile = \"bench\"\nexpect = \"allow\"\n",
        );
        text
    }
}

/// Waits until `done` says so, and tells how long that took.
async fn until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < limit, "{what} took more than {limit:?}");
        sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

async fn all_connected(fleet: &Fleet, run: Run, since: Instant) -> Duration {
    let mut told = Instant::now();
    until("connecting", Duration::from_secs(900), || {
        let connected = fleet.connected.load(Ordering::Relaxed);
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            eprintln!("{:6.1} s: {connected} connected", since.elapsed().as_secs_f64());
        }
        connected == run.probes
    })
    .await;
    since.elapsed()
}

#[tokio::main]
async fn main() {
    let run = Run::of_arguments();
    let began = Instant::now();
    let tell = |what: String| eprintln!("{:6.1} s: {what}", began.elapsed().as_secs_f64());
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let programs = Arc::new(Programs::new().unwrap());
    let postgres = Postgres::start().unwrap();
    let url = postgres.url();
    let data = folder.path().join("controller");
    let config = folder.path().join("config.toml");
    std::fs::write(&config, SETTINGS).unwrap();
    let arguments = ["--config", config.to_str().unwrap(), "--database-url", &url];
    let mut controller = Controller::start(programs, &data, &arguments).unwrap();
    let file = folder.path().join("inventory.toml");
    std::fs::write(&file, run.inventory()).unwrap();
    controller.ok(&["apply", file.to_str().unwrap()]).unwrap();
    tell("the inventory is applied".to_owned());
    let enrolled = enrol::enrol(&data, &url, run.probes).await;
    tell("probes are enrolled".to_owned());

    let empty = Cost::of(&controller, &postgres);
    let fleet = Arc::new(Fleet::new(controller.fleet_port, run));
    let connecting = Instant::now();
    let mut probes = JoinSet::new();
    for probe in enrolled {
        probes.spawn(fleet.clone().live(probe));
    }
    let took = all_connected(&fleet, run, connecting).await;
    println!("connect, the first time: {} probes in {:.1} s", run.probes, took.as_secs_f64());
    sleep(Duration::from_secs(run.settle)).await;

    let before = Cost::of(&controller, &postgres);
    let grown = before.resident.saturating_sub(empty.resident) as f64 / 1_000.0 / run.probes as f64;
    println!(
        "memory: the controller has {:.1} MB with nobody, {:.1} MB with all: {grown:.1} KB a probe",
        empty.resident as f64 / 1e6,
        before.resident as f64 / 1e6
    );
    sleep(Duration::from_secs(run.idle)).await;
    let used = Cost::of(&controller, &postgres).since(&before);
    println!(
        "idle, {} s: the controller uses {:.1} % of a core, PostgreSQL {:.1} %",
        run.idle,
        100.0 * used.controller.as_secs_f64() / run.idle as f64,
        100.0 * used.postgres.as_secs_f64() / run.idle as f64
    );

    if run.restart {
        restart(&mut controller, &fleet, run).await;
    }
    for night in 1..=run.nights {
        self::night(&controller, &postgres, &fleet, run, night).await;
    }
    println!("memory after the nights: {:.1} MB", Cost::of(&controller, &postgres).resident as f64 / 1e6);
    probes.shutdown().await;
}

/// Kills the controller, starts it again, and tells when all are back.
async fn restart(controller: &mut Controller, fleet: &Fleet, run: Run) {
    controller.kill().unwrap();
    until("noticing that the controller is away", Duration::from_secs(60), || {
        fleet.connected.load(Ordering::Relaxed) == 0
    })
    .await;
    // Long enough that every probe has the longest pauses behind it.
    sleep(Duration::from_secs(40)).await;
    let starting = Instant::now();
    controller.restart().unwrap();
    let ready = starting.elapsed();
    let took = all_connected(fleet, run, starting).await;
    println!(
        "connect after a restart: all of {} probes {:.1} s after the start ({:.1} s until it was ready)",
        run.probes,
        took.as_secs_f64(),
        ready.as_secs_f64()
    );
}

/// A night: every sweep of it begins at once, comes in, and is compared with the one before.
async fn night(controller: &Controller, postgres: &Postgres, fleet: &Fleet, run: Run, night: u32) {
    fleet.night.store(night, Ordering::Relaxed);
    fleet.acknowledged.store(0, Ordering::Relaxed);
    let before = Cost::of(controller, postgres);
    let began = Instant::now();
    let mut sweeps = Vec::new();
    for site in 0..run.sweeps {
        let first = site * run.per_sweep();
        let vantages: Vec<String> =
            (first..run.probes.min(first + run.per_sweep())).map(|number| format!("v{number}")).collect();
        let mut arguments = vec!["sweep", "run", "--profile", "bench", "--format", "json"];
        for vantage in &vantages {
            arguments.extend(["--vantage", vantage]);
        }
        let started: Value = serde_json::from_str(&controller.ok(&arguments).unwrap()).unwrap();
        sweeps.push(started["id"].to_string());
    }
    let started = began.elapsed();
    let running =
        "SELECT count(*) FILTER (WHERE state = 'running'), sum(planned), sum(observed) FROM report.sweep";
    let mut told = Instant::now();
    until("the night", Duration::from_secs(1_800), || {
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let acknowledged = fleet.acknowledged.load(Ordering::Relaxed);
            eprintln!("{:6.1} s: {acknowledged} acknowledged", began.elapsed().as_secs_f64());
        }
        let progress = postgres.query(running).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        progress.starts_with("0|")
    })
    .await;
    let ended = began.elapsed();
    let used = Cost::of(controller, postgres).since(&before);
    let acknowledged = fleet.acknowledged.load(Ordering::Relaxed);
    let within = fleet.ingest_took();
    println!(
        "night {night}: {acknowledged} of {} observations in {:.1} s ({:.1} s to start the sweeps); {:.0}/s from the first batch to the last; \
         CPU: controller {:.1} s, PostgreSQL {:.1} s",
        run.observations(),
        ended.as_secs_f64(),
        started.as_secs_f64(),
        acknowledged as f64 / within.as_secs_f64(),
        used.controller.as_secs_f64(),
        used.postgres.as_secs_f64()
    );
    if night == 1 {
        return;
    }
    let comparing = Instant::now();
    let mut changes = 0;
    for sweep in &sweeps {
        let number: usize = sweep.parse().unwrap();
        let earlier = (number - run.sweeps).to_string();
        let diff = controller.cli(&["diff", &earlier, sweep, "--format", "json"]).unwrap();
        let diff: Value = serde_json::from_slice(&diff.stdout).unwrap();
        changes += diff["changes"].as_array().map_or(0, Vec::len);
        let gaps = controller.cli(&["gaps", "--sweep", sweep, "--format", "json"]).unwrap();
        assert!(!gaps.stdout.is_empty(), "{}", String::from_utf8_lossy(&gaps.stderr));
    }
    let resident = Cost::of(controller, postgres).resident as f64 / 1e6;
    println!("night {night}: the controller has {resident:.0} MB");
    println!(
        "night {night}: compared in {:.1} s, {changes} changes; {:.1} s from the start to the last answer",
        comparing.elapsed().as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
}
