use std::net::IpAddr;

use sekisho_model::CheckKind;

use super::*;

const ORIGIN: Origin = Origin { job: Uuid::nil(), autonomous: false };

fn message(task: v1::Task) -> v1::Job {
    v1::Job {
        id: Uuid::new_v4().as_bytes().to_vec(),
        seconds_left: 60,
        targets: vec![
            v1::Target { host: String::new(), address: "not an address".into(), domain: String::new() },
            v1::Target { host: "dc1".into(), address: "10.0.0.1".into(), domain: String::new() },
        ],
        tasks: vec![task],
        ..v1::Job::default()
    }
}

fn check(target: u32, service: &str) -> v1::Task {
    let kind = v1::ServiceCheck { target, service: service.into(), last_outcome: 0, capture: true };
    v1::Task { number: 7, kind: Some(v1::task::Kind::Service(kind)) }
}

#[test]
fn a_task_of_a_later_version_is_refused_alone() {
    let unknown = job(message(v1::Task { number: 7, kind: None })).unwrap();
    assert!(matches!(&unknown.tasks[..], [JobTask::Refused { number: 7, reason: "unsupported-task", .. }]));
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

#[test]
fn a_job_whose_shares_are_not_understood_is_refused() {
    let share = |address: &str, rate| v1::Share { address: address.into(), rate };
    let with = |shares| job(v1::Job { shares, link_rate: 7, heartbeat: Some(3), ..message(check(1, "smb")) });
    let good = with(vec![share("::ffff:10.0.0.1", 5)]).unwrap();
    assert_eq!(good.shares.targets, [("10.0.0.1".parse().unwrap(), 5)]);
    assert_eq!((good.shares.link, good.heartbeat), (Some(7), Some(3)));
    for bad in [share("dc1", 5), share("10.0.0.1", 0)] {
        assert!(with(vec![bad]).is_err());
    }
    assert!(
        with(vec![share("10.0.0.1", 5); limits::SHARES_PER_JOB + 1]).unwrap_err().contains("at most 2048")
    );
    let without = job(message(check(1, "smb"))).unwrap();
    assert_eq!((without.shares, without.heartbeat), (Default::default(), None));
}

#[test]
fn a_job_names_its_trace_and_needs_none() {
    let with = |text: &str| {
        let job = job(v1::Job { traceparent: text.to_owned(), ..message(check(1, "smb")) }).unwrap();
        assert_eq!(job.tasks.len(), 1);
        job.trace.map(|trace| trace.to_string())
    };
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    assert_eq!(with(good).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    let long = format!("cc{}-{}", &good[2..], "x".repeat(limits::TRACEPARENT_BYTES));
    for none in ["", "00-what-is-it-00", &long, "\u{1b}[2J"] {
        assert_eq!(with(none), None, "{none}");
    }
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
        other @ (JobTask::Refused { .. } | JobTask::Check { .. } | JobTask::Discover { .. }) => {
            panic!("{other:?}")
        }
    };
    let clock = request(vantage("clock", 2, ""));
    assert_eq!((clock.number, clock.check, clock.domain.as_str()), (7, CheckKind::Clock, "corp.example"));
    assert_eq!(clock.target.unwrap().address.to_string(), "10.0.0.1", "an index is one more than the place");
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
        let JobTask::Refused { number: 7, reason: given, detail } = &refused else { panic!("{refused:?}") };
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
        assert_eq!(observation(ORIGIN, checked, &[]).status, number, "{status}");
    }
    assert_eq!(observation(ORIGIN, observed(Facts::new()), &[]).status, 0);
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
    let observed = Observed { evidence: vec![attempt; 1_000], by: Some(target.address), ..observed(facts) };
    let size = |discovered: &[Target]| observation(ORIGIN, observed.clone(), discovered).encoded_len();
    assert!(size(&[]) < limits::MESSAGE_BYTES / 64, "{} bytes", size(&[]));
    assert!(size(&vec![target; 1_000]) < 3 * limits::MESSAGE_BYTES / 4, "{} bytes", size(&[]));
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let long = "関".repeat(limits::TEXT_BYTES);
    let cut = clipped(&long);
    assert!(cut.len() <= limits::TEXT_BYTES && cut.chars().all(|c| c == '関'));
}
