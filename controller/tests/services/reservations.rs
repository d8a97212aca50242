//! Nights without a controller keep to the budgets: what is reserved for them, who may use which part of it, and when.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
    time::Duration,
};

use jiff::Timestamp;
use sekisho::service::{HandedIn, Hello, PauseRequest, PlannedOrder, Settings};
use sqlx::AssertSqlSafe;

use crate::{
    fleet::{Controller, Probe, hello, operator, results, settings, wait_for},
    schedules::{cron_ago, schedule},
};

/// Vantages, and domain controllers from 10.77.1.10 on with their budgets.
fn inventory(vantages: usize, budgets: &[u32], schedules: &str) -> String {
    let mut text = "[[domain]]\nname = \"corp.example\"\n".to_owned();
    for (number, budget) in budgets.iter().enumerate() {
        text.push_str(&format!(
            "[[target]]\ndomain = \"corp.example\"\nhost = \"dc{number}.corp.example\"\naddress = \"10.77.1.{}\"\nbudget = {budget}\n",
            10 + number
        ));
    }
    (0..vantages).for_each(|number| text.push_str(&format!("[[vantage]]\nname = \"v{number}\"\n")));
    format!("{text}{schedules}")
}

/// A controller whose schedule was due ten minutes ago, with its plans.
async fn planned(vantages: usize, budgets: &[u32], probes: usize) -> (Controller, Vec<Probe>) {
    let calm =
        Settings { plan_grace: Duration::from_secs(20), live_window: Duration::from_secs(60), ..settings() };
    let controller = Controller::new(calm).await;
    controller.apply(&inventory(vantages, budgets, "")).await;
    let mut all = Vec::new();
    for number in 0..probes {
        all.push(controller.probe(&format!("v{}", number % vantages)).await);
    }
    plan(&controller, vantages, budgets).await;
    (controller, all)
}

async fn plan(controller: &Controller, vantages: usize, budgets: &[u32]) {
    // The same again, although a minute may have passed.
    let cron: Option<String> = sqlx::query_scalar("SELECT definition->>'cron' FROM schedule")
        .fetch_optional(&controller.pool)
        .await
        .unwrap();
    let cron = match cron {
        Some(cron) => cron,
        None => cron_ago(controller, 10).await,
    };
    let nightly = schedule("nightly", &cron, "");
    controller.apply(&inventory(vantages, budgets, &nightly)).await;
    controller.services.plan_ahead().await.unwrap();
}

/// The job of the next night, as a probe that holds nothing is given it.
async fn tonight(probe: &Probe) -> Option<PlannedOrder> {
    let new = probe.services.ahead(&probe.session, &HashSet::new()).await.unwrap().new;
    new.into_iter().min_by_key(|planned| planned.start)
}

fn rate(planned: &PlannedOrder, last: u8) -> u32 {
    let address: IpAddr = format!("10.77.1.{last}").parse().unwrap();
    let found = planned.order.shares.targets.iter().find(|(of, _)| *of == address);
    found.unwrap_or_else(|| panic!("{:?}", planned.order.shares)).1
}

/// What is reserved of a target, night by night.
async fn reserved(controller: &Controller, last: u8) -> Vec<i32> {
    let sql = format!(
        "SELECT s.rate FROM share s JOIN budget b ON b.id = s.budget_id
         WHERE b.address = '10.77.1.{last}' AND s.probe_id = '00000000-0000-0000-0000-000000000000' ORDER BY s.from_at"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&controller.pool).await.unwrap()
}

async fn alone(controller: &Controller) -> String {
    let next = controller.schedule("nightly").await.next_runs;
    next[0].without_controller.clone().expect("the next run is planned")
}

#[tokio::test]
async fn half_of_a_budget_is_reserved_and_controllers_lend_the_rest() {
    let (controller, mut probes) = planned(3, &[40], 3).await;
    let nights: Vec<u32> = {
        let mut rates = Vec::new();
        for probe in &probes {
            rates.push(rate(&tonight(probe).await.unwrap(), 10));
        }
        rates
    };
    // Three probes and room for four more.
    assert_eq!((nights, reserved(&controller, 10).await), (vec![2; 3], vec![14; 3]));
    let told = alone(&controller).await;
    assert!(told.contains("3 of 7 seats are taken, each with 2 new attempts"), "{told}");
    assert!(
        controller
            .services
            .forecast_schedule("nightly")
            .await
            .unwrap()
            .notes
            .iter()
            .any(|note| note.contains(&told))
    );

    let lent = async |probes: &mut Vec<Probe>| {
        controller.run().await;
        let mut lent = 0;
        for probe in probes.iter_mut() {
            let orders = probe.work().await.orders;
            lent += orders.iter().map(|order| order.shares.targets[0].1).sum::<u32>();
        }
        controller.change("UPDATE job SET state = 'finished', missed = planned, finished_at = now(), reason = 'cancelled'").await;
        controller.change("DELETE FROM share WHERE probe_id <> '00000000-0000-0000-0000-000000000000'").await;
        lent
    };
    assert_eq!(lent(&mut probes).await, 36, "by day everything that is of use");
    controller.a_day_later(10).await;
    assert_eq!(lent(&mut probes).await, 40 - 14, "and in that night the rest");
}

#[tokio::test]
async fn what_is_lent_for_longer_is_not_reserved_as_well() {
    let controller = Controller::new(Settings { plan_grace: Duration::from_secs(20), ..settings() }).await;
    controller.apply(&inventory(1, &[10], "")).await;
    let mut probe = controller.probe("v0").await;
    controller.run().await;
    probe.work().await;
    controller.change("UPDATE share SET rate = 10, until_at = now() + interval '36 hours'").await;
    plan(&controller, 1, &[10]).await;
    assert_eq!(reserved(&controller, 10).await.len(), 2, "of the second and the third night");
    let told = alone(&controller).await;
    assert!(told.contains("it does not take place") && told.contains("all of it is lent"), "{told}");
    assert_eq!(probe.services.ahead(&probe.session, &HashSet::new()).await.unwrap().new.len(), 2);
    // When it is given back the night is planned after all.
    controller.change("DELETE FROM share WHERE probe_id <> '00000000-0000-0000-0000-000000000000'").await;
    controller.services.plan_ahead().await.unwrap();
    assert_eq!(probe.services.ahead(&probe.session, &HashSet::new()).await.unwrap().new.len(), 3);
}

#[tokio::test]
async fn a_plan_that_is_made_anew_keeps_its_seats_and_what_they_may_use() {
    let (controller, probes) = planned(2, &[40], 2).await;
    let (one, two) = (tonight(&probes[0]).await.unwrap(), tonight(&probes[1]).await.unwrap());
    let before = reserved(&controller, 10).await;
    plan(&controller, 2, &[40, 20]).await;
    for (probe, old) in probes.iter().zip([&one, &two]) {
        let again = tonight(probe).await.unwrap();
        assert_ne!(again.order.id, old.order.id, "another target makes another plan");
        assert_eq!((rate(&again, 10), rate(&again, 11)), (rate(old, 10), 1));
    }
    assert_eq!(reserved(&controller, 10).await, before, "nothing is reserved twice");
    assert_eq!(reserved(&controller, 11).await, [6; 3], "for six seats");
    assert_eq!(controller.count("SELECT count(*) FROM plan_seat").await, 6);
    // Half of six is less than one for each of the seats that there are.
    plan(&controller, 2, &[40, 20, 6]).await;
    assert!(tonight(&probes[0]).await.is_none());
    let told = alone(&controller).await;
    assert!(told.contains("less than one attempt per second for each of 6 probes"), "{told}");
    assert_eq!(reserved(&controller, 10).await, before, "the probes may be away and hold what they had");
}

#[tokio::test]
async fn what_was_given_once_stays_reserved_until_its_time_is_over() {
    let (controller, probes) = planned(1, &[40], 1).await;
    assert_eq!(reserved(&controller, 10).await.len(), 3);
    let pause = PauseRequest::default();
    controller.services.pause_schedule(&operator(), "nightly", pause.clone()).await.unwrap();
    controller.services.plan_ahead().await.unwrap();
    controller.services.plan_ahead().await.unwrap();
    let background = controller.background();
    wait_for("what nobody was given to go", async || {
        reserved(&controller, 10).await.is_empty().then_some(())
    })
    .await;
    drop(background);

    controller.services.resume_schedule(&operator(), "nightly").await.unwrap();
    controller.services.plan_ahead().await.unwrap();
    wait_for("the plan", async || tonight(&probes[0]).await).await;
    let before = reserved(&controller, 10).await;
    controller.services.pause_schedule(&operator(), "nightly", pause).await.unwrap();
    controller.services.plan_ahead().await.unwrap();
    assert!(probes[0].services.ahead(&probes[0].session, &HashSet::new()).await.unwrap().hold.is_empty());
    assert_eq!(reserved(&controller, 10).await, before, "the probe may be away and hold it");
    controller.change("UPDATE plan_run SET start_at = now() - interval '3 hours', end_at = now() - interval '2 hours', until_at = now() - interval '1 second'").await;
    let _background = controller.background();
    wait_for("the run to be forgotten", async || {
        (controller.count("SELECT count(*) FROM plan_run").await
            + controller.count("SELECT count(*) FROM plan_seat").await
            == 0)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_smaller_budget_takes_plans_back_that_were_given_with_more() {
    let (controller, probes) = planned(1, &[40], 1).await;
    let before = tonight(&probes[0]).await.unwrap();
    assert_eq!((rate(&before, 10), reserved(&controller, 10).await), (4, vec![20; 3]));
    plan(&controller, 1, &[38]).await;
    assert!(probes[0].services.ahead(&probes[0].session, &HashSet::new()).await.unwrap().hold.is_empty());
    let told = alone(&controller).await;
    assert!(
        told.contains("more than half of 38, the budget of 10.77.1.10") && told.contains("taken back"),
        "{told}"
    );
    assert_eq!(reserved(&controller, 10).await, [20; 3], "a probe that is away may still hold it");
    plan(&controller, 1, &[40]).await;
    assert_eq!(tonight(&probes[0]).await.map(|again| rate(&again, 10)), Some(4));
}

#[tokio::test]
async fn what_does_not_fit_is_not_given_and_is_told() {
    let (controller, probes) = planned(1, &[200, 1], 1).await;
    assert!(tonight(&probes[0]).await.is_none());
    let told = alone(&controller).await;
    assert!(told.contains("half of 1, the budget of 10.77.1.11, is none"), "{told}");
    assert!(reserved(&controller, 10).await.is_empty(), "what nobody can use is not reserved");
    plan(&controller, 1, &[200, 20]).await;
    let planned = tonight(&probes[0]).await.unwrap();
    assert_eq!((rate(&planned, 10), rate(&planned, 11)), (12, 2));
}

#[tokio::test]
async fn more_probes_than_fit_at_the_same_time_take_turns() {
    let (controller, mut probes) = planned(5, &[6], 5).await;
    let mut spans: BTreeSet<(Timestamp, Timestamp)> = BTreeSet::new();
    for (number, probe) in probes.iter().enumerate() {
        let planned = tonight(probe).await.unwrap();
        assert_eq!((rate(&planned, 10), planned.turn), (1, Duration::ZERO), "{number}");
        let length = planned.deadline.duration_since(planned.start).unsigned_abs();
        assert_eq!(u64::from(planned.order.seconds_left), length.as_secs());
        spans.insert((planned.start, planned.deadline));
    }
    // Three at a time, seven that there is to be room for.
    let spans = Vec::from_iter(spans);
    assert_eq!(spans.len(), 2, "{spans:?}");
    let apart = spans[1].0.duration_since(spans[0].1).unsigned_abs();
    assert!(apart >= Duration::from_secs(310), "{spans:?}");
    assert_eq!(reserved(&controller, 10).await, [3; 3]);
    for _ in 0..5 {
        probes.push(controller.probe("v0").await);
    }
    let mut late = Vec::new();
    for probe in &probes[5..] {
        late.push(tonight(probe).await.map(|planned| planned.start));
    }
    assert_eq!(late.iter().filter(|start| start.is_some()).count(), 4, "nine seats: {late:?}");
    assert!(alone(&controller).await.contains("9 of 9 seats are taken"));
}

#[tokio::test]
async fn two_schedules_at_the_same_time_share_the_half() {
    let controller = Controller::new(settings()).await;
    controller.apply(&inventory(2, &[40], "")).await;
    let probe = controller.probe("v0").await;
    let cron = cron_ago(&controller, 10).await;
    let both = format!("{}{}", schedule("nightly", &cron, ""), schedule("weekly", &cron, ""));
    controller.apply(&inventory(2, &[40], &both)).await;
    controller.services.plan_ahead().await.unwrap();
    assert_eq!(reserved(&controller, 10).await, [10; 6]);
    assert_eq!(probe.services.ahead(&probe.session, &HashSet::new()).await.unwrap().new.len(), 6);
}

#[tokio::test]
async fn runs_that_clocks_would_not_tell_apart_share_what_is_reserved() {
    let controller = Controller::new(settings()).await;
    controller.apply(&inventory(1, &[40], "")).await;
    let (probe, other) = (controller.probe("v0").await, controller.probe("v0").await);
    let often = schedule("nightly", "* * * * *", "").replace("\"2h\"", "\"3m\"");
    controller.apply(&inventory(1, &[40], &often)).await;
    controller.services.plan_ahead().await.unwrap();
    let new = probe.services.ahead(&probe.session, &HashSet::new()).await.unwrap().new;
    assert!((2..=3).contains(&new.len()), "{new:?}");
    assert!(new.iter().all(|planned| rate(planned, 10) == rate(&new[0], 10)));
    assert_eq!(reserved(&controller, 10).await, [18], "six seats, once for all of them");
    other.services.ahead(&other.session, &HashSet::new()).await.unwrap();
    assert_eq!(controller.count("SELECT count(*) FROM plan_seat").await, 2, "one seat for all runs");
    let last = "SELECT count(*) FROM share s WHERE until_at < (SELECT max(end_at) + interval '150 seconds' FROM plan_run)";
    assert_eq!(controller.count(last).await, 0, "until the last of them is over");
    // As it was before the last of them was planned: it finds what the probes have.
    let runs = controller.count("SELECT count(*) FROM plan_run").await;
    controller.change("DELETE FROM plan WHERE due_at = (SELECT max(due_at) FROM plan)").await;
    controller.change("DELETE FROM plan_run WHERE due_at = (SELECT max(due_at) FROM plan_run)").await;
    controller.change("UPDATE share SET until_at = until_at - interval '1 minute'").await;
    controller.services.plan_ahead().await.unwrap();
    assert!(controller.count("SELECT count(*) FROM plan_run").await >= runs);
    assert_eq!(controller.count(last).await, 0);
    assert_eq!(reserved(&controller, 10).await, [18]);
}

#[tokio::test]
async fn a_probe_that_does_not_keep_to_it_is_given_nothing() {
    let (controller, probes) = planned(1, &[200], 1).await;
    let hello = Hello { keeps_plan_shares: false, ..hello() };
    let session = controller.services.open_session(probes[0].session.probe, &hello).await.unwrap();
    let ahead = controller.services.ahead(&session, &HashSet::new()).await.unwrap();
    assert!(ahead.new.is_empty() && ahead.hold.is_empty());
    assert_eq!(controller.count("SELECT count(*) FROM plan_seat").await, 0);
}

#[tokio::test]
async fn what_a_probe_was_given_before_anything_was_reserved_is_given_anew() {
    let (controller, probes) = planned(1, &[200], 1).await;
    let old = tonight(&probes[0]).await.unwrap().order.id;
    // As an earlier version left it.
    controller.change("DELETE FROM share").await;
    controller.change("DELETE FROM plan_run").await;
    let held = HashSet::from([old]);
    let ahead = probes[0].services.ahead(&probes[0].session, &held).await.unwrap();
    assert!(ahead.hold.is_empty(), "it is withdrawn");
    controller.services.plan_ahead().await.unwrap();
    let new = tonight(&probes[0]).await.unwrap();
    assert!(new.order.id != old && rate(&new, 10) > 0);
}

#[tokio::test]
async fn servers_that_are_targets_and_links_are_counted_as_well() {
    let controller = Controller::new(settings()).await;
    let text = "[[domain]]\nname = \"corp.example\"\ndns_servers = [\"10.77.1.10\", \"10.77.1.99\"]\ndiscover = false\n\
                [[target]]\ndomain = \"corp.example\"\nhost = \"dc0.corp.example\"\naddress = \"10.77.1.10\"\nbudget = 100\n\
                [[target]]\ndomain = \"corp.example\"\nhost = \"dc1.corp.example\"\naddress = \"10.77.1.11\"\n\
                [[vantage]]\nname = \"v0\"\nbudget = 40\n[[vantage]]\nname = \"v1\"\n";
    let nightly =
        schedule("nightly", &cron_ago(&controller, 10).await, "").replace("profile = \"ports\"\n", "");
    controller.apply(text).await;
    let (probe, other) = (controller.probe("v0").await, controller.probe("v1").await);
    controller.apply(&format!("{text}{nightly}")).await;
    controller.services.plan_ahead().await.unwrap();
    let new = probe.services.ahead(&probe.session, &HashSet::new()).await.unwrap().new;
    for planned in &new {
        let addresses: Vec<String> =
            planned.order.shares.targets.iter().map(|(address, _)| address.to_string()).collect();
        assert_eq!(addresses, ["10.77.1.10", "10.77.1.11"], "of all targets, and of no other server");
        assert_eq!(planned.order.shares.link, Some(10), "half of the link, for the one probe and one more");
    }
    assert!(new.len() >= 2, "flows and checks");
    assert_eq!(tonight(&other).await.unwrap().order.shares.link, None);
}

#[tokio::test]
async fn a_job_that_a_probe_began_and_forgot_needs_shares_as_any_other() {
    let (controller, mut probes) = planned(1, &[40], 1).await;
    let planned = tonight(&probes[0]).await.unwrap();
    controller.a_day_later(10).await;
    let probe = &mut probes[0];
    probe.held.insert(planned.order.id);
    probe.services.take_over(&probe.session, &probe.held).await.unwrap();
    assert!(probe.work().await.orders.is_empty(), "it is at work with what was reserved");
    // Another process, which has a part of it on its disk.
    let first: Vec<HandedIn> =
        results(&planned.order).into_iter().take(3).map(|r| HandedIn { autonomous: true, ..r }).collect();
    let mut again = Probe::connect(&controller, probe.session.probe).await;
    again.hand_in(first).await;
    let order = wait_for("the job to be lent for", async || again.work().await.orders.pop()).await;
    assert_eq!((order.id, order.tasks.len()), (planned.order.id, 9));
    assert!(order.shares.targets[0].1 > 0, "{order:?}");
}
