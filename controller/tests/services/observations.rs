use sekisho::service::{HandedIn, Settings};
use sekisho_model::{Outcome, SweepState};
use uuid::Uuid;

use crate::fleet::{Controller, LISTED, observed, operator, results, settings};

/// A small generator of numbers: the same seed gives the same test.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Results in batches, in any order, many of them several times.
pub(crate) fn batches(results: &[HandedIn], dice: &mut Dice) -> Vec<Vec<HandedIn>> {
    let mut all = results.to_vec();
    for _ in 0..results.len() {
        all.push(results[dice.below(results.len())].clone());
    }
    dice.shuffle(&mut all);
    let mut batches = Vec::new();
    while !all.is_empty() {
        let size = 1 + dice.below(9);
        batches.push(all.split_off(all.len().saturating_sub(size)));
    }
    batches
}

#[tokio::test]
async fn results_count_once_in_any_order_and_from_any_session() {
    for seed in 1..=12 {
        let mut dice = Dice(seed);
        let settings = Settings { tasks_per_job: 1 + dice.below(20), jobs_per_probe: 64, ..settings() };
        let controller = Controller::new(settings.clone()).await;
        let other = Controller::on(controller.pool.clone(), settings).await;
        controller.apply(LISTED).await;
        let (mut ten, mut twenty) = (controller.probe("vlan10").await, other.probe("vlan20").await);
        let id = controller.run().await.summary.id;
        let results_of =
            |orders: Vec<sekisho::service::Order>| orders.iter().flat_map(results).collect::<Vec<_>>();
        let (tens, twenties) = (results_of(ten.work().await.orders), results_of(twenty.work().await.orders));
        let ends_early = dice.below(3) == 0;
        let mut hands = Vec::new();
        for (probe, services, list) in [
            (&ten, &controller, &tens),
            (&ten, &other, &tens),
            (&twenty, &other, &twenties),
            (&twenty, &controller, &twenties),
        ] {
            let (probe, services) = (probe.session.probe, services.services.clone());
            let batches = batches(list, &mut dice);
            hands.push(tokio::spawn(async move {
                for batch in batches {
                    let ingested = services.ingest(probe, batch).await.unwrap();
                    assert!(ingested.dropped.is_empty(), "{ingested:?}");
                }
            }));
        }
        if ends_early {
            // It may have ended by itself already.
            drop(controller.services.cancel_sweep(&operator(), id).await);
        }
        for hand in hands {
            hand.await.unwrap();
        }
        let sweep = controller.sweep(id).await;
        let totals = sweep.summary;
        assert_eq!(totals.planned, totals.observed + totals.missed, "seed {seed}: {totals:?}");
        assert_eq!((totals.planned, totals.observed, totals.missed), (48, 48, 0), "seed {seed}: {totals:?}");
        assert!(sweep.jobs.iter().all(|job| job.planned == job.observed + job.missed), "seed {seed}");
        assert_eq!(controller.count("SELECT count(*) FROM observation").await, 48, "seed {seed}");
        let expected = if ends_early {
            vec![SweepState::Cancelled, SweepState::Complete]
        } else {
            vec![SweepState::Complete]
        };
        assert!(expected.contains(&totals.state), "seed {seed}: {totals:?}");
    }
}

#[tokio::test]
async fn the_first_result_of_a_task_stays() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    controller.run().await;
    let order = probe.work().await.orders.remove(0);
    let ingested = probe
        .hand_in(vec![observed(order.id, 0, Outcome::Open), observed(order.id, 0, Outcome::Closed)])
        .await;
    assert_eq!((ingested.new, ingested.repeated), (1, 1));
    let ingested = probe.hand_in(vec![observed(order.id, 0, Outcome::Filtered)]).await;
    assert_eq!((ingested.new, ingested.repeated), (0, 1));
    assert_eq!(controller.count("SELECT count(*) FROM observation WHERE outcome = 'o'").await, 1);
}

#[tokio::test]
async fn bad_results_are_dropped_and_the_good_ones_kept() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut ten = controller.probe("vlan10").await;
    let mut twenty = controller.probe("vlan20").await;
    controller.run().await;
    let order = ten.work().await.orders.remove(0);
    let foreign = twenty.work().await.orders.remove(0);
    let mut late = observed(order.id, 2, Outcome::Open);
    late.observed_at = jiff::Timestamp::from_second(0).ok();
    let ingested = ten
        .hand_in(vec![
            observed(order.id, 1, Outcome::Open),
            observed(order.id, 24, Outcome::Open),
            observed(order.id, u32::MAX, Outcome::Open),
            observed(order.id, 3, Outcome::Missed),
            observed(foreign.id, 0, Outcome::Open),
            observed(Uuid::new_v4(), 0, Outcome::Open),
            late,
        ])
        .await;
    assert_eq!(ingested.new, 2);
    assert_eq!(ingested.dropped.len(), 5, "{:#?}", ingested.dropped);
    assert!(ingested.dropped[0].contains("the job has 24 tasks"), "{:#?}", ingested.dropped);
    let strange = controller
        .count("SELECT count(*) FROM observation WHERE observed_at < now() - interval '1 hour'")
        .await;
    assert_eq!(strange, 0, "a probe whose clock stands in 1970 gets the time of arrival");
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_nothing() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    let id = controller.run().await.summary.id;
    let order = probe.work().await.orders.remove(0);
    sqlx::query("ALTER TABLE observation ADD CONSTRAINT broken CHECK (task <> 3)")
        .execute(&controller.pool)
        .await
        .unwrap();
    let failed = controller.services.ingest(probe.session.probe, results(&order)).await;
    assert!(failed.is_err());
    assert_eq!(controller.sweep(id).await.summary.observed, 0);
    sqlx::query("ALTER TABLE observation DROP CONSTRAINT broken").execute(&controller.pool).await.unwrap();
    assert_eq!(probe.hand_in(results(&order)).await.new, 24);
}
