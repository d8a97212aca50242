//! What is judged how: a domain in order, and each thing that can be wrong with it.

use proptest::prelude::*;
use sekisho_model::Fact;

use super::*;
use crate::wire::cldap::flag;

const DC1: &str = "10.77.1.10";
const DC2: &str = "10.77.1.11";
const WRITABLE: u32 = flag::DS | flag::LDAP | flag::WRITABLE | flag::KDC;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn srv(port: u16, target: &str) -> Srv {
    Srv { priority: 0, weight: 100, port, target: target.to_owned() }
}

fn answer(host: &str, flags: u32) -> Ping {
    Ping::Answer(Box::new(Extended {
        opcode: 23,
        flags,
        forest: "corp.example".into(),
        domain: "Corp.Example".into(),
        host: host.into(),
        dc_site: "Tokyo".into(),
        client_site: "Tokyo".into(),
        ..Extended::default()
    }))
}

/// What a server of a domain in order says.
fn said(names: &[Name]) -> Vec<Said> {
    let said = names.iter().map(|name| match name.kind {
        Kind::Srv => {
            Said::Services(vec![srv(name.port, "dc1.corp.example"), srv(name.port, "dc2.corp.example")])
        }
        Kind::A | Kind::Aaaa | Kind::Soa => Said::Addresses(vec![ip(DC1), ip(DC2)]),
    });
    said.collect()
}

/// Two domain controllers, the first of which is the resolver. Everything is in order.
fn in_order() -> Seen {
    let names = names(&Places {
        domain: "corp.example".into(),
        forest: "corp.example".into(),
        guid: "guid".into(),
        site: "tokyo".into(),
    });
    let said = said(&names);
    let server = |address: &str, resolver| Server { address: ip(address), resolver, said: said.clone() };
    Seen {
        domain: "corp.example".into(),
        servers: vec![server(DC1, true), server(DC2, false)],
        hosts: [
            ("dc1.corp.example".to_owned(), Said::Addresses(vec![ip(DC1)])),
            ("dc2.corp.example".to_owned(), Said::Addresses(vec![ip(DC2)])),
        ]
        .into(),
        pings: [
            (ip(DC1), answer("dc1.corp.example", WRITABLE)),
            (ip(DC2), answer("DC2.corp.example", WRITABLE)),
        ]
        .into(),
        ttl: Some(600),
        names,
        ..Seen::default()
    }
}

/// Changes what the resolver says to the name at a place.
fn resolver_says(seen: &mut Seen, place: usize, said: Said) {
    seen.servers[0].said[place] = said.clone();
    seen.servers[1].said[place] = said;
}

fn ping(seen: &mut Seen, address: &str, ping: Ping) {
    seen.pings.insert(ip(address), ping);
}

#[test]
fn a_domain_in_order() {
    let (status, facts) = judge(&in_order());
    assert_eq!(status, CheckStatus::Ok, "{facts:?}");
    assert!(!facts.contains_key("reason"));
    assert_eq!(facts["names-asked"], Fact::Integer(19));
    assert_eq!(facts["writable-dcs"], Fact::Integer(2));
    assert_eq!(facts["dcs-compared"], Fact::Integer(1));
    assert_eq!(facts["targets"], Fact::from("dc1.corp.example 10.77.1.10, dc2.corp.example 10.77.1.11"));
    assert_eq!(facts["client-site"], Fact::from("Tokyo"));
}

type Change = fn(&mut Seen);
type Case = (&'static str, Change, CheckStatus, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = {
    use CheckStatus::{Problem, Unknown, Warning};
    &[
        (
            "the first name is missing",
            |seen| resolver_says(seen, 0, Said::Nothing),
            Problem,
            "missing-records",
            &[("names-missing", "_ldap._tcp.dc._msdcs.corp.example")],
        ),
        (
            "another required name is missing",
            |seen| resolver_says(seen, 1, Said::Nothing),
            Problem,
            "missing-records",
            &[("names-missing", "_kerberos._tcp.dc._msdcs.corp.example")],
        ),
        (
            "a name that is nice to have is missing",
            |seen| resolver_says(seen, 3, Said::Nothing),
            Warning,
            "missing-records",
            &[("names-missing", "_ldap._tcp.pdc._msdcs.corp.example")],
        ),
        (
            "a required name is not answered",
            |seen| resolver_says(seen, 2, Said::Unanswered),
            Unknown,
            "names-unanswered",
            &[("names-unanswered", "_ldap._tcp.corp.example")],
        ),
        (
            "another name is answered with an error",
            |seen| resolver_says(seen, 3, Said::Error(2)),
            Warning,
            "names-unanswered",
            &[("names-unanswered", "_ldap._tcp.pdc._msdcs.corp.example")],
        ),
        (
            "a record twice",
            |seen| {
                let again = Srv { weight: 50, ..srv(389, "dc1.corp.example") };
                let all = vec![again, srv(389, "dc1.corp.example"), srv(389, "dc2.corp.example")];
                resolver_says(seen, 2, Said::Services(all));
            },
            Warning,
            "duplicate-records",
            &[("duplicates", "dc1.corp.example at _ldap._tcp.corp.example")],
        ),
        (
            "a wrong port",
            |seen| resolver_says(seen, 6, Said::Services(vec![srv(3269, "dc1.corp.example")])),
            Warning,
            "wrong-ports",
            &[("wrong-ports", "dc1.corp.example:3269 at _gc._tcp.corp.example")],
        ),
        (
            "a domain controller says something else",
            |seen| {
                seen.servers[1].said[7] = Said::Nothing;
                seen.servers[1].said[8] = Said::Nothing;
                seen.servers[1].said[9] = Said::Unanswered;
            },
            Warning,
            "answers-differ",
            &[("differs-at", "10.77.1.11: _kerberos._tcp.corp.example and 1 more")],
        ),
        (
            "a target without address",
            |seen| drop(seen.hosts.insert("dc2.corp.example".into(), Said::Nothing)),
            Warning,
            "targets-without-address",
            &[("targets-without-address", "dc2.corp.example")],
        ),
        (
            "a target whose address nobody told",
            |seen| drop(seen.hosts.insert("dc2.corp.example".into(), Said::Error(2))),
            Warning,
            "targets-unresolved",
            &[("targets-unresolved", "dc2.corp.example")],
        ),
        (
            "no target has an address",
            |seen| seen.hosts.values_mut().for_each(|said| *said = Said::Nothing),
            Problem,
            "no-target-with-address",
            &[],
        ),
        (
            "of no target the address is known",
            |seen| seen.hosts.values_mut().for_each(|said| *said = Said::Unanswered),
            Unknown,
            "targets-unresolved",
            &[],
        ),
        (
            "a target that serves another domain",
            |seen| ping(seen, DC2, Ping::NotServed),
            Warning,
            "not-a-dc",
            &[("not-a-dc", "dc2.corp.example 10.77.1.11")],
        ),
        (
            "a target that answers for another domain",
            |seen| {
                let Ping::Answer(mut other) = answer("dc2.corp.example", WRITABLE) else { unreachable!() };
                other.domain = "other.example".into();
                ping(seen, DC2, Ping::Answer(other));
            },
            Warning,
            "not-a-dc",
            &[("not-a-dc", "dc2.corp.example 10.77.1.11")],
        ),
        (
            "a target that is another host",
            |seen| ping(seen, DC2, answer("dc9.corp.example", WRITABLE)),
            Warning,
            "stale-targets",
            &[("stale-targets", "dc2.corp.example 10.77.1.11 is dc9.corp.example")],
        ),
        (
            "a target where nobody listens",
            |seen| ping(seen, DC2, Ping::Closed),
            Warning,
            "dead-targets",
            &[("dead-targets", "dc2.corp.example 10.77.1.11")],
        ),
        (
            "a silent target is no dead one",
            |seen| ping(seen, DC2, Ping::Unanswered("silent".into())),
            Warning,
            "targets-unanswered",
            &[("unanswered", "dc2.corp.example 10.77.1.11 (silent)")],
        ),
        (
            "a target whose netlogon is paused",
            |seen| {
                let Ping::Answer(mut paused) = answer("dc2.corp.example", WRITABLE) else { unreachable!() };
                paused.opcode = 24;
                ping(seen, DC2, Ping::Answer(paused));
            },
            Warning,
            "netlogon-paused",
            &[("netlogon-paused", "dc2.corp.example 10.77.1.11")],
        ),
        (
            "a target of NT 4.0",
            |seen| ping(seen, DC2, Ping::Nt4),
            Warning,
            "nt4-emulation",
            &[("nt4-emulation", "dc2.corp.example 10.77.1.11")],
        ),
        (
            "an address that means the asker itself",
            |seen| {
                let both = vec![ip(DC1), ip("127.0.0.1")];
                seen.hosts.insert("dc1.corp.example".into(), Said::Addresses(both));
                ping(seen, "127.0.0.1", Ping::NotSent("not asked".into()));
            },
            Warning,
            "bad-addresses",
            &[("bad-addresses", "dc1.corp.example 127.0.0.1")],
        ),
        (
            "nobody is writable",
            |seen| {
                ping(seen, DC1, answer("dc1.corp.example", WRITABLE & !flag::WRITABLE));
                ping(seen, DC2, answer("dc2.corp.example", WRITABLE & !flag::DS));
            },
            Problem,
            "no-writable-dc",
            &[],
        ),
        (
            "the only writable one is silent",
            |seen| {
                ping(seen, DC1, answer("dc1.corp.example", WRITABLE & !flag::WRITABLE));
                ping(seen, DC2, Ping::Unanswered("silent".into()));
            },
            Problem,
            "no-writable-dc",
            &[("unanswered", "dc2.corp.example 10.77.1.11 (silent)")],
        ),
        (
            "all are silent",
            |seen| seen.pings.values_mut().for_each(|ping| *ping = Ping::Unanswered("silent".into())),
            Problem,
            "no-dc-answers",
            &[("unanswered", "dc1.corp.example 10.77.1.10 (silent), dc2.corp.example 10.77.1.11 (silent)")],
        ),
        (
            "none is a domain controller",
            |seen| seen.pings.values_mut().for_each(|ping| *ping = Ping::NotServed),
            Problem,
            "no-dc-answers",
            &[],
        ),
        (
            "one is silent and one may not be asked",
            |seen| {
                ping(seen, DC1, Ping::Unanswered("silent".into()));
                ping(seen, DC2, Ping::NotSent("no rule".into()));
            },
            Unknown,
            "not-tested",
            &[("not-tested", "dc2.corp.example 10.77.1.11 (no rule)")],
        ),
        (
            "one is read-only and one may not be asked",
            |seen| {
                ping(seen, DC1, answer("dc1.corp.example", WRITABLE & !flag::WRITABLE));
                ping(seen, DC2, Ping::NotSent("no rule".into()));
            },
            Unknown,
            "not-tested",
            &[],
        ),
        (
            "one is silent and one is beyond the bound",
            |seen| {
                ping(seen, DC1, Ping::Unanswered("silent".into()));
                seen.pings.remove(&ip(DC2));
            },
            Unknown,
            "not-tested",
            &[("not-tested", "dc2.corp.example 10.77.1.11 (not asked)")],
        ),
        (
            "those that are asked are silent, and there are more",
            |seen| {
                seen.pings.values_mut().for_each(|ping| *ping = Ping::Unanswered("silent".into()));
                seen.left_out = 1;
            },
            Unknown,
            "targets-left-out",
            &[],
        ),
        (
            "a client in no site",
            |seen| {
                for ping in seen.pings.values_mut() {
                    let Ping::Answer(answer) = ping else { unreachable!() };
                    answer.client_site.clear();
                }
            },
            Warning,
            "no-client-site",
            &[("dc-site", "Tokyo")],
        ),
        (
            "the resolver is silent",
            |seen| seen.servers[0].said.fill(Said::Unanswered),
            Problem,
            "no-resolver-answers",
            &[],
        ),
        (
            "the resolver fails",
            |seen| seen.servers[0].said.fill(Said::Error(2)),
            Problem,
            "resolver-error",
            &[("detail", "10.77.1.10 answers SERVFAIL, asked for _ldap._tcp.dc._msdcs.corp.example")],
        ),
        ("no resolver", |seen| drop(seen.servers.remove(0)), Problem, "no-resolver", &[]),
        (
            "the resolver may not be asked",
            |seen| {
                seen.servers.remove(0);
                seen.forbidden = Some("no rule".into());
            },
            Unknown,
            "not-tested",
            &[("detail", "no rule")],
        ),
        (
            "this machine cannot ask the resolver",
            |seen| seen.servers[0].said.fill(Said::NotSent("not permitted".into())),
            Unknown,
            "not-tested",
            &[("detail", "10.77.1.10: not permitted")],
        ),
        (
            "this machine cannot ping",
            |seen| seen.pings.values_mut().for_each(|ping| *ping = Ping::NotSent("not permitted".into())),
            Unknown,
            "not-tested",
            &[],
        ),
        (
            "one target could not be asked",
            |seen| ping(seen, DC2, Ping::NotSent("no rule".into())),
            Warning,
            "not-tested",
            &[("not-tested", "dc2.corp.example 10.77.1.11 (no rule)")],
        ),
    ]
};

#[test]
fn what_can_be_wrong() {
    for (name, change, status, reason, expected) in CASES {
        let mut seen = in_order();
        change(&mut seen);
        let (got, facts) = judge(&seen);
        assert_eq!((got, facts.get("reason")), (*status, Some(&Fact::from(*reason))), "{name}: {facts:?}");
        for (fact, text) in *expected {
            assert_eq!(facts.get(*fact), Some(&Fact::from(*text)), "{name}: {fact}");
        }
    }
}

#[test]
fn a_domain_controller_without_records_is_told_of_and_does_not_count() {
    let mut seen = in_order();
    for said in &mut seen.servers[0].said {
        if let Said::Services(services) = said {
            services.retain(|srv| srv.target.starts_with("dc1"));
        }
    }
    ping(&mut seen, DC1, answer("dc1.corp.example", flag::DS | flag::LDAP));
    let (status, facts) = judge(&seen);
    assert_eq!((status, &facts["reason"]), (CheckStatus::Problem, &Fact::from("no-writable-dc")));
    assert_eq!(facts["dcs-without-records"], Fact::from("DC2.corp.example 10.77.1.11"));
}

#[test]
fn the_first_resolver_with_a_definite_answer_decides() {
    let mut seen = in_order();
    let mut silent = seen.servers[0].clone();
    silent.address = ip("10.77.1.9");
    silent.said.fill(Said::NotAsked);
    silent.said[0] = Said::Error(5);
    seen.servers.insert(0, silent);
    assert_eq!(judge(&seen).1["resolver"], Fact::from(DC1));
    seen.servers[0].said[0] = Said::Nothing;
    let (status, facts) = judge(&seen);
    assert_eq!((status, &facts["resolver"]), (CheckStatus::Problem, &Fact::from("10.77.1.9")));
}

fn any_said() -> impl Strategy<Value = Said> {
    prop_oneof![
        40 => Just(Said::Services(vec![srv(389, "dc1.corp.example")])),
        1 => Just(Said::Nothing),
        1 => Just(Said::Error(2)),
        1 => Just(Said::Unanswered),
        1 => Just(Said::NotAsked),
        1 => Just(Said::Addresses(vec![ip(DC1)])),
    ]
}

fn any_ping() -> impl Strategy<Value = Ping> {
    prop_oneof![
        2 => any::<u32>().prop_map(|flags| answer("dc1.corp.example", flags)),
        6 => Just(answer("dc1.corp.example", WRITABLE)),
        1 => Just(Ping::Nt4),
        1 => Just(Ping::NotServed),
        1 => Just(Ping::Closed),
        1 => Just(Ping::Unanswered("silent".into())),
        1 => Just(Ping::NotSent("no rule".into())),
    ]
}

proptest! {
    /// `ok` needs all required records from a resolver, and the answer of a writable domain controller that they name.
    #[test]
    fn never_ok_without_evidence(
        resolver in any::<bool>(),
        said in proptest::collection::vec(any_said(), 19),
        host in prop_oneof![5 => Just(Said::Addresses(vec![ip(DC1)])), 1 => any_said()],
        ping in any_ping(),
    ) {
        let mut seen = in_order();
        seen.servers.truncate(1);
        seen.servers[0].resolver = resolver;
        seen.servers[0].said = said.clone();
        for name in &mut seen.names {
            name.port = 389;
        }
        seen.hosts = [("dc1.corp.example".to_owned(), host.clone())].into();
        seen.pings = [(ip(DC1), ping.clone())].into();
        let (status, facts) = judge(&seen);
        prop_assert!(facts.len() <= 48);
        prop_assert_eq!(status == CheckStatus::Ok, !facts.contains_key("reason"));
        if status == CheckStatus::Ok {
            prop_assert!(resolver && said[..3].iter().all(|said| matches!(said, Said::Services(_))));
            prop_assert!(matches!(host, Said::Addresses(_)));
            let Ping::Answer(answer) = ping else { return Err(TestCaseError::fail("no answer")) };
            prop_assert_eq!(answer.flags & (flag::DS | flag::LDAP | flag::WRITABLE), 0x118);
        }
    }
}
