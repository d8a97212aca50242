//! What a sweep was asked for, as far as a comparison has to know.

use std::net::IpAddr;

use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// What a sweep was asked for, and what it could have been asked for.
#[derive(FromRow)]
pub(crate) struct Scope {
    /// It has ended, was planned, and tests all that it was asked for.
    pub(crate) is_whole: bool,
    pub(crate) services: Vec<String>,
    /// Vantages that were in the inventory when it began and that it was not asked for.
    pub(crate) other_vantages: Vec<String>,
    /// Domains of the same kind.
    pub(crate) other_domains: Vec<i32>,
    pub(crate) domain_ids: Vec<i32>,
}

/// Scope of a sweep. What no earlier sweep had is taken to have come into the inventory later.
pub(crate) async fn scope(connection: &mut PgConnection, sweep: i64) -> Result<Option<Scope>> {
    sqlx::query_as(
        "SELECT s.planned_at IS NOT NULL AND s.note IS NULL AND s.state <> 'running' AS is_whole,
                s.services, s.domain_ids,
                ARRAY(SELECT v.name FROM vantage v
                      WHERE v.id <> ALL(s.vantage_ids) AND (v.removed_at IS NULL OR v.removed_at > s.started_at)
                        AND EXISTS (SELECT 1 FROM sweep e WHERE e.id < s.id AND v.id = ANY(e.vantage_ids))
                ) AS other_vantages,
                ARRAY(SELECT d.id FROM domain d
                      WHERE d.id <> ALL(s.domain_ids) AND (d.removed_at IS NULL OR d.removed_at > s.started_at)
                        AND EXISTS (SELECT 1 FROM sweep e WHERE e.id < s.id AND d.id = ANY(e.domain_ids))
                ) AS other_domains
         FROM sweep s WHERE s.id = $1",
    )
    .bind(sweep)
    .fetch_optional(connection)
    .await
    .named("reading what a sweep was asked for")
}

/// Targets of the `other` domains that belong to none of the `asked`, by host name and address.
pub(crate) async fn targets_of_others(
    connection: &mut PgConnection,
    asked: &[i32],
    other: &[i32],
) -> Result<Vec<(String, IpAddr)>> {
    sqlx::query_as(
        "SELECT host, address FROM target GROUP BY host, address
         HAVING bool_or(domain_id = ANY($2)) AND NOT bool_or(domain_id = ANY($1))",
    )
    .bind(asked)
    .bind(other)
    .fetch_all(connection)
    .await
    .named("reading the targets of other domains")
}
