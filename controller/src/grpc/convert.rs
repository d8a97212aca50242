//! Generated messages to the services' values and back. Every text of a probe is bounded here.

#[cfg(test)]
mod tests;

use std::{collections::HashSet, net::IpAddr};

use jiff::Timestamp;
use sekisho_model::{Attempt, CheckStatus, Fact, Facts, Outcome};
use sekisho_proto::{
    limits::{
        ATTEMPTS_PER_OBSERVATION, DNS_SERVERS_PER_TASK, FACT_BYTES, FACTS_PER_OBSERVATION, JOBS_PER_PROBE,
        PLANNED_JOBS, PROBLEM_BYTES, PROBLEMS_PER_HEARTBEAT, TARGETS_PER_DISCOVERY, TEXT_BYTES,
    },
    v1,
};
use uuid::Uuid;

/// Longest word: a name of a fact, a signal.
const WORD_BYTES: usize = 64;

use crate::service::{Beat, Discovered, HandedIn, Hello, Order, OrderTask, OrderTaskKind, PlannedOrder};

/// What a probe says of itself, the jobs that it has, and the planned ones that it holds.
pub(super) fn hello(hello: v1::Hello) -> Result<(Hello, HashSet<Uuid>, HashSet<Uuid>), String> {
    let v1::Hello { protocol: _, version, host, services, icmp, jobs, clock, spooled, planned, .. } = hello;
    let (keeps_shares, keeps_plan_shares) = (hello.keeps_shares, hello.keeps_plan_shares);
    if planned.len() > PLANNED_JOBS {
        return Err(format!(
            "Hello names {} planned jobs; at most {PLANNED_JOBS} are allowed",
            planned.len()
        ));
    }
    if jobs.len() > JOBS_PER_PROBE {
        return Err(format!("Hello names {} jobs; at most {JOBS_PER_PROBE} are allowed", jobs.len()));
    }
    let jobs = jobs.iter().map(|job| uuid(job)).collect::<Result<_, _>>()?;
    let planned = planned.iter().map(|job| uuid(job)).collect::<Result<_, _>>()?;
    let clock = clock.as_ref().and_then(time);
    Ok((
        Hello { version, host, services, icmp, clock, spooled, keeps_shares, keeps_plan_shares },
        jobs,
        planned,
    ))
}

/// What a probe says of itself again and again.
pub(super) fn beat(beat: v1::Heartbeat, progressed: bool) -> Beat {
    let v1::Heartbeat { sequence: _, clock, jobs: _, spooled, problems, dropped } = beat;
    let problems = problems.iter().take(PROBLEMS_PER_HEARTBEAT).map(|problem| line(problem)).collect();
    Beat { spooled, dropped, clock: clock.as_ref().and_then(time), problems, progressed }
}

/// A text of a probe in one line, without control characters, cut where it is too long.
fn line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let mut line = words.join(" ");
    line.truncate(line.floor_char_boundary(PROBLEM_BYTES));
    line
}

fn uuid(bytes: &[u8]) -> Result<Uuid, String> {
    Uuid::from_slice(bytes).map_err(|_| format!("a job is a UUID of 16 bytes, not {} bytes", bytes.len()))
}

/// A time on the wire; `None` when it is out of the range of times.
pub(super) fn time(timestamp: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(timestamp.seconds, timestamp.nanos).ok()
}

/// A time for the wire.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// One result. The error says why it is not usable.
pub(super) fn observation(observation: v1::Observation) -> Result<HandedIn, String> {
    let job = uuid(&observation.job)?;
    let task = observation.task;
    handed_in(job, observation).map_err(|why| format!("job {job} task {task}: {why}"))
}

fn handed_in(job: Uuid, observation: v1::Observation) -> Result<HandedIn, String> {
    let outcome = outcome(observation.outcome())?;
    let v1::Observation {
        job: _,
        task,
        outcome: _,
        by,
        rtt_us,
        attempts,
        confirmed,
        facts,
        evidence,
        observed_at,
        discovered,
        status,
        autonomous,
    } = observation;
    at_most("facts", facts.len(), FACTS_PER_OBSERVATION)?;
    at_most("attempts", evidence.len(), ATTEMPTS_PER_OBSERVATION)?;
    at_most("targets", discovered.len(), TARGETS_PER_DISCOVERY)?;
    Ok(HandedIn {
        job,
        task,
        outcome,
        by: optional_address("by", &by)?,
        rtt_us: (rtt_us > 0).then_some(rtt_us),
        attempts,
        confirmed,
        facts: self::facts(facts)?,
        evidence: evidence.into_iter().map(attempt).collect::<Result<_, _>>()?,
        observed_at: observed_at.as_ref().and_then(time),
        discovered: discovered.into_iter().map(target).collect::<Result<_, _>>()?,
        status: self::status(status)?,
        autonomous,
    })
}

fn outcome(outcome: v1::Outcome) -> Result<Outcome, String> {
    match outcome {
        v1::Outcome::Open => Ok(Outcome::Open),
        v1::Outcome::Closed => Ok(Outcome::Closed),
        v1::Outcome::Filtered => Ok(Outcome::Filtered),
        v1::Outcome::Rejected => Ok(Outcome::Rejected),
        v1::Outcome::Unreachable => Ok(Outcome::Unreachable),
        v1::Outcome::Mute => Ok(Outcome::Mute),
        v1::Outcome::Wrong => Ok(Outcome::Wrong),
        v1::Outcome::Failed => Ok(Outcome::Failed),
        v1::Outcome::Missed => Ok(Outcome::Missed),
        v1::Outcome::Unspecified => Err("it has no outcome that this version knows".to_owned()),
    }
}

fn status(status: i32) -> Result<Option<CheckStatus>, String> {
    match v1::CheckStatus::try_from(status) {
        Ok(v1::CheckStatus::Unspecified) => Ok(None),
        Ok(v1::CheckStatus::Ok) => Ok(Some(CheckStatus::Ok)),
        Ok(v1::CheckStatus::Warning) => Ok(Some(CheckStatus::Warning)),
        Ok(v1::CheckStatus::Problem) => Ok(Some(CheckStatus::Problem)),
        Ok(v1::CheckStatus::Unknown) => Ok(Some(CheckStatus::Unknown)),
        Err(_) => Err(format!("it has the status {status}, which this version does not know")),
    }
}

fn wire_outcome(outcome: Outcome) -> v1::Outcome {
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

fn at_most(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("it has {count} {what}; at most {most} are allowed")) } else { Ok(()) }
}

/// A text that fits in a table. It may come from whoever answered the probe: what the database cannot hold, or what
/// steers a terminal, is no reason to lose an outcome, and becomes U+FFFD.
fn text(what: &str, text: String) -> Result<String, String> {
    at_most(&format!("bytes of {what}"), text.len(), TEXT_BYTES)?;
    Ok(if text.chars().any(char::is_control) { text.replace(char::is_control, "\u{fffd}") } else { text })
}

/// Whether it is a word as the product writes them, such as `rst-origin`.
fn is_word(word: &str) -> bool {
    (1..=WORD_BYTES).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn address(what: &str, text: &str) -> Result<IpAddr, String> {
    // The text is a stranger's and may be long: it is not repeated.
    text.parse().map_err(|_| format!("{what} is not an address"))
}

fn optional_address(what: &str, text: &str) -> Result<Option<IpAddr>, String> {
    if text.is_empty() { Ok(None) } else { address(what, text).map(Some) }
}

/// The facts that can be kept: those under a word, as many as fit.
fn facts(list: Vec<v1::Fact>) -> Result<Facts, String> {
    let mut facts = Facts::new();
    let (mut room, mut left_out) = (FACT_BYTES, 0_i64);
    for v1::Fact { name, value } in list {
        let value = match value {
            Some(v1::fact::Value::Text(value)) => Fact::Text(text("a fact", value)?),
            Some(v1::fact::Value::Integer(value)) => Fact::Integer(value),
            Some(v1::fact::Value::Flag(value)) => Fact::Flag(value),
            // A value of a kind that a later version knows.
            None => continue,
        };
        let size = name.len() + if let Fact::Text(text) = &value { text.len() } else { size_of::<i64>() };
        if is_word(&name) && size <= room {
            room -= size;
            facts.insert(name, value);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        facts.insert("facts-left-out".to_owned(), Fact::Integer(left_out));
    }
    Ok(facts)
}

fn attempt(attempt: v1::Attempt) -> Result<Attempt, String> {
    let v1::Attempt {
        at_us,
        took_us,
        source_port,
        signal,
        icmp_type,
        icmp_code,
        offender,
        ttl,
        sent_bytes,
        received_bytes,
    } = attempt;
    let byte = |what: &str, value: u32| u8::try_from(value).map_err(|_| format!("{what} is more than 255"));
    let port = u16::try_from(source_port).map_err(|_| "a source port is more than 65535".to_owned())?;
    let icmp = if signal == "icmp" {
        Some((byte("an ICMP type", icmp_type)?, byte("an ICMP code", icmp_code)?))
    } else {
        None
    };
    if !is_word(&signal) {
        return Err(format!("a signal is not one word of at most {WORD_BYTES} bytes"));
    }
    Ok(Attempt {
        at_us,
        took_us,
        source_port: (port > 0).then_some(port),
        signal,
        icmp,
        offender: optional_address("an offender", &offender)?,
        ttl: Some(byte("a TTL", ttl)?).filter(|ttl| *ttl > 0),
        sent_bytes,
        received_bytes,
    })
}

fn target(target: v1::Target) -> Result<Discovered, String> {
    let address = address("the address of a target", &target.address)?;
    Ok(Discovered { host: text("a host", target.host)?, address })
}

/// A job for the wire. Its time was read after a heartbeat of the probe was heard.
pub(super) fn job(order: Order, heartbeat: u64) -> v1::Job {
    let share = |(address, rate): (IpAddr, u32)| v1::Share { address: address.to_string(), rate };
    let targets = order.targets.into_iter().map(|target| v1::Target {
        host: target.host,
        address: target.address.to_string(),
        domain: target.domain,
    });
    v1::Job {
        id: order.id.into_bytes().to_vec(),
        seconds_left: order.seconds_left,
        targets: targets.collect(),
        tasks: order.tasks.into_iter().map(task).collect(),
        shares: order.shares.targets.into_iter().map(share).collect(),
        link_rate: order.shares.link.unwrap_or(0),
        heartbeat: Some(heartbeat),
        traceparent: order.trace.map(|trace| trace.to_string()).unwrap_or_default(),
    }
}

/// The body of a plan for a probe.
pub(super) fn planned(probe: Uuid, planned: PlannedOrder, now: Timestamp) -> v1::PlannedJob {
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    v1::PlannedJob {
        probe: probe.into_bytes().to_vec(),
        schedule: planned.schedule,
        due: Some(timestamp(planned.due)),
        start: Some(timestamp(planned.start)),
        end: Some(timestamp(planned.deadline)),
        alone_seconds: seconds(planned.alone),
        turn_seconds: seconds(planned.turn),
        silent_seconds: seconds(planned.silent),
        made_at: Some(timestamp(now)),
        // It is begun by the probe's clock, whenever that is.
        job: Some(v1::Job { heartbeat: None, ..job(planned.order, 0) }),
    }
}

fn task(task: OrderTask) -> v1::Task {
    let kind = match task.kind {
        OrderTaskKind::Check { target, service, last_outcome, capture } => {
            let last = last_outcome.map_or(v1::Outcome::Unspecified, wire_outcome);
            v1::task::Kind::Service(v1::ServiceCheck { target, service, last_outcome: last.into(), capture })
        }
        OrderTaskKind::Discovery { domain, dns_servers } => {
            v1::task::Kind::Discovery(v1::Discovery { domain, dns_servers: servers(&dns_servers) })
        }
        OrderTaskKind::Vantage { check, domain, dns_servers, target, computer } => {
            v1::task::Kind::Check(v1::VantageCheck {
                check: check.word().to_owned(),
                domain,
                dns_servers: servers(&dns_servers),
                target: target.map_or(0, |target| target.saturating_add(1)),
                computer: computer.unwrap_or_default(),
            })
        }
    };
    v1::Task { number: task.number, kind: Some(kind) }
}

fn servers(list: &[IpAddr]) -> Vec<String> {
    list.iter().take(DNS_SERVERS_PER_TASK).map(ToString::to_string).collect()
}
