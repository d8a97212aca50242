//! Generated messages to the services' values and back. Every text of a probe is bounded here.

use std::{collections::HashSet, net::IpAddr};

use jiff::Timestamp;
use sekisho_model::{Attempt, CheckStatus, Fact, Facts, Outcome};
use sekisho_proto::{
    limits::{
        ATTEMPTS_PER_OBSERVATION, DNS_SERVERS_PER_TASK, FACT_BYTES, FACTS_PER_OBSERVATION, JOBS_PER_PROBE,
        TARGETS_PER_DISCOVERY, TEXT_BYTES,
    },
    v1,
};
use uuid::Uuid;

/// Longest word: a name of a fact, a signal.
const WORD_BYTES: usize = 64;

use crate::service::{Discovered, HandedIn, Hello, Order, OrderTask, OrderTaskKind};

/// What a probe says of itself, and the jobs that it has.
pub(super) fn hello(hello: v1::Hello) -> Result<(Hello, HashSet<Uuid>), String> {
    let v1::Hello { protocol: _, version, host, services, icmp, jobs, clock, spooled } = hello;
    if jobs.len() > JOBS_PER_PROBE {
        return Err(format!("Hello names {} jobs; at most {JOBS_PER_PROBE} are allowed", jobs.len()));
    }
    let jobs = jobs.iter().map(|job| uuid(job)).collect::<Result<_, _>>()?;
    let clock = clock.as_ref().and_then(time);
    Ok((Hello { version, host, services, icmp, clock, spooled }, jobs))
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

/// A job for the wire.
pub(super) fn job(order: Order) -> v1::Job {
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

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use sekisho_model::CheckKind;
    use sekisho_proto::limits::{CHECKS_PER_JOB, MESSAGE_BYTES, TARGETS_PER_JOB, TASKS_PER_JOB};

    use super::*;
    use crate::service::OrderTarget;

    fn good() -> v1::Observation {
        v1::Observation {
            job: Uuid::from_u128(1).into_bytes().to_vec(),
            task: 3,
            outcome: v1::Outcome::Rejected.into(),
            by: "10.0.0.1".to_owned(),
            rtt_us: 900,
            attempts: 2,
            facts: vec![v1::Fact { name: "ttl".to_owned(), value: Some(v1::fact::Value::Integer(63)) }],
            evidence: vec![v1::Attempt {
                signal: "icmp".to_owned(),
                icmp_type: 3,
                icmp_code: 13,
                offender: "10.0.0.1".to_owned(),
                ..v1::Attempt::default()
            }],
            ..v1::Observation::default()
        }
    }

    #[test]
    fn what_a_probe_observed_is_kept() {
        let handed_in = observation(good()).unwrap();
        assert_eq!(handed_in.outcome, Outcome::Rejected);
        assert_eq!(handed_in.by, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(handed_in.facts["ttl"], Fact::Integer(63));
        assert_eq!(handed_in.evidence[0].icmp, Some((3, 13)));
    }

    #[test]
    fn what_is_not_usable_is_refused_with_the_reason() {
        type Damage = fn(&mut v1::Observation);
        let damages: [(&str, Damage); 11] = [
            ("status 77, which this version does not know", |o| o.status = 77),
            ("status -1", |o| o.status = -1),
            ("no outcome", |o| o.outcome = 0),
            ("no outcome", |o| o.outcome = 77),
            ("by is not an address", |o| o.by = "router".to_owned()),
            ("16 bytes", |o| o.job = vec![1]),
            ("49 facts", |o| o.facts = vec![v1::Fact::default(); 49]),
            ("33 attempts", |o| o.evidence = vec![v1::Attempt::default(); 33]),
            ("257 targets", |o| o.discovered = vec![v1::Target::default(); 257]),
            ("1025 bytes", |o| o.facts[0].value = Some(v1::fact::Value::Text("x".repeat(1_025)))),
            ("signal", |o| o.evidence[0].signal = "icmp\n".to_owned()),
        ];
        for (expected, damage) in damages {
            let mut damaged = good();
            damage(&mut damaged);
            let error = observation(damaged).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn outcomes_survive_the_wire() {
        for outcome in Outcome::ALL {
            assert_eq!(self::outcome(wire_outcome(outcome)), Ok(outcome));
        }
    }

    #[test]
    fn statuses_are_those_of_the_wire() {
        let words = [None, Some("ok"), Some("warning"), Some("problem"), Some("unknown")];
        for (number, word) in (0..).zip(words) {
            let checked = v1::Observation { status: number, ..good() };
            assert_eq!(observation(checked).unwrap().status.map(CheckStatus::word), word);
        }
    }

    fn order(tasks: usize, kind: impl Fn(u32) -> OrderTaskKind) -> Order {
        let name = format!("{0}.{0}.{0}.{1}", "d".repeat(63), "e".repeat(61));
        let address = "fd00:1111:2222:3333:4444:5555:6666:7777".parse().unwrap();
        let target = OrderTarget { host: name.clone(), address, domain: name };
        let tasks = (0..u32::try_from(tasks).unwrap()).map(|number| OrderTask { number, kind: kind(number) });
        Order {
            id: Uuid::nil(),
            seconds_left: u32::MAX,
            targets: vec![target; TARGETS_PER_JOB],
            tasks: tasks.collect(),
        }
    }

    #[test]
    fn the_largest_jobs_are_no_larger_than_a_message() {
        let long = order(0, |_| unreachable!()).targets[0].clone();
        let servers = vec![long.address; 256];
        let largest = u32::try_from(TARGETS_PER_JOB).unwrap() - 1;
        let checks = order(CHECKS_PER_JOB, |_| OrderTaskKind::Vantage {
            check: CheckKind::ComputerAccount,
            domain: long.domain.clone(),
            dns_servers: servers.clone(),
            target: Some(largest),
            computer: Some("x".repeat(15)),
        });
        let flows = order(TASKS_PER_JOB, |_| OrderTaskKind::Check {
            target: largest,
            service: "kerberos-tcp".to_owned(),
            last_outcome: Some(Outcome::Unreachable),
            capture: true,
        });
        let mut search = order(1_000, |_| OrderTaskKind::Discovery {
            domain: long.domain.clone(),
            dns_servers: servers.clone(),
        });
        search.targets.clear();
        for order in [checks, flows, search] {
            let size =
                v1::ControllerMessage { message: Some(v1::controller_message::Message::Job(job(order))) }
                    .encoded_len();
            assert!(size <= MESSAGE_BYTES, "{size} bytes");
        }
    }

    #[test]
    fn what_a_target_writes_into_a_fact_does_not_cost_the_outcome() {
        let mut odd = good();
        let banner = "a\0b\u{1b}[2J\u{9b}é".to_owned();
        odd.facts[0].value = Some(v1::fact::Value::Text(banner));
        assert_eq!(observation(odd).unwrap().facts["ttl"], "a\u{fffd}b\u{fffd}[2J\u{fffd}é".into());
    }

    #[test]
    fn facts_take_a_bounded_place_and_what_is_left_out_is_counted() {
        let fact =
            |name: String, text: &str| v1::Fact { name, value: Some(v1::fact::Value::Text(text.to_owned())) };
        let mut large = good();
        large.facts = (0..40).map(|n| fact(format!("fact-{n}"), &"x".repeat(1_000))).collect();
        for name in ["", "=cmd|x", "two words", "\u{1b}[2J", "日本", &"x".repeat(1_025)] {
            large.facts.push(fact(name.to_owned(), ""));
        }
        let facts = observation(large).unwrap().facts;
        assert_eq!((facts.len(), &facts["facts-left-out"]), (9, &Fact::Integer(38)));
    }

    #[test]
    fn times_that_are_none_are_none() {
        let time = |seconds, nanos| time(&prost_types::Timestamp { seconds, nanos });
        assert!(time(1_790_000_000, 5).is_some());
        let year_10000 = 253_402_300_800;
        for (seconds, nanos) in
            [(year_10000, 0), (i64::MAX, i32::MAX), (i64::MIN, i32::MIN), (0, 1_000_000_000)]
        {
            assert!(time(seconds, nanos).is_none(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn a_fact_of_a_later_version_is_left_out() {
        let mut later = good();
        later.facts[0].value = None;
        assert!(observation(later).unwrap().facts.is_empty());
    }
}
