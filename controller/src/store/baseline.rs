//! Sweeps that were accepted as the intended state.

use std::net::IpAddr;

use jiff_sqlx::Timestamp;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use super::{Named, Result};

/// A baseline to be written.
pub(crate) struct NewBaseline<'a> {
    pub(crate) name: &'a str,
    pub(crate) sweep: Value,
    pub(crate) scope: Value,
    pub(crate) note: &'a str,
    pub(crate) actor: &'a str,
}

/// A baseline without its flows.
#[derive(FromRow)]
pub(crate) struct Baseline {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) sweep: Value,
    pub(crate) scope: Value,
    pub(crate) note: String,
    pub(crate) actor: String,
    pub(crate) accepted_at: Timestamp,
}

/// The flows of one vantage: the same place in each list is the same flow.
#[derive(FromRow, Default)]
pub(crate) struct Flows {
    pub(crate) vantage: String,
    pub(crate) subnet: Option<String>,
    pub(crate) targets: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) services: Vec<String>,
    pub(crate) outcomes: Vec<String>,
    pub(crate) bys: Vec<Option<IpAddr>>,
}

/// Keeps others from writing baselines until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("LOCK TABLE baseline IN SHARE ROW EXCLUSIVE MODE")
        .execute(connection)
        .await
        .named("locking the baselines")?;
    Ok(())
}

/// Writes a baseline down, in the place of one of its name; returns its number.
pub(crate) async fn create(connection: &mut PgConnection, baseline: &NewBaseline<'_>) -> Result<i32> {
    remove(connection, baseline.name).await?;
    sqlx::query_scalar(
        "INSERT INTO baseline (name, sweep, scope, note, actor) VALUES ($1, $2, $3, $4, $5) RETURNING id",
    )
    .bind(baseline.name)
    .bind(&baseline.sweep)
    .bind(&baseline.scope)
    .bind(baseline.note)
    .bind(baseline.actor)
    .fetch_one(connection)
    .await
    .named("writing a baseline")
}

/// Writes the flows of a vantage down.
pub(crate) async fn add(connection: &mut PgConnection, baseline: i32, flows: &Flows) -> Result<()> {
    sqlx::query(
        "INSERT INTO baseline_flows (baseline_id, vantage, subnet, targets, addresses, services, outcomes, bys)
         VALUES ($1, $2, $3::cidr, $4, $5, $6, $7::text[]::outcome[], $8)",
    )
    .bind(baseline)
    .bind(&flows.vantage)
    .bind(&flows.subnet)
    .bind(&flows.targets)
    .bind(&flows.addresses)
    .bind(&flows.services)
    .bind(&flows.outcomes)
    .bind(&flows.bys)
    .execute(connection)
    .await
    .named("writing the flows of a baseline")?;
    Ok(())
}

/// Every baseline, by name.
pub(crate) async fn all(connection: &mut PgConnection) -> Result<Vec<Baseline>> {
    sqlx::query_as("SELECT id, name, sweep, scope, note, actor, accepted_at FROM baseline ORDER BY name")
        .fetch_all(connection)
        .await
        .named("reading the baselines")
}

/// The flows of a baseline, by vantage.
pub(crate) async fn flows(connection: &mut PgConnection, baseline: i32) -> Result<Vec<Flows>> {
    sqlx::query_as(
        "SELECT vantage, subnet::text, targets, addresses, services, outcomes::text[] AS outcomes, bys
         FROM baseline_flows WHERE baseline_id = $1 ORDER BY vantage",
    )
    .bind(baseline)
    .fetch_all(connection)
    .await
    .named("reading the flows of a baseline")
}

/// Removes a baseline with its flows; whether there was one.
pub(crate) async fn remove(connection: &mut PgConnection, name: &str) -> Result<bool> {
    let removed = sqlx::query("DELETE FROM baseline WHERE name = $1")
        .bind(name)
        .execute(connection)
        .await
        .named("removing a baseline")?;
    Ok(removed.rows_affected() > 0)
}
