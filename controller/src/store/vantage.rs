//! Vantages.

use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// A vantage that is in the inventory.
#[derive(FromRow)]
pub(crate) struct Vantage {
    pub(crate) id: i32,
    pub(crate) name: String,
}

/// Every vantage of the inventory, by name.
pub(crate) async fn all(connection: &mut PgConnection) -> Result<Vec<Vantage>> {
    sqlx::query_as("SELECT id, name FROM vantage WHERE removed_at IS NULL ORDER BY name")
        .fetch_all(connection)
        .await
        .named("reading the vantages")
}

/// Number of the vantage of that name, if the inventory has one.
pub(crate) async fn named(connection: &mut PgConnection, name: &str) -> Result<Option<i32>> {
    sqlx::query_scalar("SELECT id FROM vantage WHERE name = $1 AND removed_at IS NULL")
        .bind(name)
        .fetch_optional(connection)
        .await
        .named("reading a vantage")
}
