use std::time::Duration;

use sekisho::service::{Settings, SweepRef};
use sekisho_model::{Outcome, SweepState};
use sekisho_proto::v1::{self, controller_message::Message as Out, probe_message::Message as In};
use tokio_stream::StreamExt as _;
use tonic::Code;
use uuid::Uuid;

use crate::{
    cluster,
    fleet::{LISTED, SEARCHED, operator, settings, wait_for},
    link_support::{Credentials, Listening, request},
};

/// Time limits of the product: nothing but heartbeats strikes within a test.
fn patient() -> Settings {
    Settings { tick: Duration::from_millis(50), ..Settings::default() }
}

pub(crate) async fn listening(inventory: &str) -> Listening {
    let listening = Listening::start(cluster::shared().database().await, patient()).await;
    listening.controller.apply(inventory).await;
    listening
}

pub(crate) fn observations(job: &v1::Job, outcome: v1::Outcome) -> v1::ObservationBatch {
    let observation = |task: &v1::Task| v1::Observation {
        job: job.id.clone(),
        task: task.number,
        outcome: outcome.into(),
        attempts: 1,
        discovered: match &task.kind {
            Some(v1::task::Kind::Discovery(discovery)) => vec![v1::Target {
                host: "dc1.corp.example".to_owned(),
                address: "10.77.1.10".to_owned(),
                domain: discovery.domain.clone(),
            }],
            Some(v1::task::Kind::Service(_) | v1::task::Kind::Check(_)) | None => Vec::new(),
        },
        ..v1::Observation::default()
    };
    v1::ObservationBatch { batch: 1, observations: job.tasks.iter().map(observation).collect() }
}

#[tokio::test]
async fn from_the_token_to_the_matrix() {
    let listening = listening(SEARCHED).await;
    let (probe, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let request =
        sekisho::service::SweepRequest { vantages: vec!["vlan20".to_owned()], ..crate::fleet::ports() };
    let services = &listening.controller.services;
    let id = services.start_sweep(&operator(), request).await.unwrap().summary.id;

    let search = link.job().await;
    let Some(v1::task::Kind::Discovery(task)) = &search.tasks[0].kind else { panic!("{search:?}") };
    assert_eq!((task.domain.as_str(), task.dns_servers.len()), ("corp.example", 1));
    link.send(In::Observations(observations(&search, v1::Outcome::Open))).await;
    assert!(matches!(link.next().await, Out::Ack(v1::Ack { batch: 1 })));

    let job = link.job().await;
    assert_eq!((job.targets.len(), job.tasks.len()), (1, 12));
    assert_eq!(job.targets[0].host, "dc1.corp.example");
    assert!((1..=900).contains(&job.seconds_left));
    link.send(In::Heartbeat(v1::Heartbeat { sequence: 1, spooled: 12, ..Default::default() })).await;
    assert!(matches!(link.next().await, Out::Heartbeat(v1::HeartbeatReply { sequence: 1, .. })));
    assert_eq!(services.probe(&probe.to_string()).await.unwrap().spooled, 12);
    let mut batch = observations(&job, v1::Outcome::Filtered);
    batch.observations.push(v1::Observation { outcome: 77, ..batch.observations[0].clone() });
    link.send(In::Observations(batch)).await;
    assert!(matches!(link.next().await, Out::Ack(_)), "a bad observation does not hold the others up");
    link.send(In::JobFinished(v1::JobFinished { job: job.id.clone() })).await;

    let sweep = services.sweep(SweepRef::Id(id)).await.unwrap();
    assert_eq!((sweep.summary.state, sweep.summary.observed), (SweepState::Complete, 12));
    let matrix = services.matrix(SweepRef::Latest(0)).await.unwrap();
    assert!(matrix.cells.iter().all(|cell| cell.outcome == Outcome::Filtered));
}

#[tokio::test]
async fn checks_of_a_vantage_go_over_the_wire_and_back() {
    let listening = listening(SEARCHED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let request = sekisho::service::SweepRequest {
        vantages: vec!["vlan20".to_owned()],
        computers: vec!["PC8".to_owned()],
        captures: vec!["dc1/smb".to_owned()],
        ..Default::default()
    };
    let id = listening.controller.start(request).await.summary.id;
    let search = link.job().await;
    link.send(In::Observations(observations(&search, v1::Outcome::Open))).await;
    assert!(matches!(link.next().await, Out::Ack(_)));
    let (checks, flows) = (link.job().await, link.job().await);

    let wire = |task: &v1::Task| match &task.kind {
        Some(v1::task::Kind::Check(check)) => {
            assert_eq!((check.domain.as_str(), check.dns_servers.len()), ("corp.example", 1));
            format!("{} {} {}", check.check, check.target, check.computer)
        }
        other => panic!("{other:?} is no check"),
    };
    let sent: Vec<String> = checks.tasks.iter().map(wire).collect();
    let expected =
        ["resolver 0 ", "srv-records 0 ", "clock 1 ", "path-mtu 1 ", "computer-account 0 PC8", "host 0 "];
    assert_eq!((checks.targets.len(), sent.as_slice()), (1, &expected.map(str::to_owned)[..]));
    let kept = flows.tasks.iter().filter(|task| {
        matches!(&task.kind, Some(v1::task::Kind::Service(check)) if check.capture && check.service == "smb")
    });
    assert_eq!((kept.count(), flows.tasks.len()), (1, 19));

    // A check that an older probe does not know, and statuses that this controller does not.
    let mut batch = observations(&checks, v1::Outcome::Open);
    let reason = v1::fact::Value::Text("unsupported-task".to_owned());
    for (place, observation) in batch.observations.iter_mut().enumerate() {
        observation.status = [1, 2, 3, 77, 0, 4][place];
    }
    batch.observations[0].outcome = v1::Outcome::Failed.into();
    batch.observations[0].status = 0;
    batch.observations[0].facts = vec![v1::Fact { name: "reason".to_owned(), value: Some(reason) }];
    link.send(In::Observations(batch)).await;
    assert!(matches!(link.next().await, Out::Ack(_)), "strange ones do not hold the others up");
    let matrix = listening.controller.matrix(id).await;
    let statuses: Vec<String> =
        matrix.checks.iter().map(|check| format!("{} {}", check.check, check.status)).collect();
    assert_eq!(statuses, ["resolver unknown", "srv-records warning", "clock problem", "host unknown"]);
    assert_eq!(matrix.checks[0].facts["reason"], "unsupported-task".into());
}

#[tokio::test]
async fn a_stranger_gets_no_session() {
    let listening = listening(LISTED).await;
    let mut client = listening.fleet(None).await;
    let renewal = client.renew(v1::RenewRequest::default()).await.unwrap_err();
    assert_eq!(renewal.code(), Code::Unauthenticated);
    let session = client.session(tokio_stream::pending()).await.unwrap_err();
    assert_eq!(session.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_session_begins_with_hello() {
    let listening = listening(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut client = listening.fleet(Some(&identity)).await;
    let heartbeat = v1::ProbeMessage { message: Some(In::Heartbeat(v1::Heartbeat::default())) };
    let messages = tokio_stream::once(heartbeat).chain(tokio_stream::pending());
    assert_eq!(client.session(messages).await.unwrap_err().code(), Code::InvalidArgument);
    let hello = v1::Hello { protocol: 1, jobs: vec![vec![0; 16]; 65], ..Default::default() };
    let hello = v1::ProbeMessage { message: Some(In::Hello(hello)) };
    let refused = client.session(tokio_stream::once(hello).chain(tokio_stream::pending())).await.unwrap_err();
    assert!(refused.message().contains("at most 64"), "{refused}");
}

#[tokio::test]
async fn a_certificate_is_renewed_for_the_same_probe() {
    let listening = listening(LISTED).await;
    let (probe, identity) = listening.enrol("vlan20").await;
    let (csr, key) = request();
    let mut client = listening.fleet(Some(&identity)).await;
    let certificate = client.renew(v1::RenewRequest { csr }).await.unwrap().into_inner();
    assert_eq!(sekisho::grpc::probe_of(&certificate.chain[0]), Ok(probe));
    listening.session(&Credentials::new(&certificate.chain, key), Vec::new()).await;
}

#[tokio::test]
async fn revoking_ends_the_session_on_whichever_controller() {
    let one = listening(LISTED).await;
    let two = Listening::start(one.controller.pool.clone(), patient()).await;
    let (probe, identity) = one.enrol("vlan20").await;
    let mut link = one.session(&identity, Vec::new()).await;
    two.controller.services.revoke_probe(&operator(), &probe.to_string()).await.unwrap();
    let status = link.end().await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
}

#[tokio::test]
async fn a_newer_session_ends_the_older_one() {
    let listening = listening(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut old = listening.session(&identity, Vec::new()).await;
    let new = listening.session(&identity, Vec::new()).await;
    let status = old.end().await;
    assert_eq!(status.code(), Code::Aborted, "{status}");
    new.send(In::Heartbeat(v1::Heartbeat::default())).await;
    let probes = listening.controller.services.probes().await.unwrap();
    assert!(probes[0].controller.is_some(), "the end of the older session leaves the newer one alone");
}

#[tokio::test]
async fn cancelling_reaches_the_probe() {
    let listening = listening(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, vec![Uuid::nil()]).await;
    let Out::Cancel(unknown) = link.next().await else { panic!("a job that nobody knows is taken back") };
    assert_eq!(unknown.job, [0; 16]);
    let id = listening.controller.run().await.summary.id;
    let job = link.job().await;
    listening.controller.services.cancel_sweep(&operator(), id).await.unwrap();
    let Out::Cancel(cancel) = link.next().await else { panic!("a cancelled job is taken back") };
    assert_eq!(cancel.job, job.id);
}

#[tokio::test]
async fn a_silent_probe_loses_its_session() {
    let settings = Settings { heartbeat: Duration::from_millis(100), ..settings() };
    let listening = Listening::start(cluster::shared().database().await, settings).await;
    listening.controller.apply(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    assert_eq!(link.end().await.code(), Code::DeadlineExceeded);
    wait_for("the session to be closed", || async {
        listening.controller.services.probes().await.unwrap()[0].controller.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_batch_over_the_limit_ends_the_session() {
    let listening = listening(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let observations = vec![v1::Observation::default(); 257];
    link.send(In::Observations(v1::ObservationBatch { batch: 1, observations })).await;
    let status = link.end().await;
    assert!(status.message().contains("at most 256"), "{status}");
}

#[tokio::test]
async fn a_new_controller_is_told_to_connected_probes() {
    let one = listening(LISTED).await;
    let (_, identity) = one.enrol("vlan20").await;
    let mut link = one.session(&identity, Vec::new()).await;
    let two = Listening::start(one.controller.pool.clone(), patient()).await;
    let Out::Trust(trust) = link.next().await else { panic!("the trust list comes") };
    assert_eq!(trust.trust.len(), 2);
    drop(two);
}
