use proptest::prelude::*;

use super::*;
use crate::sample::cells;

fn whole() -> Scope {
    Scope { is_whole: true, services: Service::catalogue().collect(), ..Scope::default() }
}

fn changes(from: &str, to: &str, scope: &Scope, expected: Option<Expectation>) -> Vec<(String, Kind)> {
    let (from, to) = (cells(from), cells(to));
    let [from, to] = [&from, &to].map(|cells| Side { cells, scope });
    let changes = compare(from, to, |_| expected).changes;
    changes.into_iter().map(|c| (format!("{} {} {}", c.vantage, c.target, c.service), c.kind)).collect()
}

#[test]
fn each_row_of_the_table() {
    use Expectation::{Allow, Deny};
    for (from, to, expected, kind) in [
        ("missed", "open", None, Some(Kind::Untested)),
        ("failed", "failed", None, Some(Kind::Untested)),
        ("missed", "missed", Some(Deny), Some(Kind::Untested)),
        ("open", "missed", Some(Allow), Some(Kind::Untested)),
        ("filtered", "failed", None, Some(Kind::Untested)),
        ("", "missed", None, Some(Kind::Untested)),
        ("failed", "", None, Some(Kind::Untested)),
        ("", "open", Some(Deny), Some(Kind::New)),
        ("", "closed", None, Some(Kind::New)),
        ("filtered", "", Some(Allow), Some(Kind::Gone)),
        ("open", "filtered", Some(Deny), Some(Kind::Closure)),
        ("open", "filtered", Some(Allow), Some(Kind::Regression)),
        ("open", "wrong", None, Some(Kind::Regression)),
        ("rejected", "open", Some(Deny), Some(Kind::Exposure)),
        ("rejected", "open", Some(Allow), Some(Kind::Fix)),
        ("mute", "open", None, Some(Kind::Fix)),
        ("filtered", "rejected", Some(Deny), Some(Kind::Shift)),
        ("open", "open", Some(Deny), None),
        ("closed", "closed", Some(Allow), None),
    ] {
        let line = |outcome: &str| match outcome {
            "" => String::new(),
            outcome => format!("vlan20 dc1 smb {outcome}"),
        };
        let found = changes(&line(from), &line(to), &whole(), expected);
        let kinds: Vec<Kind> = found.into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, Vec::from_iter(kind), "{from:?} to {to:?}, {expected:?}");
    }
}

#[test]
fn what_a_sweep_was_not_asked_for_is_untested_and_not_gone() {
    let flow = "vlan20 dc1 smb open";
    let dc1 = ("dc1".to_owned(), "10.77.1.10".parse().unwrap());
    for (scope, kind) in [
        (whole(), Kind::Gone),
        (Scope { is_whole: false, ..whole() }, Kind::Untested),
        (Scope { services: BTreeSet::new(), ..whole() }, Kind::Untested),
        (Scope { other_vantages: ["vlan20".to_owned()].into(), ..whole() }, Kind::Untested),
        (Scope { other_vantages: ["vlan10".to_owned()].into(), ..whole() }, Kind::Gone),
        (Scope { other_targets: [dc1].into(), ..whole() }, Kind::Untested),
    ] {
        assert_eq!(changes(flow, "", &scope, None), [("vlan20 dc1 smb".to_owned(), kind)], "{scope:?}");
    }
}

#[test]
fn a_flow_that_a_sweep_has_twice_counts_once_as_seen_last() {
    let twice = "vlan20 dc1 smb open at=2026-11-20T02:00:00Z
                 vlan20 dc1 smb filtered at=2026-11-20T02:00:09Z
                 vlan20 dc1 smb missed";
    let found = changes("vlan20 dc1 smb open", twice, &whole(), None);
    assert_eq!(found, [("vlan20 dc1 smb".to_owned(), Kind::Regression)]);
}

#[test]
fn the_gravest_change_comes_first_and_tells_all() {
    let from = "vlan10 dc1 smb filtered\nvlan20 dc1 ldap missed\nvlan20 dc1 smb open";
    let to = "vlan10 dc1 smb open\nvlan20 dc1 ldap open\nvlan20 dc1 smb rejected by=10.77.20.1";
    let (from, mut to) = (cells(from), cells(to));
    to[2].confirmed = true;
    let scope = whole();
    let [from, to] = [&from, &to].map(|cells| Side { cells, scope: &scope });
    let difference = compare(from, to, |cell| (cell.vantage == "vlan10").then_some(Expectation::Allow));
    let kinds: Vec<Kind> = difference.changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [Kind::Regression, Kind::Fix, Kind::Untested]);
    let json = serde_json::to_value(&difference.changes[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "vantage": "vlan20", "target": "dc1", "address": "10.77.1.10", "service": "smb", "from": "open",
            "to": "rejected", "kind": "regression", "expected": null, "by": "10.77.20.1", "confirmed": true,
        })
    );
    assert_eq!(difference.changes[1].expected, Some(Expectation::Allow));
}

#[test]
fn words_are_those_of_json() {
    for kind in Kind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
    }
    use ContrastKind::{FirstOnly, Otherwise, SecondOnly, Untested};
    for kind in [FirstOnly, SecondOnly, Otherwise, Untested] {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
    }
}

#[test]
fn two_vantages_of_a_sweep_are_told_apart() {
    let sweep = cells(
        "vlan10 dc1 smb open
         vlan20 dc1 smb rejected by=10.77.20.1
         vlan10 dc1 ldap closed
         vlan20 dc1 ldap open
         vlan10 dc2 smb closed
         vlan20 dc2 smb filtered
         vlan10 dc2 ldap open
         vlan20 dc2 ldap open
         vlan10 dc2 gc missed
         vlan20 dc2 gc open
         vlan20 app1 smb open
         vlan30 dc1 smb mute",
    );
    let found = contrast(&sweep, "vlan10", "vlan20");
    let told: Vec<_> = found.changes.iter().map(|c| (&*c.target, c.service.name(), c.kind.word())).collect();
    let expected = [
        ("dc1", "smb", "first-only"),
        ("dc1", "ldap", "second-only"),
        ("dc2", "smb", "otherwise"),
        ("app1", "smb", "untested"),
        ("dc2", "gc", "untested"),
    ];
    assert_eq!(told, expected.map(|(target, service, kind)| (target, service.to_owned(), kind)));
    assert_eq!(found.changes[0].to_by, Some("10.77.20.1".parse().unwrap()));
    assert_eq!((found.changes[3].from, found.unchanged), (None, 1));
    assert_eq!(contrast(&sweep, "vlan10", "vlan10").changes.len(), 1, "what is missed is not alike");
}

/// A sweep of up to 12 flows, some of them twice.
fn sweep() -> impl Strategy<Value = Vec<Cell>> {
    let outcome = proptest::sample::select(&Outcome::ALL[..]);
    let cell =
        (0..2_usize, 0..2_usize, 0..3_usize, outcome).prop_map(|(vantage, target, service, outcome)| {
            let (vantage, target) = (["vlan10", "vlan20"][vantage], ["dc1", "dc2"][target]);
            crate::sample::cell(&format!("{vantage} {target} {} {outcome}", ["smb", "ldap", "icmp"][service]))
        });
    proptest::collection::vec(cell, 0..14)
}

fn scope() -> impl Strategy<Value = Scope> {
    let services = proptest::sample::subsequence(vec!["smb", "ldap", "icmp"], 0..=3);
    let vantages = proptest::sample::subsequence(vec!["vlan10", "vlan20"], 0..=2);
    (any::<bool>(), services, vantages).prop_map(|(is_whole, services, vantages)| Scope {
        is_whole,
        services: services.into_iter().map(|service| service.parse().unwrap()).collect(),
        other_vantages: vantages.into_iter().map(str::to_owned).collect(),
        other_targets: BTreeSet::new(),
    })
}

/// A policy that depends on the flow alone.
fn policy(cell: &Cell) -> Option<Expectation> {
    match (cell.vantage.as_str(), cell.target.as_str()) {
        ("vlan10", "dc1") => Some(Expectation::Deny),
        ("vlan10", _) => Some(Expectation::Allow),
        _ => None,
    }
}

const fn mirrored(kind: Kind) -> Kind {
    match kind {
        Kind::Regression => Kind::Fix,
        Kind::Fix => Kind::Regression,
        Kind::Exposure => Kind::Closure,
        Kind::Closure => Kind::Exposure,
        Kind::New => Kind::Gone,
        Kind::Gone => Kind::New,
        Kind::Shift => Kind::Shift,
        Kind::Untested => Kind::Untested,
    }
}

fn key(change: &Change) -> Key<'_> {
    (&change.vantage, &change.target, change.address, change.service)
}

proptest! {
    #[test]
    fn every_flow_of_either_side_is_classified_exactly_once(
        from in sweep(), to in sweep(), before in scope(), after in scope(),
    ) {
        let found = compare(
            Side { cells: &from, scope: &before }, Side { cells: &to, scope: &after }, policy);
        let all: BTreeSet<Key<'_>> = flows(&from).into_keys().chain(flows(&to).into_keys()).collect();
        let changed: BTreeSet<Key<'_>> = found.changes.iter().map(key).collect();
        prop_assert_eq!(changed.len(), found.changes.len(), "twice");
        prop_assert!(changed.is_subset(&all));
        prop_assert_eq!(found.changes.len() + found.unchanged, all.len());
    }

    #[test]
    fn what_was_not_tested_is_never_unchanged_nor_gone(
        from in sweep(), to in sweep(), before in scope(), after in scope(),
    ) {
        let found = compare(
            Side { cells: &from, scope: &before }, Side { cells: &to, scope: &after }, policy);
        let kinds: BTreeMap<Key<'_>, Kind> = found.changes.iter().map(|c| (key(c), c.kind)).collect();
        for (key, cell) in flows(&from).into_iter().chain(flows(&to)) {
            if matches!(cell.outcome, Outcome::Failed | Outcome::Missed) {
                prop_assert_eq!(kinds.get(&key), Some(&Kind::Untested), "{:?}", cell);
            }
        }
    }

    #[test]
    fn a_sweep_does_not_differ_from_itself(cells in sweep(), scope in scope()) {
        let side = Side { cells: &cells, scope: &scope };
        let found = compare(side, side, policy);
        let untested = flows(&cells).values().filter(|c| State::of(c.outcome) == State::Untested).count();
        prop_assert!(found.changes.iter().all(|change| change.kind == Kind::Untested));
        prop_assert_eq!(found.changes.len(), untested);
    }

    #[test]
    fn the_other_way_round_each_kind_is_its_mirror(
        from in sweep(), to in sweep(), before in scope(), after in scope(),
    ) {
        let (from, to) = (Side { cells: &from, scope: &before }, Side { cells: &to, scope: &after });
        let (there, back) = (compare(from, to, policy), compare(to, from, policy));
        let kinds = |changes: &[Change], turn: fn(Kind) -> Kind| -> BTreeSet<(String, Kind)> {
            changes.iter().map(|change| (format!("{:?}", key(change)), turn(change.kind))).collect()
        };
        prop_assert_eq!(kinds(&there.changes, mirrored), kinds(&back.changes, |kind| kind));
        prop_assert_eq!(there.unchanged, back.unchanged);
    }
}
