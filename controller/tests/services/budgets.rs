//! Jobs come with shares of the budgets of what they talk to, and all shares together are never more than a budget.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use sekisho::service::{Hello, Order, Settings};
use sekisho_model::Outcome;

use crate::fleet::{Controller, Probe, hello, observed, operator, ports, results, settings, wait_for};

/// So many vantages, and dc1 with a budget.
fn inventory(vantages: usize, budget: u32) -> String {
    let head = format!(
        "[[domain]]\nname = \"corp.example\"\n[[target]]\ndomain = \"corp.example\"\nhost = \"dc1.corp.example\"\n\
         address = \"10.77.1.10\"\nbudget = {budget}\n"
    );
    (0..vantages).fold(head, |text, number| format!("{text}[[vantage]]\nname = \"v{number}\"\n"))
}

fn dc1() -> IpAddr {
    "10.77.1.10".parse().unwrap()
}

/// The rate to dc1 that an order may use.
fn rate(order: &Order) -> u32 {
    let [(address, rate)] = order.shares.targets[..] else { panic!("one share: {:?}", order.shares) };
    assert_eq!(address, dc1());
    rate
}

/// What is lent of all budgets together.
async fn lent(controller: &Controller) -> i64 {
    let sql = "SELECT coalesce(sum(rate), 0)::bigint FROM share WHERE until_at > clock_timestamp()";
    controller.count(sql).await
}

async fn finish(probe: &Probe, order: &Order) {
    probe.hand_in(results(order)).await;
    probe.services.job_finished(&probe.session, order.id).await.unwrap();
}

#[tokio::test]
async fn two_controllers_lend_no_more_than_a_budget() {
    let settings = Settings { live_window: Duration::from_secs(60), ..settings() };
    let one = Controller::new(settings.clone()).await;
    let two = Controller::on(one.pool.clone(), settings).await;
    one.apply(&inventory(24, 10)).await;
    let mut probes = Vec::new();
    for number in 0..24 {
        let controller = if number % 2 == 0 { &one } else { &two };
        probes.push(controller.probe(&format!("v{number}")).await);
    }
    let id = one.run().await.summary.id;
    let worker = async |mut probe: Probe| {
        wait_for("a job that fits to be given out", async || {
            let orders = probe.work().await.orders;
            let lent = lent(&one).await;
            assert!(lent <= 10, "{lent} are lent of 10");
            for order in &orders {
                assert!((1..=10).contains(&rate(order)), "{order:?}");
                finish(&probe, order).await;
            }
            (!orders.is_empty()).then_some(())
        })
        .await;
    };
    futures_util::future::join_all(probes.into_iter().map(worker)).await;
    assert_eq!(two.sweep(id).await.summary.observed, 24 * 12);
}

#[tokio::test]
async fn a_budget_that_is_lent_makes_jobs_wait_until_it_comes_back() {
    let controller = Controller::new(settings()).await;
    controller.apply(&inventory(2, 5)).await;
    let (mut first, mut second) = (controller.probe("v0").await, controller.probe("v1").await);
    // Two sweeps share the budget as two vantages do.
    controller.run().await;
    controller.run().await;
    let orders = first.work().await.orders;
    assert_eq!(orders.iter().map(rate).collect::<Vec<_>>(), [1, 1], "an equal part for each of four jobs");
    let others = second.work().await.orders;
    assert_eq!(others.iter().map(rate).collect::<Vec<_>>(), [1, 2], "the last one has what is left");
    assert_eq!(lent(&controller).await, 5);

    controller.run().await;
    assert!(first.work().await.orders.is_empty(), "everything is lent");
    finish(&first, &orders[0]).await;
    assert_eq!(lent(&controller).await, 5, "what was sent in the last second still counts");
    let order = wait_for("the share to come back", || async { first_order(&first).await }).await;
    assert_eq!(rate(&order), 1);
}

async fn first_order(probe: &Probe) -> Option<Order> {
    probe.services.work(&probe.session, &probe.held).await.unwrap().orders.pop()
}

#[tokio::test]
async fn the_share_of_a_lost_probe_counts_until_its_job_would_have_ended() {
    let controller = Controller::new(settings()).await;
    controller.apply(&inventory(1, 5)).await;
    let mut lost = controller.probe("v0").await;
    let other = controller.probe("v0").await;
    controller.run().await;
    let order = lost.work().await.orders.remove(0);
    assert_eq!(rate(&order), 5);
    let _background = controller.background();
    wait_for("the job to be taken from the lost probe", || async {
        other.services.heartbeat(&other.session, &Default::default()).await.unwrap();
        let queued = controller.count("SELECT count(*) FROM job WHERE state = 'queued'").await;
        (queued == 1).then_some(())
    })
    .await;
    assert!(first_order(&other).await.is_none(), "the lost probe may still be at work");
    controller.change("UPDATE share SET until_at = now()").await;
    let order = wait_for("the job", || async { first_order(&other).await }).await;
    assert_eq!(rate(&order), 5);
}

#[tokio::test]
async fn a_probe_that_forgot_gets_its_job_with_the_same_share() {
    let controller = Controller::new(settings()).await;
    controller.apply(&inventory(1, 7)).await;
    let mut probe = controller.probe("v0").await;
    controller.run().await;
    let order = probe.work().await.orders.remove(0);
    let mut again = Probe::connect(&controller, probe.session.probe).await;
    let sent_again = again.work().await.orders.remove(0);
    assert_eq!((sent_again.id, sent_again.shares), (order.id, order.shares.clone()));
    // What the older session says of it does not count any more.
    probe.services.job_finished(&probe.session, order.id).await.unwrap();
    let sql = "SELECT count(*) FROM share WHERE until_at > now() + interval '1 minute'";
    assert_eq!(controller.count(sql).await, 1, "it is still lent");
    again.services.job_finished(&again.session, order.id).await.unwrap();
    assert_eq!(controller.count(sql).await, 0);
}

#[tokio::test]
async fn a_probe_that_keeps_no_shares_counts_with_all_that_it_may_send() {
    let controller = Controller::new(settings()).await;
    controller.apply(&inventory(2, 200)).await;
    let old = controller.probe("v0").await.session.probe;
    let mut new = controller.probe("v1").await;
    let hello = Hello { keeps_shares: false, keeps_plan_shares: false, ..hello() };
    let session = controller.services.open_session(old, &hello).await.unwrap();
    let mut old = Probe { session, ..Probe::connect(&controller, new.session.probe).await };
    new = Probe::connect(&controller, new.session.probe).await;
    controller.run().await;
    let order = old.work().await.orders.remove(0);
    assert_eq!(rate(&order), 150, "fifty a second, and a burst of a hundred");
    assert_eq!(rate(&new.work().await.orders[0]), 12, "no more than there are flows");

    finish(&old, &order).await;
    controller.change("DELETE FROM share").await;
    controller.apply(&inventory(2, 149)).await;
    controller.run().await;
    assert!(old.work().await.orders.is_empty(), "the budget is below what it may send");
    assert_eq!(new.work().await.orders.len(), 1);
}

#[tokio::test]
async fn the_link_of_a_vantage_has_a_budget_over_all_targets() {
    let controller = Controller::new(settings()).await;
    let text = "[[domain]]\nname = \"corp.example\"\nbudget = 100\n\
                [[target]]\ndomain = \"corp.example\"\nhost = \"dc1.corp.example\"\naddress = \"10.77.1.10\"\n\
                [[target]]\ndomain = \"corp.example\"\nhost = \"dc2.corp.example\"\naddress = \"10.77.1.11\"\nbudget = 8\n\
                [[vantage]]\nname = \"v0\"\nbudget = 20\n";
    controller.apply(text).await;
    let changes = controller.services.apply_inventory(&operator(), "f", text, true).await.unwrap();
    assert!(changes.changes.is_empty(), "budgets are read as they were written: {:?}", changes.lines);
    let (mut first, mut second) = (controller.probe("v0").await, controller.probe("v0").await);
    controller.run().await;
    controller.run().await;
    let one = first.work().await.orders;
    let shares: BTreeMap<IpAddr, u32> = one[0].shares.targets.iter().copied().collect();
    assert_eq!(
        shares.values().copied().collect::<Vec<_>>(),
        [12, 4],
        "by flows, and by what two jobs have of 8"
    );
    assert_eq!((one.len(), one[0].shares.link, one[1].shares.link), (2, Some(10), Some(10)));
    controller.run().await;
    assert!(second.work().await.orders.is_empty(), "the link is lent");
}

#[tokio::test]
async fn targets_that_are_asked_as_dns_servers_are_counted_as_well() {
    let controller = Controller::new(settings()).await;
    controller
        .apply(
            "[[domain]]\nname = \"corp.example\"\ndns_servers = [\"10.77.1.10\", \"10.77.1.99\"]\ndiscover = true\n\
             [[target]]\ndomain = \"corp.example\"\nhost = \"dc1.corp.example\"\naddress = \"10.77.1.10\"\n\
             [[vantage]]\nname = \"v0\"\n",
        )
        .await;
    let mut probe = controller.probe("v0").await;
    controller.run().await;
    let discovery = probe.work().await.orders.remove(0);
    assert_eq!(rate(&discovery), 10, "of dc1, and none of a server that is no target");
    controller.start(sekisho::service::SweepRequest { profile: None, ..ports() }).await;
    probe.hand_in(vec![observed(discovery.id, 0, Outcome::Failed)]).await;
    let orders = probe.work().await.orders;
    assert!(!orders.is_empty() && orders.iter().all(|order| rate(order) > 0), "{orders:?}");
}
