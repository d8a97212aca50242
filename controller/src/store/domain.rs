//! Domains.

use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// A domain that is in the inventory.
#[derive(FromRow)]
pub(crate) struct Domain {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) discover: bool,
}

/// Every domain of the inventory, by name.
pub(crate) async fn all(connection: &mut PgConnection) -> Result<Vec<Domain>> {
    sqlx::query_as("SELECT id, name, discover FROM domain WHERE removed_at IS NULL ORDER BY name")
        .fetch_all(connection)
        .await
        .named("reading the domains")
}
