//! Who asked for what.

use serde_json::Value;
use sqlx::PgConnection;

use super::{Named, Result};

/// Notes an action. `detail` must hold no secret.
pub(crate) async fn record(
    connection: &mut PgConnection,
    actor: &str,
    action: &str,
    object: &str,
    detail: Value,
) -> Result<()> {
    sqlx::query("INSERT INTO audit (actor, action, object, detail) VALUES ($1, $2, $3, $4)")
        .bind(actor)
        .bind(action)
        .bind(object)
        .bind(detail)
        .execute(connection)
        .await
        .named("writing the audit log")?;
    Ok(())
}
