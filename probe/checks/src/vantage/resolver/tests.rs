//! What is judged how: resolvers in order, and each thing that can be wrong with them.

use proptest::prelude::*;
use sekisho_model::Fact;

use super::*;
use crate::wire::dns::Record;

const DC1: &str = "10.77.1.10";
const DC2: &str = "10.77.1.11";
const PUBLIC: &str = "203.0.113.53";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn told(rcode: u16, authoritative: bool, answers: Vec<Record>) -> Told {
    let response = Response {
        rcode,
        authoritative,
        truncated: false,
        denied_by: (rcode == 3).then(String::new),
        ttl: None,
        answers,
        additional: Vec::new(),
    };
    Told::Answer { response, took: Duration::from_micros(700), ttl: Some(63) }
}

fn records(host: &str) -> Told {
    let srv = Srv { priority: 0, weight: 100, port: 389, target: host.to_owned() };
    told(0, true, vec![Record::Srv(srv)])
}

fn address() -> Told {
    told(0, false, vec![Record::Address(ip("10.9.9.9"))])
}

fn resolver(address: &str, origin: Origin) -> Resolver {
    Resolver {
        address: ip(address),
        origin,
        udp: records("dc1.corp.example"),
        tcp: records("dc1.corp.example"),
        zone: told(0, true, vec![Record::Soa { primary: "dc1.corp.example".into(), serial: 1 }]),
        random: told(3, true, Vec::new()),
    }
}

fn controller(address: &str) -> Controller {
    Controller {
        address: ip(address),
        records: records("dc1.corp.example"),
        random: told(3, true, Vec::new()),
        is_controller: true,
        dns_ttls: [63].into(),
        ping_ttls: [63].into(),
    }
}

/// Every answer to the questions about the domain.
fn all(resolver: &mut Resolver, told: Told) {
    (resolver.udp, resolver.tcp, resolver.zone) = (told.clone(), told.clone(), told.clone());
    resolver.random = told;
}

/// A domain controller that is the resolver, another resolver, and a second controller.
fn in_order() -> Seen {
    Seen {
        domain: "corp.example".into(),
        resolvers: vec![resolver(DC1, Origin::Own), resolver("10.77.1.53", Origin::Own)],
        controllers: vec![controller(DC1), controller(DC2)],
        unreadable: None,
    }
}

#[test]
fn resolvers_in_order() {
    let (status, facts) = judge(&in_order());
    assert_eq!(status, CheckStatus::Ok, "{facts:?}");
    for (name, fact) in [
        ("resolver-1", Fact::from(DC1)),
        ("resolver-1-origin", "own".into()),
        ("resolver-1-says", "serves".into()),
        ("resolver-1-udp", "ok".into()),
        ("resolver-1-udp-us", 700.into()),
        ("resolver-1-tcp", "ok".into()),
        ("resolver-1-tcp-us", 700.into()),
        ("resolver-1-rcode", "NOERROR".into()),
        ("resolver-1-authoritative", true.into()),
        ("resolver-2", "10.77.1.53".into()),
        ("dcs-compared", 2.into()),
    ] {
        assert_eq!(facts.get(name), Some(&fact), "{name}");
    }
}

type Change = fn(&mut Seen);
type Case = (&'static str, Change, CheckStatus, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = {
    use CheckStatus::{Ok, Problem, Unknown, Warning};
    &[
        ("none", |seen| seen.resolvers.clear(), Problem, "no-resolver", &[]),
        (
            "the file cannot be read",
            |seen| {
                seen.resolvers.clear();
                seen.unreadable = Some("cannot read it".into());
            },
            Problem,
            "no-resolver",
            &[("detail", "cannot read it")],
        ),
        (
            "none but a named one",
            |seen| seen.resolvers = vec![resolver(DC1, Origin::Named)],
            Problem,
            "no-resolver",
            &[("resolver-1-says", "serves")],
        ),
        (
            "all silent",
            |seen| seen.resolvers.iter_mut().for_each(|r| all(r, Told::Failed("silent"))),
            Problem,
            "no-resolver-answers",
            &[("resolver-1-udp", "silent"), ("resolver-2-tcp", "silent")],
        ),
        (
            "this machine cannot send",
            |seen| seen.resolvers.iter_mut().for_each(|r| all(r, Told::Local("not permitted".into()))),
            Unknown,
            "not-tested",
            &[("resolver-1-udp", "local")],
        ),
        (
            "the first denies, so nobody asks the second",
            |seen| all(&mut seen.resolvers[0], told(3, false, Vec::new())),
            Problem,
            "domain-unknown",
            &[("resolver-1-rcode", "NXDOMAIN"), ("resolver-1-denied-by", "."), ("resolver-1-says", "denies")],
        ),
        (
            "the second denies",
            |seen| all(&mut seen.resolvers[1], told(3, false, Vec::new())),
            Warning,
            "domain-unknown",
            &[("resolver-2-says", "denies")],
        ),
        (
            "the domain without records of controllers",
            |seen| {
                seen.resolvers.iter_mut().for_each(|r| {
                    (r.udp, r.tcp) = (told(3, true, Vec::new()), told(3, true, Vec::new()));
                })
            },
            Problem,
            "no-dc-records",
            &[("resolver-1-says", "denies-records")],
        ),
        (
            "no data is no record",
            |seen| {
                for r in &mut seen.resolvers {
                    all(r, told(0, false, Vec::new()));
                }
            },
            Problem,
            "domain-unknown",
            &[],
        ),
        (
            "an external one alone",
            |seen| {
                seen.resolvers = vec![resolver(PUBLIC, Origin::Own)];
                all(&mut seen.resolvers[0], told(3, false, Vec::new()));
            },
            Problem,
            "external-resolver",
            &[("resolver-1-says", "external")],
        ),
        (
            "an external one that knows a public zone of that name",
            |seen| {
                seen.resolvers = vec![resolver(PUBLIC, Origin::Own)];
                let soa = Record::Soa { primary: "ns.example".into(), serial: 1 };
                all(&mut seen.resolvers[0], told(3, false, Vec::new()));
                seen.resolvers[0].zone = told(0, false, vec![soa]);
            },
            Problem,
            "external-resolver",
            &[],
        ),
        (
            "an external one alone that refuses",
            |seen| {
                seen.resolvers = vec![resolver(PUBLIC, Origin::Own)];
                all(&mut seen.resolvers[0], told(5, false, Vec::new()));
            },
            Problem,
            "external-resolver",
            &[("resolver-1-says", "external-refuses")],
        ),
        (
            "an external one behind one that is well",
            |seen| {
                seen.resolvers[1] = resolver(PUBLIC, Origin::Own);
                all(&mut seen.resolvers[1], told(3, false, Vec::new()));
            },
            Warning,
            "external-resolver",
            &[("detail", "10.77.1.10 serves, 203.0.113.53 external")],
        ),
        (
            "an external one before one that is well",
            |seen| {
                seen.resolvers[0] = resolver(PUBLIC, Origin::Own);
                all(&mut seen.resolvers[0], told(3, false, Vec::new()));
            },
            Problem,
            "external-resolver",
            &[],
        ),
        (
            "an error of the first, and the second is well",
            |seen| all(&mut seen.resolvers[0], told(2, false, Vec::new())),
            Warning,
            "resolver-error",
            &[("resolver-1-says", "fails")],
        ),
        (
            "errors only",
            |seen| seen.resolvers.iter_mut().for_each(|r| all(r, told(2, false, Vec::new()))),
            Problem,
            "resolver-error",
            &[],
        ),
        (
            "a silent one",
            |seen| all(&mut seen.resolvers[0], Told::Failed("closed")),
            Warning,
            "resolver-silent",
            &[("resolver-1-udp", "closed")],
        ),
        (
            "an upstream of a stub that does not know the domain",
            |seen| {
                seen.resolvers =
                    vec![resolver("127.0.0.53", Origin::Stub), resolver(PUBLIC, Origin::Upstream)];
                all(&mut seen.resolvers[1], told(3, false, Vec::new()));
            },
            Warning,
            "external-resolver",
            &[("resolver-1-origin", "stub"), ("resolver-2-origin", "upstream")],
        ),
        (
            "an address for a name that nobody has, and nothing of the domain",
            |seen| {
                all(&mut seen.resolvers[0], told(3, false, Vec::new()));
                seen.resolvers[0].random = address();
            },
            Problem,
            "hijacked-resolver",
            &[("resolver-1-random-name", "10.9.9.9"), ("resolver-1-says", "hijacks")],
        ),
        (
            "the wildcard of a public zone of the name",
            |seen| {
                seen.resolvers.truncate(1);
                seen.controllers.clear();
                seen.resolvers[0].address = ip(PUBLIC);
                let zone = told(0, false, vec![Record::Soa { primary: "ns.example".into(), serial: 1 }]);
                all(&mut seen.resolvers[0], told(3, false, Vec::new()));
                (seen.resolvers[0].zone, seen.resolvers[0].random) = (zone, address());
            },
            Problem,
            "external-resolver",
            &[("resolver-1-random-name", "10.9.9.9"), ("resolver-1-says", "external")],
        ),
        (
            "the wildcard of a zone above it",
            |seen| {
                seen.resolvers.truncate(1);
                seen.controllers.clear();
                let Told::Answer { mut response, took, ttl } = told(0, false, Vec::new()) else { return };
                response.denied_by = Some("example".into());
                all(&mut seen.resolvers[0], Told::Answer { response, took, ttl });
                seen.resolvers[0].random = address();
            },
            Problem,
            "domain-unknown",
            &[("resolver-1-says", "denies")],
        ),
        (
            "an address for a name that a controller denies",
            |seen| seen.resolvers[1].random = address(),
            Problem,
            "hijacked-resolver",
            &[("resolver-2-says", "hijacks")],
        ),
        (
            "an address for every name, as a controller says too",
            |seen| {
                seen.resolvers.iter_mut().for_each(|r| r.random = address());
                seen.controllers.iter_mut().for_each(|c| c.random = address());
            },
            Warning,
            "wildcard",
            &[("resolver-1-says", "serves")],
        ),
        (
            "a controller that denies its domain, in replies that came another way",
            |seen| {
                all(&mut seen.resolvers[0], told(5, false, Vec::new()));
                seen.controllers[0].dns_ttls = [62].into();
            },
            Problem,
            "hijacked-resolver",
            &[("ttl-differs", "10.77.1.10: 62 from port 53, 63 from port 389")],
        ),
        (
            "a controller that denies its domain, in replies that came the same way",
            |seen| all(&mut seen.resolvers[0], told(3, true, Vec::new())),
            Problem,
            "domain-unknown",
            &[],
        ),
        (
            "right answers that came another way",
            |seen| seen.controllers[0].dns_ttls = [62, 61].into(),
            Warning,
            "reply-ttl-differs",
            &[("ttl-differs", "10.77.1.10: 61/62 from port 53, 63 from port 389")],
        ),
        ("ways of equal cost", |seen| seen.controllers[0].dns_ttls = [62, 63].into(), Ok, "", &[]),
        ("no pings", |seen| seen.controllers[0].ping_ttls.clear(), Ok, "", &[]),
        (
            "no TCP",
            |seen| seen.resolvers[0].tcp = Told::Failed("silent"),
            Warning,
            "udp-only",
            &[("detail", "10.77.1.10 does not answer over TCP")],
        ),
        ("no UDP", |seen| seen.resolvers[0].udp = Told::Failed("silent"), Warning, "tcp-only", &[]),
        (
            "a cut answer and no TCP",
            |seen| {
                seen.resolvers.truncate(1);
                let Told::Answer { response, .. } = &mut seen.resolvers[0].udp else { unreachable!() };
                response.truncated = true;
                response.answers.clear();
                seen.resolvers[0].tcp = Told::Failed("silent");
            },
            Problem,
            "resolver-error",
            &[],
        ),
        (
            "other records than a controller has",
            |seen| seen.controllers[1].records = records("dc9.corp.example"),
            Warning,
            "answers-differ",
            &[("differs-at", "10.77.1.11 from 10.77.1.10, 10.77.1.11 from 10.77.1.53")],
        ),
        (
            "a controller that serves no DNS",
            |seen| seen.controllers[1].records = Told::Failed("closed"),
            Ok,
            "",
            &[],
        ),
        (
            "a named one that is silent",
            |seen| {
                seen.resolvers.push(resolver(DC2, Origin::Named));
                all(&mut seen.resolvers[2], Told::Failed("silent"));
            },
            Warning,
            "named-resolver",
            &[("detail", "resolvers that were named for the domain: 10.77.1.11 silent")],
        ),
        (
            "a named one that may not be asked",
            |seen| {
                seen.resolvers.push(resolver(DC2, Origin::Named));
                all(&mut seen.resolvers[2], Told::Local("no rule".into()));
            },
            Ok,
            "",
            &[("resolver-3-says", "untested")],
        ),
        (
            "a named one that is well does not make up for the own ones",
            |seen| {
                seen.resolvers.iter_mut().for_each(|r| all(r, told(3, false, Vec::new())));
                seen.resolvers.push(resolver(DC2, Origin::Named));
            },
            Problem,
            "domain-unknown",
            &[("resolver-3-says", "serves")],
        ),
    ]
};

#[test]
fn what_can_be_wrong() {
    for (name, change, status, reason, expected) in CASES {
        let mut seen = in_order();
        change(&mut seen);
        let (got, facts) = judge(&seen);
        let reason = Some(Fact::from(*reason)).filter(|_| *status != CheckStatus::Ok);
        assert_eq!((got, facts.get("reason")), (*status, reason.as_ref()), "{name}: {facts:?}");
        for (fact, text) in *expected {
            assert_eq!(facts.get(*fact), Some(&Fact::from(*text)), "{name}: {fact}");
        }
    }
}

fn any_told() -> impl Strategy<Value = Told> {
    prop_oneof![
        3 => Just(records("dc1.corp.example")),
        1 => (0_u16..7, any::<bool>()).prop_map(|(rcode, aa)| told(rcode, aa, Vec::new())),
        1 => Just(address()),
        1 => Just(Told::Failed("silent")),
        1 => Just(Told::Local("not permitted".into())),
        1 => Just(Told::NotAsked),
    ]
}

prop_compose! {
    fn any_resolver()(
        address in prop_oneof![Just(DC1), Just(DC2), Just(PUBLIC), Just("127.0.0.53")],
        origin in prop_oneof![Just(Origin::Own), Just(Origin::Stub), Just(Origin::Upstream), Just(Origin::Named)],
        udp in any_told(), tcp in any_told(), zone in any_told(), random in any_told(),
    ) -> Resolver {
        Resolver { address: ip(address), origin, udp, tcp, zone, random }
    }
}

proptest! {
    /// `ok` needs records of the domain from one of this host's own resolvers, before any of them denies the domain.
    #[test]
    fn never_ok_without_evidence(resolvers in proptest::collection::vec(any_resolver(), 0..5)) {
        let seen = Seen { resolvers: resolvers.clone(), ..in_order() };
        let (status, facts) = judge(&seen);
        prop_assert!(facts.len() <= 48);
        prop_assert_eq!(status == CheckStatus::Ok, !facts.contains_key("reason"));
        let mut own = resolvers.iter().filter(|r| r.origin != Origin::Named);
        if status == CheckStatus::Ok {
            let first = own.next().unwrap();
            prop_assert!(first.udp.response().unwrap().services().next().is_some());
            prop_assert!(first.tcp.response().is_some());
        }
    }
}
