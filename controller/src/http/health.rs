//! Whether this controller lives and can do its work.

use std::sync::atomic::Ordering;

use axum::{Json, extract::State, http::StatusCode};

use super::Web;
use crate::service::{Health, HealthCheck};

/// The process lives, and its own loop goes round. An outage of the database changes nothing of it.
#[utoipa::path(
    get,
    path = "/healthz",
    security(()),
    responses(
        (status = OK, body = Health, description = "The process lives."),
        (status = SERVICE_UNAVAILABLE, body = Health, description = "It hangs: start it again.")
    )
)]
pub(super) async fn healthz(State(web): State<Web>) -> (StatusCode, Json<Health>) {
    answer(web.services.liveness())
}

/// The database answers, is migrated and has room, events come in, the background works, and both listeners serve.
#[utoipa::path(
    get,
    path = "/readyz",
    security(()),
    responses(
        (status = OK, body = Health, description = "Nothing that was checked failed."),
        (status = SERVICE_UNAVAILABLE, body = Health, description = "Something failed.")
    )
)]
pub(super) async fn readyz(State(web): State<Web>) -> (StatusCode, Json<Health>) {
    let mut checks = web.services.health().await.checks;
    let listener =
        |name, serves| HealthCheck::holds(name, serves, if serves { "serves" } else { "does not serve" });
    checks.push(listener("fleet-listener", web.fleet.load(Ordering::Relaxed)));
    checks.push(listener("web-listener", true));
    answer(Health::of(checks))
}

fn answer(health: Health) -> (StatusCode, Json<Health>) {
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}
