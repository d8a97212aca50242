//! Numbers for the names of services.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{Named, Result};

/// The number of each service, given on first use.
pub(crate) async fn numbers(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<BTreeMap<String, i16>> {
    let mut sorted = names.to_vec();
    sorted.sort();
    sqlx::query(
        "INSERT INTO service (name)
         SELECT name FROM unnest($1::text[]) AS name WHERE name NOT IN (SELECT name FROM service)
         ORDER BY name ON CONFLICT (name) DO NOTHING",
    )
    .bind(&sorted)
    .execute(&mut *connection)
    .await
    .named("numbering services")?;
    let rows: Vec<(String, i16)> = sqlx::query_as("SELECT name, id FROM service WHERE name = ANY($1)")
        .bind(&sorted)
        .fetch_all(connection)
        .await
        .named("reading the numbers of services")?;
    Ok(rows.into_iter().collect())
}
