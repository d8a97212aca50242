//! Two controllers on one PostgreSQL, a probe in each VLAN, and what can be done to them.

use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use jiff::{Timestamp, ToSpan};
use nix::sys::signal::Signal;
use sekisho_tests::{Controller, Postgres, Proxy, World, wait_for};

use super::plan::{CONTROLLERS, Fault, LEAD, Part, Trouble, What};

pub(crate) const VLANS: [&str; 3] = ["vlan10", "vlan20", "vlan30"];
/// Short limits: what takes a minute in an enterprise takes seconds here. A probe goes on by itself before it counts as lost.
const CONFIG: &str = "[settings]\nheartbeat = \"2s\"\nlive_window = \"5s\"\nprobe_grace = \"8s\"\nlost_grace = \"6s\"\n\
                      result_grace = \"5s\"\ndiscovery_wait = \"10s\"\nplan_grace = \"3s\"\n";
/// A night each minute, and another half a minute later: the splay of this name is 31 seconds.
const SCHEDULES: [(&str, &str); 2] = [("evening", ""), ("morning", "splay = \"45s\"\n")];
const BETWEEN: i64 = 31;
/// Time for everything to be well again.
const RECOVERY: Duration = Duration::from_secs(90);

/// How many controllers hear of what others do.
pub(crate) const LISTENING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'";

/// A fault that was.
#[derive(Debug, Clone)]
pub(crate) struct Suffered {
    pub(crate) what: What,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// Fields are dropped in this order.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) second: Controller,
    proxies: [Proxy; CONTROLLERS],
    pub(crate) postgres: Postgres,
    pub(crate) suffered: Vec<Suffered>,
    /// Starts of controllers that ended because there was no database.
    pub(crate) vain_starts: u32,
}

impl Stage {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let postgres = Postgres::start()?;
        let proxies = [Proxy::start(&postgres.socket())?, Proxy::start(&postgres.socket())?];
        let mut world = World::with("faults", CONFIG, &["--database-url", &proxies[0].url()])?;
        let second = world.further_controller("second", &proxies[1].url())?;
        for (number, vlan) in VLANS.into_iter().enumerate() {
            let both = [&world.controller, &second];
            let both = if number % 2 == 0 { both } else { [both[1], both[0]] };
            let probe = world.probe_of(&both, vlan, &["10.77.1.0/24"])?;
            world.probes.push(probe);
        }
        world.online(VLANS.len())?;
        // A guest, from whom much is filtered, has half a minute of tracing to do. Nights are to be short here.
        world.lab.nft("edge", "flush chain ip sekisho guest\n")?;
        let stage = Self { world, second, proxies, postgres, suffered: Vec::new(), vain_starts: 0 };
        let sweep = stage.world.sweep(&[])?;
        anyhow::ensure!(sweep.missed == 0 && sweep.observed > 0, "before any fault: {sweep:?}");
        let mut inventory = sekisho_lab::inventory().to_owned();
        for (name, splay) in SCHEDULES {
            write!(
                inventory,
                "\n[[schedule]]\nname = \"{name}\"\ncron = \"* * * * *\"\ntime_zone = \"UTC\"\nwindow = \"3m\"\n{splay}"
            )?;
        }
        stage.world.apply(&inventory)?;
        Ok(stage)
    }

    pub(crate) fn controller(&mut self, number: usize) -> &mut Controller {
        if number == 0 { &mut self.world.controller } else { &mut self.second }
    }

    /// Lets the faults of a round come around the next night, and returns when the last one is over.
    pub(crate) fn suffer(&mut self, round: &[Fault]) -> anyhow::Result<()> {
        let begin = before_a_night();
        let mut turns: Vec<(Duration, &Fault, bool)> =
            round.iter().flat_map(|fault| [(fault.at, fault, true), (fault.until, fault, false)]).collect();
        turns.sort_by_key(|turn| turn.0);
        let mut from = std::collections::HashMap::new();
        for (moment, fault, is_begin) in turns {
            at(begin + moment);
            if is_begin {
                from.insert(fault.what, Timestamp::now());
                self.begin(fault.what)?;
            } else {
                self.end(fault.what)?;
                let from = from.remove(&fault.what).unwrap_or_else(Timestamp::now);
                self.suffered.push(Suffered { what: fault.what, from, until: Timestamp::now() });
            }
        }
        Ok(())
    }

    fn begin(&mut self, what: What) -> anyhow::Result<()> {
        match what {
            What::Kill(Part::Controller(number)) => self.controller(number).kill(),
            What::Kill(Part::Probe(number)) => self.world.probes[number].kill(),
            What::Kill(Part::Postgres) => self.postgres.kill(),
            What::Pause(part) => self.signal(part, Signal::SIGSTOP),
            What::Session(number, trouble) => self.trouble(number, Some(trouble)),
            What::Database(number, how) => {
                self.proxies[number].cut(how);
                Ok(())
            }
            What::Flows(percent) => self.world.lab.loss(percent),
        }
    }

    fn end(&mut self, what: What) -> anyhow::Result<()> {
        match what {
            What::Kill(Part::Controller(number)) => self.controller(number).begin(),
            What::Kill(Part::Probe(number)) => self.world.probes[number].run(&self.world.lab),
            What::Kill(Part::Postgres) => self.postgres.start_again(),
            What::Pause(part) => self.signal(part, Signal::SIGCONT),
            What::Session(number, _) => self.trouble(number, None),
            What::Database(number, _) => {
                self.proxies[number].mend();
                Ok(())
            }
            What::Flows(_) => self.world.lab.loss(0),
        }
    }

    fn signal(&mut self, part: Part, signal: Signal) -> anyhow::Result<()> {
        match part {
            Part::Controller(number) => self.controller(number).signal(signal),
            Part::Probe(number) => self.world.probes[number].signal(signal),
            Part::Postgres if signal == Signal::SIGSTOP => self.postgres.pause(),
            Part::Postgres => self.postgres.resume(),
        }
    }

    /// Between a probe and all controllers: what is for others passes.
    fn trouble(&self, probe: usize, trouble: Option<Trouble>) -> anyhow::Result<()> {
        let vlan = VLANS[probe];
        let verdict = match trouble {
            None => None,
            Some(Trouble::Silent) => Some("drop".to_owned()),
            Some(Trouble::Reset) => Some("meta l4proto tcp reject with tcp reset".to_owned()),
            Some(Trouble::Loss(percent)) => Some(format!("numgen random mod 100 < {percent} drop")),
        };
        let mut script = format!("table ip faults_{vlan}\ndelete table ip faults_{vlan}\n");
        if let Some(verdict) = verdict {
            write!(
                script,
                "table ip faults_{vlan} {{\n chain forward {{\n  type filter hook forward priority -20;\n  \
                 iifname \"{vlan}\" oifname \"mgmt\" {verdict}\n  iifname \"mgmt\" oifname \"{vlan}\" {verdict}\n }}\n}}\n"
            )?;
        }
        self.world.lab.nft("edge", &script)
    }

    /// Waits until everything runs and serves. What ended by itself is an error; a controller that found no database at its
    /// start is started again, as systemd would.
    pub(crate) fn recover(&mut self) -> anyhow::Result<()> {
        self.postgres.answers()?;
        for number in 0..CONTROLLERS {
            let is_new =
                self.suffered.iter().rev().take(5).any(|s| s.what == What::Kill(Part::Controller(number)));
            let controller = self.controller(number);
            if let Err(error) = controller.ready() {
                anyhow::ensure!(is_new, "controller {number} ended by itself: {error:#}");
                controller.restart()?;
                self.vain_starts += 1;
            }
        }
        for probe in &mut self.world.probes {
            anyhow::ensure!(probe.runs(), "the probe of {} ended by itself", probe.vantage);
        }
        Ok(())
    }

    /// Waits until each controller says that it can do its work, and hears of what others do.
    fn is_ready(&mut self) -> anyhow::Result<()> {
        for number in 0..CONTROLLERS {
            let controller = self.controller(number);
            wait_for("a controller to be ready", RECOVERY, || {
                let answer = controller.readiness()?;
                if answer.starts_with("HTTP/1.1 200") { Ok(Some(())) } else { Err(anyhow::anyhow!(answer)) }
            })
            .with_context(|| format!("controller {number}"))?;
        }
        wait_for("each controller to listen for events", RECOVERY, || {
            let listening: usize = self.postgres.query(LISTENING)?.parse()?;
            anyhow::ensure!(listening == CONTROLLERS, "{listening} do");
            Ok(Some(()))
        })
    }

    /// Waits for the first night that begins after `since` to be complete, and for every earlier one to end. Gives its sweep.
    pub(crate) fn next_night(&mut self, since: Timestamp) -> anyhow::Result<i64> {
        let first = format!(
            "SELECT id, state FROM sweep WHERE schedule IS NOT NULL AND started_at > '{since}' ORDER BY started_at LIMIT 1"
        );
        let id = wait_for("a complete night after the faults", RECOVERY, || {
            let found = self.postgres.query(&first)?;
            let (id, state) = found.split_once('|').ok_or_else(|| anyhow::anyhow!("there is none yet"))?;
            anyhow::ensure!(state == "complete", "sweep {id} is {state}");
            Ok(Some(id.parse()?))
        })?;
        let running =
            format!("SELECT string_agg(id::text, ',') FROM sweep WHERE state = 'running' AND id < {id}");
        wait_for("the end of the nights before", RECOVERY, || {
            let running = self.postgres.query(&running)?;
            anyhow::ensure!(running.is_empty(), "{running} run");
            Ok(Some(()))
        })?;
        self.world.online(VLANS.len())?;
        self.is_ready()?;
        Ok(id)
    }
}

/// The next moment that is [`LEAD`] before a night.
fn before_a_night() -> Instant {
    let now = Timestamp::now();
    let lead = i64::try_from(LEAD.as_secs()).unwrap_or(0);
    let minute = now.as_second() - now.as_second().rem_euclid(60);
    let nights = [0, BETWEEN, 60, 60 + BETWEEN, 120].map(|second| minute + second - lead);
    let next = nights.into_iter().find(|at| *at > now.as_second()).unwrap_or(now.as_second());
    let wait = Timestamp::from_second(next).unwrap_or(now).since(now).unwrap_or(0.seconds());
    Instant::now() + Duration::try_from(wait).unwrap_or_default()
}

/// The moment is what is tested here: nothing tells it but the clock.
#[allow(clippy::disallowed_methods, reason = "faults come at moments, not at conditions")]
fn at(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
