//! What readiness asks about a sweep.

use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// Names of what a sweep was asked for.
#[derive(FromRow)]
pub(crate) struct Asked {
    pub(crate) vantages: Vec<String>,
    pub(crate) domains: Vec<String>,
}

/// What a sweep was asked for, by name.
pub(crate) async fn asked(connection: &mut PgConnection, sweep: i64) -> Result<Option<Asked>> {
    sqlx::query_as(
        "SELECT ARRAY(SELECT name FROM vantage WHERE id = ANY(s.vantage_ids) ORDER BY name) AS vantages,
                ARRAY(SELECT name FROM domain WHERE id = ANY(s.domain_ids) ORDER BY name) AS domains
         FROM sweep s WHERE s.id = $1",
    )
    .bind(sweep)
    .fetch_optional(connection)
    .await
    .named("reading which vantages and domains a sweep was asked for")
}
