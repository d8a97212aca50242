//! Probes.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{FleetLine, ProbeSummary};

/// Every probe, by vantage and host.
#[utoipa::path(get, path = "/api/v1/probes", responses((status = OK, body = Vec<ProbeSummary>)))]
pub(super) async fn list(_: Operator, State(web): State<Web>) -> Result<Json<Vec<ProbeSummary>>, ApiError> {
    Ok(Json(web.services.probes().await?))
}

/// Every probe, and every vantage of the inventory that none of them covers, by vantage and host.
#[utoipa::path(get, path = "/api/v1/fleet", responses((status = OK, body = Vec<FleetLine>)))]
pub(super) async fn fleet(_: Operator, State(web): State<Web>) -> Result<Json<Vec<FleetLine>>, ApiError> {
    Ok(Json(web.services.fleet().await?))
}

/// One probe.
#[utoipa::path(
    get,
    path = "/api/v1/probes/{id}",
    params(("id" = String, Path, description = "Id of the probe, or the beginning of it.")),
    responses((status = OK, body = ProbeSummary), (status = NOT_FOUND, body = ErrorBody))
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<ProbeSummary>, ApiError> {
    Ok(Json(web.services.probe(&id).await?))
}

/// Shuts a probe out: its session ends at once and its certificates are refused.
#[utoipa::path(
    post,
    path = "/api/v1/probes/{id}/revoke",
    params(("id" = String, Path, description = "Id of the probe, or the beginning of it.")),
    responses((status = OK, body = ProbeSummary), (status = NOT_FOUND, body = ErrorBody))
)]
pub(super) async fn revoke(
    Operator(actor): Operator,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<ProbeSummary>, ApiError> {
    Ok(Json(web.services.revoke_probe(&actor, &id).await?))
}
