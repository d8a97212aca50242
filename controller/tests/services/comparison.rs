use sekisho::service::{Error, HandedIn, Order, OrderTaskKind, Place, SweepDiff, SweepRef, SweepRequest};
use sekisho_domain::{
    attribution::Cause,
    compare::{ContrastKind, Kind, Scope, Side, compare},
    gaps::{Gap, GapKind},
    inventory::Expectation,
    policy::Idle,
};
use sekisho_model::{Fact, Outcome, SweepState};

use crate::fleet::{Controller, LISTED, Probe, operator, ports, results, settings};

pub(crate) const POLICIES: &str = r#"
[[policy]]
name = "no-gc-for-vlan20"
from = { subnet = "10.77.20.0/24" }
services = ["gc", "gc-ssl"]
expect = "deny"
[[policy]]
name = "all-reach-dcs"
to = { domain = "corp.example" }
profile = "domain-join"
expect = "allow"
[[policy]]
name = "vlan20-again"
from = { vlan = "20" }
services = ["smb"]
expect = "deny"
"#;

/// What comes of a flow that is not open: host label of the target, service, outcome, facts.
pub(crate) type Blocked<'a> = (&'a str, &'a str, Outcome, &'a [(&'a str, &'a str)]);

/// Does the jobs that there are; what is not `blocked` is open.
pub(crate) async fn sweep(probe: &mut Probe, blocked: &[Blocked<'_>]) {
    loop {
        let orders = probe.work().await.orders;
        if orders.is_empty() {
            return;
        }
        for order in &orders {
            probe.hand_in(seen(order, blocked)).await;
        }
    }
}

/// What comes of an order: what is not `blocked` is open.
pub(crate) fn seen(order: &Order, blocked: &[Blocked<'_>]) -> Vec<HandedIn> {
    let mut all = results(order);
    for (result, task) in all.iter_mut().zip(&order.tasks) {
        let OrderTaskKind::Check { target, service, .. } = &task.kind else { continue };
        let host = &order.targets[usize::try_from(*target).unwrap()].host;
        let is_meant = |(label, name, ..): &&Blocked<'_>| host.starts_with(label) && service == name;
        let Some((_, _, outcome, facts)) = blocked.iter().find(is_meant) else { continue };
        result.outcome = *outcome;
        result.facts = facts.iter().map(|(name, value)| ((*name).to_owned(), Fact::from(*value))).collect();
        if *outcome == Outcome::Rejected {
            result.by = Some("10.77.20.1".parse().unwrap());
        }
    }
    all
}

/// A controller with two vantages, their probes, and policies.
pub(crate) async fn fleet() -> (Controller, Probe, Probe) {
    let controller = Controller::new(settings()).await;
    controller.apply(&format!("{LISTED}{POLICIES}")).await;
    let (ten, twenty) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    (controller, ten, twenty)
}

async fn diff(controller: &Controller, from: &str, to: &str) -> SweepDiff {
    controller.services.diff(from.parse().unwrap(), to.parse().unwrap()).await.unwrap()
}

fn told(diff: &SweepDiff) -> Vec<String> {
    let told = |c: &sekisho_domain::compare::Change| {
        format!("{} {} {} {}", c.kind, c.vantage, c.target.split('.').next().unwrap(), c.service)
    };
    diff.difference.changes.iter().map(told).collect()
}

#[tokio::test]
async fn two_sweeps_are_told_apart_flow_by_flow() {
    let (controller, mut ten, mut twenty) = fleet().await;
    let hops = [("last-hop", "10.77.20.1"), ("next-hop", "10.77.254.2")];
    controller.run().await;
    sweep(&mut ten, &[("dc1", "smb", Outcome::Filtered, &[])]).await;
    sweep(&mut twenty, &[("dc1", "gc", Outcome::Filtered, &[]), ("dc2", "ldap", Outcome::Closed, &[])]).await;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    let blocked: [Blocked<'_>; 4] = [
        ("dc1", "smb", Outcome::Filtered, &hops),
        ("dc2", "gc-ssl", Outcome::Rejected, &[]),
        ("dc2", "ldap", Outcome::Wrong, &[]),
        ("dc1", "icmp", Outcome::Failed, &[]),
    ];
    sweep(&mut twenty, &blocked).await;

    let found = diff(&controller, "latest~1", "latest").await;
    assert_eq!((found.from, found.to), (1, 2));
    assert_eq!(
        told(&found),
        [
            "regression vlan20 dc1 smb",
            "exposure vlan20 dc1 gc",
            "fix vlan10 dc1 smb",
            "closure vlan20 dc2 gc-ssl",
            "shift vlan20 dc2 ldap",
            "untested vlan20 dc1 icmp",
        ]
    );
    assert_eq!(found.difference.unchanged, 48 - 6);
    assert_eq!(found.difference.changes[1].expected, Some(Expectation::Deny));
    assert_eq!(found.difference.changes[3].by, Some("10.77.20.1".parse().unwrap()));
    assert_eq!(found.to_sweep.state, SweepState::Complete);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!((&json["from"], &json["unchanged"]), (&1.into(), &42.into()));
    assert_eq!(json["changes"][0]["kind"], "regression");
    assert_eq!(serde_json::from_value::<SweepDiff>(json).unwrap(), found);

    let itself = diff(&controller, "2", "2").await;
    assert_eq!(told(&itself), ["untested vlan20 dc1 icmp"]);
    let missing = controller.services.diff(SweepRef::Id(2), SweepRef::Id(9)).await;
    assert!(matches!(missing, Err(Error::NotFound(_))), "{missing:?}");

    let vantages = controller.services.diff_vantages(SweepRef::Latest(0), "vlan10", "vlan20").await.unwrap();
    let kinds: Vec<_> = vantages.contrasts.changes.iter().map(|c| (c.service.name(), c.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("smb".to_owned(), ContrastKind::FirstOnly),
            ("ldap".to_owned(), ContrastKind::FirstOnly),
            ("gc-ssl".to_owned(), ContrastKind::FirstOnly),
            ("icmp".to_owned(), ContrastKind::Untested),
        ]
    );
    assert_eq!(vantages.contrasts.unchanged, 20);
    let nobody = controller.services.diff_vantages(SweepRef::Latest(0), "vlan10", "vlan99").await;
    assert!(matches!(&nobody, Err(Error::NotFound(text)) if text.contains("vlan10, vlan20")), "{nobody:?}");
}

#[tokio::test]
async fn what_a_sweep_missed_or_was_not_asked_for_is_untested() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    sweep(&mut twenty, &[]).await;

    // Only one vantage, and a profile with other services.
    let vantages = vec!["vlan10".to_owned()];
    let request = SweepRequest { vantages: vantages.clone(), ..ports() };
    controller.start(request).await;
    let running = diff(&controller, "1", "2").await;
    assert_eq!(running.difference.changes.len(), 48, "nothing is decided yet");
    assert!(running.difference.changes.iter().all(|change| change.kind == Kind::Untested));
    sweep(&mut ten, &[]).await;
    let narrow = diff(&controller, "1", "2").await;
    assert_eq!((narrow.difference.changes.len(), narrow.difference.unchanged), (24, 24));
    assert!(narrow.difference.changes.iter().all(|c| c.kind == Kind::Untested && c.vantage == "vlan20"));
    let back = diff(&controller, "2", "1").await;
    assert!(back.difference.changes.iter().all(|change| change.kind == Kind::Untested));

    // A sweep that is cancelled has missed everything.
    let id = controller.run().await.summary.id;
    controller.services.cancel_sweep(&operator(), id).await.unwrap();
    let cancelled = diff(&controller, "1", "3").await;
    assert_eq!((cancelled.difference.changes.len(), cancelled.difference.unchanged), (48, 0));
    assert!(
        cancelled
            .difference
            .changes
            .iter()
            .all(|c| c.kind == Kind::Untested && c.to == Some(Outcome::Missed))
    );
}

#[tokio::test]
async fn what_comes_into_the_inventory_is_new_and_what_leaves_it_is_gone() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    sweep(&mut twenty, &[]).await;
    // vlan30 comes, vlan20 goes, and so does dc2.
    let inventory =
        LISTED.replace("vlan20", "vlan30").replace("dc2", "dc3").replace("10.77.1.11", "10.77.1.12");
    controller.apply(&inventory).await;
    let mut thirty = controller.probe("vlan30").await;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    sweep(&mut thirty, &[]).await;
    let found = diff(&controller, "latest~1", "latest").await;
    let count = |kind, vantage: &str, target: &str| {
        let is_meant = |c: &&sekisho_domain::compare::Change| {
            c.kind == kind && c.vantage == vantage && c.target.starts_with(target)
        };
        found.difference.changes.iter().filter(is_meant).count()
    };
    for (kind, vantage, target) in [
        (Kind::Gone, "vlan10", "dc2"),
        (Kind::New, "vlan10", "dc3"),
        (Kind::Gone, "vlan20", "dc1"),
        (Kind::Gone, "vlan20", "dc2"),
        (Kind::New, "vlan30", "dc1"),
        (Kind::New, "vlan30", "dc3"),
    ] {
        assert_eq!(count(kind, vantage, target), 12, "{kind} {vantage} {target}");
    }
    assert_eq!((found.difference.changes.len(), found.difference.unchanged), (72, 12));
}

#[tokio::test]
async fn gaps_come_with_the_cause_that_a_control_proves() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.run().await;
    sweep(&mut ten, &[("dc1", "ldaps", Outcome::Closed, &[("rst-origin", "target")])]).await;
    let hops = [("last-hop", "10.77.20.1"), ("next-hop", "10.77.254.2")];
    let mut blocked: Vec<Blocked<'_>> = Vec::new();
    for target in ["dc1", "dc2"] {
        for service in ["smb", "ldap", "cldap"] {
            blocked.push((target, service, Outcome::Filtered, &hops));
        }
    }
    blocked.push(("dc1", "ldaps", Outcome::Closed, &[("rst-origin", "target")]));
    blocked.push(("dc2", "gc", Outcome::Rejected, &[]));
    blocked.push(("dc2", "icmp", Outcome::Failed, &[]));
    sweep(&mut twenty, &blocked).await;

    let found = controller.services.gaps(SweepRef::Latest(0)).await.unwrap();
    let report = &found.gaps;
    let told: Vec<_> =
        report.groups.iter().map(|group| (group.cause, group.flows, &group.targets[..])).collect();
    let (dc1, dc2) = ("dc1.corp.example".to_owned(), "dc2.corp.example".to_owned());
    assert_eq!(told, [(Cause::PathFilter, 6, &[dc1.clone(), dc2][..]), (Cause::ServiceDown, 2, &[dc1][..]),]);
    let control = report.groups[0].control.as_ref().unwrap();
    assert_eq!(control.vantage, "vlan10");
    let exposed: Vec<_> = report.gaps.iter().filter(|gap| gap.kind == GapKind::Exposure).collect();
    let services: Vec<String> = exposed.iter().map(|gap| gap.service.name()).collect();
    assert_eq!(services, ["gc", "gc-ssl", "gc-ssl"], "the first policy of the file decides");
    assert!(exposed.iter().all(|gap| gap.vantage == "vlan20" && gap.expected == Expectation::Deny));
    assert_eq!((report.gaps.len(), report.untested, report.unspoken), (11, 1, 0));
    let idle: Vec<_> = report.policies.iter().map(|policy| policy.idle).collect();
    assert_eq!(idle, [None, None, Some(Idle::NoVantage)], "no vantage has the VLAN id 20");
    assert!(report.policies[1].unswept.iter().any(|service| service.name() == "ntp"));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["gaps"][0]["between"]["last_hop"], "10.77.20.1");
    assert_eq!(serde_json::from_value::<sekisho::service::SweepGaps>(json).unwrap(), found);
    let none = controller.services.gaps(SweepRef::Id(99)).await;
    assert!(matches!(none, Err(Error::NotFound(_))), "{none:?}");
}

#[tokio::test]
async fn gaps_say_since_when_the_flow_is_as_it_is() {
    let (controller, mut ten, mut twenty) = fleet().await;
    let mut nights = Vec::new();
    for smb in [Outcome::Filtered, Outcome::Filtered, Outcome::Rejected] {
        controller.run().await;
        sweep(&mut ten, &[]).await;
        sweep(&mut twenty, &[("dc1", "smb", smb, &[]), ("dc1", "ldap", Outcome::Filtered, &[])]).await;
        let found = controller.services.gaps(SweepRef::Latest(0)).await.unwrap();
        let since = |service: &str| {
            let gap = found.gaps.gaps.iter().find(|gap| gap.service.name() == service).unwrap();
            gap.since.unwrap()
        };
        nights.push((found.sweep.started_at, since("smb"), since("ldap")));
    }
    let [(_, first_smb, first_ldap), (_, second_smb, second_ldap), (third, third_smb, third_ldap)] =
        nights[..]
    else {
        panic!("three nights")
    };
    assert_eq!((second_smb, second_ldap, third_ldap), (first_smb, first_ldap, first_ldap));
    assert!(first_smb < third && third_smb >= third, "{first_smb} {third} {third_smb}");
    // An old sweep is dated by what was known of the flow then.
    let earlier = controller.services.gaps(SweepRef::Latest(1)).await.unwrap();
    let smb = earlier.gaps.gaps.iter().find(|gap| gap.service.name() == "smb").unwrap();
    assert_eq!(smb.since, Some(first_smb));
}

/// Sweeps of two vantages with every outcome, some of them with holes, drawn from a seed.
async fn random_sweeps(seed: u64, count: usize) -> Controller {
    let controller = Controller::new(settings()).await;
    controller.apply(&format!("{LISTED}{POLICIES}")).await;
    let mut probes = [controller.probe("vlan10").await, controller.probe("vlan20").await];
    let mut dice = crate::observations::Dice(seed);
    for _ in 0..count {
        controller.services.start_sweep(&operator(), ports()).await.unwrap();
        for probe in &mut probes {
            for order in probe.work().await.orders {
                let mut all = results(&order);
                for result in &mut all {
                    result.outcome =
                        [Outcome::Open, Outcome::Open, Outcome::Filtered, Outcome::Closed, Outcome::Failed]
                            [dice.below(5)];
                }
                all.retain(|_| dice.below(12) > 0);
                probe.hand_in(all).await;
            }
        }
        controller
            .change("UPDATE job SET state = 'finished', missed = planned - observed, reason = 'expired', finished_at = now() WHERE state <> 'finished'")
            .await;
        controller
            .change("UPDATE sweep SET state = 'partial', finished_at = now() WHERE state = 'running'")
            .await;
    }
    controller
}

#[tokio::test]
async fn what_is_plainly_the_same_is_left_out_and_counted() {
    let controller = random_sweeps(7, 3).await;
    for (from, to) in [(1, 2), (2, 3), (1, 3), (3, 3)] {
        let diff = controller.services.diff(SweepRef::Id(from), SweepRef::Id(to)).await.unwrap().difference;
        // The same, of all flows of both sweeps.
        let (before, after) = (controller.matrix(from).await, controller.matrix(to).await);
        let services = before.cells.iter().map(|cell| cell.service).collect();
        let scope = Scope { is_whole: true, services, ..Scope::default() };
        let side = |cells| Side { cells, scope: &scope };
        let expected = compare(side(&before.cells), side(&after.cells), |cell| {
            diff.changes
                .iter()
                .find(|it| {
                    (&it.vantage, &it.target, it.service) == (&cell.vantage, &cell.target, cell.service)
                })?
                .expected
        });
        assert_eq!(diff, expected, "{from} {to}");
        assert!(from == to || diff.unchanged > 0 && diff.changes.len() > 4, "{diff:?}");
    }
}

#[tokio::test]
async fn the_gaps_of_a_vantage_are_those_that_all_gaps_have_of_it() {
    let controller = random_sweeps(9, 1).await;
    let all = controller.services.gaps(SweepRef::Id(1)).await.unwrap().gaps;
    let mut count = 0;
    for vantage in ["vlan10", "vlan20"] {
        let place = Place { vantage: Some(vantage.to_owned()), site: None };
        let own = controller.services.gaps_of(SweepRef::Id(1), &place).await.unwrap().gaps;
        let of_all = all.gaps.iter().filter(|gap| gap.vantage == vantage);
        let plain = |gap: &Gap| {
            (gap.kind, gap.target.clone(), gap.service, gap.cause, gap.since, gap.control.is_some())
        };
        let mut expected: Vec<_> = of_all.map(plain).collect();
        let mut found: Vec<_> = own.gaps.iter().map(plain).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{vantage}");
        assert!(own.gaps.iter().all(|gap| gap.since.is_some()));
        count += found.len();
    }
    assert_eq!(count, all.gaps.len());
    let error =
        controller.services.gaps_of(SweepRef::Id(1), &Place { site: Some("x".into()), vantage: None }).await;
    assert!(error.unwrap_err().to_string().contains("no site \"x\""));
}
