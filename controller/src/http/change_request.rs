//! What to open so that the gaps of a sweep close.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::SweepChangeRequest;

/// Of which sweep.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ChangeRequestOptions {
    /// A number, latest, or latest~1.
    sweep: String,
}

impl Default for ChangeRequestOptions {
    fn default() -> Self {
        Self { sweep: "latest".to_owned() }
    }
}

/// The rules that close the gaps of a sweep, as far as a change of an access list can, and the gaps that they do not close,
/// each with the reason. What the rules open is exactly what these gaps need.
#[utoipa::path(
    get,
    path = "/api/v1/change-request",
    params(ChangeRequestOptions),
    responses(
        (status = OK, body = Object, description = "sweep; rules: number, cause (path-filter, host-filter), by, between, since, policies, sources (network, vantages), destinations (address, hosts), services (transport, first_port, last_port, services), flows (as the gaps of /api/v1/gaps); left_out: reason (middlebox, would-open, no-subnet, other-family, service-down, host-down, vantage-down, routing, unknown, exposure), beside (vantage, target, service, policy), and the fields of a gap; untested"),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such sweep."),
    )
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<ChangeRequestOptions>,
) -> Result<Json<SweepChangeRequest>, ApiError> {
    Ok(Json(web.services.change_request(options.sweep.parse()?).await?))
}
