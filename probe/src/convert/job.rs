//! A job, taken apart: what is not understood is refused task by task.

use std::net::IpAddr;

use sekisho_model::{CheckKind, ComputerName, Outcome, Service, TraceId, TraceParent};
use sekisho_proto::{limits, v1};
use uuid::Uuid;

use super::{clipped, uuid};
use crate::{
    runner::{Lanes, Shares, Target, Task},
    vantage::Request,
};

/// A job, checked.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) within: std::time::Duration,
    /// The probe begins it by itself.
    pub(crate) autonomous: bool,
    /// Heartbeat from which `within` counts; `None`: from now.
    pub(crate) heartbeat: Option<u64>,
    pub(crate) shares: Shares,
    /// Those of a planned job are the other jobs' of its run as well.
    pub(crate) lanes: Lanes,
    /// The trace that it belongs to, for the log.
    pub(crate) trace: Option<TraceId>,
    pub(crate) targets: Vec<Target>,
    pub(crate) tasks: Vec<JobTask>,
}

/// A task of a job.
#[derive(Debug)]
pub(crate) enum JobTask {
    /// Test a service of a target (by its place in the job).
    Check { place: usize, task: Task, capture: bool },
    /// Check the vantage. The request's list of targets is empty: they are those of the job with the same domain.
    Vantage(Request),
    /// Find the domain controllers of a domain.
    Discover { number: u32, domain: String, servers: Vec<IpAddr> },
    /// A task that cannot be done, and why.
    Refused { number: u32, reason: &'static str, detail: String },
}

/// Takes a job apart. A task that is not understood is refused alone.
pub(crate) fn job(job: v1::Job) -> Result<Job, String> {
    let id = uuid(&job.id).ok_or("its id is not a UUID")?;
    let (targets, tasks) = (job.targets.len(), job.tasks.len());
    if targets > limits::TARGETS_PER_JOB || tasks > limits::TASKS_PER_JOB {
        return Err(format!(
            "{targets} targets and {tasks} tasks; a job has at most {} and {}",
            limits::TARGETS_PER_JOB,
            limits::TASKS_PER_JOB
        ));
    }
    let shares = shares(&job.shares)?;
    let mut places = Vec::with_capacity(targets);
    let mut known = Vec::with_capacity(targets);
    for target in job.targets {
        places.push(target.address.parse::<IpAddr>().ok().map(|address| {
            // An IPv4 address in IPv6 clothes is the same host, with the same scope and budget.
            let address = address.to_canonical();
            known.push(Target { host: text(target.host), domain: text(target.domain), address });
            known.len() - 1
        }));
    }
    let checks = job.tasks.iter().filter(|task| matches!(task.kind, Some(v1::task::Kind::Check(_)))).count();
    if checks > limits::CHECKS_PER_JOB {
        return Err(format!("{checks} checks of the vantage; a job has at most {}", limits::CHECKS_PER_JOB));
    }
    let targets = Places { places: &places, known: &known };
    let tasks = job.tasks.into_iter().map(|t| task(t, &targets)).collect();
    Ok(Job {
        id,
        within: std::time::Duration::from_secs(job.seconds_left.into()),
        autonomous: false,
        heartbeat: job.heartbeat,
        trace: trace(&job.traceparent),
        shares: Shares { targets: shares, link: (job.link_rate > 0).then_some(job.link_rate) },
        lanes: Lanes::default(),
        targets: known,
        tasks,
    })
}

/// A trace that is not understood keeps no job from being done.
fn trace(text: &str) -> Option<TraceId> {
    let text = Some(text).filter(|text| text.len() <= limits::TRACEPARENT_BYTES)?;
    text.parse::<TraceParent>().ok().map(|parent| parent.trace)
}

/// A share that is not understood makes the job unusable: without it the fleet could send too much.
fn shares(shares: &[v1::Share]) -> Result<Vec<(IpAddr, u32)>, String> {
    if shares.len() > limits::SHARES_PER_JOB {
        return Err(format!(
            "{} shares of budgets; a job has at most {}",
            shares.len(),
            limits::SHARES_PER_JOB
        ));
    }
    let share = |share: &v1::Share| match share.address.parse::<IpAddr>() {
        Ok(address) if share.rate > 0 => Ok((address.to_canonical(), share.rate)),
        Ok(_) | Err(_) => Err(format!("a share of {} for {}", share.rate, clipped(&share.address))),
    };
    shares.iter().map(share).collect()
}

/// Why a task cannot be done: a word, and a sentence.
type Refusal = (&'static str, String);

/// The place in [`Job::targets`] of each target of the message; `None` where it has no usable address.
struct Places<'a> {
    places: &'a [Option<usize>],
    known: &'a [Target],
}

impl JobTask {
    /// Its number in the job.
    pub(crate) fn number(&self) -> u32 {
        match self {
            Self::Check { task, .. } => task.number,
            Self::Vantage(request) => request.number,
            Self::Discover { number, .. } | Self::Refused { number, .. } => *number,
        }
    }
}

impl Places<'_> {
    fn of(&self, index: u32) -> Result<usize, Refusal> {
        let place = usize::try_from(index).ok().and_then(|index| self.places.get(index).copied().flatten());
        place.ok_or_else(|| ("bad-task", format!("target {index} has no usable address")))
    }
}

fn task(task: v1::Task, places: &Places<'_>) -> JobTask {
    let number = task.number;
    let known = match task.kind {
        None => {
            Err(("unsupported-task", "this version of the probe does not know the kind of task".to_owned()))
        }
        Some(v1::task::Kind::Discovery(discovery)) => discover(number, discovery),
        Some(v1::task::Kind::Check(check)) => vantage(number, check, places),
        Some(v1::task::Kind::Service(check)) => service(number, &check, places),
    };
    known.unwrap_or_else(|(reason, detail)| JobTask::Refused { number, reason, detail })
}

fn service(number: u32, check: &v1::ServiceCheck, places: &Places<'_>) -> Result<JobTask, Refusal> {
    let place = places.of(check.target)?;
    let service = check.service.parse::<Service>().map_err(|_| {
        let detail = format!("this version of the probe cannot test {}", clipped(&check.service));
        ("unsupported-service", detail)
    })?;
    let task = Task { number, service, last: outcome(check.last_outcome()) };
    Ok(JobTask::Check { place, task, capture: check.capture })
}

fn discover(number: u32, discovery: v1::Discovery) -> Result<JobTask, Refusal> {
    let servers = servers(&discovery.dns_servers)?;
    let domain =
        text(discovery.domain).ok_or(("bad-task", "the domain to discover has no name".to_owned()))?;
    Ok(JobTask::Discover { number, domain, servers })
}

fn vantage(number: u32, check: v1::VantageCheck, places: &Places<'_>) -> Result<JobTask, Refusal> {
    let kind = check.check.parse::<CheckKind>().map_err(|_| {
        let detail = format!("this version of the probe does not know the check {}", clipped(&check.check));
        ("unsupported-task", detail)
    })?;
    let domain = text(check.domain).ok_or(("bad-task", "the domain to check has no name".to_owned()))?;
    let target = match check.target.checked_sub(1) {
        Some(index) => places.known.get(places.of(index)?).cloned(),
        None => None,
    };
    let computer = match check.computer.as_str() {
        "" => None,
        name => Some(name.parse::<ComputerName>().map_err(|error| ("bad-task", error.to_string()))?),
    };
    match kind {
        CheckKind::Clock | CheckKind::PathMtu if target.is_none() => {
            return Err(("bad-task", format!("the check {kind} concerns a target, and none is named")));
        }
        CheckKind::ComputerAccount if computer.is_none() => {
            return Err(("bad-task", format!("the check {kind} concerns a computer, and none is named")));
        }
        CheckKind::JoinRights => {
            let detail =
                "it needs credentials, which only sekisho-probe check takes, on this host".to_owned();
            return Err(("unsupported-task", detail));
        }
        CheckKind::Resolver
        | CheckKind::SrvRecords
        | CheckKind::Clock
        | CheckKind::PathMtu
        | CheckKind::ComputerAccount
        | CheckKind::Host => {}
    }
    Ok(JobTask::Vantage(Request {
        number,
        check: kind,
        domain: domain.to_lowercase(),
        dns_servers: servers(&check.dns_servers)?,
        targets: Vec::new(),
        target,
        computer: computer.map(|name| name.to_string()),
    }))
}

fn servers(servers: &[String]) -> Result<Vec<IpAddr>, Refusal> {
    let parsed: Option<Vec<IpAddr>> =
        servers.iter().map(|server| server.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())).collect();
    parsed.ok_or(("bad-task", "a DNS server to ask has no usable address".to_owned()))
}

fn text(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty() && t.len() <= limits::TEXT_BYTES)
}

const fn outcome(outcome: v1::Outcome) -> Option<Outcome> {
    match outcome {
        v1::Outcome::Unspecified => None,
        v1::Outcome::Open => Some(Outcome::Open),
        v1::Outcome::Closed => Some(Outcome::Closed),
        v1::Outcome::Filtered => Some(Outcome::Filtered),
        v1::Outcome::Rejected => Some(Outcome::Rejected),
        v1::Outcome::Unreachable => Some(Outcome::Unreachable),
        v1::Outcome::Mute => Some(Outcome::Mute),
        v1::Outcome::Wrong => Some(Outcome::Wrong),
        v1::Outcome::Failed => Some(Outcome::Failed),
        v1::Outcome::Missed => Some(Outcome::Missed),
    }
}
