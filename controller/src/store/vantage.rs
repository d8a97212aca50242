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
