//! Messages of the wire to values of the probe and back: the one place that knows both.

use std::net::IpAddr;

use jiff::Timestamp;
use sekisho_model::{Attempt, CheckKind, CheckStatus, ComputerName, Fact, Facts, Outcome, Service};
use sekisho_proto::{limits, v1};
use uuid::Uuid;

use crate::{
    runner::{Observed, Target, Task},
    vantage::Request,
};

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
    Ok(Job { id, within: std::time::Duration::from_secs(job.seconds_left.into()), targets: known, tasks })
}

/// Why a task cannot be done: a word, and a sentence.
type Refusal = (&'static str, String);

/// The place in [`Job::targets`] of each target of the message; `None` where it has no usable address.
struct Places<'a> {
    places: &'a [Option<usize>],
    known: &'a [Target],
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

/// Facts within the limits of the wire: first those that say why, then the others by name. What does not fit is left out,
/// and counted.
fn facts(facts: Facts) -> Vec<v1::Fact> {
    const FIRST: [&str; 2] = ["reason", "detail"];
    const LEFT_OUT: &str = "facts-left-out";
    let (mut ordered, others): (Vec<_>, Vec<_>) =
        facts.into_iter().partition(|(name, _)| FIRST.contains(&name.as_str()));
    ordered.extend(others);
    let mut facts: Vec<v1::Fact> = ordered.into_iter().map(|(name, value)| fact(name, value)).collect();
    let fits = |facts: &[v1::Fact]| {
        facts.len() <= limits::FACTS_PER_OBSERVATION
            && facts.iter().map(size).sum::<usize>() <= limits::FACT_BYTES
    };
    if fits(&facts) {
        return facts;
    }
    let counted = |count: usize| fact(LEFT_OUT.to_owned(), i64::try_from(count).unwrap_or(i64::MAX).into());
    let all = facts.len();
    let mut room = limits::FACT_BYTES - size(&counted(all));
    facts.retain(|fact| {
        let fits = size(fact) <= room;
        room -= if fits { size(fact) } else { 0 };
        fits
    });
    facts.truncate(limits::FACTS_PER_OBSERVATION - 1);
    facts.push(counted(all - facts.len()));
    facts
}

fn fact(name: String, value: Fact) -> v1::Fact {
    let value = match value {
        Fact::Flag(flag) => v1::fact::Value::Flag(flag),
        Fact::Integer(integer) => v1::fact::Value::Integer(integer),
        Fact::Text(text) => v1::fact::Value::Text(clipped(&text)),
    };
    v1::Fact { name, value: Some(value) }
}

/// Bytes of a fact, as both sides count them.
fn size(fact: &v1::Fact) -> usize {
    let value = match &fact.value {
        Some(v1::fact::Value::Text(text)) => text.len(),
        Some(v1::fact::Value::Integer(_) | v1::fact::Value::Flag(_)) | None => size_of::<i64>(),
    };
    fact.name.len() + value
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
        sent_bytes: attempt.sent_bytes,
        received_bytes: attempt.received_bytes,
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
        let kind = v1::ServiceCheck { target, service: service.into(), last_outcome: 0, capture: true };
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
        let [JobTask::Check { place, capture: true, .. }] = &good.tasks[..] else { panic!() };
        assert_eq!(good.targets[*place].address.to_string(), "10.0.0.1");
        assert!(matches!(&job(message(check(99, "smb"))).unwrap().tasks[..], [JobTask::Refused { .. }]));
    }

    #[test]
    fn a_job_beyond_the_limits_is_refused() {
        let mut big = message(check(1, "smb"));
        big.tasks = vec![check(1, "smb"); limits::TASKS_PER_JOB + 1];
        assert!(job(big).is_err());
        let mut many = message(vantage("host", 0, ""));
        many.tasks = vec![vantage("host", 0, ""); limits::CHECKS_PER_JOB];
        assert!(job(many.clone()).is_ok());
        many.tasks.push(vantage("host", 0, ""));
        assert!(job(many).unwrap_err().contains("at most 512"));
        assert!(job(v1::Job { id: vec![1, 2, 3], ..Default::default() }).is_err());
    }

    fn vantage(check: &str, target: u32, computer: &str) -> v1::Task {
        let kind = v1::VantageCheck {
            check: check.into(),
            domain: "Corp.Example".into(),
            dns_servers: vec!["::ffff:10.0.0.1".into()],
            target,
            computer: computer.into(),
        };
        v1::Task { number: 7, kind: Some(v1::task::Kind::Check(kind)) }
    }

    #[test]
    fn a_check_of_the_vantage_becomes_a_request() {
        let request = |task| match job(message(task)).unwrap().tasks.remove(0) {
            JobTask::Vantage(request) => request,
            other => panic!("{other:?}"),
        };
        let clock = request(vantage("clock", 2, ""));
        assert_eq!((clock.number, clock.check, clock.domain.as_str()), (7, CheckKind::Clock, "corp.example"));
        assert_eq!(
            clock.target.unwrap().address.to_string(),
            "10.0.0.1",
            "an index is one more than the place"
        );
        assert_eq!(clock.dns_servers, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        let account = request(vantage("computer-account", 0, "pc8"));
        assert_eq!((account.target, account.computer.as_deref()), (None, Some("PC8")));
        assert_eq!(request(vantage("resolver", 0, "")).check, CheckKind::Resolver);
    }

    #[test]
    fn a_check_that_cannot_be_done_is_refused_alone_with_the_reason() {
        let mut nameless = vantage("host", 0, "");
        let mut lost = vantage("resolver", 0, "");
        for (task, damage) in [(&mut nameless, "domain"), (&mut lost, "server")] {
            let Some(v1::task::Kind::Check(check)) = &mut task.kind else { panic!() };
            if damage == "domain" { check.domain.clear() } else { check.dns_servers[0] = "dns".into() }
        }
        for (task, reason, expected) in [
            (vantage("telepathy", 0, ""), "unsupported-task", "telepathy"),
            (vantage("join-rights", 0, ""), "unsupported-task", "credentials"),
            (vantage("clock", 0, ""), "bad-task", "none is named"),
            (vantage("path-mtu", 1, ""), "bad-task", "target 0 has no usable address"),
            (vantage("clock", 99, ""), "bad-task", "target 98"),
            (vantage("computer-account", 0, ""), "bad-task", "none is named"),
            (vantage("computer-account", 0, "*"), "bad-task", "not the name of a computer"),
            (nameless, "bad-task", "no name"),
            (lost, "bad-task", "DNS server"),
        ] {
            let refused = job(message(task)).unwrap().tasks.remove(0);
            let JobTask::Refused { number: 7, reason: given, detail } = &refused else {
                panic!("{refused:?}")
            };
            assert!(*given == reason && detail.contains(expected), "{expected}: {refused:?}");
        }
    }

    fn observed(facts: Facts) -> Observed {
        Observed { facts, ..Observed::failed(u32::MAX, "", "") }
    }

    #[test]
    fn the_status_of_a_check_goes_with_it() {
        for (number, status) in (1..).zip(CheckStatus::ALL) {
            let checked = Observed { status: Some(*status), ..observed(Facts::new()) };
            assert_eq!(observation(Uuid::nil(), checked, &[]).status, number, "{status}");
        }
        assert_eq!(observation(Uuid::nil(), observed(Facts::new()), &[]).status, 0);
    }

    #[test]
    fn facts_that_do_not_fit_are_left_out_and_counted_and_the_reason_never() {
        let large = |count: usize, bytes: usize| -> Facts {
            (0..count).map(|n| (format!("fact-{n:02}"), "x".repeat(bytes).into())).collect()
        };
        let as_many = facts(large(48, 16));
        assert_eq!((as_many.len(), as_many[47].name.as_str()), (48, "fact-47"));
        for (count, bytes, kept) in [(49, 16, 47), (40, 2_000, 8), (200, 1, 47)] {
            let mut given = large(count, bytes);
            given.insert("reason".into(), "silent".into());
            let sent = facts(given);
            assert_eq!((sent.len(), sent[0].name.as_str()), (kept + 1, "reason"), "{count} of {bytes}");
            let left_out = i64::try_from(count + 1 - kept).unwrap();
            assert_eq!(sent[kept].value, Some(v1::fact::Value::Integer(left_out)), "{count} of {bytes}");
            assert!(sent.iter().map(size).sum::<usize>() <= limits::FACT_BYTES);
        }
    }

    #[test]
    fn the_largest_observation_is_far_smaller_than_a_message() {
        use prost::Message as _;
        let text = "x".repeat(limits::TEXT_BYTES);
        let target = Target {
            host: Some(text.clone()),
            domain: Some(text.clone()),
            address: "fd00:1111:2222:3333:4444:5555:6666:7777".parse().unwrap(),
        };
        let attempt = Attempt {
            at_us: u64::MAX,
            took_us: u64::MAX,
            source_port: Some(u16::MAX),
            signal: "silence".to_owned(),
            icmp: Some((255, 255)),
            offender: Some(target.address),
            ttl: Some(255),
            sent_bytes: u32::MAX,
            received_bytes: u32::MAX,
        };
        let facts = (0..200).map(|n| (format!("fact-{n}"), text.clone().into())).collect();
        let observed =
            Observed { evidence: vec![attempt; 1_000], by: Some(target.address), ..observed(facts) };
        let size =
            |discovered: &[Target]| observation(Uuid::nil(), observed.clone(), discovered).encoded_len();
        assert!(size(&[]) < limits::MESSAGE_BYTES / 64, "{} bytes", size(&[]));
        assert!(size(&vec![target; 1_000]) < 3 * limits::MESSAGE_BYTES / 4, "{} bytes", size(&[]));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = "関".repeat(limits::TEXT_BYTES);
        let cut = clipped(&long);
        assert!(cut.len() <= limits::TEXT_BYTES && cut.chars().all(|c| c == '関'));
    }
}
