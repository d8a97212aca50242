//! Whether computers can join.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::{Error, ReadinessRequest, SweepReadiness};

/// Whose readiness, by which sweep.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReadinessOptions {
    /// A number, latest, or latest~1.
    sweep: String,
    /// Only this vantage; all that the sweep was asked for when absent.
    vantage: Option<String>,
    /// Only this domain; all that the sweep was asked for when absent.
    domain: Option<String>,
    /// Language of titles and actions: en or ja.
    lang: String,
}

impl Default for ReadinessOptions {
    fn default() -> Self {
        Self { sweep: "latest".to_owned(), vantage: None, domain: None, lang: "en".to_owned() }
    }
}

/// Whether a computer can join a domain from a vantage, by what a sweep found. What was not tested never makes anything
/// ready.
#[utoipa::path(
    get,
    path = "/api/v1/readiness",
    params(ReadinessOptions),
    responses(
        (status = OK, body = Object, description = "sweep; readiness: vantage, domain, verdict (ready, at-risk, blocked, unknown), errors (code, name, certainty: documented, likely), findings (slug, severity: blocker, warning, info; target, service, title, action, evidence: flows, checks), checked_at"),
        (status = BAD_REQUEST, body = ErrorBody, description = "There is no such language."),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such sweep, vantage or domain."),
    )
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<ReadinessOptions>,
) -> Result<Json<SweepReadiness>, ApiError> {
    let ReadinessOptions { sweep, vantage, domain, lang } = options;
    let language = lang.parse().map_err(|error| Error::Invalid(format!("lang: {error}")))?;
    let request = ReadinessRequest { sweep: sweep.parse()?, vantage, domain, language };
    Ok(Json(web.services.readiness(&request).await?))
}
