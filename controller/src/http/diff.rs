//! Sweep against sweep, and vantage against vantage.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{SweepDiff, VantageDiff};

/// Which sweeps.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DiffOptions {
    /// The first sweep: a number, latest, or latest~1; or a baseline: baseline, baseline:NAME.
    from: String,
    /// The second sweep.
    to: String,
}

impl Default for DiffOptions {
    fn default() -> Self {
        Self { from: "latest~1".to_owned(), to: "latest".to_owned() }
    }
}

/// Which vantages of which sweep.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct VantageOptions {
    /// A number, latest, or latest~1.
    #[serde(default)]
    sweep: Option<String>,
    /// Name of the first vantage.
    from: String,
    /// Name of the second vantage.
    to: String,
}

/// What differs between two sweeps.
#[utoipa::path(
    get,
    path = "/api/v1/diff",
    params(DiffOptions),
    responses(
        (status = OK, body = Object, description = "from, to; baseline, where one is compared; changes: vantage, target, address, service, from, to, kind (regression, exposure, fix, closure, shift, new, gone, untested), expected, by, confirmed; unchanged; from_sweep, to_sweep"),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such sweep or baseline."),
    )
)]
pub(super) async fn sweeps(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<DiffOptions>,
) -> Result<Json<SweepDiff>, ApiError> {
    Ok(Json(web.services.diff_from(&options.from.parse()?, options.to.parse()?).await?))
}

/// What two vantages of one sweep do not see alike.
#[utoipa::path(
    get,
    path = "/api/v1/diff/vantages",
    params(VantageOptions),
    responses(
        (status = OK, body = Object, description = "from, to; changes: target, address, service, from, to, kind (first-only, second-only, otherwise, untested), from_by, to_by; unchanged; sweep"),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such sweep, or it has no such vantage."),
    )
)]
pub(super) async fn vantages(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<VantageOptions>,
) -> Result<Json<VantageDiff>, ApiError> {
    let sweep = options.sweep.as_deref().unwrap_or("latest").parse()?;
    Ok(Json(web.services.diff_vantages(sweep, &options.from, &options.to).await?))
}
