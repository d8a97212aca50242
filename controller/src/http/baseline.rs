//! Sweeps that were accepted as the intended state.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{BaselineDetail, BaselineRequest, BaselineSummary};

/// Every baseline, by name.
#[utoipa::path(
    get,
    path = "/api/v1/baselines",
    responses((status = OK, body = Vec<Object>, description = "name; sweep, as it was when it was accepted; note; actor; accepted_at"))
)]
pub(super) async fn list(
    _: Operator,
    State(web): State<Web>,
) -> Result<Json<Vec<BaselineSummary>>, ApiError> {
    Ok(Json(web.services.baselines().await?))
}

/// Accepts a sweep as the intended state, in the place of the baseline of that name where there is one.
#[utoipa::path(
    post,
    path = "/api/v1/baselines",
    request_body = BaselineRequest,
    responses(
        (status = OK, body = Object, description = "The baseline with its flows, as GET gives it."),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such sweep."),
        (status = CONFLICT, body = ErrorBody, description = "The sweep has not ended or was cancelled, or there are too many baselines."),
    )
)]
pub(super) async fn set(
    Operator(actor): Operator,
    State(web): State<Web>,
    Json(request): Json<BaselineRequest>,
) -> Result<Json<BaselineDetail>, ApiError> {
    Ok(Json(web.services.set_baseline(&actor, &request).await?))
}

/// One baseline with its flows.
#[utoipa::path(
    get,
    path = "/api/v1/baselines/{name}",
    params(("name" = String, Path, description = "Name of the baseline.")),
    responses(
        (status = OK, body = Object, description = "name, sweep, note, actor, accepted_at; open, blocked, not_known: how many flows; cells, as of a matrix without evidence"),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such baseline."),
    )
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Json<BaselineDetail>, ApiError> {
    Ok(Json(web.services.baseline(&name).await?))
}

/// Removes a baseline. Its sweep stays.
#[utoipa::path(
    post,
    path = "/api/v1/baselines/{name}/clear",
    params(("name" = String, Path, description = "Name of the baseline.")),
    responses(
        (status = OK, body = Object, description = "What was removed."),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such baseline."),
    )
)]
pub(super) async fn clear(
    Operator(actor): Operator,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Json<BaselineSummary>, ApiError> {
    Ok(Json(web.services.clear_baseline(&actor, &name).await?))
}
