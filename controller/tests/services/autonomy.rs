use std::{collections::HashSet, time::Duration};

use jiff::SignedDuration;
use prost::Message as _;
use sekisho::service::{
    Ahead, Error, HandedIn, Order, OrderTaskKind, PauseRequest, PlannedOrder, Settings, SweepRef,
    SweepRequest,
};
use sekisho_model::SweepState;
use sekisho_proto::v1::{self, controller_message::Message as Out};
use uuid::Uuid;

use crate::{
    fleet::{Controller, LISTED, Probe, SEARCHED, operator, results, settings},
    schedules::{cron_ago, now, schedule},
};

/// Time limits of the product where they concern whether a probe is there, so that nothing is given up within a test.
fn calm() -> Settings {
    Settings { plan_grace: Duration::from_secs(20), ..Settings::default() }
}

impl Controller {
    /// As if it were a day later: the plans that were made for tomorrow are of today.
    pub(crate) async fn a_day_later(&self, minutes: i64) {
        self.change(
            "UPDATE plan SET due_at = due_at - interval '1 day', start_at = start_at - interval '1 day',
                             deadline = deadline - interval '1 day'
             WHERE number = (SELECT min(number) FROM plan)",
        )
        .await;
        self.change("DELETE FROM plan WHERE number > (SELECT min(number) FROM plan)").await;
        self.change(
            "WITH night AS (SELECT id FROM plan_run WHERE due_at = (SELECT min(due_at) FROM plan_run)), moved AS (
                 UPDATE plan_run SET due_at = due_at - interval '1 day', start_at = start_at - interval '1 day',
                        end_at = end_at - interval '1 day', until_at = until_at - interval '1 day'
                 WHERE id IN (SELECT id FROM night))
             UPDATE share SET from_at = from_at - interval '1 day', until_at = until_at - interval '1 day'
             WHERE probe_id = '00000000-0000-0000-0000-000000000000'",
        )
        .await;
        self.not_looked_for(minutes + 2).await;
    }

    /// A schedule that was due so many minutes ago, and its plans.
    async fn planned(inventory: &str, minutes: i64, settings: Settings) -> Self {
        let controller = Self::new(settings).await;
        let schedule = schedule("nightly", &cron_ago(&controller, minutes).await, "");
        controller.apply(&format!("{inventory}{schedule}")).await;
        controller.services.plan_ahead().await.unwrap();
        controller
    }

    async fn plans(&self) -> Vec<i64> {
        sqlx::query_scalar("SELECT number FROM plan ORDER BY due_at").fetch_all(&self.pool).await.unwrap()
    }
}

impl Probe {
    async fn ahead(&self, held: &HashSet<Uuid>) -> Ahead {
        self.services.ahead(&self.session, held).await.unwrap()
    }

    /// The jobs that it is to hold for the next night.
    async fn next_night(&self) -> Vec<PlannedOrder> {
        let new = self.ahead(&HashSet::new()).await.new;
        let first = new.iter().map(|planned| planned.start).min().unwrap();
        new.into_iter().filter(|planned| planned.start == first).collect()
    }
}

/// Results of a job that a probe did by itself.
fn alone(order: &Order) -> Vec<HandedIn> {
    results(order).into_iter().map(|result| HandedIn { autonomous: true, ..result }).collect()
}

#[tokio::test]
async fn the_next_nights_are_planned_once_and_each_probe_holds_its_part() {
    let controller = Controller::planned(LISTED, 10, calm()).await;
    let plans = controller.plans().await;
    assert_eq!(plans.len(), 3);
    controller.services.plan_ahead().await.unwrap();
    assert_eq!(controller.plans().await, plans, "nothing has changed");

    let (one, two) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    assert_eq!(controller.count("SELECT count(*) FROM plan WHERE given_at IS NOT NULL").await, 0);
    let (first, second) = (one.ahead(&HashSet::new()).await, two.ahead(&HashSet::new()).await);
    assert_eq!((first.new.len(), first.hold.len(), first.begun.len()), (3, 3, 0));
    assert!(first.hold.is_disjoint(&second.hold));
    let planned = &first.new[0];
    assert_eq!((planned.order.targets.len(), planned.order.tasks.len()), (2, 24));
    assert_eq!((planned.schedule.as_str(), planned.order.seconds_left), ("nightly", 7_200));
    assert_eq!(planned.due, planned.start);
    assert!(planned.start > now(&controller).await + SignedDuration::from_hours(23));
    assert_eq!(controller.count("SELECT count(*) FROM plan WHERE given_at IS NOT NULL").await, 3);
    // What it holds is not sent again.
    let held = HashSet::from_iter(first.hold.iter().copied());
    let again = one.ahead(&held).await;
    assert!(again.new.is_empty() && again.hold == first.hold);
}

#[tokio::test]
async fn the_probes_of_a_vantage_stand_in_for_each_other_in_turn() {
    let controller = Controller::planned(LISTED, 10, calm()).await;
    let (one, two) = (controller.probe("vlan20").await, controller.probe("vlan20").await);
    let turns = [one.next_night().await[0].turn, two.next_night().await[0].turn];
    assert_eq!(turns, [Duration::ZERO, Duration::from_secs(3_600)]);
    assert_eq!(one.ahead(&HashSet::new()).await.hold, two.ahead(&HashSet::new()).await.hold);
}

#[tokio::test]
async fn a_night_without_a_controller_is_handed_in_later_into_one_sweep() {
    let controller = Controller::planned(LISTED, 10, calm()).await;
    let (one, two) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    let (first, second) = (one.next_night().await, two.next_night().await);
    controller.a_day_later(10).await;
    // Nobody has begun the run: the first results do.
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 0);
    let ingested = one.hand_in(alone(&first[0].order)).await;
    assert_eq!((ingested.new, ingested.dropped.len()), (24, 0));
    let id = controller.services.sweep(SweepRef::Latest(0)).await.unwrap().summary.id;
    let sweep = controller.sweep(id).await;
    let counts = (sweep.summary.planned, sweep.summary.observed, sweep.summary.missed);
    assert_eq!((counts, sweep.summary.state), ((48, 24, 0), SweepState::Running));
    let start = first[0].start - SignedDuration::from_hours(24);
    assert_eq!(sweep.summary.started_at, start, "it began when it was due");
    let run = &controller.schedule("nightly").await.runs[0];
    assert!(run.detail.as_ref().unwrap().contains("no controller was there"), "{run:?}");

    assert_eq!(two.hand_in(alone(&second[0].order)).await.new, 24);
    assert_eq!(two.hand_in(alone(&second[0].order)).await.repeated, 24);
    let sweep = controller.sweep(id).await;
    assert_eq!((sweep.summary.observed, sweep.summary.state), (48, SweepState::Complete));
    assert!(sweep.jobs.iter().all(|job| job.autonomous && job.handed_in_at.is_some()), "{:?}", sweep.jobs);
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 1);
    // It is over for the probes as well.
    assert!(
        one.ahead(&HashSet::new())
            .await
            .hold
            .is_disjoint(&HashSet::from([first[0].order.id]).into_iter().collect())
    );
}

#[tokio::test]
async fn a_night_whose_window_is_over_is_not_lost() {
    // So long what probes did by themselves may take to come in.
    let settings = Settings { lost_grace: Duration::from_millis(600), ..calm() };
    let controller = Controller::planned(LISTED, 180, settings).await;
    let probe = controller.probe("vlan20").await;
    let planned = probe.next_night().await.remove(0);
    controller.a_day_later(180).await;
    controller.services.start_due_runs().await.unwrap();
    let run = controller.schedule("nightly").await.runs.remove(0);
    assert_eq!((run.state.as_str(), run.reason), ("started", None));
    let id = run.sweep.unwrap().id;
    let _background = controller.background();
    crate::fleet::wait_for("the end of the sweep", || async {
        (controller.sweep(id).await.summary.state == SweepState::Partial).then_some(())
    })
    .await;
    assert_eq!(probe.hand_in(alone(&planned.order)).await.new, 24);
    let sweep = controller.sweep(id).await;
    assert_eq!((sweep.summary.planned, sweep.summary.observed, sweep.summary.missed), (48, 24, 24));
    let late = sweep.jobs.iter().find(|job| job.vantage == "vlan20").unwrap();
    assert!(late.autonomous && late.missed == 0);
    let never = sweep.jobs.iter().find(|job| job.vantage == "vlan10").unwrap();
    assert!(!never.autonomous && never.handed_in_at.is_none() && never.missed == 24);
}

#[tokio::test]
async fn a_run_that_no_probe_was_given_is_decided_as_ever() {
    let controller = Controller::planned(LISTED, 180, calm()).await;
    controller.a_day_later(180).await;
    let run = controller.newest_run("nightly").await;
    assert_eq!(run.reason.as_deref(), Some("too-late"));
    controller.services.plan_ahead().await.unwrap();
    assert_eq!(controller.count("SELECT count(*) FROM plan WHERE start_at < now()").await, 0);
}

#[tokio::test]
async fn with_a_controller_the_same_jobs_are_given_out() {
    let controller =
        Controller::planned(LISTED, 10, Settings { plan_grace: Duration::from_secs(3_600), ..calm() }).await;
    let (mut one, mut two) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    let planned = one.next_night().await.remove(0);
    controller.a_day_later(10).await;
    let id = controller.newest_run("nightly").await.sweep.unwrap().id;
    let ahead = one.ahead(&HashSet::from([planned.order.id])).await;
    assert!(ahead.begun.contains(&planned.order.id), "the probe leaves it to the controller");
    assert!(controller.sweep(id).await.summary.started_at > planned.start - SignedDuration::from_hours(24));
    let orders = one.work().await.orders;
    assert_eq!(orders.iter().map(|order| order.id).collect::<Vec<_>>(), [planned.order.id]);
    let tasks = |order: &Order| {
        order.tasks.iter().map(|task| (task.number, format!("{:?}", task.kind))).collect::<Vec<_>>()
    };
    assert_eq!(tasks(&orders[0]), tasks(&planned.order), "and the same tasks under the same numbers");
    one.hand_in(results(&orders[0])).await;
    two.do_everything().await;
    let sweep = controller.sweep(id).await;
    assert_eq!((sweep.summary.state, sweep.summary.planned), (SweepState::Complete, 48));
    assert!(sweep.jobs.iter().all(|job| !job.autonomous && job.handed_in_at.is_none()));
    let ahead = one.ahead(&HashSet::from([planned.order.id])).await;
    assert!(!ahead.hold.contains(&planned.order.id), "what has ended is not held");
}

#[tokio::test]
async fn a_job_that_a_probe_has_begun_is_its_own() {
    let controller = Controller::planned(LISTED, 10, settings()).await;
    let (mut one, mut two) = (controller.probe("vlan20").await, controller.probe("vlan20").await);
    let planned = one.next_night().await.remove(0);
    controller.a_day_later(10).await;
    controller.change("UPDATE plan SET given_at = given_at - interval '1 day'").await;
    // Before there is a row of the job nobody takes it back.
    one.held.insert(planned.order.id);
    let work = one.work().await;
    assert!(work.cancel.is_empty() && work.forget.is_empty(), "{work:?}");
    one.services.take_over(&one.session, &one.held).await.unwrap();
    assert!(two.work().await.orders.is_empty(), "and nobody else gets it");
    let id = controller.services.sweep(SweepRef::Latest(0)).await.unwrap().summary.id;
    // Given up too early, since its probe was away: the probe goes on.
    controller
        .change(
            "UPDATE job SET state = 'finished', reason = 'no-probe', missed = planned, finished_at = now()
             WHERE vantage_id = (SELECT id FROM vantage WHERE name = 'vlan20')",
        )
        .await;
    let work = one.work().await;
    assert_eq!((work.cancel.len(), work.forget.as_slice()), (0, [planned.order.id].as_slice()));
    // An operator who cancels means it.
    controller.services.cancel_sweep(&operator(), id).await.unwrap();
    assert_eq!(one.work().await.cancel, [planned.order.id]);
}

#[tokio::test]
async fn a_plan_follows_the_inventory_and_keeps_its_numbers_where_nothing_changed() {
    let controller = Controller::planned(LISTED, 10, calm()).await;
    let cron = cron_ago(&controller, 10).await;
    let nightly = schedule("nightly", &cron, "");
    let plans = controller.plans().await;
    let plan = async |inventory: String| {
        controller.apply(&inventory).await;
        controller.services.plan_ahead().await.unwrap();
        controller.plans().await
    };
    let further = format!("{LISTED}[[vantage]]\nname = \"vlan30\"\n{nightly}");
    assert_eq!(plan(further).await, plans, "a further vantage has the same jobs");
    let probe = controller.probe("vlan30").await;
    assert_eq!(probe.next_night().await[0].order.tasks.len(), 24);

    let target =
        "[[target]]\ndomain = \"corp.example\"\nhost = \"dc3.corp.example\"\naddress = \"10.77.1.12\"\n";
    let others = plan(format!("{LISTED}{target}{nightly}")).await;
    assert!(others.len() == 3 && others.iter().all(|number| !plans.contains(number)));
    assert!(probe.ahead(&HashSet::new()).await.hold.is_empty(), "the vantage is gone");

    controller.services.pause_schedule(&operator(), "nightly", PauseRequest::default()).await.unwrap();
    controller.services.plan_ahead().await.unwrap();
    assert!(controller.plans().await.is_empty(), "a schedule that is paused has no plans");
    controller.services.resume_schedule(&operator(), "nightly").await.unwrap();
    controller.services.plan_ahead().await.unwrap();
    assert_eq!(controller.plans().await.len(), 3);
    assert!(plan(LISTED.to_owned()).await.is_empty());
}

#[tokio::test]
async fn what_was_withdrawn_is_not_taken() {
    let controller = Controller::planned(LISTED, 10, calm()).await;
    let probe = controller.probe("vlan20").await;
    let planned = probe.next_night().await.remove(0);
    controller.services.pause_schedule(&operator(), "nightly", PauseRequest::default()).await.unwrap();
    controller.a_day_later(10).await;
    let ingested = probe.hand_in(alone(&planned.order)).await;
    assert_eq!((ingested.new, ingested.dropped.len()), (0, 24));
    assert_eq!(controller.schedule("nightly").await.runs[0].reason.as_deref(), Some("paused"));
    assert_eq!(controller.count("SELECT count(*) FROM sweep").await, 0);
}

#[tokio::test]
async fn targets_of_a_plan_are_those_that_were_found_last_and_tonight_s_are_added() {
    let day = Settings { plan_grace: Duration::from_secs(3_600), ..calm() };
    let controller = Controller::planned(SEARCHED, 10, day).await;
    assert!(controller.plans().await.is_empty(), "no target is known yet");
    let mut probe = controller.probe("vlan20").await;
    let request = SweepRequest { vantages: vec!["vlan20".to_owned()], ..crate::fleet::ports() };
    controller.start(request).await;
    probe.do_everything().await;
    controller.services.plan_ahead().await.unwrap();
    let planned = probe.next_night().await.remove(0);
    assert_eq!((planned.order.targets.len(), planned.order.tasks.len()), (1, 12));

    controller.a_day_later(10).await;
    let id = controller.newest_run("nightly").await.sweep.unwrap().id;
    let searches = probe.work().await.orders;
    let mut found = results(&searches[0]);
    assert!(matches!(searches[0].tasks[0].kind, OrderTaskKind::Discovery { .. }));
    let mut further = found[0].discovered[0].clone();
    (further.host, further.address) = ("dc2.corp.example".to_owned(), "10.77.1.11".parse().unwrap());
    found[0].discovered.push(further);
    probe.hand_in(found).await;
    controller.probe("vlan10").await.do_everything().await;
    let sweep = controller.sweep(id).await;
    let mine: Vec<i64> =
        sweep.jobs.iter().filter(|job| job.vantage == "vlan20").map(|job| job.planned).collect();
    assert_eq!(mine, [1, 12, 12], "a discovery, what was planned ahead, and what was found tonight");
    assert!(sweep.jobs.iter().any(|job| job.id == planned.order.id));
}

#[tokio::test]
async fn plans_go_over_the_wire_signed_and_once() {
    let listening = crate::link::listening(LISTED).await;
    let controller = &listening.controller;
    let (probe, identity) = listening.enrol("vlan20").await;
    let cron = cron_ago(controller, 10).await;
    controller.apply_schedules(&[schedule("nightly", &cron, "")]).await;
    // The controller that listens does it as well, and may be about it.
    crate::fleet::wait_for("the nights to be planned", async || {
        controller.services.plan_ahead().await.unwrap();
        (controller.count("SELECT count(*) FROM plan_run").await == 3).then_some(())
    })
    .await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let authority = controller.services.trust().await.unwrap().remove(0);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let Out::Plan(v1::Plan { body, signature }) = link.next().await else {
            panic!("three plans come first")
        };
        let (_, certificate) = x509_parser::parse_x509_certificate(&authority).unwrap();
        let key = &certificate.public_key().subject_public_key.data;
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, key);
        let signed = [sekisho_proto::PLAN_CONTEXT, &body].concat();
        assert!(key.verify(&signed, &signature).is_ok() && key.verify(&body, &signature).is_err());
        let planned = v1::PlannedJob::decode(body.as_slice()).unwrap();
        assert_eq!(
            (planned.probe.as_slice(), planned.schedule.as_str()),
            (probe.as_bytes().as_slice(), "nightly")
        );
        assert_eq!((planned.alone_seconds, planned.turn_seconds, planned.silent_seconds), (20, 0, 80));
        let job = planned.job.unwrap();
        assert_eq!((job.tasks.len(), job.seconds_left), (24, 7_200));
        // Half of 200, for one probe and four that may come; no more than there are flows.
        let shares: Vec<_> = job.shares.iter().map(|share| (share.address.as_str(), share.rate)).collect();
        assert_eq!((shares, job.link_rate), (vec![("10.77.1.10", 12), ("10.77.1.11", 12)], 0));
        jobs.push(job.id);
    }
    let named = |plans: &v1::Plans| HashSet::<Vec<u8>>::from_iter(plans.jobs.iter().cloned());
    let Out::Plans(plans) = link.next().await else { panic!("and then which of them hold") };
    assert_eq!(named(&plans), HashSet::from_iter(jobs.iter().cloned()));
    assert!(plans.begun.is_empty());
    drop(link);

    // What it holds it names, and is not sent again.
    let planned = jobs[..2].to_vec();
    let hello = v1::Hello { protocol: 1, planned, keeps_plan_shares: true, ..Default::default() };
    let mut link = listening.greet(&identity, hello).await.unwrap();
    assert!(matches!(link.next().await, Out::Welcome(_)));
    assert!(matches!(link.next().await, Out::Plan(_)));
    assert!(matches!(link.next().await, Out::Plans(_)));
    // A schedule that goes takes its plans along, at once.
    controller.apply(LISTED).await;
    controller.services.plan_ahead().await.unwrap();
    loop {
        let message = link.next().await;
        assert!(matches!(message, Out::Plans(_) | Out::Trust(_)), "{message:?}");
        if matches!(message, Out::Plans(plans) if plans.jobs.is_empty()) {
            break;
        }
    }
}

#[tokio::test]
async fn a_controller_that_is_killed_while_it_looks_for_targets_loses_nothing() {
    let controller =
        Controller::planned(SEARCHED, 10, Settings { plan_grace: Duration::from_secs(3_600), ..calm() })
            .await;
    let mut probe = controller.probe("vlan20").await;
    controller.start(crate::fleet::ports()).await;
    probe.do_everything().await;
    controller.probe("vlan10").await.do_everything().await;
    controller.services.plan_ahead().await.unwrap();
    let planned = probe.next_night().await.remove(0);
    controller.a_day_later(10).await;
    let id = controller.newest_run("nightly").await.sweep.unwrap().id;
    // The probe is ready before the jobs of the sweep stand: it tries again.
    let refused = controller.services.ingest(probe.session.probe, alone(&planned.order)).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    // The controllers come back when everything is over.
    controller.change("UPDATE sweep SET deadline = now() WHERE state = 'running'").await;
    controller.change("UPDATE plan SET deadline = now()").await;
    controller.services.plan_ahead().await.unwrap();
    let _background = controller.background();
    let ingested = crate::fleet::wait_for("the jobs of the plan", || async {
        controller.services.ingest(probe.session.probe, alone(&planned.order)).await.ok()
    })
    .await;
    assert_eq!((ingested.new, ingested.dropped.len()), (12, 0));
    let job = controller.sweep(id).await.jobs.into_iter().find(|job| job.id == planned.order.id).unwrap();
    assert!(job.autonomous && job.observed == 12, "{job:?}");
}
