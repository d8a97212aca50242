//! The jobs of this probe: what runs, and what came of it into the spool.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use sekisho_checks::exchange::MAPPER;
use sekisho_model::{Fact, Facts, Outcome, Service, Transport};
use sekisho_proto::limits;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use uuid::Uuid;

use crate::{
    capture::{Capture, Shelf, Written},
    convert::{self, Job, JobTask},
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
}

/// The jobs that run.
pub(super) struct Jobs {
    means: Means,
    running: JoinSet<Uuid>,
    by_id: HashMap<Uuid, AbortHandle>,
}

impl Jobs {
    pub(super) fn new(state: &Path, engine: Arc<Engine>, spool: Spool) -> Self {
        let means = Means { state: state.to_owned(), engine, spool };
        Self { means, running: JoinSet::new(), by_id: HashMap::new() }
    }

    /// Begins a job. One that runs already is left alone.
    ///
    /// # Errors
    /// There are too many jobs.
    pub(super) fn start(&mut self, job: Job) -> Result<(), String> {
        if self.by_id.contains_key(&job.id) {
            return Ok(());
        }
        if self.by_id.len() >= limits::JOBS_PER_PROBE {
            return Err(format!("this probe runs {} jobs already", self.by_id.len()));
        }
        let id = job.id;
        tracing::info!(job = %id, tasks = job.tasks.len(), targets = job.targets.len(), "job begins");
        let means = self.means.clone();
        let handle = self.running.spawn(async move {
            if tokio::time::timeout(job.within, means.work(job)).await.is_err() {
                tracing::warn!(job = %id, "the job's time is over; the rest of its tasks is not tested");
            }
            id
        });
        self.by_id.insert(id, handle);
        Ok(())
    }

    /// Ends a job. What it observed so far stays in the spool.
    pub(super) fn cancel(&mut self, id: Uuid) {
        if let Some(handle) = self.by_id.get(&id) {
            tracing::info!(job = %id, "job cancelled");
            handle.abort();
        }
    }

    /// The jobs that run.
    pub(super) fn ids(&self) -> Vec<Uuid> {
        self.by_id.keys().copied().collect()
    }

    /// Waits for a job to end, and gives its id. Never ends while none runs.
    pub(super) async fn ended(&mut self) -> Uuid {
        loop {
            match self.running.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((_, id))) => {
                    self.by_id.remove(&id);
                    return id;
                }
                Some(Err(error)) => {
                    let id =
                        self.by_id.iter().find(|(_, handle)| handle.id() == error.id()).map(|(id, _)| *id);
                    if !error.is_cancelled() {
                        tracing::error!(%error, "a job ended abnormally");
                    }
                    if let Some(id) = id {
                        self.by_id.remove(&id);
                        return id;
                    }
                }
            }
        }
    }
}

impl Means {
    async fn work(mut self, job: Job) {
        self.engine = self.engine.within(&job.shares, job.within);
        // Read for each job: an operator who narrows the file need not restart the probe.
        let scope = Scope::read(&self.state);
        let mut flows: Vec<(Target, Vec<Task>)> =
            job.targets.iter().map(|t| (t.clone(), Vec::new())).collect();
        let (mut discoveries, mut checks) = (Vec::new(), Vec::new());
        let mut captures = HashMap::new();
        for task in job.tasks {
            match task {
                JobTask::Refused { number, reason, detail } => {
                    self.keep(job.id, Observed::failed(number, reason, &detail), &[]).await;
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
                            self.keep(job.id, Observed::failed(task.number, "out-of-scope", &why), &[]).await;
                        }
                    }
                }
            }
        }
        for (number, domain, servers) in discoveries {
            self.discover(job.id, &scope, number, &domain, &servers).await;
        }
        flows.retain(|(_, tasks)| !tasks.is_empty());
        let gate = Gate::of(scope);
        tokio::join!(
            self.test(job.id, flows, &captures, gate.clone()),
            self.check(job.id, &job.targets, checks, gate)
        );
    }

    /// Tests flows. Packets that were wanted are put on the shelf; where they cannot be, the flow says so.
    async fn test(
        &self,
        job: Uuid,
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
                    let facts = self.shelve(job, &capture, *endpoint, &observed).await;
                    observed.facts.extend(facts);
                }
                self.keep(job, observed, &[]).await;
            }
        };
        tokio::join!(self.engine.clone().run(flows, gate, sink), keep);
    }

    /// Writes the packets of a flow that was tested. Gives the facts that say where they are, or why they are nowhere.
    async fn shelve(
        &self,
        job: Uuid,
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
        let written = match Shelf::of(&self.state).place(job, observed.number) {
            Ok((path, file)) => capture.write(file, is_of).await.map(|written| shelved(&path, written)),
            Err(error) => Err(error),
        };
        written.unwrap_or_else(|error| nowhere(&format!("not kept: {error}")))
    }

    /// Does checks of the vantage, some at the same time. Dropping the future ends all of them.
    async fn check(&self, job: Uuid, targets: &[Target], checks: Vec<Request>, gate: Gate) {
        let mut under_way = JoinSet::new();
        for request in checks {
            if under_way.len() >= CHECKS_AT_ONCE {
                self.checked(job, &mut under_way).await;
            }
            let is_of = |domain: &String| domain.eq_ignore_ascii_case(&request.domain);
            let of_domain = |target: &&Target| target.domain.as_ref().is_some_and(is_of);
            let targets = targets.iter().filter(of_domain).cloned().collect();
            let request = Request { targets, ..request };
            under_way.spawn(vantage::run(self.engine.clone(), gate.clone(), request, None));
        }
        while !under_way.is_empty() {
            self.checked(job, &mut under_way).await;
        }
    }

    /// Waits for a check to end and keeps its result.
    async fn checked(&self, job: Uuid, under_way: &mut JoinSet<Observed>) {
        match under_way.join_next().await {
            Some(Ok(observed)) => self.keep(job, observed, &[]).await,
            Some(Err(error)) => {
                tracing::error!(%error, "a check of the vantage ended abnormally; it stays undone");
            }
            None => {}
        }
    }

    async fn keep(&self, job: Uuid, observed: Observed, discovered: &[Target]) {
        self.spool.append(convert::observation(job, observed, discovered)).await;
    }

    async fn discover(&self, job: Uuid, scope: &Scope, number: u32, domain: &str, servers: &[IpAddr]) {
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
                self.keep(job, observed, &targets).await;
            }
            Err((reason, why)) => {
                tracing::warn!(domain, reason, why, "no domain controllers found");
                self.keep(job, Observed::failed(number, reason, &why), &[]).await;
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
