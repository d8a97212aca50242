//! The history of a flow.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{Error, FlowName, HistorySpan, Place, SpanFilter, SpanPage};

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

/// Of which flows.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SpanOptions {
    /// Only vantages of this site.
    site: Option<String>,
    /// Only this vantage.
    vantage: Option<String>,
    /// Only targets of this host name or address.
    target: Option<String>,
    /// Only this service.
    service: Option<String>,
    /// Only spans that were seen at this time or later, as RFC 3339 has it.
    since: Option<String>,
    /// The vantage of the page before.
    after: Option<String>,
}

/// The runs of equal outcome of many flows, one vantage after the other by name: each answer is about the first one after
/// `after`, and about none at the end. By target, service and time.
#[utoipa::path(
    get,
    path = "/api/v1/spans",
    params(SpanOptions),
    responses(
        (status = OK, body = SpanPage),
        (status = BAD_REQUEST, body = ErrorBody, description = "There is no such service, or since is no time."),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such site or vantage."),
    )
)]
pub(super) async fn spans(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<SpanOptions>,
) -> Result<Json<SpanPage>, ApiError> {
    let SpanOptions { site, vantage, target, service, since, after } = options;
    let since = since.map(|since| {
        since.parse().map_err(|_| {
            Error::Invalid(format!("since is {since:?}, and not a time such as 2026-11-20T02:00:00Z"))
        })
    });
    let filter = SpanFilter { place: Place { site, vantage }, target, service, since: since.transpose()? };
    Ok(Json(web.services.spans(&filter, after.as_deref()).await?))
}
