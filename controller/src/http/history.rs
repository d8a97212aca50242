//! The history of a flow.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{FlowName, HistorySpan};

/// Of which flow, and how much of it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryOptions {
    /// Name of the vantage.
    vantage: String,
    /// Host name or address of the target.
    target: String,
    /// Name of the service, such as `smb` or `tcp/8443`.
    service: String,
    /// The newest spans: 1000, unless another number is named; at most 10,000.
    limit: Option<u32>,
}

/// The runs of equal outcome of a flow, newest first. Empty when it was never tested.
#[utoipa::path(
    get,
    path = "/api/v1/history",
    params(HistoryOptions),
    responses(
        (status = OK, body = Vec<HistorySpan>),
        (status = BAD_REQUEST, body = ErrorBody, description = "There is no such service, or the target is not the only one of its name."),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such vantage, or no such target."),
    )
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<HistoryOptions>,
) -> Result<Json<Vec<HistorySpan>>, ApiError> {
    let HistoryOptions { vantage, target, service, limit } = options;
    let flow = FlowName { vantage, target, service };
    Ok(Json(web.services.history(&flow, limit.unwrap_or(1_000)).await?))
}
