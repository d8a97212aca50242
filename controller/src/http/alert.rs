//! Alerts, and the channels that they are told to.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{AlertSummary, NoticeSummary};

/// Which alerts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertOptions {
    /// Those that are over as well.
    #[serde(default)]
    all: bool,
    /// The newest alerts: 1000, unless another number is named; at most 10,000.
    limit: Option<u32>,
}

/// The newest alerts, newest first, and who was told of them.
#[utoipa::path(
    get,
    path = "/api/v1/alerts",
    params(AlertOptions),
    responses((status = OK, body = Vec<AlertSummary>))
)]
pub(super) async fn list(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<AlertOptions>,
) -> Result<Json<Vec<AlertSummary>>, ApiError> {
    Ok(Json(web.services.alerts(options.all, options.limit.unwrap_or(1_000)).await?))
}

/// Which channel is to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelTest {
    /// Its name in the configuration.
    pub channel: String,
}

/// Sends a test notice to a channel, once. What became of it is told by its key.
#[utoipa::path(
    post,
    path = "/api/v1/alerts/test",
    request_body = ChannelTest,
    responses(
        (status = CREATED, body = NoticeSummary),
        (status = NOT_FOUND, body = ErrorBody, description = "This controller has no such channel."),
    )
)]
pub(super) async fn test(
    Operator(actor): Operator,
    State(web): State<Web>,
    Json(request): Json<ChannelTest>,
) -> Result<(StatusCode, Json<NoticeSummary>), ApiError> {
    let notice = web.services.test_channel(&actor, &request.channel).await?;
    Ok((StatusCode::CREATED, Json(notice)))
}

/// What became of a notice.
#[utoipa::path(
    get,
    path = "/api/v1/alerts/notices/{key}",
    params(("key" = Uuid, Path, description = "Key of the notice.")),
    responses(
        (status = OK, body = NoticeSummary),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such notice."),
    )
)]
pub(super) async fn notice(
    _: Operator,
    State(web): State<Web>,
    Path(key): Path<Uuid>,
) -> Result<Json<NoticeSummary>, ApiError> {
    Ok(Json(web.services.notice(key).await?))
}
