use sekisho::service::Error;

use crate::fleet::{Controller, settings};

#[tokio::test]
async fn a_token_signs_in_and_its_successor_replaces_it() {
    let controller = Controller::new(settings()).await;
    let services = &controller.services;
    let (one, two) = ("1".repeat(43), "2".repeat(43));
    assert!(matches!(services.authenticate(&one).await, Err(Error::Unauthenticated)));
    services.register_operator_token("admin", &one).await.unwrap();
    services.register_operator_token("admin", &one).await.unwrap();
    assert_eq!(services.authenticate(&one).await.unwrap().name, "admin");
    services.register_operator_token("admin", &two).await.unwrap();
    assert!(matches!(services.authenticate(&one).await, Err(Error::Unauthenticated)));
    assert_eq!(services.authenticate(&two).await.unwrap().name, "admin");
    assert_eq!(controller.count("SELECT count(*) FROM audit WHERE action = 'operator-token'").await, 2);
    assert!(matches!(services.register_operator_token("x", "short").await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn every_controller_is_trusted_and_a_copy_is_refused() {
    let one = Controller::new(settings()).await;
    let two = Controller::on(one.pool.clone(), settings()).await;
    assert_eq!(one.services.trust().await.unwrap().len(), 2);
    two.services.register_controller(two.services.controller().as_bytes(), "moved").await.unwrap();
    assert_eq!(two.services.trust().await.unwrap().len(), 2);
    let copy = two.services.register_controller(one.services.controller().as_bytes(), "copy").await;
    assert!(matches!(copy, Err(Error::Conflict(_))), "{copy:?}");
}

#[tokio::test]
async fn health_tells_whether_the_database_is_there() {
    let controller = Controller::new(settings()).await;
    let _background = controller.background();
    crate::fleet::wait_for("a healthy controller", || async {
        controller.services.health().await.ok.then_some(())
    })
    .await;
    controller.pool.close().await;
    let health = controller.services.health().await;
    assert!(!health.ok && !health.checks[0].ok, "{health:?}");
}
