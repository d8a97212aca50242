//! The matrix of a sweep.

use axum::{
    Json,
    extract::{Query, State},
};
use sekisho_model::Matrix;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{Error, FRESH, Place};

/// Of which sweep, and which of its vantages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MatrixOptions {
    /// A number, latest, or latest~1.
    sweep: String,
    /// In place of a sweep: what was known at this time, as RFC 3339 has it.
    at: Option<String>,
    /// With `at`: flows that were last seen longer before are shown as missed, such as 36h.
    fresh: Option<String>,
    /// Only vantages of this site.
    site: Option<String>,
    /// Only this vantage.
    vantage: Option<String>,
}

impl Default for MatrixOptions {
    fn default() -> Self {
        Self { sweep: "latest".to_owned(), at: None, fresh: None, site: None, vantage: None }
    }
}

/// Every flow and every check of a vantage that is decided: observed, or missed once its job has ended. Or every flow as it
/// looked at a time.
#[utoipa::path(
    get,
    path = "/api/v1/matrix",
    params(MatrixOptions),
    responses(
        (status = OK, body = Object, description = "sweep, or at; cells: vantage, subnet, target, address, service, transport, need, port, outcome, by, rtt_us, attempts, confirmed, facts, observed_at; checks: vantage, domain, target, address, check, status, facts, observed_at"),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such sweep, site or vantage."),
    )
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<MatrixOptions>,
) -> Result<Json<Matrix>, ApiError> {
    let place = Place { site: options.site, vantage: options.vantage };
    let Some(at) = options.at else {
        return Ok(Json(web.services.matrix_of(options.sweep.parse()?, &place).await?));
    };
    let at = at
        .parse()
        .map_err(|_| Error::Invalid(format!("at is {at:?}, and not a time such as 2026-11-20T02:00:00Z")))?;
    let fresh = options.fresh.as_deref().map_or(Ok(FRESH), |fresh| {
        fresh
            .parse()
            .map_err(|_| Error::Invalid(format!("fresh is {fresh:?}, and not a duration such as 36h")))
    })?;
    Ok(Json(web.services.matrix_at(at, fresh, &place).await?))
}
