use prost::Message as _;
use sekisho_domain::budget::LARGEST;
use sekisho_model::CheckKind;
use sekisho_proto::limits::{CHECKS_PER_JOB, MESSAGE_BYTES, SHARES_PER_JOB, TARGETS_PER_JOB, TASKS_PER_JOB};

use super::*;
use crate::service::{OrderShares, OrderTarget};

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

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

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
        shares: OrderShares { targets: vec![(address, LARGEST); SHARES_PER_JOB], link: Some(LARGEST) },
        trace: Some(TRACE.parse().unwrap()),
    }
}

#[test]
fn a_job_goes_out_with_its_place_in_a_trace() {
    let traced = order(1, |_| OrderTaskKind::Discovery { domain: String::new(), dns_servers: Vec::new() });
    assert_eq!(job(traced.clone(), 0).traceparent, TRACE);
    assert!(TRACE.len() <= sekisho_proto::limits::TRACEPARENT_BYTES);
    assert_eq!(job(Order { trace: None, ..traced }, 0).traceparent, "");
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
        let size = v1::ControllerMessage {
            message: Some(v1::controller_message::Message::Job(job(order, u64::MAX))),
        }
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
    for (seconds, nanos) in [(year_10000, 0), (i64::MAX, i32::MAX), (i64::MIN, i32::MIN), (0, 1_000_000_000)]
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

#[test]
fn what_keeps_a_probe_from_working_is_one_short_line_each() {
    let long = "\u{e4}".repeat(PROBLEM_BYTES);
    let mut problems = vec!["scope.toml:\n\tline 1\u{1b}[2J".to_owned(), long];
    problems.resize(PROBLEMS_PER_HEARTBEAT + 5, "x".to_owned());
    let beat = beat(v1::Heartbeat { problems, spooled: 7, dropped: 2, ..Default::default() }, true);
    assert_eq!((beat.spooled, beat.dropped, beat.progressed), (7, 2, true));
    assert_eq!(beat.problems.len(), PROBLEMS_PER_HEARTBEAT);
    assert_eq!(beat.problems[0], "scope.toml: line 1 [2J");
    assert_eq!(beat.problems[1].len(), PROBLEM_BYTES);
}
