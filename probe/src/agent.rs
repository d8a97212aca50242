//! The agent: jobs from a controller, observations back.
//!
//! Jobs run on whether or not a controller can be reached; what they observe goes to the spool, and from there to
//! whichever controller answers next.

mod addresses;
mod autonomy;
mod backoff;
mod beats;
mod jobs;
mod presence;
mod problems;
mod session;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Context;
use sekisho_proto::v1;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    convert,
    identity::Identity,
    limits,
    metrics::{self, Doors, Metrics},
    net::IcmpAccess,
    plans::Plans,
    runner::{Engine, Rates},
    scope::Scope,
    spool::Spool,
};
use addresses::Addresses;
use autonomy::Autonomy;
pub use backoff::Backoff;
use jobs::Jobs;
use presence::Attendance;

/// How a session ended, where nothing went wrong.
enum End {
    /// There is a new certificate, or a new set of controllers: connect again with it.
    Renewed,
}

/// Everything that outlives a session.
struct Agent {
    state: PathBuf,
    metrics: Metrics,
    identity: Identity,
    icmp: IcmpAccess,
    spool: Spool,
    jobs: Jobs,
    plans: Arc<Mutex<Plans>>,
    presence: Attendance,
    addresses: Addresses,
    /// When the session reached Welcome, if it did.
    welcomed: Option<Instant>,
}

/// Runs until SIGTERM or SIGINT.
///
/// The controllers are those that are named, else those that the probe was enrolled with.
pub(crate) async fn run(state: &Path, controllers: Vec<String>, doors: Doors) -> anyhow::Result<()> {
    let identity = Identity::read(state)?;
    let named = if controllers.is_empty() { identity.about.controllers.clone() } else { controllers };
    let addresses = Addresses::new(state, named);
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
    let metrics = Metrics::default();
    let publishing = metrics::publish(doors, metrics.clone(), spool.clone(), state).await?;
    let jobs = Jobs::new(state, Engine::new(rates, icmp), spool.clone(), metrics.clone());
    let plans = Arc::new(Mutex::new(Plans::open(state, identity.about.id, &identity.trust)?));
    let presence = Attendance::default();
    let autonomy = Autonomy::new(state, jobs.clone(), spool.clone(), plans.clone(), presence.clone());
    let state = state.to_owned();
    let agent =
        Agent { state, metrics, identity, icmp, spool, jobs, plans, presence, addresses, welcomed: None };
    let mut term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let work = async { tokio::join!(agent.stay_connected(), publishing).0 };
    tokio::select! {
        never = work => match never {},
        never = autonomy.run() => match never {},
        _ = term.recv() => tracing::info!("SIGTERM: the probe ends; what it observed is in the spool"),
        _ = int.recv() => tracing::info!("SIGINT: the probe ends; what it observed is in the spool"),
    }
    Ok(())
}

/// The plans, which the agent and its autonomy share.
fn lock(plans: &Mutex<Plans>) -> MutexGuard<'_, Plans> {
    plans.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    fn plans(&self) -> MutexGuard<'_, Plans> {
        lock(&self.plans)
    }

    /// Notes what a controller's clock says.
    fn heard(&self, clock: Option<prost_types::Timestamp>) {
        let clock = clock.and_then(|clock| jiff::Timestamp::new(clock.seconds, clock.nanos).ok());
        if let Some(clock) = clock {
            self.plans().compare(clock);
        }
    }

    fn take_plan(&self, plan: &v1::Plan) {
        let taken = self.plans().take(plan, &self.identity.trust);
        match taken {
            Ok(job) => tracing::debug!(%job, "a planned job is kept"),
            Err(why) => tracing::error!(why, "a planned job is refused"),
        }
    }

    fn keep_plans(&self, plans: &v1::Plans) {
        let ids = |list: &[Vec<u8>]| list.iter().filter_map(|id| convert::uuid(id)).collect();
        self.plans().keep_only(&ids(&plans.jobs));
        self.presence.begun(ids(&plans.begun));
    }

    /// A controller shuts this probe out: nothing is done for it any more.
    fn shut_out(&self) {
        tracing::error!("the controller refuses this probe: its plans are deleted and its jobs ended");
        self.plans().keep_only(&HashSet::new());
        for job in self.jobs.ids() {
            self.jobs.cancel(job);
        }
    }

    async fn stay_connected(mut self) -> std::convert::Infallible {
        let mut backoff = Backoff::default();
        loop {
            let Some(controller) = self.addresses.current() else {
                tracing::error!("the state directory names no controller; enrol the probe again");
                std::future::pending().await
            };
            self.metrics.certified(self.identity.valid.1);
            self.welcomed = None;
            match session::run(&mut self, &controller).await {
                Ok(End::Renewed) => {
                    backoff = Backoff::default();
                    continue;
                }
                Err(error) => {
                    tracing::warn!(controller, error = %format!("{error:#}"), "no session with the controller");
                }
            }
            self.addresses.pass();
            let lasted = self.welcomed.map(|since| since.elapsed());
            tokio::time::sleep(backoff.after(lasted, Backoff::random())).await;
        }
    }
}
