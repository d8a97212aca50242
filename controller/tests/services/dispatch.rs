use std::{collections::BTreeSet, time::Duration};

use sekisho::service::{Beat, OrderTaskKind, Settings};
use sekisho_model::{Outcome, SweepState};

use crate::fleet::{Controller, LISTED, Probe, observed, operator, results, settings, wait_for};

#[tokio::test]
async fn two_controllers_give_no_job_twice() {
    let settings = Settings { tasks_per_job: 1, ..settings() };
    let one = Controller::new(settings.clone()).await;
    let two = Controller::on(one.pool.clone(), settings).await;
    one.apply(LISTED).await;
    let mut probes = Vec::new();
    for number in 0..6 {
        let controller = if number % 2 == 0 { &one } else { &two };
        probes.push(controller.probe(if number < 3 { "vlan10" } else { "vlan20" }).await);
    }
    let id = one.run().await.summary.id;
    let workers = probes.into_iter().map(|mut probe| {
        tokio::spawn(async move {
            let mut done = Vec::new();
            loop {
                let orders = probe.work().await.orders;
                assert!(orders.len() <= 4, "a probe has at most four jobs at a time");
                if orders.is_empty() {
                    return done;
                }
                for order in orders {
                    probe.hand_in(results(&order)).await;
                    done.push(order.id);
                }
            }
        })
    });
    let mut given = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        given.extend(worker.await.unwrap());
    }
    let different: BTreeSet<_> = given.iter().collect();
    assert_eq!((given.len(), different.len()), (48, 48));
    let sweep = two.sweep(id).await.summary;
    assert_eq!((sweep.state, sweep.observed), (SweepState::Complete, 48));
}

#[tokio::test]
async fn a_probe_that_forgot_gets_the_rest_again() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    controller.run().await;
    let order = probe.work().await.orders.remove(0);
    probe.hand_in(results(&order)[..10].to_vec()).await;
    assert!(probe.work().await.orders.is_empty(), "a job is sent once in a session");

    let mut killed = Probe::connect(&controller, probe.session.probe).await;
    let again = killed.work().await.orders.remove(0);
    assert_eq!(again.id, order.id);
    let numbers: Vec<u32> = again.tasks.iter().map(|task| task.number).collect();
    assert_eq!(numbers, (10..24).collect::<Vec<_>>(), "only what has no observation, under the same numbers");
    assert_eq!(again.targets.len(), 2);

    let mut remembers = Probe::connect(&controller, probe.session.probe).await;
    remembers.held.insert(order.id);
    let work = remembers.work().await;
    assert!(work.orders.is_empty() && work.cancel.is_empty(), "{work:?}");
}

#[tokio::test]
async fn jobs_that_a_probe_should_not_have_are_taken_back() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    let mut other = controller.probe("vlan10").await;
    controller.run().await;
    let order = other.work().await.orders.remove(0);
    let unknown = uuid::Uuid::new_v4();
    probe.held.extend([unknown, order.id]);
    let mut cancelled = probe.work().await.cancel;
    cancelled.sort();
    let mut expected = vec![unknown, order.id];
    expected.sort();
    assert_eq!(cancelled, expected);
}

#[tokio::test]
async fn the_jobs_of_a_lost_probe_go_to_another_one() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut lost = controller.probe("vlan10").await;
    let mut other = controller.probe("vlan10").await;
    let _background = controller.background();
    let id = controller.run().await.summary.id;
    let order = lost.work().await.orders.remove(0);
    lost.hand_in(results(&order)[..3].to_vec()).await;
    let taken = wait_for("the job to be handed on", || {
        let other = &mut other;
        let services = controller.services.clone();
        let session = other.session;
        let held = other.held.clone();
        async move {
            services.heartbeat(&session, &Beat::default()).await.unwrap();
            services.work(&session, &held).await.unwrap().orders.pop()
        }
    })
    .await;
    other.held.insert(taken.id);
    assert_eq!((taken.id, taken.tasks.len()), (order.id, 21));
    // Both hand the same tasks in, the lost one late: each counts once.
    lost.hand_in(results(&order)).await;
    other.hand_in(results(&taken)).await;
    let sweep = controller.sweep(id).await;
    assert_eq!(sweep.summary.observed, 24);
    assert!(sweep.jobs.iter().any(|job| job.observed == 24 && job.missed == 0));
}

#[tokio::test]
async fn a_revoked_probe_loses_its_jobs() {
    let settings = Settings { lost_grace: Duration::from_secs(600), ..settings() };
    let controller = Controller::new(settings).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    let _background = controller.background();
    let id = controller.run().await.summary.id;
    probe.work().await;
    controller.services.revoke_probe(&operator(), &probe.session.probe.to_string()).await.unwrap();
    wait_for("the job to end", || async {
        let jobs = controller.sweep(id).await.jobs;
        jobs.iter().any(|job| job.reason.as_deref() == Some("probe-lost")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_carries_the_last_outcome_of_its_flow() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    controller.run().await;
    let order = probe.work().await.orders.remove(0);
    assert!(order.tasks.iter().all(|task| last(&task.kind).is_none()));
    let mut first = results(&order);
    first[0].outcome = Outcome::Filtered;
    first[1].outcome = Outcome::Failed;
    probe.hand_in(first).await;
    controller.run().await;
    let order = probe.work().await.orders.remove(0);
    assert_eq!(last(&order.tasks[0].kind), Some(Outcome::Filtered));
    assert_eq!(last(&order.tasks[1].kind), None, "what could not be tested says nothing");
    assert_eq!(last(&order.tasks[2].kind), Some(Outcome::Open));
}

fn last(kind: &OrderTaskKind) -> Option<Outcome> {
    match kind {
        OrderTaskKind::Check { last_outcome, .. } => *last_outcome,
        OrderTaskKind::Discovery { .. } | OrderTaskKind::Vantage { .. } => None,
    }
}

#[tokio::test]
async fn what_a_probe_is_through_with_and_did_not_observe_was_refused() {
    let settings = Settings { live_window: Duration::from_secs(60), ..settings() };
    let controller = Controller::new(settings).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    let id = controller.run().await.summary.id;
    let order = probe.work().await.orders.remove(0);
    probe.hand_in(vec![observed(order.id, 0, Outcome::Open)]).await;
    controller.services.job_finished(&probe.session, order.id).await.unwrap();
    let mut again = Probe::connect(&controller, probe.session.probe).await;
    assert!(again.work().await.orders.is_empty(), "it is not sent again");

    let _background = controller.background();
    controller.services.heartbeat(&again.session, &Beat::default()).await.unwrap();
    let job = wait_for("the job to end", || async {
        controller.sweep(id).await.jobs.into_iter().find(|job| job.reason.as_deref() == Some("refused"))
    })
    .await;
    assert_eq!((job.observed, job.missed), (1, 23));
}
