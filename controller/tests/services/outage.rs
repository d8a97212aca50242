use sekisho::service::{Error, Settings, SweepRef};
use sekisho_model::SweepState;
use sekisho_proto::v1::{controller_message::Message as Out, probe_message::Message as In};
use tonic::Code;

use crate::{
    cluster::Cluster,
    fleet::{Controller, LISTED, operator, ports, settings, wait_for},
    link::observations,
    link_support::Listening,
};

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_of_the_database() {
    let mut cluster = Cluster::new();
    let listening = Listening::start(cluster.database().await, Settings::default()).await;
    listening.controller.apply(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let request =
        sekisho::service::SweepRequest { vantages: vec!["vlan20".to_owned()], ..crate::fleet::ports() };
    let services = &listening.controller.services;
    let id = services.start_sweep(&operator(), request).await.unwrap().summary.id;
    let job = link.job().await;
    let mut all = observations(&job, sekisho_proto::v1::Outcome::Open);
    let mut first = all.clone();
    first.observations.truncate(10);
    link.send(In::Observations(first)).await;
    assert!(matches!(link.next().await, Out::Ack(_)));

    cluster.crash();
    all.batch = 2;
    link.send(In::Observations(all.clone())).await;
    assert_eq!(link.end().await.code(), Code::Unavailable, "what cannot be written is not acknowledged");
    assert!(!services.health().await.ok);

    cluster.start();
    wait_for("the controller to be well again", || async { services.health().await.ok.then_some(()) }).await;
    let held = uuid::Uuid::from_slice(&job.id).unwrap();
    let mut link = listening.session(&identity, vec![held]).await;
    assert_eq!(services.sweep(SweepRef::Id(id)).await.unwrap().summary.observed, 10);
    link.send(In::Observations(all)).await;
    assert!(matches!(link.next().await, Out::Ack(_)));
    let sweep = services.sweep(SweepRef::Id(id)).await.unwrap().summary;
    assert_eq!((sweep.state, sweep.observed, sweep.missed), (SweepState::Complete, 24, 0));
}

#[tokio::test]
async fn a_session_lives_through_a_short_outage() {
    let mut cluster = Cluster::new();
    let listening = Listening::start(cluster.database().await, Settings::default()).await;
    listening.controller.apply(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    cluster.crash();
    cluster.start();
    let services = &listening.controller.services;
    wait_for("the controller to be well again", || async { services.health().await.ok.then_some(()) }).await;
    listening.controller.run().await;
    assert_eq!(link.job().await.tasks.len(), 24);
}

#[tokio::test]
async fn a_database_that_takes_no_writes_any_more_is_an_outage() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let read_only = [("default_transaction_read_only", "on")];
    controller.pool.set_connect_options((*controller.pool.connect_options()).clone().options(read_only));
    // What is connected goes on as it was, and has to go.
    while let Some(connection) = controller.pool.try_acquire() {
        connection.close().await.unwrap();
    }
    let refused = controller.services.start_sweep(&operator(), ports()).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
}
