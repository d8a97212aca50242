use std::time::Duration;

use sekisho::service::{Error, Settings, SweepPhase, SweepRef, SweepRequest};
use sekisho_model::{Outcome, SweepState};

use crate::fleet::{Controller, LISTED, SEARCHED, observed, operator, ports, settings, wait_for};

fn request(profile: &str) -> SweepRequest {
    SweepRequest { profile: Some(profile.to_owned()), ..SweepRequest::default() }
}

#[tokio::test]
async fn listed_targets_are_swept_to_the_end() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let (mut ten, mut twenty) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    let sweep = controller.run().await;
    assert_eq!((sweep.phase, sweep.summary.planned), (SweepPhase::Checking, 48));
    assert!(controller.services.matrix(SweepRef::Latest(0)).await.unwrap().cells.is_empty());
    ten.do_everything().await;
    twenty.do_everything().await;

    let sweep = controller.sweep(sweep.summary.id).await;
    assert_eq!(sweep.summary.state, SweepState::Complete);
    assert_eq!((sweep.summary.observed, sweep.summary.missed), (48, 0));
    assert!(sweep.summary.finished_at.is_some());
    let matrix = controller.services.matrix(SweepRef::Latest(0)).await.unwrap();
    assert_eq!(matrix.cells.len(), 48);
    let first = &matrix.cells[0];
    assert_eq!((first.vantage.as_str(), first.target.as_str()), ("vlan10", "dc1.corp.example"));
    assert_eq!((first.service.name().as_str(), first.outcome), ("icmp", Outcome::Open));
    assert_eq!(first.facts["status"].to_string(), "fine");
    assert_eq!(matrix.cells[47].subnet.unwrap().to_string(), "10.77.20.0/24");
    let services: Vec<_> = matrix.cells[..12].iter().map(|cell| cell.service).collect();
    assert!(services.is_sorted(), "services come in the order of tables");
}

#[tokio::test]
async fn what_cannot_be_swept_is_refused_with_the_alternative() {
    let controller = Controller::new(settings()).await;
    let start = |request| controller.services.start_sweep(&ACTOR, request);
    static ACTOR: std::sync::LazyLock<sekisho::service::Actor> = std::sync::LazyLock::new(operator);
    let empty = start(SweepRequest::default()).await.unwrap_err();
    assert!(matches!(&empty, Error::Invalid(text) if text.contains("apply one first")), "{empty}");
    controller.apply(LISTED).await;
    let unknown = start(request("prots")).await.unwrap_err();
    assert!(matches!(&unknown, Error::NotFound(text) if text.contains("ports")), "{unknown}");
    let vantages = vec!["vlan10".to_owned(), "vlan99".to_owned()];
    let vantage = start(SweepRequest { vantages, ..SweepRequest::default() }).await.unwrap_err();
    assert!(matches!(&vantage, Error::NotFound(text) if text.contains("vlan10, vlan20")), "{vantage}");
    let domain =
        start(SweepRequest { domain: Some("x.example".to_owned()), ..SweepRequest::default() }).await;
    assert!(matches!(&domain, Err(Error::NotFound(text)) if text.contains("corp.example")), "{domain:?}");
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 0);
    let one = SweepRequest {
        vantages: vec!["vlan20".to_owned()],
        domain: Some("CORP.example.".to_owned()),
        ..ports()
    };
    assert_eq!(start(one).await.unwrap().summary.planned, 24);
}

#[tokio::test]
async fn discovered_targets_are_swept_from_everywhere() {
    let controller = Controller::new(settings()).await;
    controller.apply(SEARCHED).await;
    let (mut ten, mut twenty) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    let id = controller.run().await.summary.id;
    assert_eq!(controller.sweep(id).await.phase, SweepPhase::Discovery);
    let order = ten.work().await.orders.remove(0);
    assert!(order.seconds_left <= 30);
    ten.hand_in(crate::fleet::results(&order)).await;
    assert_eq!(
        controller.sweep(id).await.phase,
        SweepPhase::Discovery,
        "the other vantage has not asked yet"
    );
    let order = twenty.work().await.orders.remove(0);
    twenty.hand_in(vec![observed(order.id, 0, Outcome::Filtered)]).await;

    let sweep = controller.sweep(id).await;
    assert_eq!(
        (sweep.phase, sweep.summary.planned),
        (SweepPhase::Checking, 24),
        "one target, from two vantages"
    );
    ten.do_everything().await;
    twenty.do_everything().await;
    assert_eq!(controller.sweep(id).await.summary.state, SweepState::Complete);
    let matrix = controller.services.matrix(SweepRef::Id(id)).await.unwrap();
    assert!(matrix.cells.iter().all(|cell| cell.target == "dc1.corp.example"), "names are normalised");
}

#[tokio::test]
async fn a_target_that_is_not_found_any_more_is_not_swept() {
    let controller = Controller::new(settings()).await;
    controller.apply(SEARCHED).await;
    let mut probe = controller.probe("vlan10").await;
    let request = || SweepRequest { vantages: vec!["vlan10".to_owned()], ..ports() };
    for host in ["dc1.corp.example", "dc2.corp.example"] {
        controller.services.start_sweep(&operator(), request()).await.unwrap();
        let order = probe.work().await.orders.remove(0);
        let mut found = crate::fleet::results(&order);
        found[0].discovered[0].host = host.to_owned();
        probe.hand_in(found).await;
        let checks = probe.work().await.orders.remove(0);
        let hosts: Vec<&str> = checks.targets.iter().map(|target| target.host.as_str()).collect();
        assert_eq!(hosts, [host]);
        probe.hand_in(crate::fleet::results(&checks)).await;
    }
}

#[tokio::test]
async fn a_sweep_without_targets_is_never_complete() {
    let controller = Controller::new(settings()).await;
    controller.apply(SEARCHED).await;
    let (mut ten, mut twenty) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    let id = controller.run().await.summary.id;
    for probe in [&mut ten, &mut twenty] {
        let order = probe.work().await.orders.remove(0);
        probe.hand_in(vec![observed(order.id, 0, Outcome::Open)]).await;
    }
    let sweep = controller.sweep(id).await;
    assert_eq!((sweep.summary.state, sweep.summary.planned), (SweepState::Partial, 0));
    let note = sweep.note.unwrap();
    assert!(note.contains("corp.example: no targets") && note.contains("2 of 2 vantages"), "{note}");
}

#[tokio::test]
async fn discovery_that_takes_too_long_does_not_hold_the_sweep_up() {
    let settings = Settings {
        discovery_wait: Duration::from_millis(400),
        live_window: Duration::from_secs(60),
        ..settings()
    };
    let controller = Controller::new(settings).await;
    controller.apply(SEARCHED).await;
    let _background = controller.background();
    let mut ten = controller.probe("vlan10").await;
    let mut twenty = controller.probe("vlan20").await;
    let id = controller.run().await.summary.id;
    let late = twenty.work().await.orders.remove(0);
    let order = ten.work().await.orders.remove(0);
    ten.hand_in(crate::fleet::results(&order)).await;
    let sweep = wait_for("planning", || async {
        Some(controller.sweep(id).await).filter(|sweep| sweep.phase == SweepPhase::Checking)
    })
    .await;
    assert_eq!(sweep.summary.planned, 24);
    assert_eq!(twenty.work().await.cancel, [late.id]);
    twenty.hand_in(crate::fleet::results(&late)).await;
    assert_eq!(controller.sweep(id).await.summary.planned, 24, "a late discovery does not plan again");
}

#[tokio::test]
async fn cancelling_ends_a_sweep_and_late_results_still_count() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    let id = controller.run().await.summary.id;
    let order = probe.work().await.orders.remove(0);
    let mut results = crate::fleet::results(&order);
    let rest = results.split_off(5);
    probe.hand_in(results).await;

    let sweep = controller.services.cancel_sweep(&operator(), id).await.unwrap().summary;
    assert_eq!(
        (sweep.state, sweep.planned, sweep.observed, sweep.missed),
        (SweepState::Cancelled, 48, 5, 43)
    );
    assert!(matches!(controller.services.cancel_sweep(&operator(), id).await, Err(Error::Conflict(_))));
    assert!(matches!(controller.services.cancel_sweep(&operator(), 99).await, Err(Error::NotFound(_))));
    assert_eq!(probe.work().await.cancel, [order.id]);
    probe.hand_in(rest).await;
    let sweep = controller.sweep(id).await.summary;
    assert_eq!((sweep.state, sweep.observed, sweep.missed), (SweepState::Cancelled, 24, 24));
    let missed = controller.services.matrix(SweepRef::Id(id)).await.unwrap().cells;
    assert_eq!(missed.iter().filter(|cell| cell.outcome == Outcome::Missed).count(), 24);
}

#[tokio::test]
async fn a_sweep_without_probes_is_partial_and_late_results_complete_it() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut ten = controller.probe("vlan10").await;
    let mut twenty = controller.probe("vlan20").await;
    let id = controller.run().await.summary.id;
    ten.do_everything().await;
    let order = twenty.work().await.orders.remove(0);
    // The probe loses its link, goes on working, and nobody else serves the vantage.
    let _background = controller.background();
    let sweep = wait_for("the end of the sweep", || async {
        Some(controller.sweep(id).await).filter(|sweep| sweep.phase == SweepPhase::Done)
    })
    .await;
    assert_eq!(sweep.summary.state, SweepState::Partial);
    assert_eq!((sweep.summary.observed, sweep.summary.missed), (24, 24));
    assert!(sweep.jobs.iter().any(|job| job.reason.as_deref() == Some("probe-lost")), "{:?}", sweep.jobs);
    twenty.hand_in(crate::fleet::results(&order)).await;
    let sweep = controller.sweep(id).await.summary;
    assert_eq!((sweep.state, sweep.observed, sweep.missed), (SweepState::Complete, 48, 0));
}

#[tokio::test]
async fn a_vantage_that_has_no_probe_is_missed() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let _background = controller.background();
    let id = controller.run().await.summary.id;
    let sweep = wait_for("the end of the sweep", || async {
        Some(controller.sweep(id).await).filter(|sweep| sweep.phase == SweepPhase::Done)
    })
    .await;
    assert_eq!((sweep.summary.state, sweep.summary.missed), (SweepState::Partial, 48));
    assert!(sweep.jobs.iter().all(|job| job.reason.as_deref() == Some("no-probe")), "{:?}", sweep.jobs);
}

#[tokio::test]
async fn a_sweep_ends_at_its_deadline() {
    let settings = Settings {
        sweep_deadline: Duration::from_millis(500),
        lost_grace: Duration::from_secs(60),
        live_window: Duration::from_secs(60),
        ..settings()
    };
    let controller = Controller::new(settings).await;
    controller.apply(LISTED).await;
    let (mut ten, mut twenty) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    let _background = controller.background();
    let id = controller.run().await.summary.id;
    ten.do_everything().await;
    let order = twenty.work().await.orders.remove(0);
    let sweep = wait_for("the deadline", || async {
        Some(controller.sweep(id).await).filter(|sweep| sweep.phase == SweepPhase::Done)
    })
    .await;
    assert_eq!(
        (sweep.summary.state, sweep.summary.observed, sweep.summary.missed),
        (SweepState::Partial, 24, 24)
    );
    assert!(sweep.jobs.iter().any(|job| job.reason.as_deref() == Some("expired")), "{:?}", sweep.jobs);
    assert_eq!(twenty.work().await.cancel, [order.id]);
}

#[tokio::test]
async fn sweeps_are_listed_and_named() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    assert!(matches!(controller.services.sweep(SweepRef::Latest(0)).await, Err(Error::NotFound(_))));
    let (one, two) = (controller.run().await.summary.id, controller.run().await.summary.id);
    let ids: Vec<i64> = controller.services.sweeps(10).await.unwrap().iter().map(|s| s.id).collect();
    assert_eq!(ids, [two, one]);
    assert_eq!(controller.services.sweep("latest~1".parse().unwrap()).await.unwrap().summary.id, one);
    for bad in ["", "latest~", "latest~x", "-1", "+1", "x", "99999999999999999999"] {
        assert!(bad.parse::<SweepRef>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn what_is_asked_for_is_in_the_audit_log() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let probe = controller.probe("vlan10").await;
    let id = controller.run().await.summary.id;
    controller.services.cancel_sweep(&operator(), id).await.unwrap();
    controller.services.revoke_probe(&operator(), &probe.session.probe.to_string()).await.unwrap();
    let log: Vec<(String, String)> = sqlx::query_as("SELECT actor, action FROM audit ORDER BY id")
        .fetch_all(&controller.pool)
        .await
        .unwrap();
    let log: Vec<(&str, &str)> =
        log.iter().map(|(actor, action)| (actor.as_str(), action.as_str())).collect();
    assert_eq!(
        log,
        [
            ("controller", "register"),
            ("test", "apply"),
            ("test", "token"),
            ("enrolment token", "enrol"),
            ("test", "sweep run"),
            ("test", "sweep cancel"),
            ("test", "revoke"),
        ]
    );
}
