//! Targets.

use std::{collections::BTreeSet, net::IpAddr};

use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// A target of a sweep.
#[derive(Clone, FromRow)]
pub(crate) struct Target {
    pub(crate) id: i32,
    pub(crate) domain_id: i32,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    /// Whether the inventory lists it.
    pub(crate) listed: bool,
    /// At how many vantages a discovery of this sweep named it.
    pub(crate) named: i64,
}

/// Notes targets that a discovery named; returns their keys. One that the inventory dropped comes back as discovered.
pub(crate) async fn discovered(
    connection: &mut PgConnection,
    domain: i32,
    targets: &BTreeSet<(String, IpAddr)>,
) -> Result<Vec<i32>> {
    let (hosts, addresses): (Vec<String>, Vec<IpAddr>) = targets.iter().cloned().unzip();
    sqlx::query_scalar(
        "INSERT INTO target (domain_id, host, address, origin, seen_at)
         SELECT $1, host, address, 'discovered', now() FROM unnest($2::text[], $3::inet[]) AS t (host, address)
         ORDER BY host, address
         ON CONFLICT (domain_id, host, address) DO UPDATE SET
             seen_at = now(),
             origin = CASE WHEN target.removed_at IS NULL THEN target.origin ELSE 'discovered' END,
             removed_at = NULL
         RETURNING id",
    )
    .bind(domain)
    .bind(hosts)
    .bind(addresses)
    .fetch_all(connection)
    .await
    .named("noting discovered targets")
}

/// The targets of these domains that are known.
pub(crate) async fn of_domains(connection: &mut PgConnection, domains: &[i32]) -> Result<Vec<Target>> {
    sqlx::query_as(
        "SELECT id, domain_id, host, address, origin = 'inventory' AS listed, 0::bigint AS named
         FROM target WHERE domain_id = ANY($1) AND removed_at IS NULL ORDER BY domain_id, host, address",
    )
    .bind(domains)
    .fetch_all(connection)
    .await
    .named("reading the targets of domains")
}

/// What a sweep of these domains would test: targets that the inventory lists, or that the newest discovery named.
pub(crate) async fn expected(connection: &mut PgConnection, domains: &[i32]) -> Result<Vec<Target>> {
    sqlx::query_as(
        "WITH newest AS (
             SELECT d.domain_id, max(d.sweep_id) AS sweep_id FROM discovery d JOIN sweep s ON s.id = d.sweep_id
             WHERE d.domain_id = ANY($1) AND s.planned_at IS NOT NULL AND d.target_ids <> '{}' GROUP BY d.domain_id),
         named AS (
             SELECT target_id, count(DISTINCT d.vantage_id) AS vantages
             FROM newest n JOIN discovery d USING (domain_id, sweep_id), unnest(d.target_ids) AS target_id
             GROUP BY target_id)
         SELECT t.id, t.domain_id, t.host, t.address, t.origin = 'inventory' AS listed, coalesce(n.vantages, 0) AS named
         FROM target t LEFT JOIN named n ON n.target_id = t.id
         WHERE t.domain_id = ANY($1) AND t.removed_at IS NULL
           AND (t.origin = 'inventory' OR n.target_id IS NOT NULL)
         ORDER BY t.id",
    )
    .bind(domains)
    .fetch_all(connection)
    .await
    .named("reading the targets that a sweep would have")
}

/// The targets of these numbers.
pub(crate) async fn of_ids(connection: &mut PgConnection, ids: &[i32]) -> Result<Vec<Target>> {
    sqlx::query_as(
        "SELECT id, domain_id, host, address, origin = 'inventory' AS listed, 0::bigint AS named
         FROM target WHERE id = ANY($1) ORDER BY id",
    )
    .bind(ids)
    .fetch_all(connection)
    .await
    .named("reading targets")
}

/// What a sweep tests: targets of its domains that the inventory lists, or that a discovery of this sweep named.
pub(crate) async fn of_sweep(
    connection: &mut PgConnection,
    sweep: i64,
    domains: &[i32],
) -> Result<Vec<Target>> {
    sqlx::query_as(
        "WITH named AS (
             SELECT target_id, count(DISTINCT vantage_id) AS vantages
             FROM discovery, unnest(target_ids) AS target_id WHERE sweep_id = $1 GROUP BY target_id)
         SELECT t.id, t.domain_id, t.host, t.address, t.origin = 'inventory' AS listed, coalesce(n.vantages, 0) AS named
         FROM target t LEFT JOIN named n ON n.target_id = t.id
         WHERE t.domain_id = ANY($2) AND t.removed_at IS NULL
           AND (t.origin = 'inventory' OR n.target_id IS NOT NULL)
         ORDER BY t.id",
    )
    .bind(sweep)
    .bind(domains)
    .fetch_all(connection)
    .await
    .named("reading the targets of a sweep")
}
