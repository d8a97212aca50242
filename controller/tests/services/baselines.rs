use sekisho::service::{BaselineRequest, Error, SweepDiff, SweepRef};
use sekisho_domain::compare::Kind;
use sekisho_model::{Outcome, SweepState};

use crate::{
    comparison::{fleet, sweep},
    fleet::{Controller, operator},
};

fn named(name: &str) -> BaselineRequest {
    BaselineRequest { name: name.to_owned(), ..BaselineRequest::default() }
}

async fn diff(controller: &Controller, from: &str) -> SweepDiff {
    controller.services.diff_from(&from.parse().unwrap(), SweepRef::Latest(0)).await.unwrap()
}

fn told(diff: &SweepDiff) -> Vec<String> {
    diff.difference.changes.iter().map(|c| format!("{} {} {}", c.kind, c.vantage, c.service)).collect()
}

#[tokio::test]
async fn a_sweep_that_was_accepted_is_compared_like_the_sweep() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.run().await;
    sweep(&mut ten, &[("dc1", "gc", Outcome::Rejected, &[])]).await;
    sweep(&mut twenty, &[("dc1", "smb", Outcome::Filtered, &[]), ("dc2", "smb", Outcome::Wrong, &[])]).await;
    let set = BaselineRequest { note: "CHG-1234".to_owned(), ..BaselineRequest::default() };
    let set = controller.services.set_baseline(&operator(), &set).await.unwrap();
    assert_eq!((set.summary.name.as_str(), set.summary.sweep.id, set.cells.len()), ("default", 1, 48));
    assert_eq!((set.counts.open, set.counts.blocked, set.counts.not_known), (45, 2, 1));
    assert_eq!((set.summary.actor.as_str(), set.summary.note.as_str()), ("test", "CHG-1234"));
    assert_eq!(controller.services.baseline("default").await.unwrap(), set);
    let rejected = set.cells.iter().find(|cell| cell.outcome == Outcome::Rejected).unwrap();
    assert_eq!(rejected.by, Some("10.77.20.1".parse().unwrap()));
    assert!(set.cells.iter().any(|cell| cell.subnet == Some("10.77.20.0/24".parse().unwrap())));
    assert_eq!(told(&diff(&controller, "baseline").await), ["untested vlan20 smb"], "itself");

    controller.run().await;
    sweep(&mut ten, &[("dc1", "ldap", Outcome::Filtered, &[])]).await;
    sweep(&mut twenty, &[]).await;
    let found = diff(&controller, "baseline").await;
    assert_eq!(
        told(&found),
        ["regression vlan10 ldap", "fix vlan10 gc", "fix vlan20 smb", "untested vlan20 smb"]
    );
    assert_eq!((found.from, found.to, found.baseline.as_deref()), (1, 2, Some("default")));
    assert_eq!(found.difference.unchanged, 44);
    let plain = diff(&controller, "1").await;
    assert_eq!((plain.baseline.as_deref(), plain.difference.changes.len()), (None, 4));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(serde_json::from_value::<SweepDiff>(json).unwrap(), found);
}

#[tokio::test]
async fn a_baseline_outlives_its_sweep_and_the_inventory() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    sweep(&mut twenty, &[("dc1", "smb", Outcome::Filtered, &[])]).await;
    let set = controller.services.set_baseline(&operator(), &named("before")).await.unwrap();
    controller.run().await;
    sweep(&mut ten, &[]).await;
    sweep(&mut twenty, &[]).await;
    let before = diff(&controller, "baseline:before").await;
    // Without its number nothing of the sweep is found any more, whichever tables hold its results.
    let forget = "SET session_replication_role = replica; DELETE FROM sweep WHERE id = 1; RESET session_replication_role";
    sqlx::raw_sql(forget).execute(&controller.pool).await.unwrap();
    assert!(matches!(controller.services.matrix(SweepRef::Id(1)).await, Err(Error::NotFound(_))));
    assert_eq!(controller.services.baseline("before").await.unwrap(), set);
    assert_eq!(diff(&controller, "baseline:before").await, before);
    assert_eq!(told(&before), ["fix vlan20 smb"]);

    // What is not in the inventory any more is gone, not forgotten.
    controller.apply(&crate::fleet::LISTED.replace("vlan20", "vlan30")).await;
    let mut thirty = controller.probe("vlan30").await;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    sweep(&mut thirty, &[]).await;
    let moved = diff(&controller, "baseline:before").await;
    let count = |kind| moved.difference.changes.iter().filter(|change| change.kind == kind).count();
    assert_eq!((count(Kind::Gone), count(Kind::New), moved.difference.unchanged), (24, 24, 24));
}

#[tokio::test]
async fn only_what_came_to_its_end_is_accepted_and_every_change_is_noted() {
    let (controller, mut ten, mut twenty) = fleet().await;
    let services = &controller.services;
    let nothing = services.set_baseline(&operator(), &named("default")).await;
    assert!(matches!(&nothing, Err(Error::NotFound(_))), "{nothing:?}");
    controller.run().await;
    let running = services.set_baseline(&operator(), &named("default")).await;
    assert!(matches!(&running, Err(Error::Conflict(text)) if text.contains("sweep 1 cannot")), "{running:?}");
    services.cancel_sweep(&operator(), 1).await.unwrap();
    let cancelled = services.set_baseline(&operator(), &named("default")).await;
    assert!(matches!(&cancelled, Err(Error::Conflict(text)) if text.contains("cancelled")), "{cancelled:?}");
    for (request, expected) in [
        (named("no\u{7}name"), "name of a baseline"),
        (BaselineRequest { note: "x".repeat(1_001), ..named("default") }, "note"),
        (BaselineRequest { sweep: "yesterday".to_owned(), ..named("default") }, "yesterday"),
    ] {
        let refused = services.set_baseline(&operator(), &request).await;
        assert!(matches!(&refused, Err(Error::Invalid(text)) if text.contains(expected)), "{refused:?}");
    }
    for _ in 0..2 {
        controller.run().await;
        sweep(&mut ten, &[]).await;
        sweep(&mut twenty, &[]).await;
    }
    for sweep in ["2", "3"] {
        let request = BaselineRequest { sweep: sweep.to_owned(), ..named("default") };
        let set = services.set_baseline(&operator(), &request).await.unwrap();
        assert_eq!(
            (set.summary.sweep.id.to_string(), set.summary.sweep.state),
            (sweep.into(), SweepState::Complete)
        );
    }
    let all = services.baselines().await.unwrap();
    assert_eq!(all.iter().map(|one| (one.name.as_str(), one.sweep.id)).collect::<Vec<_>>(), [("default", 3)]);
    let other = services.baseline("befroe").await;
    assert!(matches!(&other, Err(Error::NotFound(text)) if text.contains("default")), "{other:?}");
    services.clear_baseline(&operator(), "default").await.unwrap();
    let gone = services.clear_baseline(&operator(), "default").await;
    assert!(matches!(&gone, Err(Error::NotFound(text)) if text.contains("baseline set")), "{gone:?}");
    assert_eq!(controller.count("SELECT count(*) FROM baseline_flows").await, 0);
    let audit = "SELECT count(*) FROM audit WHERE actor = 'test' AND object = 'baseline default'
        AND concat_ws(' ', action, detail ->> 'sweep', detail ->> 'replaced')
            IN ('baseline set 2', 'baseline set 3 2', 'baseline clear 3')";
    assert_eq!(controller.count(audit).await, 3);
}

#[tokio::test]
async fn two_that_accept_at_once_do_not_disturb_each_other() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    sweep(&mut twenty, &[]).await;
    let set = || {
        let services = controller.services.clone();
        tokio::spawn(async move { services.set_baseline(&operator(), &named("default")).await })
    };
    for task in [set(), set(), set(), set()] {
        task.await.unwrap().unwrap();
    }
    assert_eq!(controller.services.baseline("default").await.unwrap().cells.len(), 48);
    assert_eq!(controller.count("SELECT count(*) FROM baseline").await, 1);
}
