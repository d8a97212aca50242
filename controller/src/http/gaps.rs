//! Policy against a sweep.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{Place, SweepGaps};

/// Of which sweep, and which of its vantages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GapsOptions {
    /// A number, latest, or latest~1.
    sweep: String,
    /// Only vantages of this site.
    site: Option<String>,
    /// Only this vantage.
    vantage: Option<String>,
}

impl Default for GapsOptions {
    fn default() -> Self {
        Self { sweep: "latest".to_owned(), site: None, vantage: None }
    }
}

/// Flows of a sweep that are not as the policies of the inventory want them, and why. The first policy of the inventory
/// that speaks of a flow decides.
#[utoipa::path(
    get,
    path = "/api/v1/gaps",
    params(GapsOptions),
    responses(
        (status = OK, body = Object, description = "sweep; gaps: kind (gap, exposure), policy, vantage, target, address, service, transport, port, expected, outcome, cause (path-filter, host-filter, service-down, host-down, vantage-down, routing, middlebox, unknown), by, between (last_hop, next_hop, is_end), since, control (kind, vantage, target, address, service: the open flow that proves the cause), group; groups, one per cause: cause, outcome, by, between, control, vantages, targets, services, flows; policies: policy, expect, matched, decided, unswept, idle; untested; unspoken"),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such sweep, site or vantage."),
    )
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<GapsOptions>,
) -> Result<Json<SweepGaps>, ApiError> {
    let place = Place { site: options.site, vantage: options.vantage };
    Ok(Json(web.services.gaps_of(options.sweep.parse()?, &place).await?))
}
