use jiff::{SignedDuration, tz::TimeZoneDatabase};
use sekisho::service::{Error, PauseRequest, ScheduleRun, ScheduleState, Settings};
use sekisho_model::SweepState;

use crate::{
    fleet::{Controller, LISTED, operator, results, settings, wait_for},
    schedules::{cron_ago, now, schedule},
};

fn reasons(runs: &[ScheduleRun]) -> Vec<&str> {
    runs.iter().map(|run| run.reason.as_deref().unwrap_or(&run.state)).collect()
}

#[tokio::test]
async fn twenty_due_runs_are_twenty_sweeps_however_many_controllers_race() {
    let one = Controller::new(settings()).await;
    let two = Controller::on(one.pool.clone(), settings()).await;
    let cron = cron_ago(&one, 10).await;
    let schedules: Vec<String> = (0..20).map(|n| schedule(&format!("s{n}"), &cron, "")).collect();
    one.apply_schedules(&schedules).await;
    let _backgrounds = [one.background(), two.background()];
    one.not_looked_for(12).await;
    let racers = (0..8).map(|number| {
        let services = if number % 2 == 0 { one.services.clone() } else { two.services.clone() };
        tokio::spawn(async move { services.start_due_runs().await })
    });
    for racer in racers.collect::<Vec<_>>() {
        racer.await.unwrap().unwrap();
    }
    wait_for("nothing to be due", || async {
        let due = one.count("SELECT count(*) FROM schedule WHERE look_at <= now()").await;
        (due == 0).then_some(())
    })
    .await;
    assert_eq!(one.count("SELECT count(*) FROM sweep").await, 20);
    assert_eq!(
        one.count("SELECT count(DISTINCT sweep_id) FROM schedule_run WHERE state = 'started'").await,
        20
    );
    let by_schedules = "SELECT count(*) FROM sweep s JOIN schedule_run r ON r.sweep_id = s.id
        JOIN audit a ON a.object = 'sweep ' || s.id AND a.action = 'sweep run' AND a.actor = s.actor
        WHERE s.actor = 'schedule:' || r.schedule AND s.schedule = r.schedule
          AND s.deadline = r.due_at + interval '2 hours'";
    assert_eq!(one.count(by_schedules).await, 20);
    let postponed = "SELECT count(*) FROM schedule WHERE look_at < now() + interval '1 hour'";
    assert_eq!(one.count(postponed).await, 0, "no controller stumbled over another one");
}

#[tokio::test]
async fn nothing_is_due_when_a_schedule_is_applied() {
    let controller = Controller::new(settings()).await;
    controller
        .apply_schedules(&[schedule("nightly", &cron_ago(&controller, 10).await, "catch_up = \"once\"")])
        .await;
    controller.services.start_due_runs().await.unwrap();
    let detail = controller.schedule("nightly").await;
    assert_eq!((detail.runs.len(), detail.next_runs.len()), (0, 5));
    assert_eq!(detail.summary.state, ScheduleState::Active);
    let first = &detail.next_runs[0];
    assert!(first.local.ends_with(" UTC") && first.deadline == first.due_at + SignedDuration::from_hours(2));
    assert_eq!(detail.summary.next.as_ref(), Some(first));
    assert!(detail.rules.iter().any(|rule| rule.contains("not put forward or back")), "{:?}", detail.rules);
}

#[tokio::test]
async fn a_run_is_skipped_while_the_one_before_is_under_way() {
    let controller = Controller::new(settings()).await;
    controller.apply_schedules(&[schedule("nightly", &cron_ago(&controller, 10).await, "")]).await;
    let sweep = controller.services.run_schedule(&operator(), "nightly").await.unwrap().summary.id;
    let again = controller.services.run_schedule(&operator(), "nightly").await;
    assert!(
        matches!(&again, Err(Error::Conflict(text)) if text.contains(&format!("sweep {sweep}"))),
        "{again:?}"
    );
    controller.not_looked_for(12).await;
    controller.services.start_due_runs().await.unwrap();
    let runs = controller.schedule("nightly").await.runs;
    assert_eq!(reasons(&runs), ["started", "overlap"]);
    assert_eq!(runs[0].asked_by.as_deref(), Some("test"));
    assert_eq!(runs[0].sweep.as_ref().unwrap().id, sweep);
    assert_eq!(
        runs[1].detail.as_deref(),
        Some(format!("sweep {sweep} of this schedule had not ended").as_str())
    );

    controller.services.cancel_sweep(&operator(), sweep).await.unwrap();
    controller.apply_schedules(&[schedule("nightly", &cron_ago(&controller, 5).await, "")]).await;
    controller.not_looked_for(7).await;
    controller.services.start_due_runs().await.unwrap();
    assert_eq!(reasons(&controller.schedule("nightly").await.runs), ["started", "started", "overlap"]);
    assert_eq!(controller.count("SELECT count(*) FROM audit WHERE action = 'schedule run'").await, 1);
}

#[tokio::test]
async fn a_paused_schedule_starts_nothing_until_it_is_resumed() {
    let controller = Controller::new(settings()).await;
    let services = &controller.services;
    controller.apply_schedules(&[schedule("nightly", &cron_ago(&controller, 10).await, "")]).await;
    let pause = |until: Option<&str>| PauseRequest {
        until: until.map(str::to_owned),
        reason: Some("upgrade".to_owned()),
    };
    let past = services.pause_schedule(&operator(), "nightly", pause(Some("2020-01-01"))).await;
    assert!(
        matches!(&past, Err(Error::Invalid(text)) if text.contains("2020-01-01 00:00 UTC is past")),
        "{past:?}"
    );
    let strange = services.pause_schedule(&operator(), "nightly", pause(Some("soon"))).await;
    assert!(
        matches!(&strange, Err(Error::Invalid(text)) if text.contains("\"soon\" is not a time")),
        "{strange:?}"
    );
    let long = PauseRequest { until: None, reason: Some("x".repeat(257)) };
    assert!(matches!(services.pause_schedule(&operator(), "nightly", long).await, Err(Error::Invalid(_))));

    let paused = services.pause_schedule(&operator(), "nightly", pause(None)).await.unwrap();
    assert_eq!((paused.summary.state, paused.next_runs.len()), (ScheduleState::Paused, 0));
    let told = paused.summary.pause.unwrap();
    assert_eq!((told.by.as_str(), told.reason.as_deref()), ("test", Some("upgrade")));
    controller.not_looked_for(12).await;
    assert_eq!(controller.newest_run("nightly").await.reason.as_deref(), Some("paused"));

    // Another file does not end it, and an end may be named later.
    controller
        .apply_schedules(&[schedule("nightly", &cron_ago(&controller, 5).await, "splay = \"1s\"")])
        .await;
    let until = now(&controller).await + SignedDuration::from_hours(30);
    let paused =
        services.pause_schedule(&operator(), "nightly", pause(Some(&until.to_string()))).await.unwrap();
    assert_eq!(paused.summary.pause.as_ref().unwrap().since, told.since);
    assert!(paused.next_runs[0].starts_at >= until, "{:?}", paused.next_runs);
    controller.not_looked_for(7).await;
    assert_eq!(controller.newest_run("nightly").await.reason.as_deref(), Some("paused"));

    let resumed = services.resume_schedule(&operator(), "nightly").await.unwrap();
    assert_eq!((resumed.summary.state, resumed.runs.len()), (ScheduleState::Active, 2));
    let again = services.resume_schedule(&operator(), "nightly").await;
    assert!(matches!(&again, Err(Error::Conflict(text)) if text.contains("not paused")), "{again:?}");
    controller.apply_schedules(&[schedule("nightly", &cron_ago(&controller, 4).await, "")]).await;
    controller.not_looked_for(6).await;
    assert_eq!(controller.newest_run("nightly").await.state, "started");
    assert_eq!(controller.count("SELECT count(*) FROM audit WHERE action = 'schedule pause'").await, 2);
    assert_eq!(controller.count("SELECT count(*) FROM audit WHERE action = 'schedule resume'").await, 1);
}

#[tokio::test]
async fn a_pause_ends_by_itself() {
    let controller = Controller::new(settings()).await;
    controller.apply_schedules(&[schedule("nightly", &cron_ago(&controller, 10).await, "")]).await;
    controller.services.pause_schedule(&operator(), "nightly", PauseRequest::default()).await.unwrap();
    sqlx::query(
        "UPDATE schedule SET paused_at = now() - interval '1 day', paused_until = now() - interval '1 hour'",
    )
    .execute(&controller.pool)
    .await
    .unwrap();
    assert_eq!(controller.schedule("nightly").await.summary.state, ScheduleState::Active);
    controller.not_looked_for(12).await;
    // Nobody has to ask.
    let _background = controller.background();
    let runs = wait_for("the run", || async {
        Some(controller.schedule("nightly").await.runs).filter(|runs| !runs.is_empty())
    })
    .await;
    assert_eq!(reasons(&runs), ["started"]);
}

#[tokio::test]
async fn nothing_is_started_in_a_blackout_but_by_hand() {
    let controller = Controller::new(settings()).await;
    let today = now(&controller).await;
    let days = [-24, 24].map(|hours| (today + SignedDuration::from_hours(hours)).strftime("%F").to_string());
    let frozen = format!("blackout = [\"{}..{}\"]\ncatch_up = \"once\"", days[0], days[1]);
    controller.apply_schedules(&[schedule("nightly", &cron_ago(&controller, 10).await, &frozen)]).await;
    controller.not_looked_for(12).await;
    let run = controller.newest_run("nightly").await;
    assert_eq!((run.state.as_str(), run.reason.as_deref()), ("skipped", Some("blackout")));
    assert!(run.detail.unwrap().contains(&format!("{}..{}", days[0], days[1])));
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 0);
    let notes = controller.services.forecast_schedule("nightly").await.unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("today is in the blackout")), "{notes:?}");
    controller.services.run_schedule(&operator(), "nightly").await.unwrap();
    assert_eq!(
        controller.count("SELECT count(*) FROM sweep WHERE actor = 'test' AND schedule IS NULL").await,
        1
    );
}

#[tokio::test]
async fn after_an_outage_runs_are_caught_up_once_or_not_at_all() {
    let controller = Controller::new(settings()).await;
    let cron = cron_ago(&controller, 180).await;
    controller
        .apply_schedules(&[schedule("skips", &cron, ""), schedule("once", &cron, "catch_up = \"once\"")])
        .await;
    controller.not_looked_for(182 + 2 * 24 * 60).await;
    controller.services.start_due_runs().await.unwrap();
    assert_eq!(reasons(&controller.schedule("skips").await.runs), ["too-late"; 3]);
    let runs = controller.schedule("once").await.runs;
    assert_eq!(reasons(&runs), ["started", "superseded", "superseded"]);
    assert!(runs[0].detail.as_deref().unwrap().starts_with("caught up"));
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 1);
    let whole_window = "SELECT count(*) FROM sweep WHERE deadline = started_at + interval '2 hours'";
    assert_eq!(controller.count(whole_window).await, 1);
}

#[tokio::test]
async fn an_outage_of_days_of_every_minute_keeps_its_bounds() {
    let controller = Controller::new(settings()).await;
    controller.apply_schedules(&[schedule("minutely", "* * * * *", "catch_up = \"once\"")]).await;
    controller.not_looked_for(2 * 24 * 60).await;
    controller.services.start_due_runs().await.unwrap();
    assert_eq!(controller.count("SELECT count(*) FROM schedule_run").await, 1_000);
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 1);
}

/// The newest day before today on which the clock of Berlin went forward, or back, and the moment at which it did.
fn change_of_clock(offset_after: i32, before: jiff::Timestamp) -> (jiff::civil::Date, jiff::Timestamp) {
    let berlin = TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
    let is_it = |change: &jiff::tz::TimeZoneTransition<'_>| change.offset().seconds() == offset_after;
    let change = berlin.preceding(before - SignedDuration::from_hours(48)).find(is_it).unwrap();
    (berlin.to_datetime(change.timestamp()).date(), change.timestamp())
}

#[tokio::test]
async fn a_time_that_the_clock_skips_or_repeats_is_one_run() {
    let controller = Controller::new(settings()).await;
    let now = now(&controller).await;
    let (spring, forward) = change_of_clock(7_200, now);
    let (autumn, back) = change_of_clock(3_600, now);
    let half_past_two = |name: &str, day: jiff::civil::Date| {
        let cron = format!("30 2 {} {} *", day.day(), day.month());
        schedule(name, &cron, "catch_up = \"once\"").replace("UTC", "Europe/Berlin")
    };
    controller.apply_schedules(&[half_past_two("spring", spring), half_past_two("autumn", autumn)]).await;
    let day = SignedDuration::from_hours(24);
    controller.not_looked_since(forward.min(back) - day).await;
    controller.services.start_due_runs().await.unwrap();
    let due = |runs: Vec<ScheduleRun>| runs.iter().map(|run| run.due_at).collect::<Vec<_>>();
    assert_eq!(due(controller.schedule("spring").await.runs), [forward]);
    let first_time = back - SignedDuration::from_mins(30);
    assert_eq!(due(controller.schedule("autumn").await.runs), [first_time]);
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 2);
}

#[tokio::test]
async fn a_run_whose_vantage_is_gone_is_a_recorded_failure() {
    let controller = Controller::new(settings()).await;
    let cron = cron_ago(&controller, 10).await;
    controller
        .apply_schedules(&[schedule("narrow", &cron, "vantages = [\"vlan20\"]"), schedule("wide", &cron, "")])
        .await;
    sqlx::query("UPDATE vantage SET removed_at = now() WHERE name = 'vlan20'")
        .execute(&controller.pool)
        .await
        .unwrap();
    controller.not_looked_for(12).await;
    let run = controller.newest_run("narrow").await;
    assert_eq!((run.state.as_str(), run.reason.as_deref()), ("failed", Some("inventory")));
    assert_eq!(run.detail.as_deref(), Some("there is no vantage \"vlan20\"; the inventory has vlan10"));
    let wide = controller.newest_run("wide").await.sweep.unwrap();
    assert_eq!((wide.state, wide.planned), (SweepState::Running, 24));
    let asked = controller.services.run_schedule(&operator(), "narrow").await;
    assert!(matches!(asked, Err(Error::NotFound(_))), "{asked:?}");

    // Without any domain there is nothing to sweep, which is no silence either.
    sqlx::query("UPDATE domain SET removed_at = now()").execute(&controller.pool).await.unwrap();
    sqlx::query("DELETE FROM schedule_run WHERE schedule = 'narrow'")
        .execute(&controller.pool)
        .await
        .unwrap();
    controller.not_looked_for(12).await;
    let run = controller.newest_run("narrow").await;
    assert!(run.detail.as_deref().unwrap().contains("the inventory has no domain"), "{run:?}");
}

#[tokio::test]
async fn a_change_of_the_schedule_runs_no_night_twice() {
    let controller = Controller::new(settings()).await;
    let cron = cron_ago(&controller, 10).await;
    controller.apply_schedules(&[schedule("nightly", &cron, "")]).await;
    controller.not_looked_for(12).await;
    let sweep = controller.newest_run("nightly").await.sweep.unwrap().id;
    controller.services.cancel_sweep(&operator(), sweep).await.unwrap();
    controller.apply_schedules(&[schedule("nightly", &cron, "splay = \"2m\"")]).await;
    controller.not_looked_for(12).await;
    assert_eq!(controller.newest_run("nightly").await.sweep.unwrap().id, sweep);
    assert_eq!(controller.count("SELECT count(*) FROM schedule_run").await, 1);
    let settled = "SELECT count(*) FROM schedule WHERE look_at > now() + interval '1 hour'";
    assert_eq!(controller.count(settled).await, 1, "it goes on from there");
    controller.apply_schedules(&[]).await;
    assert_eq!(controller.services.schedules().await.unwrap(), []);
    assert_eq!(controller.count("SELECT count(*) FROM schedule_run").await, 1, "what was stays known");
}

#[tokio::test]
async fn a_schedule_that_cannot_be_understood_keeps_no_other_from_running() {
    let controller = Controller::new(settings()).await;
    let cron = cron_ago(&controller, 10).await;
    controller.apply_schedules(&[schedule("a", &cron, ""), schedule("b", &cron, "")]).await;
    controller.not_looked_for(12).await;
    sqlx::query("UPDATE schedule SET definition = '{\"name\": \"a\"}' WHERE name = 'a'")
        .execute(&controller.pool)
        .await
        .unwrap();
    controller.services.start_due_runs().await.unwrap();
    assert_eq!(controller.count("SELECT count(*) FROM schedule_run WHERE schedule = 'b'").await, 1);
    let later = "SELECT count(*) FROM schedule WHERE name = 'a' AND look_at > now() + interval '50 seconds'";
    assert_eq!(controller.count(later).await, 1);
}

#[tokio::test]
async fn a_forecast_tells_what_a_run_would_test_and_starts_nothing() {
    let controller = Controller::new(settings()).await;
    controller.apply_schedules(&[schedule("nightly", "0 2 * * *", "")]).await;
    let _probe = controller.probe("vlan10").await;
    let forecast = controller.services.forecast_schedule("nightly").await.unwrap();
    assert_eq!((forecast.planned, forecast.planned_checks, forecast.window_seconds), (48, 0, 7_200));
    assert_eq!((forecast.services.len(), forecast.targets.len()), (12, 2));
    assert_eq!(forecast.targets[0].host, "dc1.corp.example");
    let vantages: Vec<_> =
        forecast.vantages.iter().map(|v| (v.vantage.as_str(), v.live_probes, v.flows)).collect();
    assert_eq!(vantages, [("vlan10", 1, 24), ("vlan20", 0, 24)]);
    assert_eq!((forecast.targets[0].budget, forecast.vantages[0].budget), (200, None));
    assert!(forecast.vantages[0].estimate.is_some() && forecast.vantages[1].estimate.is_none());
    assert_eq!((forecast.limit.as_str(), forecast.notes.len()), ("round-trips", 0));
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 0);
    controller.change("UPDATE domain SET budget = 20").await;
    controller.change("UPDATE target SET budget = 3 WHERE host = 'dc2.corp.example'").await;
    let tight = controller.services.forecast_schedule("nightly").await.unwrap();
    assert_eq!(tight.targets.iter().map(|target| target.budget).collect::<Vec<_>>(), [20, 3]);
    // 12 flows, all silent: 17 attempts each.
    assert_eq!((tight.limit.as_str(), tight.slowest_seconds), ("target-budget", 68));
    controller.change("UPDATE vantage SET budget = 2").await;
    let narrow = controller.services.forecast_schedule("nightly").await.unwrap();
    assert_eq!((narrow.limit.as_str(), narrow.slowest_seconds), ("link-budget", 204));
    // It says what the sweep then does.
    let sweep = controller.services.run_schedule(&operator(), "nightly").await.unwrap();
    assert_eq!(sweep.summary.planned, 48);
    let unknown = controller.services.forecast_schedule("nightyl").await;
    assert!(
        matches!(&unknown, Err(Error::NotFound(text)) if text.contains("the inventory has nightly")),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_night_keeps_neither_an_operator_nor_a_small_night_waiting() {
    let controller = Controller::new(Settings { tasks_per_job: 1, ..settings() }).await;
    let cron = cron_ago(&controller, 10).await;
    let one_vantage = "vantages = [\"vlan10\"]";
    let web = "[[profile]]\nname = \"web\"\nservices = [\"tcp/443\"]\n";
    let small = schedule("small", &cron, one_vantage).replace("\"ports\"", "\"web\"");
    controller.apply(&format!("{LISTED}{web}{}", schedule("big", &cron, one_vantage))).await;
    controller.not_looked_for(12).await;
    let big = controller.newest_run("big").await.sweep.unwrap().id;
    let mut probe = controller.probe("vlan10").await;
    let held = probe.work().await.orders;
    assert_eq!(held.len(), 4, "the probe is full");

    controller.apply(&format!("{LISTED}{web}{}{small}", schedule("big", &cron, one_vantage))).await;
    controller.not_looked_for(12).await;
    let small = controller.newest_run("small").await.sweep.unwrap().id;
    let asked = controller.run().await.summary.id;
    let mut order = Vec::new();
    let mut waiting: std::collections::VecDeque<_> = held.into();
    while let Some(done) = waiting.pop_front() {
        probe.hand_in(results(&done)).await;
        for next in probe.work().await.orders {
            let sweep: i64 = sqlx::query_scalar("SELECT sweep_id FROM job WHERE id = $1")
                .bind(next.id)
                .fetch_one(&controller.pool)
                .await
                .unwrap();
            order.push(sweep);
            waiting.push_back(next);
        }
    }
    assert_eq!(order.len(), 20 + 2 + 24);
    assert_eq!(order[..24], [asked; 24], "what an operator asked for comes first");
    let of_small: Vec<usize> = (0..order.len()).filter(|place| order[*place] == small).collect();
    assert!(of_small.iter().all(|place| *place < 24 + 6), "{of_small:?}");
    assert_eq!(order.iter().filter(|sweep| **sweep == big).count(), 20);
}
