use proptest::prelude::*;

use super::*;
use crate::sample::{cell, cells};

/// Cause and control of the first line, given the others.
fn judged(lines: &str) -> (Cause, Option<String>) {
    let cells = cells(lines);
    let verdict = attribute(&cells)[0].clone().expect("the first flow is blocked");
    let told = |c: Control| format!("{:?} {} {} {}", c.kind, c.vantage, c.target, c.service);
    (verdict.cause, verdict.control.map(told))
}

/// Open flows that are controls of `vlan20 dc1 smb`, by the letters of the table.
const A_FLOW: &str = "vlan10 dc1 smb open";
const B_FLOW: &str = "vlan20 dc1 icmp open";
const C_FLOW: &str = "vlan20 dc2 smb open";
const D_FLOW: &str = "vlan10 dc1 icmp open";

/// Silence of three more services: with smb they are four.
const CUT_OFF_FLOWS: &str = "vlan20 dc1 ldap filtered\nvlan20 dc1 gc filtered\nvlan20 dc1 icmp filtered";

/// One row of the table: number, the flow, what else there is, the letters of its controls, its cause.
const ROWS: [(u8, &str, &str, &str, Cause); 18] = [
    (1, "filtered last-hop=10.77.20.1 next-hop=10.77.254.2", "", "AB", Cause::PathFilter),
    (2, "filtered next-hop=10.77.1.10 filter-at=last-hop-or-target", "", "B", Cause::HostFilter),
    (3, "filtered last-hop=10.77.20.1", B_FLOW, "A", Cause::PathFilter),
    (4, "filtered", CUT_OFF_FLOWS, "AD", Cause::VantageDown),
    (5, "rejected by=10.77.1.10", "", "AB", Cause::HostFilter),
    (6, "rejected by=10.77.20.1", "", "AB", Cause::PathFilter),
    (7, "unreachable", CUT_OFF_FLOWS, "AD", Cause::VantageDown),
    (8, "unreachable by=10.77.20.1", "", "B", Cause::PathFilter),
    (9, "unreachable by=10.77.20.1", "", "AD", Cause::Routing),
    (10, "unreachable by=10.77.20.1 icmp=(3/1)", "", "C", Cause::HostDown),
    (11, "unreachable by=10.77.20.1 icmp=(3/0)", "", "C", Cause::Routing),
    (12, "closed rst-origin=target", "", "A", Cause::HostFilter),
    (13, "closed rst-origin=target", "", "BD", Cause::ServiceDown),
    (14, "closed rst-origin=target-or-last-hop", "vlan30 dc1 smb closed", "BD", Cause::ServiceDown),
    (15, "mute syn-proxy", "", "AB", Cause::Middlebox),
    (16, "mute data=dropped", "", "AB", Cause::Middlebox),
    (17, "mute data=acknowledged", "vlan30 dc1 smb mute", "BD", Cause::ServiceDown),
    (18, "wrong", "", "A", Cause::Middlebox),
];

#[test]
fn each_row_of_the_table_with_each_of_its_controls() {
    for (row, flow, besides, letters, cause) in ROWS {
        for letter in letters.chars() {
            let (control, told) = match letter {
                'A' => (A_FLOW, "SameService vlan10 dc1 smb"),
                'B' => (B_FLOW, "OtherService vlan20 dc1 icmp"),
                'C' => (C_FLOW, "OtherTarget vlan20 dc2 smb"),
                _ => (D_FLOW, "OtherVantage vlan10 dc1 icmp"),
            };
            let sweep = format!("vlan20 dc1 smb {flow}\n{besides}\n{control}");
            assert_eq!(judged(&sweep), (cause, Some(told.to_owned())), "row {row}, {letter}");
        }
        // Row 3 has B beside it, which is none of its own controls.
        let alone = judged(&format!("vlan20 dc1 smb {flow}\n{besides}"));
        assert_eq!(alone, (Cause::Unknown, None), "row {row} without control");
    }
}

#[test]
fn what_a_row_asks_for_besides_its_control() {
    for (why, lines) in [
        (
            "the last router or the target",
            "filtered last-hop=10.77.254.2 next-hop=10.77.1.10 filter-at=last-hop-or-target\nvlan10 dc1 smb open\nvlan20 dc1 icmp open",
        ),
        (
            "not located, and nothing else of the target answers",
            "filtered last-hop=10.77.20.1\nvlan10 dc1 smb open\nvlan20 dc2 smb open",
        ),
        (
            "three silent services cut nobody off",
            "filtered\nvlan20 dc1 ldap filtered\nvlan20 dc1 gc filtered\nvlan10 dc1 smb open",
        ),
        (
            "the router of the vantage answers",
            "filtered\nvlan20 dc1 ldap filtered last-hop=10.77.20.1\nvlan20 dc1 gc filtered\nvlan20 dc1 icmp filtered\nvlan10 dc1 smb open",
        ),
        ("nobody says that the host is not there", "filtered\nvlan20 dc2 smb open"),
        ("no device says it, and nobody reaches it", "unreachable\nvlan20 dc2 smb open"),
        (
            "a RST of which nothing is proven",
            "closed rst-origin=unproven\nvlan10 dc1 icmp open\nvlan30 dc1 smb closed",
        ),
        ("the last hop may have sent it", "closed rst-origin=target-or-last-hop\nvlan20 dc1 icmp open"),
        (
            "the last hop may have sent it, for this vantage",
            "closed rst-origin=target-or-last-hop\nvlan10 dc1 smb open\nvlan30 dc1 smb closed",
        ),
        ("hung for one vantage", "mute data=acknowledged\nvlan20 dc1 icmp open"),
        ("another vantage is answered", "mute data=acknowledged\nvlan10 dc1 smb open\nvlan30 dc1 smb mute"),
        ("the same wrong answer may be everybody's", "wrong\nvlan20 dc1 icmp open\nvlan30 dc1 smb wrong"),
    ] {
        assert_eq!(judged(&format!("vlan20 dc1 smb {lines}")).0, Cause::Unknown, "{why}");
    }
}

#[test]
fn the_targets_own_word_over_udp_and_a_missing_certificate() {
    let closed = "vlan20 dc1 cldap closed\nvlan20 dc1 icmp open";
    assert_eq!(judged(closed).0, Cause::ServiceDown);
    let tls = "vlan20 dc1 ldaps mute ended=reset-without-reply no-certificate\nvlan20 dc1 icmp open";
    assert_eq!(judged(tls).0, Cause::ServiceDown);
    assert_eq!(judged(&format!("{tls}\nvlan10 dc1 ldaps open")).0, Cause::Unknown);
    let answering =
        "vlan20 dc1 smb unreachable by=10.77.20.1 icmp=(3/1)\nvlan20 dc2 smb open\nvlan10 dc1 icmp closed";
    assert_eq!(judged(answering).0, Cause::Routing, "it answers somebody: it is there");
}

#[test]
fn only_what_is_blocked_has_a_cause() {
    let cells =
        cells("vlan20 dc1 smb open\nvlan20 dc1 ldap failed\nvlan20 dc1 gc missed\nvlan20 dc1 icmp closed");
    let found: Vec<bool> = attribute(&cells).iter().map(Option::is_some).collect();
    assert_eq!(found, [false, false, false, true]);
}

/// The groups of a sweep, as text.
fn groups(lines: &str) -> Vec<String> {
    let cells = cells(lines);
    let verdicts = attribute(&cells);
    let all: Vec<usize> = (0..cells.len()).collect();
    let told = |(group, places): &(Group, Vec<usize>)| {
        assert_eq!(group.flows, places.len());
        let services: Vec<String> = group.services.iter().map(|service| service.name()).collect();
        let by = group.by.or(group.between.and_then(|between| between.last_hop));
        let by = by.map(|by| format!(" at {by}")).unwrap_or_default();
        let ends = format!("{} to {}", group.vantages.join("+"), group.targets.join("+"));
        format!("{} {}{by}: {ends}: {}", group.flows, group.cause, services.join(" "))
    };
    group(&cells, &verdicts, &all).iter().map(told).collect()
}

#[test]
fn one_rule_on_one_device_is_one_group() {
    let mut sweep = String::new();
    for target in ["dc1", "dc2"] {
        for service in ["smb", "ldap", "gc"] {
            sweep += &format!("vlan10 {target} {service} open\n");
            sweep +=
                &format!("vlan20 {target} {service} filtered last-hop=10.77.20.1 next-hop=10.77.254.2\n");
        }
        sweep += &format!("vlan20 {target} ldaps rejected by=10.77.20.1\nvlan10 {target} ldaps open\n");
    }
    assert_eq!(
        groups(&sweep),
        [
            "6 path-filter at 10.77.20.1: vlan20 to dc1+dc2: ldap smb gc",
            "2 path-filter at 10.77.20.1: vlan20 to dc1+dc2: ldaps",
        ]
    );
}

#[test]
fn vantages_share_a_group_where_one_device_refuses_them_the_same() {
    let open = "vlan10 dc1 smb open\nvlan10 dc1 ldap open\n";
    let core = "vlan20 dc1 smb rejected by=10.77.254.2\nvlan30 dc1 smb rejected by=10.77.254.2\n";
    assert_eq!(groups(&format!("{open}{core}")), ["2 path-filter at 10.77.254.2: vlan20+vlan30 to dc1: smb"]);
    let more = format!("{open}{core}vlan30 dc1 ldap rejected by=10.77.254.2");
    assert_eq!(groups(&more).len(), 2, "not the same rule for both");
}

#[test]
fn who_refuses_is_the_place_however_far_a_trace_got() {
    let sweep = "vlan10 dc1 smb open
        vlan10 dc1 ldap open
        vlan20 dc1 smb rejected by=10.77.20.1
        vlan20 dc1 ldap rejected by=10.77.20.1 last-hop=10.77.20.1 next-hop=10.77.254.2";
    assert_eq!(groups(sweep), ["2 path-filter at 10.77.20.1: vlan20 to dc1: ldap smb"]);
}

#[test]
fn ends_are_groups_of_their_own() {
    let sweep = "
        vlan10 dc1 icmp open
        vlan20 dc1 icmp open
        vlan10 dc1 gc closed rst-origin=target
        vlan20 dc1 gc closed rst-origin=target-or-last-hop
        vlan10 dc1 adws closed rst-origin=target
        vlan20 app1 smb unreachable by=10.77.254.2 icmp=(3/1)
        vlan20 app1 ldap unreachable by=10.77.254.2 icmp=(3/1)
        vlan10 app1 ldap unreachable by=10.77.254.2 icmp=(3/1)
        vlan20 dc2 smb filtered
        vlan20 dc2 gc filtered";
    assert_eq!(
        groups(sweep),
        [
            "3 host-down: vlan10+vlan20 to app1: ldap smb",
            "2 service-down: vlan10+vlan20 to dc1: gc",
            "2 unknown: vlan20 to dc2: smb gc",
            "1 service-down: vlan10 to dc1: adws",
        ]
    );
}

#[test]
fn words_are_those_of_json() {
    for cause in Cause::ALL {
        assert_eq!(serde_json::to_value(cause).unwrap(), cause.word());
    }
}

fn flow() -> impl Strategy<Value = Cell> {
    let pick = |words: &'static [&'static str]| proptest::sample::select(words);
    let facts = pick(&[
        "",
        "by=10.77.20.1",
        "by=10.77.1.10",
        "by=10.77.20.1 icmp=(3/1)",
        "last-hop=10.77.20.1",
        "last-hop=10.77.20.1 next-hop=10.77.254.2",
        "next-hop=10.77.1.10 filter-at=last-hop-or-target",
        "last-hop=10.77.254.2 next-hop=10.77.1.10 filter-at=last-hop-or-target",
        "rst-origin=target",
        "rst-origin=target-or-last-hop",
        "data=dropped",
        "syn-proxy",
        "no-certificate",
    ]);
    let outcome = proptest::sample::select(&Outcome::ALL[..]);
    let ends = (
        pick(&["vlan10", "vlan20", "vlan30"]),
        pick(&["dc1", "dc2"]),
        pick(&["smb", "ldap", "gc", "icmp", "cldap"]),
    );
    (ends, outcome, facts).prop_map(|((vantage, target, service), outcome, facts)| {
        cell(&format!("{vantage} {target} {service} {outcome} {facts}"))
    })
}

/// What an open flow has to have in common with a blocked one.
fn is_related(control: &Control, blocked: &Cell) -> bool {
    let vantage = control.vantage == blocked.vantage;
    let target = (control.target.as_str(), control.address) == (blocked.target.as_str(), blocked.address);
    let service = control.service == blocked.service;
    match control.kind {
        ControlKind::SameService => !vantage && target && service,
        ControlKind::OtherService => vantage && target && !service,
        ControlKind::OtherTarget => vantage && !target,
        ControlKind::OtherVantage => !vantage && target,
    }
}

proptest! {
    #[test]
    fn no_cause_is_named_without_its_positive_control(sweep in proptest::collection::vec(flow(), 0..24)) {
        for (cell, verdict) in sweep.iter().zip(attribute(&sweep)) {
            prop_assert_eq!(verdict.is_some(), cell.outcome.is_blocked());
            let Some(verdict) = verdict else { continue };
            match verdict.control {
                None => prop_assert_eq!(verdict.cause, Cause::Unknown),
                Some(control) => {
                    prop_assert_ne!(verdict.cause, Cause::Unknown);
                    prop_assert!(is_related(&control, cell), "{:?} of {:?}", control, cell);
                    let is_open = |open: &Cell| open.outcome == Outcome::Open
                        && (&open.vantage, &open.target, open.service)
                            == (&control.vantage, &control.target, control.service);
                    prop_assert!(sweep.iter().any(is_open), "{:?} is no open flow", control);
                }
            }
        }
    }

    #[test]
    fn each_blocked_flow_is_in_one_group_of_its_own_cause(sweep in proptest::collection::vec(flow(), 0..24)) {
        let verdicts = attribute(&sweep);
        let all: Vec<usize> = (0..sweep.len()).collect();
        let groups = group(&sweep, &verdicts, &all);
        let mut seen: Vec<usize> = groups.iter().flat_map(|(_, places)| places.clone()).collect();
        seen.sort_unstable();
        let blocked: Vec<usize> =
            all.into_iter().filter(|place| sweep[*place].outcome.is_blocked()).collect();
        prop_assert_eq!(seen, blocked);
        for (group, places) in groups {
            for place in places {
                prop_assert_eq!(group.cause, verdicts[place].as_ref().unwrap().cause);
                prop_assert_eq!(group.outcome, sweep[place].outcome);
            }
        }
    }
}

#[test]
fn a_place_reads_as_a_place() {
    let (last, next) = (Some("10.77.20.1".parse().unwrap()), Some("10.77.254.2".parse().unwrap()));
    for (last_hop, next_hop, is_end, words) in [
        (last, next, false, "between 10.77.20.1 and 10.77.254.2"),
        (last, next, true, "at 10.77.20.1 or at the target"),
        (last, None, false, "behind 10.77.20.1"),
        (None, next, false, "before 10.77.254.2"),
        (None, next, true, "at 10.77.254.2"),
        (None, None, false, "somewhere on the way"),
    ] {
        assert_eq!(Between { last_hop, next_hop, is_end }.to_string(), words);
    }
}
