//! Tokens of operators.

use sqlx::PgConnection;

use super::{Named, Result};

/// The operator whose token has this hash.
pub(crate) async fn find(connection: &mut PgConnection, hash: &[u8]) -> Result<Option<String>> {
    sqlx::query_scalar("SELECT name FROM operator_token WHERE hash = $1")
        .bind(hash)
        .fetch_optional(connection)
        .await
        .named("looking up an operator")
}

/// Sets the token of an operator. Says whether that changed anything.
pub(crate) async fn set(connection: &mut PgConnection, name: &str, hash: &[u8]) -> Result<bool> {
    sqlx::query("DELETE FROM operator_token WHERE name = $2 AND hash <> $1")
        .bind(hash)
        .bind(name)
        .execute(&mut *connection)
        .await
        .named("replacing an operator's token")?;
    let changed = sqlx::query(
        "INSERT INTO operator_token (hash, name) VALUES ($1, $2)
         ON CONFLICT (hash) DO UPDATE SET name = $2 WHERE operator_token.name <> $2",
    )
    .bind(hash)
    .bind(name)
    .execute(connection)
    .await
    .named("setting an operator's token")?;
    Ok(changed.rows_affected() > 0)
}
