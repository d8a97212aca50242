//! Sweep against sweep, and vantage against vantage.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{Error, FRESH, Reference, SweepDiff, TimeDiff, VantageDiff};

/// Which sweeps.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DiffOptions {
    /// The first sweep: a number, latest, or latest~1; or a baseline: baseline, baseline:NAME; or a time, as RFC 3339 has it.
    from: String,
    /// The second sweep; after a time, a time.
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

/// What differs between two sweeps, a baseline and a sweep, or what was known at two times.
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
) -> Result<Json<DiffAnswer>, ApiError> {
    let (from, to) = (options.from.parse()?, options.to.parse()?);
    let sweep = match (&from, to) {
        (Reference::Time(from), Reference::Time(to)) => {
            return Ok(Json(DiffAnswer::Times(web.services.diff_times(*from, to, FRESH).await?)));
        }
        (_, Reference::Sweep(sweep)) => sweep,
        (_, to) => {
            return Err(Error::Invalid(format!(
                "to is {to}; a comparison ends with a sweep, or begins and ends with a time"
            ))
            .into());
        }
    };
    Ok(Json(DiffAnswer::Sweeps(Box::new(web.services.diff_from(&from, sweep).await?))))
}

/// Sweeps or times compared.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum DiffAnswer {
    /// A sweep or a baseline with a sweep.
    Sweeps(Box<SweepDiff>),
    /// A time with a time.
    Times(TimeDiff),
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
