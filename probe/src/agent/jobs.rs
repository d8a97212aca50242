//! The jobs of this probe: what runs, and what came of it into the spool.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use sekisho_checks::exchange::MAPPER;
use sekisho_model::{Fact, Facts, Outcome, Service, Transport};
use sekisho_proto::limits;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::{
    capture::{Capture, Shelf, Written},
    convert::{self, Job, JobTask, Origin},
    metrics::Metrics,
    net::sockets::Pair,
    resolver::Resolver,
    runner::{Engine, Gate, Observed, Target, Task},
    scope::Scope,
    spool::Spool,
    vantage::{self, Request},
};

/// Checks of the vantage under way in one job. Each knows every target of its domain, and a domain may have many; further
/// ones wait.
const CHECKS_AT_ONCE: usize = 32;
/// Observations under way from the runner to the spool.
const UNDER_WAY: usize = 64;

/// What every job needs.
#[derive(Clone)]
struct Means {
    state: PathBuf,
    engine: Arc<Engine>,
    spool: Spool,
    metrics: Metrics,
}

/// The jobs that run, and those that ended here and are still to be reported. Cheap to clone.
#[derive(Clone)]
pub(super) struct Jobs {
    means: Means,
    state: Arc<Mutex<State>>,
    /// Counts the ends of jobs.
    ends: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    running: HashMap<Uuid, Running>,
    /// With what the log says of each besides its number.
    finished: HashMap<Uuid, Span>,
}

struct Running {
    handle: Option<AbortHandle>,
    span: Span,
}

/// Ends a job in the books however its task ends.
struct End {
    jobs: Jobs,
    id: Uuid,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.jobs.state();
        let span = state.running.remove(&self.id).map_or_else(Span::none, |running| running.span);
        state.finished.insert(self.id, span);
        drop(state);
        self.jobs.means.metrics.job_ended();
        self.jobs.ends.send_modify(|ends| *ends += 1);
    }
}

impl Jobs {
    pub(super) fn new(state: &Path, engine: Arc<Engine>, spool: Spool, metrics: Metrics) -> Self {
        let means = Means { state: state.to_owned(), engine, spool, metrics };
        Self { means, state: Arc::default(), ends: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a job. One that runs already is left alone; one that ended before is begun again: that was not its end.
    ///
    /// # Errors
    /// There are too many jobs.
    pub(super) fn start(&self, job: Job) -> Result<(), String> {
        let id = job.id;
        let mut state = self.state();
        if state.running.contains_key(&id) {
            return Ok(());
        }
        if state.running.len() >= limits::JOBS_PER_PROBE {
            return Err(format!("this probe runs {} jobs already", state.running.len()));
        }
        // Whoever reads the log finds the job's trace there.
        let span = tracing::info_span!("job", trace_id = job.trace.map(tracing::field::display));
        state.finished.remove(&id);
        state.running.insert(id, Running { handle: None, span: span.clone() });
        drop(state);
        let (tasks, targets, alone) = (job.tasks.len(), job.targets.len(), job.autonomous);
        let (means, end) = (self.means.clone(), End { jobs: self.clone(), id });
        span.in_scope(|| tracing::info!(job = %id, tasks, targets, alone, "job begins"));
        let work = async move {
            if tokio::time::timeout(job.within, means.work(job)).await.is_err() {
                tracing::warn!(job = %id, "the job's time is over; the rest of its tasks is not tested");
            }
            drop(end);
        };
        let task = tokio::spawn(work.instrument(span));
        if let Some(running) = self.state().running.get_mut(&id) {
            running.handle = Some(task.abort_handle());
        }
        self.means.metrics.job_begins();
        Ok(())
    }

    /// Ends a job. What it observed so far stays in the spool.
    pub(super) fn cancel(&self, id: Uuid) {
        if let Some(Running { handle: Some(handle), span }) = self.state().running.get(&id) {
            span.in_scope(|| tracing::info!(job = %id, "job cancelled"));
            handle.abort();
        }
    }

    /// The jobs that run.
    pub(super) fn ids(&self) -> Vec<Uuid> {
        self.state().running.keys().copied().collect()
    }

    /// The jobs that ended here and are still to be reported.
    pub(super) fn finished(&self) -> Vec<Uuid> {
        self.state().finished.keys().copied().collect()
    }

    /// Counts a job among those that ended here.
    pub(super) fn ended_before(&self, id: Uuid) {
        self.state().finished.insert(id, Span::none());
    }

    /// Forgets a job that is reported.
    pub(super) fn reported(&self, id: Uuid) {
        let span = self.state().finished.remove(&id).unwrap_or_else(Span::none);
        span.in_scope(|| tracing::info!(job = %id, "job ends"));
    }

    /// News of jobs that end.
    pub(super) fn ends(&self) -> watch::Receiver<u64> {
        self.ends.subscribe()
    }
}

impl Means {
    async fn work(mut self, job: Job) {
        let origin = Origin { job: job.id, autonomous: job.autonomous };
        self.engine = self.engine.within_lanes(&job.shares, job.within, &job.lanes);
        // Read for each job: an operator who narrows the file need not restart the probe.
        let scope = Scope::read(&self.state);
        let mut flows: Vec<(Target, Vec<Task>)> =
            job.targets.iter().map(|t| (t.clone(), Vec::new())).collect();
        let (mut discoveries, mut checks) = (Vec::new(), Vec::new());
        let mut captures = HashMap::new();
        for task in job.tasks {
            match task {
                JobTask::Refused { number, reason, detail } => {
                    self.keep(origin, Observed::failed(number, reason, &detail), &[]).await;
                }
                JobTask::Discover { number, domain, servers } => discoveries.push((number, domain, servers)),
                JobTask::Vantage(request) => checks.push(request),
                JobTask::Check { place, task, capture } => {
                    let Some((target, tasks)) = flows.get_mut(place) else { continue };
                    if capture {
                        captures.insert(task.number, (target.address, task.service));
                    }
                    match scope.permit(target.address, task.service) {
                        Ok(()) => tasks.push(task),
                        Err(why) => {
                            self.keep(origin, Observed::failed(task.number, "out-of-scope", &why), &[]).await;
                        }
                    }
                }
            }
        }
        for (number, domain, servers) in discoveries {
            self.discover(origin, &scope, number, &domain, &servers).await;
        }
        flows.retain(|(_, tasks)| !tasks.is_empty());
        let gate = Gate::of(scope);
        tokio::join!(
            self.test(origin, flows, &captures, gate.clone()),
            self.check(origin, &job.targets, checks, gate)
        );
    }

    /// Tests flows. Packets that were wanted are put on the shelf; where they cannot be, the flow says so.
    async fn test(
        &self,
        origin: Origin,
        flows: Vec<(Target, Vec<Task>)>,
        captures: &HashMap<u32, (IpAddr, Service)>,
        gate: Gate,
    ) {
        if flows.is_empty() {
            return;
        }
        let (sink, mut seen) = mpsc::channel::<Observed>(UNDER_WAY);
        let capture = if captures.is_empty() { None } else { Some(Capture::begin()) };
        let keep = async {
            while let Some(mut observed) = seen.recv().await {
                if let Some(endpoint) = captures.get(&observed.number) {
                    let facts = self.shelve(origin, &capture, *endpoint, &observed).await;
                    observed.facts.extend(facts);
                }
                self.keep(origin, observed, &[]).await;
            }
        };
        tokio::join!(self.engine.clone().run(flows, gate, sink), keep);
    }

    /// Writes the packets of a flow that was tested. Gives the facts that say where they are, or why they are nowhere.
    async fn shelve(
        &self,
        origin: Origin,
        capture: &Option<io::Result<Capture>>,
        (address, service): (IpAddr, Service),
        observed: &Observed,
    ) -> Facts {
        let capture = match capture {
            Some(Ok(capture)) => capture,
            Some(Err(error)) => {
                return nowhere(&format!("not kept: this probe may not see packets ({error})"));
            }
            None => return nowhere("not kept"),
        };
        let mapped = match observed.facts.get("port") {
            Some(Fact::Integer(port)) => u16::try_from(*port).ok(),
            Some(Fact::Flag(_) | Fact::Text(_)) | None => None,
        };
        let ports = [service.port(), mapped, service.port().is_none().then_some(MAPPER)];
        let is_of = |pair: &Pair| {
            pair.remote.ip() == address
                && pair.transport == service.transport()
                && (pair.local.is_none() || ports.contains(&Some(pair.remote.port())))
        };
        let written = match Shelf::of(&self.state).place(origin.job, observed.number) {
            Ok((path, file)) => capture.write(file, is_of).await.map(|written| shelved(&path, written)),
            Err(error) => Err(error),
        };
        written.unwrap_or_else(|error| nowhere(&format!("not kept: {error}")))
    }

    /// Does checks of the vantage, some at the same time. Dropping the future ends all of them.
    async fn check(&self, origin: Origin, targets: &[Target], checks: Vec<Request>, gate: Gate) {
        let mut under_way = JoinSet::new();
        for request in checks {
            if under_way.len() >= CHECKS_AT_ONCE {
                self.checked(origin, &mut under_way).await;
            }
            let is_of = |domain: &String| domain.eq_ignore_ascii_case(&request.domain);
            let of_domain = |target: &&Target| target.domain.as_ref().is_some_and(is_of);
            let targets = targets.iter().filter(of_domain).cloned().collect();
            let request = Request { targets, ..request };
            under_way.spawn(vantage::run(self.engine.clone(), gate.clone(), request, None));
        }
        while !under_way.is_empty() {
            self.checked(origin, &mut under_way).await;
        }
    }

    /// Waits for a check to end and keeps its result.
    async fn checked(&self, origin: Origin, under_way: &mut JoinSet<Observed>) {
        match under_way.join_next().await {
            Some(Ok(observed)) => self.keep(origin, observed, &[]).await,
            Some(Err(error)) => {
                tracing::error!(job = %origin.job, %error, "a check of the vantage ended abnormally; it stays undone");
            }
            None => {}
        }
    }

    async fn keep(&self, origin: Origin, observed: Observed, discovered: &[Target]) {
        self.metrics.observed(observed.outcome);
        self.spool.append(convert::observation(origin, observed, discovered)).await;
    }

    async fn discover(&self, origin: Origin, scope: &Scope, number: u32, domain: &str, servers: &[IpAddr]) {
        let found = match resolver(&self.engine, scope, servers) {
            Ok(resolver) => {
                resolver.domain_controllers(domain).await.map_err(|e| ("discovery", e.to_string()))
            }
            Err(refused) => Err(refused),
        };
        match found {
            Ok(targets) => {
                let observed = Observed {
                    outcome: Outcome::Open,
                    facts: [("found".to_owned(), i64::try_from(targets.len()).unwrap_or(i64::MAX).into())]
                        .into(),
                    observed_at: Timestamp::now(),
                    ..Observed::failed(number, "", "")
                };
                self.keep(origin, observed, &targets).await;
            }
            Err((reason, why)) => {
                tracing::warn!(job = %origin.job, domain, reason, why, "no domain controllers found");
                self.keep(origin, Observed::failed(number, reason, &why), &[]).await;
            }
        }
    }
}

/// Why the packets of a flow are in no file.
fn nowhere(why: &str) -> Facts {
    [("capture".to_owned(), why.into())].into()
}

/// Where the packets of a flow are, and whether some may be missing.
fn shelved(path: &Path, written: Written) -> Facts {
    let mut facts = Facts::from([("capture-file".to_owned(), path.display().to_string().into())]);
    if written.left_out > 0 {
        let why = format!(
            "{} packets of this job did not fit in memory; some may be this flow's",
            written.left_out
        );
        facts.insert("capture".to_owned(), why.into());
    }
    facts
}

/// Servers that the controller names need the local scope's permission; this host's own are asked anyway.
fn resolver(
    engine: &Arc<Engine>,
    scope: &Scope,
    servers: &[IpAddr],
) -> Result<Resolver, (&'static str, String)> {
    if servers.is_empty() {
        return Resolver::system(engine).map_err(|e| ("discovery", e.to_string()));
    }
    for server in servers {
        for transport in [Transport::Udp, Transport::Tcp] {
            scope
                .permit_port(*server, transport, Some(53))
                .map_err(|why| ("out-of-scope", format!("DNS server {server}: {why}")))?;
        }
    }
    Ok(Resolver::of(engine, servers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_packets_says_when_some_are_missing() {
        let facts = |left_out| shelved(Path::new("/a"), Written { packets: 3, left_out });
        assert_eq!(facts(0), [("capture-file".to_owned(), "/a".into())].into());
        assert!(facts(7)["capture"].to_string().starts_with("7 packets"));
    }
}
