//! Messages of the wire to values of the probe and back: the one place that knows both.

use std::net::IpAddr;

use jiff::Timestamp;
use sekisho_model::{Attempt, CheckStatus, Fact, Facts, Outcome, Service};
use sekisho_proto::{limits, v1};
use uuid::Uuid;

use crate::runner::{Observed, Target, Task};

/// A job, checked.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) within: std::time::Duration,
    pub(crate) targets: Vec<Target>,
    pub(crate) tasks: Vec<JobTask>,
}

/// A task of a job.
#[derive(Debug)]
pub(crate) enum JobTask {
    /// Test a service of a target (by its place in the job).
    Check(usize, Task),
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
    let tasks = job.tasks.into_iter().map(|t| task(t, &places)).collect();
    Ok(Job { id, within: std::time::Duration::from_secs(job.seconds_left.into()), targets: known, tasks })
}

fn task(task: v1::Task, places: &[Option<usize>]) -> JobTask {
    let number = task.number;
    let refused = |reason, detail: String| JobTask::Refused { number, reason, detail };
    match task.kind {
        None => {
            refused("unsupported-task", "this version of the probe does not know the kind of task".to_owned())
        }
        Some(v1::task::Kind::Discovery(discovery)) => {
            let servers: Vec<IpAddr> = discovery
                .dns_servers
                .iter()
                .filter_map(|s| s.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()))
                .collect();
            if servers.len() < discovery.dns_servers.len() {
                return refused("bad-task", "a DNS server to ask has no usable address".to_owned());
            }
            match text(discovery.domain) {
                Some(domain) => JobTask::Discover { number, domain, servers },
                None => refused("bad-task", "the domain to discover has no name".to_owned()),
            }
        }
        Some(v1::task::Kind::Check(_)) => {
            refused("unsupported-task", "checks of a vantage are not known here".to_owned())
        }
        Some(v1::task::Kind::Service(check)) => {
            let place = usize::try_from(check.target).ok().and_then(|t| places.get(t).copied().flatten());
            let Some(place) = place else {
                return refused("bad-task", format!("target {} has no usable address", check.target));
            };
            match check.service.parse::<Service>() {
                Ok(service) => {
                    let last = outcome(check.last_outcome());
                    JobTask::Check(place, Task { number, service, last })
                }
                Err(_) => refused(
                    "unsupported-service",
                    format!("this version of the probe cannot test {}", clipped(&check.service)),
                ),
            }
        }
    }
}

/// A UUID of 16 bytes.
pub(crate) fn uuid(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

fn text(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty() && t.len() <= limits::TEXT_BYTES)
}

/// Cuts a text to what the wire allows, at a character.
fn clipped(text: &str) -> String {
    let end = (0..=limits::TEXT_BYTES.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
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

const fn outcome_out(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Open => v1::Outcome::Open,
        Outcome::Closed => v1::Outcome::Closed,
        Outcome::Filtered => v1::Outcome::Filtered,
        Outcome::Rejected => v1::Outcome::Rejected,
        Outcome::Unreachable => v1::Outcome::Unreachable,
        Outcome::Mute => v1::Outcome::Mute,
        Outcome::Wrong => v1::Outcome::Wrong,
        Outcome::Failed => v1::Outcome::Failed,
        Outcome::Missed => v1::Outcome::Missed,
    }
}

const fn status_out(status: CheckStatus) -> v1::CheckStatus {
    match status {
        CheckStatus::Ok => v1::CheckStatus::Ok,
        CheckStatus::Warning => v1::CheckStatus::Warning,
        CheckStatus::Problem => v1::CheckStatus::Problem,
        CheckStatus::Unknown => v1::CheckStatus::Unknown,
    }
}

/// An observation for the wire.
pub(crate) fn observation(job: Uuid, observed: Observed, discovered: &[Target]) -> v1::Observation {
    v1::Observation {
        job: job.as_bytes().to_vec(),
        task: observed.number,
        outcome: outcome_out(observed.outcome).into(),
        by: observed.by.map(|by| by.to_string()).unwrap_or_default(),
        rtt_us: observed.rtt_us.unwrap_or(0),
        attempts: observed.attempts,
        confirmed: observed.confirmed,
        facts: facts(observed.facts),
        evidence: observed.evidence.into_iter().take(limits::ATTEMPTS_PER_OBSERVATION).map(attempt).collect(),
        observed_at: Some(timestamp(observed.observed_at)),
        discovered: discovered.iter().take(limits::TARGETS_PER_DISCOVERY).map(target).collect(),
        status: observed.status.map_or(v1::CheckStatus::Unspecified, status_out).into(),
    }
}

fn facts(facts: Facts) -> Vec<v1::Fact> {
    let value = |fact| match fact {
        Fact::Flag(flag) => v1::fact::Value::Flag(flag),
        Fact::Integer(integer) => v1::fact::Value::Integer(integer),
        Fact::Text(text) => v1::fact::Value::Text(clipped(&text)),
    };
    let facts = facts.into_iter().take(limits::FACTS_PER_OBSERVATION);
    facts.map(|(name, fact)| v1::Fact { name, value: Some(value(fact)) }).collect()
}

fn attempt(attempt: Attempt) -> v1::Attempt {
    let (kind, code) = attempt.icmp.unwrap_or_default();
    v1::Attempt {
        at_us: attempt.at_us,
        took_us: attempt.took_us,
        source_port: attempt.source_port.unwrap_or(0).into(),
        signal: attempt.signal,
        icmp_type: kind.into(),
        icmp_code: code.into(),
        offender: attempt.offender.map(|o| o.to_string()).unwrap_or_default(),
        ttl: attempt.ttl.unwrap_or(0).into(),
    }
}

fn target(target: &Target) -> v1::Target {
    v1::Target {
        host: target.host.clone().unwrap_or_default(),
        address: target.address.to_string(),
        domain: target.domain.clone().unwrap_or_default(),
    }
}

/// A time for the wire.
pub(crate) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(task: v1::Task) -> v1::Job {
        v1::Job {
            id: Uuid::new_v4().as_bytes().to_vec(),
            seconds_left: 60,
            targets: vec![
                v1::Target { host: String::new(), address: "not an address".into(), domain: String::new() },
                v1::Target { host: "dc1".into(), address: "10.0.0.1".into(), domain: String::new() },
            ],
            tasks: vec![task],
        }
    }

    fn check(target: u32, service: &str) -> v1::Task {
        let kind = v1::ServiceCheck { target, service: service.into(), last_outcome: 0, capture: false };
        v1::Task { number: 7, kind: Some(v1::task::Kind::Service(kind)) }
    }

    #[test]
    fn a_task_of_a_later_version_is_refused_alone() {
        let unknown = job(message(v1::Task { number: 7, kind: None })).unwrap();
        assert!(matches!(
            &unknown.tasks[..],
            [JobTask::Refused { number: 7, reason: "unsupported-task", .. }]
        ));
        let unknown = job(message(check(1, "quantum-ldap"))).unwrap();
        assert!(matches!(&unknown.tasks[..], [JobTask::Refused { reason: "unsupported-service", .. }]));
    }

    #[test]
    fn places_of_targets_survive_a_bad_address() {
        assert!(matches!(&job(message(check(0, "smb"))).unwrap().tasks[..], [JobTask::Refused { .. }]));
        let good = job(message(check(1, "smb"))).unwrap();
        let [JobTask::Check(place, _)] = &good.tasks[..] else { panic!() };
        assert_eq!(good.targets[*place].address.to_string(), "10.0.0.1");
        assert!(matches!(&job(message(check(99, "smb"))).unwrap().tasks[..], [JobTask::Refused { .. }]));
    }

    #[test]
    fn a_job_beyond_the_limits_is_refused() {
        let mut big = message(check(1, "smb"));
        big.tasks = vec![check(1, "smb"); limits::TASKS_PER_JOB + 1];
        assert!(job(big).is_err());
        assert!(job(v1::Job { id: vec![1, 2, 3], ..Default::default() }).is_err());
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = "関".repeat(limits::TEXT_BYTES);
        let cut = clipped(&long);
        assert!(cut.len() <= limits::TEXT_BYTES && cut.chars().all(|c| c == '関'));
    }
}
