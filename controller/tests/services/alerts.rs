use std::{collections::BTreeSet, time::Duration};

use ring::hmac;
use sekisho::{
    notify::{Endpoint, How, Secret, Setup},
    service::{AlertState, AlertSummary, NoticeState, Settings},
};
use sekisho_domain::alert::{AlertKind, Filter};
use sekisho_model::Outcome;

use crate::{
    comparison::{Blocked, seen, sweep as work},
    fleet::{Controller, LISTED, Probe, operator, settings, wait_for},
    receiver::{Behaviour, Received, Receiver},
};

const POLICIES: &str = r#"
[[policy]]
name = "twenty-reaches-dcs"
from = { vantage = "vlan20" }
profile = "domain-join"
expect = "allow"
"#;

const SECRET: &str = "correct horse battery staple";

pub(crate) fn patient() -> Settings {
    Settings {
        alert_retry: Duration::from_millis(20),
        alert_hold: Duration::from_secs(3_600),
        // Pretended probes send no heartbeats.
        live_window: Duration::from_secs(60),
        ..settings()
    }
}

fn webhook(name: &str, receiver: &Receiver) -> Setup {
    let url = format!("http://{}/hooks/T0KEN", receiver.address).parse().unwrap();
    let secret = Some(Secret::new(SECRET));
    let endpoint = Endpoint { url, secret, authorities: None };
    Setup { name: name.to_owned(), filter: Filter::default(), how: How::Webhook(endpoint) }
}

fn tell(controller: &Controller, setups: Vec<Setup>) {
    // As the program does it; another test may have been faster.
    rustls::crypto::ring::default_provider().install_default().ok();
    let channels = setups.into_iter().map(|setup| sekisho::notify::channel(setup).unwrap());
    controller.services.set_channels(channels.collect());
}

/// A controller, and the probes of two vantages.
pub(crate) async fn fleet(settings: Settings, setups: Vec<Setup>) -> (Controller, Probe, Probe) {
    let controller = Controller::new(settings).await;
    tell(&controller, setups);
    controller.apply(&format!("{LISTED}{POLICIES}")).await;
    let (ten, twenty) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    (controller, ten, twenty)
}

/// A sweep in which these flows of vlan20 are blocked; returns its number.
pub(crate) async fn night(fleet: &mut (Controller, Probe, Probe), blocked: &[Blocked<'_>]) -> i64 {
    let sweep = fleet.0.run().await.summary.id;
    work(&mut fleet.1, &[]).await;
    work(&mut fleet.2, blocked).await;
    sweep
}

async fn alerts(controller: &Controller, all: bool) -> Vec<AlertSummary> {
    controller.services.alerts(all, 100).await.unwrap()
}

pub(crate) const SMB: [Blocked<'static>; 2] =
    [("dc1", "smb", Outcome::Filtered, &[]), ("dc2", "smb", Outcome::Filtered, &[])];

#[tokio::test]
async fn an_alert_is_told_once_until_it_is_over() {
    let receiver = Receiver::new(&[Behaviour::Fine]).await;
    let mut fleet = fleet(patient(), vec![webhook("ops", &receiver)]).await;
    let services = fleet.0.services.clone();
    night(&mut fleet, &[]).await;
    assert_eq!(services.consider_sweeps().await.unwrap(), 1);
    assert!(alerts(&fleet.0, true).await.is_empty());
    for sweep in 2..=3 {
        assert_eq!(night(&mut fleet, &SMB).await, sweep);
        assert_eq!(services.consider_sweeps().await.unwrap(), 1);
        assert_eq!(services.consider_sweeps().await.unwrap(), 0, "considered twice");
    }
    let open = alerts(&fleet.0, false).await;
    let told: Vec<_> = open.iter().map(|alert| (alert.kind, alert.state, alert.flows, alert.sweep)).collect();
    assert_eq!(told, [(AlertKind::Gap, AlertState::Open, 1, 2), (AlertKind::Gap, AlertState::Open, 1, 2)]);
    assert!(open[0].seen_at > open[0].opened_at, "the second night has seen it too");
    services.deliver_notices("ops").await.unwrap();

    night(&mut fleet, &[]).await;
    services.consider_sweeps().await.unwrap();
    services.deliver_notices("ops").await.unwrap();
    assert!(alerts(&fleet.0, false).await.is_empty());
    let over = alerts(&fleet.0, true).await;
    assert!(over.iter().all(|alert| alert.state == AlertState::Over && alert.resolved_sweep == Some(4)));
    let states: Vec<_> = over.iter().flat_map(|alert| &alert.notices).map(|notice| notice.state).collect();
    assert_eq!(states, [NoticeState::Sent; 4]);

    let received = receiver.received();
    let events: Vec<String> =
        received.iter().map(|r| r.json()["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["open", "open", "resolved", "resolved"]);
    let first = received[0].json();
    assert_eq!((&first["version"], &first["kind"], &first["flows"]), (&1.into(), &"gap".into(), &1.into()));
    assert_eq!((&first["sweep"], &first["previous"]), (&2.into(), &1.into()));
    assert_eq!(first["about"]["cause"], "path-filter");
    assert_eq!(first["about"]["regressed"], 1);
    assert_eq!(first["items"][0]["vantage"], "vlan20");
    assert_eq!(received[0].path, "/hooks/T0KEN");
    assert!(received[2].json()["resolved_at"].is_string());
    for one in &received {
        assert_eq!(one.headers["idempotency-key"], one.key());
        verify(one);
    }
}

/// As a receiver does it.
fn verify(received: &Received) {
    let timestamp = &received.headers["sekisho-timestamp"];
    let age = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{timestamp}");
    let hex = received.headers["sekisho-signature"].strip_prefix("v1=").unwrap();
    let tag: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mut signed = format!("{timestamp}.").into_bytes();
    signed.extend(&received.body);
    hmac::verify(&key, &signed, &tag).unwrap();
    signed.push(b' ');
    hmac::verify(&key, &signed, &tag).unwrap_err();
}

#[tokio::test]
async fn what_comes_in_late_is_told_once() {
    let mut fleet = fleet(patient(), Vec::new()).await;
    let services = fleet.0.services.clone();
    night(&mut fleet, &[]).await;
    // vlan20 is not heard in time, and hands in later.
    let sweep = fleet.0.run().await.summary.id;
    work(&mut fleet.1, &[]).await;
    let orders = fleet.2.work().await.orders;
    fleet.0.count("WITH late AS (UPDATE sweep SET deadline = now() - interval '1 hour' WHERE id = 2 RETURNING 1) SELECT count(*) FROM late").await;
    let stop = fleet.0.background();
    let open = wait_for("the lost vantage", async || {
        let open = alerts(&fleet.0, false).await;
        (!open.is_empty()).then_some(open)
    })
    .await;
    stop.send_replace(true);
    assert_eq!((open.len(), open[0].kind), (1, AlertKind::LostVantage));
    assert!(open[0].summary.contains("vlan20"), "{}", open[0].summary);
    for order in &orders {
        fleet.2.hand_in(seen(order, &SMB)).await;
    }
    assert_eq!(fleet.0.sweep(sweep).await.summary.missed, 0);
    services.consider_sweeps().await.unwrap();
    assert_eq!(services.consider_sweeps().await.unwrap(), 0);
    let all = alerts(&fleet.0, true).await;
    let kinds: Vec<_> = all.iter().map(|alert| (alert.kind, alert.state)).collect();
    let (gap, lost) = (AlertKind::Gap, AlertKind::LostVantage);
    assert_eq!(kinds, [(gap, AlertState::Open), (gap, AlertState::Open), (lost, AlertState::Over)]);
}

#[tokio::test]
async fn an_older_sweep_that_ends_later_does_not_speak_against_a_newer_one() {
    let mut fleet = fleet(patient(), Vec::new()).await;
    let services = fleet.0.services.clone();
    let old = fleet.0.run().await.summary.id;
    let orders = [fleet.1.work().await.orders, fleet.2.work().await.orders];
    night(&mut fleet, &[]).await;
    services.consider_sweeps().await.unwrap();
    for (probe, orders) in [&fleet.1, &fleet.2].into_iter().zip(&orders) {
        for order in orders {
            probe.hand_in(seen(order, &SMB)).await;
        }
    }
    assert!(fleet.0.sweep(old).await.summary.finished_at.is_some());
    assert_eq!(services.consider_sweeps().await.unwrap(), 1);
    assert!(alerts(&fleet.0, true).await.is_empty());
}

#[tokio::test]
async fn a_receiver_that_fails_half_of_the_time_gets_every_notice() {
    use Behaviour::{Broken, Fine, Mute, Reset, Slow};
    let receiver = Receiver::new(&[Broken, Fine, Reset, Slow, Mute, Fine, Broken, Broken, Fine, Fine]).await;
    let mut fleet = fleet(patient(), vec![webhook("ops", &receiver)]).await;
    let _stop = fleet.0.background();
    let mut blocked: Vec<Blocked<'_>> = Vec::new();
    for service in ["smb", "ldap", "gc", "ldaps", "kerberos-tcp", "rpc-epm", "dns-tcp"] {
        blocked.push(("dc1", service, Outcome::Filtered, &[]));
        blocked.push(("dc2", service, Outcome::Closed, &[]));
    }
    night(&mut fleet, &[]).await;
    night(&mut fleet, &blocked).await;
    wait_for("the alerts", async || (!alerts(&fleet.0, false).await.is_empty()).then_some(())).await;
    night(&mut fleet, &[]).await;
    let all = wait_for("every notice to be sent", async || {
        let all = alerts(&fleet.0, true).await;
        let is_told = |alert: &AlertSummary| {
            alert.notices.len() == 2 && alert.notices.iter().all(|notice| notice.state == NoticeState::Sent)
        };
        all.iter().all(is_told).then_some(all)
    })
    .await;
    let keys: BTreeSet<String> =
        all.iter().flat_map(|alert| &alert.notices).map(|notice| notice.key.to_string()).collect();
    let received = receiver.received();
    let got: BTreeSet<String> = received.iter().map(Received::key).collect();
    assert_eq!(got, keys, "every notice and no other");
    assert!(keys.len() >= 4, "{keys:?}");
    assert!(received.len() > keys.len(), "some came twice, with the same key");
    for alert in &all {
        // In order, whatever failed: the end is never told before the beginning has arrived.
        let is_fine = |r: &&Received| matches!(r.behaviour, Fine | Slow) && r.json()["alert"] == alert.id;
        let events: Vec<_> = received.iter().filter(is_fine).map(|r| r.json()["event"].clone()).collect();
        assert_eq!(events, ["open", "resolved"], "alert {}", alert.id);
    }
    received.iter().for_each(verify);
}

#[tokio::test]
async fn the_end_is_not_told_before_the_beginning() {
    let receiver = Receiver::new(&[Behaviour::Broken, Behaviour::Fine]).await;
    let settings = Settings { alert_retry: Duration::from_secs(3_600), ..patient() };
    let mut fleet = fleet(settings, vec![webhook("ops", &receiver)]).await;
    let services = fleet.0.services.clone();
    for blocked in [&SMB[..1], &[]] {
        night(&mut fleet, blocked).await;
        services.consider_sweeps().await.unwrap();
    }
    assert_eq!(services.deliver_notices("ops").await.unwrap(), 1, "the end waits for the beginning");
    fleet
        .0
        .count("WITH x AS (UPDATE alert_notice SET next_at = now() RETURNING 1) SELECT count(*) FROM x")
        .await;
    assert_eq!(services.deliver_notices("ops").await.unwrap(), 2);
    let events: Vec<_> =
        receiver.received().iter().map(|received| received.json()["event"].clone()).collect();
    assert_eq!(events, ["open", "open", "resolved"]);
}

#[tokio::test]
async fn two_controllers_tell_once() {
    let receiver = Receiver::new(&[Behaviour::Fine, Behaviour::Slow]).await;
    let mut fleet = fleet(patient(), vec![webhook("ops", &receiver)]).await;
    let second = Controller::on(fleet.0.pool.clone(), patient()).await;
    tell(&second, vec![webhook("ops", &receiver)]);
    let _stops = (fleet.0.background(), second.background());
    for turn in 0..4 {
        night(&mut fleet, if turn % 2 == 0 { &SMB } else { &[] }).await;
        let wanted = fleet.0.sweep(turn + 1).await.summary.id;
        wait_for("both to have looked", async || {
            let considered = fleet.0.count("SELECT coalesce(max(sweep_id), 0) FROM alert_sweep").await;
            let waiting = fleet.0.count("SELECT count(*) FROM alert_notice WHERE state = 'waiting'").await;
            (considered == wanted && waiting == 0).then_some(())
        })
        .await;
    }
    let keys: Vec<String> = receiver.received().iter().map(Received::key).collect();
    let notices: Vec<_> = alerts(&second, true).await.into_iter().flat_map(|alert| alert.notices).collect();
    assert_eq!((keys.len(), keys.iter().collect::<BTreeSet<_>>().len()), (notices.len(), notices.len()));
    assert!(notices.len() >= 2 && notices.iter().all(|notice| notice.attempts == 1), "{notices:?}");
}

#[tokio::test]
async fn who_dies_between_sending_and_noting_repeats_the_notice() {
    let receiver = Receiver::new(&[Behaviour::Hang]).await;
    let mut fleet = fleet(patient(), vec![webhook("ops", &receiver)]).await;
    night(&mut fleet, &SMB[..1]).await;
    fleet.0.services.consider_sweeps().await.unwrap();
    let stop = fleet.0.background();
    wait_for("the notice", async || (!receiver.received().is_empty()).then_some(())).await;
    // The answer never comes, and the controller ends.
    stop.send_replace(true);
    receiver.behave(&[Behaviour::Fine]);
    let services = fleet.0.services.clone();
    assert_eq!(services.deliver_notices("ops").await.unwrap(), 0, "its lease still holds");
    fleet
        .0
        .count("WITH x AS (UPDATE alert_notice SET next_at = now() RETURNING 1) SELECT count(*) FROM x")
        .await;
    assert_eq!(services.deliver_notices("ops").await.unwrap(), 1);
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!((received[0].key(), &received[0].body), (received[1].key(), &received[1].body));
    assert_eq!(alerts(&fleet.0, false).await[0].notices[0].state, NoticeState::Sent);
}

#[tokio::test]
async fn what_cannot_be_delivered_is_given_up_and_shown() {
    let receiver = Receiver::new(&[Behaviour::Redirect]).await;
    let mut fleet = fleet(patient(), vec![webhook("ops", &receiver), webhook("old", &receiver)]).await;
    night(&mut fleet, &SMB[..1]).await;
    fleet.0.services.consider_sweeps().await.unwrap();
    // A controller whose configuration has one of the two channels no longer, two days later.
    let second = Controller::on(fleet.0.pool.clone(), patient()).await;
    tell(&second, vec![webhook("ops", &receiver)]);
    assert_eq!(second.services.deliver_notices("ops").await.unwrap(), 1);
    let two_days = "WITH x AS (UPDATE alert_notice SET created_at = created_at - interval '2 days',
                    next_at = next_at - interval '2 days' RETURNING 1) SELECT count(*) FROM x";
    fleet.0.count(two_days).await;
    let _stop = second.background();
    let notices = wait_for("the end of its patience", async || {
        let notices = alerts(&second, false).await.remove(0).notices;
        notices.iter().all(|notice| notice.state == NoticeState::Failed).then_some(notices)
    })
    .await;
    let failed = |channel: &str| notices.iter().find(|notice| notice.channel == channel).unwrap().clone();
    assert_eq!(failed("old").error.as_deref(), Some("no controller has this channel"));
    assert_eq!(failed("ops").attempts, 2);
    let failed = failed("ops");
    let error = failed.error.unwrap();
    assert!(error.contains("302") && error.contains("redirects are not followed"), "{error}");
    assert!(!error.contains("T0KEN") && !error.contains("elsewhere"), "{error}");
    // The background looks at once when it starts, and then rarely.
    let _again = second.background();
    wait_for("the health to tell", async || {
        let health = second.services.health().await;
        health
            .checks
            .iter()
            .any(|check| check.detail == "0 waiting, 2 given up in the last day")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_outbox_keeps_the_alert_and_says_that_nobody_was_told() {
    let receiver = Receiver::new(&[Behaviour::Fine]).await;
    let mut fleet = fleet(patient(), vec![webhook("ops", &receiver)]).await;
    let fill = "WITH x AS (INSERT INTO alert_notice (key, channel, event, body)
                SELECT gen_random_uuid(), 'other', 'test', '{}' FROM generate_series(1, 9999) RETURNING 1) SELECT count(*) FROM x";
    fleet.0.count(fill).await;
    night(&mut fleet, &SMB[..1]).await;
    night(&mut fleet, &[("dc1", "smb", Outcome::Filtered, &[]), ("dc2", "ldap", Outcome::Closed, &[])]).await;
    fleet.0.services.consider_sweeps().await.unwrap();
    let open = alerts(&fleet.0, false).await;
    let states: Vec<_> = open.iter().rev().map(|alert| alert.notices[0].state).collect();
    assert_eq!(states, [NoticeState::Waiting, NoticeState::Failed]);
    assert_eq!(open[0].notices[0].error.as_deref(), Some("10000 notices are waiting already"));
}

#[tokio::test]
async fn a_channel_is_tried_and_told_of_what_it_wants() {
    let (all, some) = (Receiver::new(&[Behaviour::Fine]).await, Receiver::new(&[Behaviour::Broken]).await);
    let kinds = vec![AlertKind::LostVantage];
    let some_setup = Setup { filter: Filter { kinds, ..Filter::default() }, ..webhook("vantages", &some) };
    let mut fleet = fleet(patient(), vec![webhook("ops", &all), some_setup]).await;
    let services = fleet.0.services.clone();
    night(&mut fleet, &SMB[..1]).await;
    services.consider_sweeps().await.unwrap();
    services.deliver_notices("ops").await.unwrap();
    services.deliver_notices("vantages").await.unwrap();
    assert_eq!((all.received().len(), some.received().len()), (1, 0));

    let unknown = services.test_channel(&operator(), "pager").await.unwrap_err().to_string();
    assert!(unknown.contains("\"pager\"") && unknown.contains("ops, vantages"), "{unknown}");
    for (channel, state) in [("ops", NoticeState::Sent), ("vantages", NoticeState::Failed)] {
        let asked = services.test_channel(&operator(), channel).await.unwrap();
        assert_eq!(asked.state, NoticeState::Waiting);
        services.deliver_notices(channel).await.unwrap();
        let became = services.notice(asked.key).await.unwrap();
        assert_eq!((became.state, became.attempts), (state, 1), "a test is tried once");
    }
    assert_eq!(all.received()[1].json()["event"], "test");
    let secret = fleet
        .0
        .count("SELECT count(*) FROM alert_notice n WHERE n::text LIKE '%T0KEN%' OR n::text LIKE '%horse%'")
        .await;
    assert_eq!(secret, 0);
    assert_eq!(fleet.0.count("SELECT count(*) FROM audit WHERE action = 'alert test'").await, 2);
}
