mod properties;

use super::*;
use crate::{
    Inventory,
    compare::{Scope, Side, compare},
    gaps::gaps,
    inventory::Expectation,
    policy::{Domains, Policies},
    sample,
};

/// vlan10 is spoken of by no policy.
const INVENTORY: &str = r#"
[[domain]]
name = "corp.example"
[[vantage]]
name = "vlan10"
[[vantage]]
name = "vlan20"
[[vantage]]
name = "vlan30"
[[policy]]
name = "no-icmp"
from = { vantage = "vlan20" }
services = ["icmp"]
expect = "deny"
[[policy]]
name = "twenty-reaches-dcs"
from = { vantage = "vlan20" }
services = ["smb", "ldap", "gc"]
expect = "allow"
[[policy]]
name = "thirty-reaches-dcs"
from = { vantage = "vlan30" }
services = ["smb", "ldap", "gc"]
expect = "allow"
"#;

const HOLD: SignedDuration = SignedDuration::from_hours(6);

/// What becomes of alerts from sweep to sweep, as a database would keep it.
#[derive(Default)]
struct Book {
    alerts: Vec<Tracked>,
    /// When the last sweep ended that changed the alert of this place.
    changed: Vec<Timestamp>,
    told: Vec<String>,
}

/// A sweep and what is asked of it besides its flows.
struct Night {
    at: Timestamp,
    cells: Vec<Cell>,
    before: Vec<Cell>,
    later: BTreeSet<Item>,
    vantages: BTreeSet<String>,
    shuffle: bool,
}

fn hour(hour: i64) -> Timestamp {
    "2026-11-20T02:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hour)
}

fn night(at: i64, before: &str, now: &str) -> Night {
    let vantages = ["vlan10", "vlan20", "vlan30"].map(str::to_owned).into();
    let (cells, before) = (sample::cells(now), sample::cells(before));
    Night { at: hour(at), cells, before, later: BTreeSet::new(), vantages, shuffle: false }
}

impl Night {
    fn decide(&self, tracked: &[Tracked]) -> Decision {
        let inventory = Inventory::parse("inventory.toml", INVENTORY).unwrap();
        let domains = Domains::new();
        let policies = Policies::new(&inventory, &domains);
        let expected = |cell: &Cell| policies.deciding(cell).map(|policy| policy.expect);
        let mut gaps = gaps(&self.cells, &inventory, &domains);
        if self.shuffle {
            let last = gaps.groups.len().saturating_sub(1);
            gaps.groups.reverse();
            gaps.gaps.reverse();
            gaps.gaps.iter_mut().for_each(|gap| gap.group = gap.group.map(|number| last - number));
        }
        let scope = Scope { is_whole: true, services: Service::catalogue().collect(), ..Scope::default() };
        let [from, to] = [&self.before, &self.cells].map(|cells| Side { cells, scope: &scope });
        let mut changes = compare(from, to, expected).changes;
        if self.before.is_empty() {
            changes.clear();
        }
        if self.shuffle {
            changes.reverse();
        }
        decide(
            &Seen {
                at: self.at,
                cells: &self.cells,
                checks: &[],
                gaps: &gaps,
                changes: &changes,
                before: &heard(&self.before, &[]),
                later: &self.later,
                vantages: &self.vantages,
                denied: &|cell| expected(cell) == Some(Expectation::Deny),
            },
            tracked,
            HOLD,
        )
    }
}

impl Book {
    fn consider(&mut self, night: &Night) -> &[String] {
        let at = night.at;
        let is_near = |(alert, changed): &(&Tracked, &Timestamp)| {
            !matches!(alert.state, State::Over(_)) || at.duration_since(**changed) <= HOLD
        };
        let tracked = self.alerts.iter().zip(&self.changed).filter(is_near);
        let tracked: Vec<Tracked> = tracked.map(|(alert, _)| alert.clone()).collect();
        let decision = night.decide(&tracked);
        self.told.clear();
        for update in &decision.update {
            let place = self.alerts.iter().position(|alert| alert.id == update.id).unwrap();
            self.changed[place] = at;
            let alert = &mut self.alerts[place];
            (alert.state, alert.seen) = (update.state, update.seen);
            alert.items.extend(update.items.clone());
            self.told.extend(update.tell.map(|tell| format!("{tell:?} {}", update.id)));
        }
        for alert in decision.open {
            self.told.push(alert.about.sentence(&alert.items));
            let over = (alert.about.kind == AlertKind::Fix).then_some(at);
            self.changed.push(at);
            self.alerts.push(Tracked {
                id: self.alerts.len() as i64 + 1,
                kind: alert.about.kind,
                state: over.map_or(State::Open, State::Over),
                seen: at,
                items: alert.items.into_iter().map(|item| (item, over)).collect(),
            });
        }
        &self.told
    }
}

const OPEN: &str = "vlan20 dc1 smb open\nvlan20 dc1 ldap open\nvlan10 dc1 smb open\nvlan10 dc1 ldap open";

#[test]
fn what_opens_an_alert() {
    for (before, now, told) in [
        // One device that blocks several flows of several vantages is one line.
        (
            "",
            "vlan20 dc1 smb rejected by=10.77.254.2\nvlan20 dc1 ldap rejected by=10.77.254.2
             vlan30 dc1 smb rejected by=10.77.254.2\nvlan30 dc1 ldap rejected by=10.77.254.2
             vlan10 dc1 smb open\nvlan10 dc1 ldap open",
            &[
                "gap: 4 flows rejected at 10.77.254.2 (path-filter) from vlan20, vlan30 to dc1: ldap, smb, allowed by thirty-reaches-dcs, twenty-reaches-dcs",
            ][..],
        ),
        (
            OPEN,
            "vlan20 dc1 smb filtered\nvlan20 dc1 ldap open\nvlan10 dc1 smb open",
            &[
                "gap: 1 flow filtered (path-filter) from vlan20 to dc1: smb, allowed by twenty-reaches-dcs, open before",
            ],
        ),
        ("", "vlan20 dc1 icmp open", &["exposure: 1 flow open from vlan20 to dc1: icmp, denied by no-icmp"]),
        (
            OPEN,
            "vlan10 dc1 smb filtered\nvlan10 dc1 ldap open\nvlan20 dc1 smb open",
            &["regression: 1 flow filtered (path-filter) from vlan10 to dc1: smb, open before"],
        ),
        (
            "vlan10 dc1 smb closed\nvlan10 dc2 smb closed\nvlan20 dc1 smb filtered",
            "vlan10 dc1 smb open\nvlan10 dc2 smb open\nvlan20 dc1 smb open",
            &["fix: 2 flows open from vlan10 to dc1, dc2: smb", "fix: 1 flow open from vlan20 to dc1: smb"],
        ),
        (
            OPEN,
            "vlan20 dc1 smb missed\nvlan20 dc1 ldap missed\nvlan10 dc1 smb missed\nvlan10 dc1 ldap open",
            &["lost-vantage: nothing was heard of vlan20: all tasks were missed"],
        ),
        // It was not heard before either, or nothing was before.
        ("vlan20 dc1 smb missed", "vlan20 dc1 smb missed", &[]),
        ("", "vlan20 dc1 smb missed", &[]),
        // What a policy wants, what it wanted already, what could not be tested, what is new.
        ("vlan20 dc1 icmp open", "vlan20 dc1 icmp filtered", &[]),
        (
            OPEN,
            "vlan20 dc1 smb failed\nvlan20 dc1 ldap open\nvlan10 dc1 smb failed\nvlan10 dc1 ldap missed",
            &[],
        ),
        ("vlan10 dc1 smb missed", "vlan10 dc1 smb filtered", &[]),
        (OPEN, "vlan10 dc2 gc filtered", &[]),
    ] {
        let mut book = Book::default();
        let night = night(0, before, now);
        assert_eq!(book.consider(&night), told, "{before:?} to {now:?}");
        assert!(book.consider(&night).is_empty(), "again: {before:?} to {now:?}");
    }
}

/// Sweeps with hours, what each tells. Every sweep is considered three times.
fn story(nights: &[(i64, &str, &[&str])]) {
    let mut book = Book::default();
    let mut before = "";
    for (at, now, told) in nights {
        let night = night(*at, before, now);
        assert_eq!(book.consider(&night), *told, "at hour {at}: {now:?}");
        for _ in 0..2 {
            assert!(book.consider(&night).is_empty(), "again at hour {at}: {:?}", book.told);
        }
        before = now;
    }
}

const GAP: &str =
    "vlan20 dc1 smb filtered\nvlan20 dc1 ldap filtered\nvlan10 dc1 smb open\nvlan10 dc1 ldap open";
const HALF: &str = "vlan20 dc1 smb filtered\nvlan20 dc1 ldap open\nvlan10 dc1 smb open\nvlan10 dc1 ldap open";
const TOLD: &str =
    "gap: 2 flows filtered (unknown) from vlan20 to dc1: ldap, smb, allowed by twenty-reaches-dcs";
const HALF_TOLD: &str =
    "gap: 1 flow filtered (path-filter) from vlan20 to dc1: smb, allowed by twenty-reaches-dcs, open before";

#[test]
fn an_alert_is_told_once_and_once_more_when_all_of_it_is_over() {
    story(&[
        (0, GAP, &[TOLD]),
        (24, GAP, &[]),
        (48, HALF, &[]),
        (72, HALF, &[]),
        (96, OPEN, &["Resolved 1"]),
        (120, OPEN, &[]),
        (144, HALF, &[HALF_TOLD]),
    ]);
}

#[test]
fn what_was_not_tested_ends_nothing() {
    let missed = "vlan20 dc1 smb missed\nvlan20 dc1 ldap failed\nvlan10 dc1 smb open\nvlan10 dc1 ldap open";
    let narrow = "vlan10 dc1 smb open\nvlan10 dc1 ldap open";
    let failed = "vlan20 dc1 smb failed\nvlan20 dc1 ldap failed\nvlan10 dc1 smb open\nvlan10 dc1 ldap open";
    story(&[
        (0, GAP, &[TOLD]),
        (24, missed, &[]),
        (48, failed, &[]),
        (72, narrow, &[]),
        (96, OPEN, &["Resolved 1"]),
    ]);
}

#[test]
fn what_flaps_is_told_again_only_after_the_hold_time() {
    story(&[
        (
            0,
            HALF,
            &["gap: 1 flow filtered (path-filter) from vlan20 to dc1: smb, allowed by twenty-reaches-dcs"],
        ),
        (1, OPEN, &["Resolved 1"]),
        (2, HALF, &[]),
        (3, OPEN, &[]),
        (4, HALF, &[]),
        // Six hours after it was told to be over.
        (7, HALF, &[]),
        (8, HALF, &["Again 1"]),
        (9, HALF, &[]),
        (10, OPEN, &["Resolved 1"]),
    ]);
}

#[test]
fn a_regression_and_a_vantage_are_followed_until_they_are_over() {
    let blocked = "vlan10 dc1 smb filtered\nvlan10 dc1 ldap open\nvlan20 dc1 smb open\nvlan20 dc1 ldap open";
    let other = blocked.replace("filtered", "rejected by=10.77.10.1");
    let lost = "vlan10 dc1 smb missed\nvlan10 dc1 ldap missed\nvlan20 dc1 smb open\nvlan20 dc1 ldap open";
    let regression = "regression: 1 flow filtered (path-filter) from vlan10 to dc1: smb, open before";
    story(&[
        (0, OPEN, &[]),
        (24, blocked, &[regression]),
        (48, &other, &[]),
        (72, lost, &["lost-vantage: nothing was heard of vlan10: all tasks were missed"]),
        (96, lost, &[]),
        (120, blocked, &["Resolved 2"]),
        (144, OPEN, &["Resolved 1"]),
    ]);
}

#[test]
fn more_of_the_same_is_a_new_alert_of_what_is_new() {
    let more = format!("{HALF}\nvlan20 dc2 smb filtered\nvlan10 dc2 smb open\nvlan20 dc2 ldap open");
    story(&[
        (
            0,
            HALF,
            &["gap: 1 flow filtered (path-filter) from vlan20 to dc1: smb, allowed by twenty-reaches-dcs"],
        ),
        (
            24,
            &more,
            &["gap: 1 flow filtered (path-filter) from vlan20 to dc2: smb, allowed by twenty-reaches-dcs"],
        ),
        (48, &more, &[]),
    ]);
}

#[test]
fn what_is_gone_removed_or_forgotten_is_over() {
    let mut book = Book::default();
    book.consider(&night(0, "", HALF));
    assert_eq!(book.consider(&night(24, HALF, "vlan20 dc1 ldap open\nvlan10 dc1 smb open")), ["Resolved 1"]);

    let mut book = Book::default();
    book.consider(&night(0, "", HALF));
    let removed = Night { vantages: BTreeSet::new(), ..night(24, "", "vlan10 dc1 smb open") };
    assert_eq!(book.consider(&removed), ["Resolved 1"]);

    let mut book = Book::default();
    book.consider(&night(0, "", HALF));
    book.consider(&night(24, "", HALF));
    assert!(book.consider(&night(31 * 24, "", "vlan10 dc1 smb open")).is_empty());
    assert_eq!(book.consider(&night(31 * 24 + 1, "", "vlan10 dc1 smb open")), ["Forgotten 1"]);
}

#[test]
fn an_old_sweep_says_nothing_of_what_a_later_one_has_tested() {
    let mut book = Book::default();
    book.consider(&night(24, "", HALF));
    let (later, old) = (sample::cells(HALF), night(0, HALF, OPEN));
    let late = Night { later: tested(&later, &[]), ..old };
    assert!(book.consider(&late).is_empty());
    let gap = Night { later: tested(&later, &[]), ..night(0, "", GAP) };
    assert!(book.consider(&gap).is_empty(), "{:?}", book.told);
    // What the later one missed is news.
    let partly = sample::cells(&HALF.replace("vlan20 dc1 ldap open", "vlan20 dc1 ldap missed"));
    let gap = Night { later: tested(&partly, &[]), ..night(0, "", GAP) };
    assert_eq!(book.consider(&gap).len(), 1);
}

#[test]
fn too_many_causes_become_one_without() {
    let alert = |n: usize| {
        let target = format!("dc{n}");
        let address = IpAddr::from([10, 0, (n / 250) as u8, (n % 250) as u8]);
        let flow = ItemFlow { target, address, service: "smb".parse().unwrap() };
        let items = vec![Item { vantage: "vlan20".to_owned(), flow: Some(flow) }; 1 + usize::from(n < 3)];
        Alert { about: About { cause: Some(Cause::PathFilter), ..About::of(AlertKind::Gap) }, items }
    };
    let bounded = group::bounded((0..150).map(alert).collect());
    assert_eq!(bounded.len(), MOST);
    let last = bounded.last().unwrap();
    assert_eq!((last.about.cause, last.items.len()), (None, 51));
    assert_eq!(bounded[..3].iter().map(|alert| alert.items.len()).sum::<usize>(), 6);
    assert_eq!(group::bounded((0..MOST).map(alert).collect()).len(), MOST);
}

#[test]
fn words_are_those_of_json() {
    for kind in AlertKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        assert_eq!(AlertKind::named(kind.word()), Some(kind));
    }
    assert_eq!(AlertKind::named("gone"), None);
    let cell = sample::cell("vlan20 dc1 smb open");
    let item = tested(&[cell], &[]).pop_last().unwrap();
    let json =
        serde_json::json!({"vantage": "vlan20", "target": "dc1", "address": "10.77.1.10", "service": "smb"});
    assert_eq!(serde_json::to_value(&item).unwrap(), json);
    assert_eq!(serde_json::from_value::<Item>(json).unwrap(), item);
}
