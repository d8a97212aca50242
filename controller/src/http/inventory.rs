//! The inventory, declared in a file.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::service::InventoryChanges;

/// How to apply an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct ApplyOptions {
    /// Only tell what would change.
    pub dry_run: bool,
    /// Name of the file, for messages.
    pub file: String,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self { dry_run: false, file: "inventory".to_owned() }
    }
}

/// Makes the inventory what the TOML text in the body says. All or nothing, and idempotent.
#[utoipa::path(
    post,
    path = "/api/v1/inventory",
    params(ApplyOptions),
    request_body(content = String, content_type = "text/plain", description = "The inventory, TOML."),
    responses(
        (status = OK, body = InventoryChanges, description = "What changed, or would change."),
        (status = BAD_REQUEST, body = ErrorBody, description = "Every fault of the file, one a line."),
    )
)]
pub(super) async fn apply(
    Operator(actor): Operator,
    State(web): State<Web>,
    Query(options): Query<ApplyOptions>,
    text: String,
) -> Result<Json<InventoryChanges>, ApiError> {
    Ok(Json(web.services.apply_inventory(&actor, &options.file, &text, options.dry_run).await?))
}
