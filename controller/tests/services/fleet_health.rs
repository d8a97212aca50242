use std::time::Duration;

use sekisho::service::{Beat, FleetLine, ProbeStatus, ProbeSummary, Services, Settings, SweepRef};
use sekisho_proto::v1::{self, controller_message::Message as Out, probe_message::Message as In};
use uuid::Uuid;

use crate::{
    cluster,
    fleet::{Controller, LISTED, Probe, operator, settings, wait_for},
    link::observations,
    link_support::{Link, Listening},
};

/// A probe that has work and does nothing is stuck soon.
fn hasty() -> Settings {
    Settings { stuck_after: Duration::from_secs(1), ..Settings::default() }
}

async fn summary(services: &Services, probe: Uuid) -> ProbeSummary {
    services.probe(&probe.to_string()).await.unwrap()
}

async fn is(services: &Services, probe: Uuid, status: ProbeStatus) {
    let what = format!("the status {}", status.word());
    wait_for(&what, || async { (summary(services, probe).await.status == status).then_some(()) }).await;
}

async fn beat(link: &mut Link, heartbeat: v1::Heartbeat) {
    link.send(In::Heartbeat(heartbeat)).await;
    while !matches!(link.next().await, Out::Heartbeat(_)) {}
}

#[tokio::test]
async fn a_probe_that_has_work_and_does_nothing_is_stuck_until_it_works() {
    let controller = Controller::new(hasty()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan20").await;
    let (services, id) = (&controller.services, probe.session.probe);
    wait_for("more time than a stuck probe has", || async {
        let idle = sqlx::query_scalar::<_, bool>("SELECT now() - seen_at > interval '1100 ms' FROM probe");
        idle.fetch_one(&controller.pool).await.unwrap().then_some(())
    })
    .await;
    assert_eq!(summary(services, id).await.status, ProbeStatus::Online, "who has no work is not stuck");

    let sweep = controller.run().await.summary.id;
    let orders = probe.work().await.orders;
    let before = summary(services, id).await;
    assert_eq!((before.status, before.jobs, before.job_ended_at), (ProbeStatus::Online, 1, None));
    is(services, id, ProbeStatus::Stuck).await;
    let stuck = summary(services, id).await;
    assert!(stuck.problem && stuck.why.unwrap().starts_with("it was given work"));
    services.heartbeat(&probe.session, &Beat::default()).await.unwrap();
    assert_eq!(summary(services, id).await.status, ProbeStatus::Stuck, "to say that one lives is no work");

    services.cancel_sweep(&operator(), sweep).await.unwrap();
    let idle = summary(services, id).await;
    assert_eq!((idle.status, idle.jobs), (ProbeStatus::Stuck, 0), "what was taken away was not done");

    services.job_finished(&probe.session, orders[0].id).await.unwrap();
    let ended = summary(services, id).await;
    assert_eq!((ended.status, ended.problem, ended.why), (ProbeStatus::Online, false, None));
    assert!(ended.job_ended_at.is_some());
}

#[tokio::test]
async fn a_probe_that_connects_anew_owes_only_what_it_has() {
    let controller = Controller::new(hasty()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan20").await;
    let (services, id) = (&controller.services, probe.session.probe);
    let sweep = controller.run().await.summary.id;
    probe.work().await;
    is(services, id, ProbeStatus::Stuck).await;
    Probe::connect(&controller, id).await;
    assert_eq!(summary(services, id).await.status, ProbeStatus::Stuck, "to come and go is no work");
    services.cancel_sweep(&operator(), sweep).await.unwrap();
    Probe::connect(&controller, id).await;
    assert_eq!(summary(services, id).await.status, ProbeStatus::Online);
}

#[tokio::test]
async fn results_over_the_wire_show_that_a_probe_works() {
    let listening = Listening::start(cluster::shared().database().await, hasty()).await;
    listening.controller.apply(LISTED).await;
    let services = &listening.controller.services;
    let (id, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let sweep = listening.controller.run().await.summary.id;
    let job = link.job().await;
    let mut batch = observations(&job, v1::Outcome::Open);
    let rest = batch.observations.split_off(10);

    is(services, id, ProbeStatus::Stuck).await;
    link.send(In::Observations(batch.clone())).await;
    beat(&mut link, v1::Heartbeat { jobs: 1, ..Default::default() }).await;
    assert_eq!(summary(services, id).await.status, ProbeStatus::Online);
    // The same once more is nothing new.
    is(services, id, ProbeStatus::Stuck).await;
    link.send(In::Observations(batch)).await;
    beat(&mut link, v1::Heartbeat::default()).await;
    assert_eq!(summary(services, id).await.status, ProbeStatus::Stuck);
    link.send(In::Observations(v1::ObservationBatch { batch: 3, observations: rest })).await;
    link.send(In::JobFinished(v1::JobFinished { job: job.id })).await;
    beat(&mut link, v1::Heartbeat::default()).await;
    let done = summary(services, id).await;
    assert_eq!((done.status, done.jobs), (ProbeStatus::Online, 0));
    assert!(done.job_ended_at.is_some());
    assert_eq!(services.sweep(SweepRef::Id(sweep)).await.unwrap().summary.observed, 24);

    let told = services.metrics().await.unwrap();
    for line in [
        "sekisho_ingest_observations_total{result=\"new\"} 24",
        "sekisho_ingest_observations_total{result=\"repeated\"} 10",
        "sekisho_ingest_batches_total{result=\"ok\"} 3",
        "sekisho_ingest_duration_seconds_count 3",
        "sekisho_sessions 1",
        "sekisho_grpc_requests_total{method=\"Session\",code=\"Ok\"} 1",
        "sekisho_probes{status=\"online\"} 1",
        "sekisho_vantages 2",
        "sekisho_vantage_uncovered{vantage=\"vlan10\"} 1",
        "sekisho_sweeps{state=\"running\"} 1",
        "sekisho_jobs{state=\"queued\"} 1",
        "sekisho_running_sweep_tasks{state=\"planned\"} 48",
        "sekisho_running_sweep_tasks{state=\"observed\"} 24",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is not in:\n{told}");
    }
    assert!(!told.contains("sekisho_last_sweep"), "none has ended: {told}");
    drop(link);
    wait_for("the session to be counted as ended", || async {
        services.metrics().await.unwrap().contains("sekisho_sessions 0\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_probe_says_keeps_it_from_working_is_told() {
    let listening = Listening::start(cluster::shared().database().await, Settings::default()).await;
    listening.controller.apply(LISTED).await;
    let services = &listening.controller.services;
    let (id, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let problems = vec!["spool: no space left".to_owned(), "scope:\nline 3".to_owned()];
    beat(&mut link, v1::Heartbeat { problems, dropped: 4, spooled: 9, ..Default::default() }).await;
    let unwell = summary(services, id).await;
    assert_eq!((unwell.status, unwell.dropped, unwell.spooled), (ProbeStatus::Unwell, 4, 9));
    assert_eq!(unwell.why.as_deref(), Some("spool: no space left; scope: line 3"));
    beat(&mut link, v1::Heartbeat::default()).await;
    let well = summary(services, id).await;
    assert_eq!((well.status, well.why, well.dropped), (ProbeStatus::Online, None, 0));
}

#[tokio::test]
async fn a_vantage_without_a_probe_that_works_has_a_line() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let lines = async || {
        let lines = controller.services.fleet().await.unwrap();
        let line = |line: &FleetLine| format!("{} {}", line.vantage(), line.status());
        lines.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(lines().await, ["vlan10 no-probe", "vlan20 no-probe"]);
    let probe = controller.probe("vlan10").await;
    assert_eq!(lines().await, ["vlan10 online", "vlan20 no-probe"]);
    controller.services.close_session(&probe.session).await.unwrap();
    wait_for("the probe to be lost", || async {
        let expected = ["vlan10 lost", "vlan10 no-probe", "vlan20 no-probe"];
        (lines().await == expected).then_some(())
    })
    .await;
    let fleet = controller.services.fleet().await.unwrap();
    assert_eq!(fleet[1].why(), Some("no probe that works: 1 lost"));
    assert!(fleet.iter().all(FleetLine::is_problem) && fleet[1].probe().is_none());
    controller.probe("vlan10").await;
    controller.services.revoke_probe(&operator(), &probe.session.probe.to_string()).await.unwrap();
    let now = lines().await;
    assert_eq!(now.len(), 3, "{now:?}");
    assert!(
        now.contains(&"vlan10 online".to_owned()) && now.contains(&"vlan10 revoked".to_owned()),
        "{now:?}"
    );
    // A vantage that is not in the inventory any more misses nobody.
    controller
        .apply(&LISTED.replace("[[vantage]]\nname = \"vlan20\"\nsubnet = \"10.77.20.0/24\"\n", ""))
        .await;
    assert!(!lines().await.iter().any(|line| line.starts_with("vlan20")));
}
