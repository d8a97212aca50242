//! Whether this controller lives and can do its work.

use std::sync::atomic::Ordering;

use axum::{Json, extract::State, http::StatusCode};

use super::Web;
use crate::service::{Health, HealthCheck};

/// The process answers.
#[utoipa::path(get, path = "/healthz", security(()), responses((status = OK, description = "The process lives.")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The database answers and both listeners serve.
#[utoipa::path(
    get,
    path = "/readyz",
    security(()),
    responses(
        (status = OK, body = Health, description = "Everything that was checked is fine."),
        (status = SERVICE_UNAVAILABLE, body = Health, description = "Something is not fine.")
    )
)]
pub(super) async fn readyz(State(web): State<Web>) -> (StatusCode, Json<Health>) {
    let mut health = web.services.health().await;
    let fleet = web.fleet.load(Ordering::Relaxed);
    let listener = |name: &str, ok: bool| HealthCheck {
        name: name.to_owned(),
        ok,
        detail: if ok { "serves" } else { "does not serve" }.to_owned(),
    };
    health.checks.push(listener("fleet-listener", fleet));
    health.checks.push(listener("web-listener", true));
    health.ok &= fleet;
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}
