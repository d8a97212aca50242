//! Spans on a real PostgreSQL: whatever comes in, in whatever order, they are those that the observations make.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::SignedDuration;
use sekisho::service::HandedIn;
use sekisho_model::Outcome;
use sqlx::FromRow;

use crate::{
    fleet::{Controller, observed, settings},
    nights::{Nights, at, task},
    observations::{Dice, batches},
};

/// A span of a flow as it is in the database.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
struct Row {
    target_id: i32,
    service_id: i16,
    outcome: String,
    by: Option<IpAddr>,
    first: i64,
    first_sweep: i64,
    last: i64,
    last_sweep: i64,
    sweeps: i32,
}

async fn spans(controller: &Controller) -> Vec<Row> {
    sqlx::query_as(
        "SELECT target_id, r.service_id, outcome_of(r.outcome)::text AS outcome, r.by,
                extract(epoch FROM r.first_seen)::bigint AS first, r.first_sweep,
                extract(epoch FROM r.last_seen)::bigint AS last, r.last_sweep, r.sweeps
         FROM span p CROSS JOIN LATERAL (
             SELECT * FROM unnest(p.services, p.outcomes, p.bys, p.first_seens, p.first_sweeps, p.last_seens, p.last_sweeps,
                                  p.sweeps)
                  AS c (service_id, outcome, by, first_seen, first_sweep, last_seen, last_sweep, sweeps)
             UNION ALL SELECT * FROM unnest(p.ended)) r
         ORDER BY target_id, service_id, r.first_seen, r.first_sweep",
    )
    .fetch_all(&controller.pool)
    .await
    .unwrap()
}

/// One observation of a flow, in the order in which they are read: time, sweep, outcome, device.
type Seen = (i64, i64, Outcome, Option<IpAddr>);

/// The spans as one reads them off the observations.
fn read_off(seen: &BTreeMap<(i32, i16), Vec<Seen>>) -> Vec<Row> {
    let of_flow = |(flow, seen): (&(i32, i16), &Vec<Seen>)| {
        let mut seen: Vec<Seen> = seen.iter().filter(|o| o.2 != Outcome::Failed).copied().collect();
        seen.sort();
        let runs = seen.chunk_by(|a, b| (a.2, a.3) == (b.2, b.3));
        let row = |run: &[Seen]| {
            let ((first, first_sweep, outcome, by), last) = (run[0], run[run.len() - 1]);
            Row {
                target_id: flow.0,
                service_id: flow.1,
                outcome: outcome.to_string(),
                by,
                first,
                first_sweep,
                last: last.0,
                last_sweep: last.1,
                sweeps: run.len().try_into().unwrap(),
            }
        };
        runs.map(row).collect::<Vec<_>>()
    };
    seen.iter().flat_map(of_flow).collect()
}

fn draw(dice: &mut Dice) -> (Outcome, Option<IpAddr>) {
    match dice.below(12) {
        0..6 => (Outcome::Open, None),
        6..8 => (Outcome::Filtered, None),
        8 => (Outcome::Rejected, Some([10, 77, 20, 1].into())),
        9 => (Outcome::Rejected, Some([10, 77, 20, 2].into())),
        _ => (Outcome::Failed, None),
    }
}

#[tokio::test]
async fn results_in_any_order_by_two_controllers_give_the_same_spans() {
    for seed in 1..=10 {
        let mut dice = Dice(seed);
        let nights = Nights::new(2, 2).await;
        let other = Controller::on(nights.controller.pool.clone(), settings()).await;
        let mut results: Vec<HandedIn> = Vec::new();
        let mut seen: BTreeMap<(i32, i16), Vec<Seen>> = BTreeMap::new();
        for sweep in 1..=24 {
            for (job, flows) in nights.sweep().await {
                for flow in flows.clone() {
                    let (outcome, by) = draw(&mut dice);
                    // Not in the order of the sweeps, and now and then at the same time.
                    let day = sweep + i64::try_from(dice.below(4)).unwrap();
                    let result = observed(job, task(&flows, flow), outcome);
                    results.push(HandedIn { by, observed_at: Some(at(day)), ..result });
                    let of_flow = seen.entry(nights.flows[flow]).or_default();
                    of_flow.push((at(day).as_second(), sweep, outcome, by));
                }
            }
        }
        let hands = [&nights.controller, &other, &nights.controller].map(|controller| {
            let (services, batches) = (controller.services.clone(), batches(&results, &mut dice));
            let probe = nights.probe;
            tokio::spawn(async move {
                for batch in batches {
                    services.ingest(probe, batch).await.unwrap();
                }
            })
        });
        for hand in hands {
            hand.await.unwrap();
        }
        assert_eq!(spans(&nights.controller).await, read_off(&seen), "seed {seed}");
    }
}

#[tokio::test]
async fn an_unchanged_night_costs_an_update_and_no_row() {
    let nights = Nights::new(40, 25).await;
    for day in 0..4 {
        nights.night(day, |flow| if flow == 7 && day == 2 { Outcome::Closed } else { Outcome::Open }).await;
    }
    let all = spans(&nights.controller).await;
    assert_eq!(all.len(), 1_002, "three spans of one flow, one of every other");
    assert!(all.iter().all(|row| row.sweeps == 4 || row.target_id == 1), "{all:?}");
    // Nor was a row written and removed again.
    let inserted = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'span' AND n_tup_ins >= 40";
    let inserted: i64 = crate::fleet::wait_for("the counters of PostgreSQL", async || {
        sqlx::query_scalar(inserted).fetch_optional(&nights.controller.pool).await.unwrap()
    })
    .await;
    assert_eq!(inserted, 40, "rows ever written: one for each target");
}

#[tokio::test]
async fn a_night_that_fails_to_be_written_leaves_the_spans_alone() {
    let nights = Nights::new(1, 1).await;
    nights.night(0, |_| Outcome::Open).await;
    let before = spans(&nights.controller).await;
    let broken = "ALTER TABLE job ADD CONSTRAINT broken CHECK (observed = 0) NOT VALID";
    sqlx::query(broken).execute(&nights.controller.pool).await.unwrap();
    let (job, _) = nights.sweep().await.remove(0);
    let failed = nights.controller.services.ingest(nights.probe, vec![observed(job, 0, Outcome::Open)]).await;
    assert!(failed.is_err());
    assert_eq!(spans(&nights.controller).await, before);
}

#[tokio::test]
async fn a_clock_that_is_ahead_does_not_hide_what_comes_after() {
    let nights = Nights::new(1, 1).await;
    let ahead = jiff::Timestamp::now() + SignedDuration::from_hours(24 * 365);
    for outcome in [Outcome::Open, Outcome::Closed] {
        let (job, _) = nights.sweep().await.remove(0);
        let observed_at = Some(if outcome == Outcome::Open { ahead } else { jiff::Timestamp::now() });
        let result = HandedIn { observed_at, ..observed(job, 0, outcome) };
        nights.controller.services.ingest(nights.probe, vec![result]).await.unwrap();
    }
    let spans = spans(&nights.controller).await;
    let outcomes: Vec<&str> = spans.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(outcomes, ["open", "closed"]);
}
