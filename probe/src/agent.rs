//! The agent: jobs from a controller, observations back.
//!
//! Jobs run on whether or not a controller can be reached; what they observe goes to the spool, and from there to
//! whichever controller answers next.

mod beats;
mod jobs;
mod session;

use std::{collections::HashSet, path::Path, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::{
    identity::Identity,
    limits,
    net::IcmpAccess,
    runner::{Engine, Rates},
    scope::Scope,
    spool::Spool,
};
use jobs::Jobs;

/// First and longest pause between two sessions. The real one is random between half of it and all of it.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How a session ended, where nothing went wrong.
enum End {
    /// There is a new certificate, or a new set of controllers: connect again with it.
    Renewed,
}

/// Everything that outlives a session.
struct Agent {
    identity: Identity,
    icmp: IcmpAccess,
    spool: Spool,
    jobs: Jobs,
    /// Jobs that ended here and are still to be reported.
    finished: HashSet<Uuid>,
    /// Sessions that reached Welcome. Resets the pause.
    welcomed: u64,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(state: &Path) -> anyhow::Result<()> {
    let identity = Identity::read(state)?;
    let spool = Spool::open(state)?;
    let scope = Scope::read(state);
    match scope.problem() {
        Some(problem) => tracing::warn!(problem, "the scope file allows nothing: every task will be refused"),
        None => tracing::info!(rules = scope.rules(), "scope file read"),
    }
    let (_, files) = limits::raise_open_files();
    let rates = scope.rates();
    let rates = Rates { concurrency: rates.concurrency.min(limits::attempts_within(files)), ..rates };
    let icmp = IcmpAccess::detect();
    if icmp == IcmpAccess::None {
        tracing::warn!(
            "ICMP echo is not permitted to this process: the service icmp will be failed; let \
             net.ipv4.ping_group_range cover its group, or give it CAP_NET_RAW"
        );
    }
    let jobs = Jobs::new(state, Engine::new(rates, icmp), spool.clone());
    let agent = Agent { identity, icmp, spool, jobs, finished: HashSet::new(), welcomed: 0 };
    let mut term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        never = agent.stay_connected() => match never {},
        _ = term.recv() => tracing::info!("SIGTERM: the probe ends; what it observed is in the spool"),
        _ = int.recv() => tracing::info!("SIGINT: the probe ends; what it observed is in the spool"),
    }
    Ok(())
}

impl Agent {
    async fn stay_connected(mut self) -> std::convert::Infallible {
        let mut pause = PAUSE.0;
        let mut turn = 0_usize;
        loop {
            let controllers = &self.identity.about.controllers;
            let Some(controller) = controllers.get(turn % controllers.len().max(1)).cloned() else {
                tracing::error!("the state directory names no controller; enrol the probe again");
                std::future::pending().await
            };
            let before = self.welcomed;
            match session::run(&mut self, &controller).await {
                Ok(End::Renewed) => {
                    pause = PAUSE.0;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(controller, error = %format!("{error:#}"), "no session with the controller");
                }
            }
            if self.welcomed > before {
                pause = PAUSE.0;
            }
            turn = turn.wrapping_add(1);
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// Between half of the pause and all of it, so that a fleet does not come back in one moment.
fn jittered(pause: Duration) -> Duration {
    let random = u32::try_from(uuid::Uuid::new_v4().as_u128() & 0xffff).unwrap_or(0);
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / 65_536.0)
}
