//! Results that probes hand in. Handing in twice is harmless; what is not usable is dropped one by one, so that a probe
//! is never stuck with it.

mod flows;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use jiff::Timestamp;
use sekisho_domain::inventory::{DnsName, HostAddress};
use sekisho_model::{Attempt, CheckStatus, Facts, Outcome};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, Services, commit, enrolment::admitted};
use crate::store::{
    self,
    check_result::CheckResult,
    discovery::Discovery,
    job::{Counted, Locked},
};
use flows::Flows;

/// One result, as a probe hands it in.
#[derive(Debug, Clone)]
pub struct HandedIn {
    /// The job.
    pub job: Uuid,
    /// The task in the job.
    pub task: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// The device that refused.
    pub by: Option<IpAddr>,
    /// Round trip, microseconds.
    pub rtt_us: Option<u32>,
    /// How many attempts were made.
    pub attempts: u32,
    /// A change was tested again and seen again.
    pub confirmed: bool,
    /// What the exchange told.
    pub facts: Facts,
    /// Every attempt.
    pub evidence: Vec<Attempt>,
    /// When it was observed, by the probe's clock.
    pub observed_at: Option<Timestamp>,
    /// What a discovery found.
    pub discovered: Vec<Discovered>,
    /// How a check of a vantage ended; `None` for anything else, and where the probe could not do the check.
    pub status: Option<CheckStatus>,
    /// The probe did the job by itself.
    pub autonomous: bool,
}

/// A domain controller that a discovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Host name, or empty.
    pub host: String,
    /// Address.
    pub address: IpAddr,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Results that were not there yet.
    pub new: usize,
    /// Results that were there already.
    pub repeated: usize,
    /// Why results were dropped, one text each.
    pub dropped: Vec<String>,
}

impl Services {
    /// Writes results down, all in one transaction. When this returns without error the probe may forget them.
    ///
    /// # Errors
    /// [`super::Error::Forbidden`] when the probe is not known or revoked, or the database fails: then nothing is written.
    pub async fn ingest(&self, probe: Uuid, batch: Vec<HandedIn>) -> Result<Ingested> {
        let ids: BTreeSet<Uuid> = batch.iter().map(|result| result.job).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let alone: BTreeSet<Uuid> =
            batch.iter().filter(|result| result.autonomous).map(|result| result.job).collect();
        if !alone.is_empty() {
            self.begin_planned(&ids).await?;
        }
        let began = std::time::Instant::now();
        let mut transaction = self.begin().await?;
        let revoked = store::probe::is_revoked(&mut transaction, probe).await?;
        admitted(probe, revoked)?;
        let jobs = store::job::lock(&mut transaction, &ids, probe).await?;
        let sorted = sort(batch, &jobs);
        let mut counts = sorted.flows.write(&mut transaction).await?;
        let checks = store::check_result::insert(&mut transaction, probe, &sorted.checks).await?;
        for job in checks {
            count(&mut counts, job);
        }
        for (discovery, found) in &sorted.discoveries {
            if discover(&mut transaction, probe, discovery, found).await? {
                count(&mut counts, discovery.job);
            }
        }
        for (job, counted) in &mut counts {
            counted.autonomous = alone.contains(job);
        }
        let ended = store::job::count_observed(&mut transaction, &counts).await?;
        let batches = self.batches(&mut transaction, probe, &jobs, &counts).await?;
        commit(transaction).await?;
        self.committed(batches, began.elapsed());

        for sweep in ended {
            if let Err(error) = self.advance_if_done(sweep).await {
                tracing::debug!(
                    sweep,
                    error = &error as &dyn std::error::Error,
                    "the background will move the sweep on"
                );
            }
        }
        let new: usize = counts.values().filter_map(|counted| usize::try_from(counted.new).ok()).sum();
        Ok(Ingested { new, repeated: sorted.usable.saturating_sub(new), dropped: sorted.dropped })
    }
}

fn count(counts: &mut BTreeMap<Uuid, Counted>, job: Uuid) {
    let counted = counts.entry(job).or_insert(Counted { new: 0, outcomes: None, autonomous: false });
    counted.new = counted.new.saturating_add(1);
}

async fn discover(
    connection: &mut PgConnection,
    probe: Uuid,
    discovery: &Discovery,
    found: &BTreeSet<(String, IpAddr)>,
) -> Result<bool> {
    // Targets are noted once: a probe that hands the same result in again and again must not use their numbers up.
    if store::discovery::is_known(connection, discovery.job, discovery.task).await? {
        return Ok(false);
    }
    let targets = store::target::discovered(connection, discovery.domain, found).await?;
    Ok(store::discovery::insert(connection, probe, discovery, &targets).await?)
}

/// A batch by what is to be done with it.
struct Sorted<'a> {
    flows: Flows<'a>,
    checks: Vec<CheckResult>,
    discoveries: Vec<(Discovery, BTreeSet<(String, IpAddr)>)>,
    /// Results that are as they should be, repeated or not.
    usable: usize,
    dropped: Vec<String>,
}

fn sort(batch: Vec<HandedIn>, locked: &[Locked]) -> Sorted<'_> {
    let jobs: HashMap<Uuid, &Locked> = locked.iter().map(|job| (job.id, job)).collect();
    let mut sorted = Sorted {
        flows: Flows::of(locked),
        checks: Vec::new(),
        discoveries: Vec::new(),
        usable: 0,
        dropped: Vec::new(),
    };
    let mut seen = HashSet::new();
    for result in batch {
        let (job, task) = (result.job, result.task);
        if seen.contains(&(job, task)) {
            // The first one stays, as it would in the database.
            sorted.usable += 1;
            continue;
        }
        match place(result, &jobs, &mut sorted) {
            Ok(()) => {
                sorted.usable += 1;
                seen.insert((job, task));
            }
            Err(why) => sorted.dropped.push(format!("job {job} task {task}: {why}")),
        }
    }
    // Targets are locked in one order by every transaction.
    sorted.discoveries.sort_by_key(|(discovery, _)| discovery.domain);
    sorted
}

fn place<'a>(
    result: HandedIn,
    jobs: &HashMap<Uuid, &'a Locked>,
    sorted: &mut Sorted<'a>,
) -> std::result::Result<(), String> {
    let job = jobs.get(&result.job).ok_or("the job is not known, or is of another vantage")?;
    let task = i32::try_from(result.task).ok().filter(|task| *task < job.planned);
    let task = task.ok_or_else(|| format!("the job has {} tasks", job.planned))?;
    if result.outcome == Outcome::Missed {
        return Err("a probe cannot observe the outcome missed".to_owned());
    }
    let observed_at = plausible(result.observed_at);
    if job.kind == "vantage" {
        let status = status(&result)?.word();
        let facts = json(&result.facts)?;
        sorted.checks.push(CheckResult { job: result.job, task, status, facts, observed_at });
        return Ok(());
    }
    if let Some(status) = result.status {
        // It came from another task: its outcome says nothing of this one.
        return Err(format!("it has the status {status} of a check, and the task is none"));
    }
    if job.kind == "discovery" {
        let domain = usize::try_from(task).ok().and_then(|task| job.domain_ids.get(task).copied());
        let domain = domain.ok_or("the job has no domain for this task")?;
        let outcome = result.outcome.word();
        let (facts, evidence) = (json(&result.facts)?, json(&result.evidence)?);
        let found = result.discovered.into_iter().filter_map(named).collect();
        let discovery = Discovery { job: result.job, task, domain, outcome, facts, evidence, observed_at };
        sorted.discoveries.push((discovery, found));
        return Ok(());
    }
    sorted.flows.take(job, result, observed_at)
}

fn json(value: &impl serde::Serialize) -> std::result::Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// How a check ended. One that the probe could not do is unknown, whatever it says besides: an older probe answers a task
/// that it does not know with the outcome `failed`, and with the reason for it.
fn status(result: &HandedIn) -> std::result::Result<CheckStatus, String> {
    match (result.outcome, result.status) {
        (Outcome::Failed, _) => Ok(CheckStatus::Unknown),
        (Outcome::Open, Some(status)) => Ok(status),
        (Outcome::Open, None) => Err("it is of a check, and has no status".to_owned()),
        (other, _) => Err(format!("it is of a check, whose outcome is open or failed, and not {other}")),
    }
}

/// The host and address of a target as they are kept; `None` when what DNS said is not a host.
fn named(found: Discovered) -> Option<(String, IpAddr)> {
    HostAddress::try_from(found.address).ok()?;
    if found.host.is_empty() {
        return Some((String::new(), found.address));
    }
    found.host.parse::<DnsName>().ok().map(|host| (host.into(), found.address))
}

/// The probe's time, unless its clock is so wrong that the time means nothing: then the time of arrival.
fn plausible(observed_at: Option<Timestamp>) -> Timestamp {
    const FROM: i64 = 1_577_836_800; // 2020
    const TO: i64 = 7_258_118_400; // 2200
    observed_at.filter(|at| (FROM..TO).contains(&at.as_second())).unwrap_or_else(Timestamp::now)
}
