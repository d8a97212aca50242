//! Sweeps.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use sekisho_model::SweepSummary;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{SweepDetail, SweepRef, SweepRequest};

/// How many sweeps to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListOptions {
    /// At most this many, newest first.
    limit: u32,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self { limit: 20 }
    }
}

/// The newest sweeps, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/sweeps",
    params(ListOptions),
    responses((status = OK, body = Vec<Object>, description = "id, state, profile, started_at, finished_at, planned, checks, observed, missed"))
)]
pub(super) async fn list(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<ListOptions>,
) -> Result<Json<Vec<SweepSummary>>, ApiError> {
    Ok(Json(web.services.sweeps(options.limit).await?))
}

/// Starts a sweep.
#[utoipa::path(
    post,
    path = "/api/v1/sweeps",
    request_body = SweepRequest,
    responses(
        (status = CREATED, body = SweepDetail),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
pub(super) async fn start(
    Operator(actor): Operator,
    State(web): State<Web>,
    Json(request): Json<SweepRequest>,
) -> Result<(StatusCode, Json<SweepDetail>), ApiError> {
    Ok((StatusCode::CREATED, Json(web.services.start_sweep(&actor, request).await?)))
}

/// One sweep with its jobs.
#[utoipa::path(
    get,
    path = "/api/v1/sweeps/{sweep}",
    params(("sweep" = String, Path, description = "A number, latest, or latest~1.")),
    responses((status = OK, body = SweepDetail), (status = NOT_FOUND, body = ErrorBody))
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Path(sweep): Path<String>,
) -> Result<Json<SweepDetail>, ApiError> {
    Ok(Json(web.services.sweep(sweep.parse()?).await?))
}

/// Ends a running sweep: what is not yet tested is missed.
#[utoipa::path(
    post,
    path = "/api/v1/sweeps/{sweep}/cancel",
    params(("sweep" = String, Path, description = "A number, latest, or latest~1.")),
    responses(
        (status = OK, body = SweepDetail),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody, description = "It has ended already."),
    )
)]
pub(super) async fn cancel(
    Operator(actor): Operator,
    State(web): State<Web>,
    Path(sweep): Path<String>,
) -> Result<Json<SweepDetail>, ApiError> {
    let id = match sweep.parse()? {
        SweepRef::Id(id) => id,
        latest @ SweepRef::Latest(_) => web.services.sweep(latest).await?.summary.id,
    };
    Ok(Json(web.services.cancel_sweep(&actor, id).await?))
}
