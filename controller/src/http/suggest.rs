//! Policies drafted from a sweep or a baseline.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::PolicySuggestion;

/// From what.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SuggestOptions {
    /// A sweep: a number, latest, or latest~1; or a baseline: baseline, baseline:NAME.
    from: String,
    /// Also policies that deny what was blocked.
    deny: bool,
}

impl Default for SuggestOptions {
    fn default() -> Self {
        Self { from: "latest".to_owned(), deny: false }
    }
}

/// Drafts policies from what was open. Nothing is written.
#[utoipa::path(
    get,
    path = "/api/v1/policies/suggestion",
    params(SuggestOptions),
    responses(
        (status = OK, body = Object, description = "sweep; baseline; policies: name, from, to, profile, services, expect (allow, deny), vantages; not_known, left_out: flows that no draft speaks of; toml: the same for an inventory"),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such sweep or baseline."),
    )
)]
pub(super) async fn show(
    _: Operator,
    State(web): State<Web>,
    Query(options): Query<SuggestOptions>,
) -> Result<Json<PolicySuggestion>, ApiError> {
    Ok(Json(web.services.suggest_policies(&options.from.parse()?, options.deny).await?))
}
