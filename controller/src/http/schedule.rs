//! Schedules.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{PauseRequest, ScheduleDetail, ScheduleSummary, SweepDetail, SweepForecast};

/// Every schedule of the inventory, by name.
#[utoipa::path(get, path = "/api/v1/schedules", responses((status = OK, body = Vec<ScheduleSummary>)))]
pub(super) async fn list(
    _: Operator,
    State(web): State<Web>,
) -> Result<Json<Vec<ScheduleSummary>>, ApiError> {
    Ok(Json(web.services.schedules().await?))
}

/// One schedule: its rules in words, its next runs, and what became of the last ones.
#[utoipa::path(
    get,
    path = "/api/v1/schedules/{name}",
    params(("name" = String, Path, description = "Name of the schedule.")),
    responses((status = OK, body = ScheduleDetail), (status = NOT_FOUND, body = ErrorBody))
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Json<ScheduleDetail>, ApiError> {
    Ok(Json(web.services.schedule(&name).await?))
}

/// What a run of a schedule would test, and how long that takes. Starts nothing.
#[utoipa::path(
    get,
    path = "/api/v1/schedules/{name}/forecast",
    params(("name" = String, Path, description = "Name of the schedule.")),
    responses((status = OK, body = SweepForecast), (status = NOT_FOUND, body = ErrorBody))
)]
pub(super) async fn forecast(
    _: Operator,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Json<SweepForecast>, ApiError> {
    Ok(Json(web.services.forecast_schedule(&name).await?))
}

/// Starts a sweep with the settings of a schedule, also while it is paused or in a blackout.
#[utoipa::path(
    post,
    path = "/api/v1/schedules/{name}/run",
    params(("name" = String, Path, description = "Name of the schedule.")),
    responses(
        (status = CREATED, body = SweepDetail),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody, description = "A sweep of it has not ended."),
    )
)]
pub(super) async fn run(
    Operator(actor): Operator,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<SweepDetail>), ApiError> {
    Ok((StatusCode::CREATED, Json(web.services.run_schedule(&actor, &name).await?)))
}

/// Lets a schedule start nothing, for a time or until it is resumed. What is running goes on.
#[utoipa::path(
    post,
    path = "/api/v1/schedules/{name}/pause",
    params(("name" = String, Path, description = "Name of the schedule.")),
    request_body = PauseRequest,
    responses(
        (status = OK, body = ScheduleDetail),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
pub(super) async fn pause(
    Operator(actor): Operator,
    State(web): State<Web>,
    Path(name): Path<String>,
    Json(request): Json<PauseRequest>,
) -> Result<Json<ScheduleDetail>, ApiError> {
    Ok(Json(web.services.pause_schedule(&actor, &name, request).await?))
}

/// Ends the pause of a schedule. What was due meanwhile stays skipped.
#[utoipa::path(
    post,
    path = "/api/v1/schedules/{name}/resume",
    params(("name" = String, Path, description = "Name of the schedule.")),
    responses(
        (status = OK, body = ScheduleDetail),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody, description = "It is not paused."),
    )
)]
pub(super) async fn resume(
    Operator(actor): Operator,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Json<ScheduleDetail>, ApiError> {
    Ok(Json(web.services.resume_schedule(&actor, &name).await?))
}
