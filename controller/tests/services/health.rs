use sekisho::service::{HealthStatus, Settings};

use crate::{
    cluster::Cluster,
    fleet::{Controller, settings, wait_for},
};

fn names(health: &sekisho::service::Health) -> Vec<&str> {
    health.checks.iter().map(|check| check.name.as_str()).collect()
}

#[tokio::test]
async fn a_controller_tells_what_it_checked() {
    let controller = Controller::new(settings()).await;
    let _stop = controller.background();
    let services = &controller.services;
    wait_for("the controller to be well", || async { services.health().await.ok.then_some(()) }).await;
    let health = services.health().await;
    assert_eq!(
        names(&health),
        ["database", "migrations", "clock", "blocks", "events", "background", "notices"]
    );
    assert!(health.checks.iter().all(|check| check.status == HealthStatus::Ok), "{health:?}");

    controller.change("DELETE FROM _sqlx_migrations WHERE version = 1").await;
    let health = services.health().await;
    assert!(!health.ok && !health.checks[1].ok, "{health:?}");
    controller
        .change(
            "INSERT INTO _sqlx_migrations VALUES (1, '', now(), true, '', 1), (9999, '', now(), true, '', 1)",
        )
        .await;
    let health = services.health().await;
    assert_eq!((health.ok, health.checks[1].status), (true, HealthStatus::Warning), "{health:?}");

    controller.change("UPDATE block SET began_at = began_at - interval '2 days'").await;
    wait_for("a block of today", || async {
        (services.health().await.checks[3].status == HealthStatus::Ok).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_outage_of_the_database_makes_a_controller_unready_and_not_dead() {
    let cluster = Cluster::new();
    let controller = Controller::on(cluster.database().await, Settings::default()).await;
    let _stop = controller.background();
    let services = &controller.services;
    wait_for("the controller to be well", || async { services.health().await.ok.then_some(()) }).await;
    cluster.crash();
    wait_for("the controller to notice", || async { (!services.health().await.ok).then_some(()) }).await;
    let health = services.health().await;
    assert_eq!(names(&health), ["database", "events", "background", "notices"]);
    assert!(!health.checks[0].ok, "{health:?}");
    wait_for("the background to be late", || async {
        let checks = services.health().await.checks;
        checks.iter().any(|check| check.name == "background" && !check.ok).then_some(())
    })
    .await;
    let told = services.metrics().await.unwrap();
    assert!(told.contains("sekisho_database_up 0\n") && !told.contains("sekisho_probes{"), "{told}");
    assert!(told.contains("sekisho_database_connections_max 10\n"), "{told}");
    let failed = told
        .lines()
        .find_map(|line| line.strip_prefix("sekisho_background_rounds_total{result=\"failed\"} "));
    assert!(failed.unwrap().parse::<u32>().unwrap() > 0, "{told}");
    let alive = services.liveness();
    assert!(alive.ok && names(&alive) == ["process", "background-loop"], "{alive:?}");
}

#[tokio::test]
async fn a_database_that_may_forget_what_it_answered_is_told() {
    let pool = crate::cluster::shared().database().await;
    let options = (*pool.connect_options()).clone().options([("synchronous_commit", "off")]);
    let pool = sqlx::postgres::PgPoolOptions::new().connect_lazy_with(options);
    let controller = Controller::on(pool, settings()).await;
    let check = controller.services.health().await.checks.swap_remove(0);
    assert_eq!((check.name.as_str(), check.status), ("database", HealthStatus::Warning), "{check:?}");
    assert!(check.detail.contains("synchronous_commit is off"), "{check:?}");
}
