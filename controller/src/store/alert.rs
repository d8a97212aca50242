//! Alerts, and the sweeps that were considered for them.

mod sweep;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stamp, ToSqlx};
use sekisho_domain::alert::{About, Alert, AlertKind, Item, ItemFlow, State, Tracked, Update};
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::{FromRow, PgConnection, types::Json};

use super::{Error, Named, Result};

pub(crate) use sweep::{Considered, considered, considered_after, mark, previous, to_consider};

/// Lets one transaction at a time decide about alerts, until it ends.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<()> {
    /// "alrt" in ASCII.
    const KEY: i64 = 0x616c_7274;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(KEY)
        .execute(connection)
        .await
        .named("locking the alerts")?;
    Ok(())
}

#[derive(FromRow)]
struct Row {
    id: i64,
    kind: String,
    seen_at: Stamp,
    resolved_at: Option<Stamp>,
    held: bool,
}

#[derive(FromRow)]
struct ItemRow {
    alert_id: i64,
    vantage: String,
    target: String,
    address: String,
    service: String,
    ended_at: Option<Stamp>,
}

const OPERATION: &str = "reading the alerts";

/// Alerts that are not over, and those that a sweep has changed which ended at `since` or later.
pub(crate) async fn tracked(connection: &mut PgConnection, since: Timestamp) -> Result<Vec<Tracked>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, kind, seen_at, resolved_at, held FROM alert
         WHERE resolved_at IS NULL OR held OR changed_at >= $1 ORDER BY id",
    )
    .bind(since.to_sqlx())
    .fetch_all(&mut *connection)
    .await
    .named(OPERATION)?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let items: Vec<ItemRow> = sqlx::query_as(
        "SELECT alert_id, vantage, target, address, service, ended_at FROM alert_item WHERE alert_id = ANY($1)",
    )
    .bind(&ids)
    .fetch_all(connection)
    .await
    .named("reading what the alerts speak of")?;
    let mut by_alert: BTreeMap<i64, BTreeMap<Item, Option<Timestamp>>> = BTreeMap::new();
    for row in items {
        let ended = row.ended_at.map(Stamp::to_jiff);
        by_alert.entry(row.alert_id).or_default().insert(item(row)?, ended);
    }
    rows.into_iter()
        .map(|row| {
            let items = by_alert.remove(&row.id).unwrap_or_default();
            let state = match (row.resolved_at.map(Stamp::to_jiff), row.held) {
                (None, _) => State::Open,
                (Some(since), true) => State::Held(since),
                (Some(since), false) => State::Over(since),
            };
            Ok(Tracked { id: row.id, kind: kind(&row.kind)?, state, seen: row.seen_at.to_jiff(), items })
        })
        .collect()
}

fn item(row: ItemRow) -> Result<Item> {
    let strange = |error: String| Error::decode(OPERATION, std::io::Error::other(error));
    if row.service.is_empty() {
        return Ok(Item { vantage: row.vantage, flow: None });
    }
    let address = row.address.parse().map_err(|_| strange(format!("{:?} is no address", row.address)))?;
    let service = row.service.parse().map_err(|_| strange(format!("{:?} is no service", row.service)))?;
    Ok(Item { vantage: row.vantage, flow: Some(ItemFlow { target: row.target, address, service }) })
}

fn kind(word: &str) -> Result<AlertKind> {
    let strange = || Error::decode(OPERATION, std::io::Error::other(format!("{word:?} is no kind of alert")));
    AlertKind::named(word).ok_or_else(strange)
}

/// Opens an alert after a sweep that ended at `at`; returns its number.
pub(crate) async fn open(
    connection: &mut PgConnection,
    sweep: i64,
    at: Timestamp,
    alert: &Alert,
) -> Result<i64> {
    let is_over = alert.about.kind == AlertKind::Fix;
    let flows = alert.items.iter().filter(|item| item.flow.is_some()).count();
    let id = sqlx::query_scalar(
        "INSERT INTO alert (kind, about, sentence, flows, sweep_id, opened_at, seen_at, changed_at, resolved_at,
                            resolved_sweep)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $6, CASE WHEN $7 THEN $6 END, CASE WHEN $7 THEN $5 END) RETURNING id",
    )
    .bind(alert.about.kind.word())
    .bind(Json(&alert.about))
    .bind(alert.about.sentence(&alert.items))
    .bind(i32::try_from(flows).unwrap_or(i32::MAX))
    .bind(sweep)
    .bind(at.to_sqlx())
    .bind(is_over)
    .fetch_one(&mut *connection)
    .await
    .named("opening an alert")?;
    let ended = is_over.then_some(at);
    write_items(connection, id, alert.items.iter().map(|item| (item, ended))).await?;
    Ok(id)
}

/// Writes what becomes of an alert after a sweep that ended at `at`.
pub(crate) async fn update(
    connection: &mut PgConnection,
    sweep: i64,
    at: Timestamp,
    update: &Update,
) -> Result<()> {
    let (resolved, held) = match update.state {
        State::Open => (None, false),
        State::Held(since) => (Some(since), true),
        State::Over(since) => (Some(since), false),
    };
    sqlx::query(
        "UPDATE alert SET seen_at = $2, changed_at = greatest(changed_at, $3), held = $5,
                resolved_sweep = CASE WHEN $4 IS NULL THEN NULL WHEN resolved_at = $4 THEN resolved_sweep ELSE $6 END,
                resolved_at = $4
         WHERE id = $1",
    )
    .bind(update.id)
    .bind(update.seen.to_sqlx())
    .bind(at.to_sqlx())
    .bind(resolved.map(Timestamp::to_sqlx))
    .bind(held)
    .bind(sweep)
    .execute(&mut *connection)
    .await
    .named("changing an alert")?;
    write_items(connection, update.id, update.items.iter().map(|(item, ended)| (item, *ended))).await
}

async fn write_items(
    connection: &mut PgConnection,
    alert: i64,
    items: impl Iterator<Item = (&Item, Option<Timestamp>)>,
) -> Result<()> {
    let items: Vec<_> = items.collect();
    let flow = |item: &Item, text: fn(&ItemFlow) -> String| item.flow.as_ref().map(text).unwrap_or_default();
    sqlx::query(
        "INSERT INTO alert_item (alert_id, vantage, target, address, service, ended_at)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
         ON CONFLICT (alert_id, vantage, target, address, service) DO UPDATE SET ended_at = excluded.ended_at",
    )
    .bind(alert)
    .bind(items.iter().map(|(item, _)| item.vantage.clone()).collect::<Vec<_>>())
    .bind(items.iter().map(|(item, _)| flow(item, |flow| flow.target.clone())).collect::<Vec<_>>())
    .bind(items.iter().map(|(item, _)| flow(item, |flow| flow.address.to_string())).collect::<Vec<_>>())
    .bind(items.iter().map(|(item, _)| flow(item, |flow| flow.service.name())).collect::<Vec<_>>())
    .bind(items.iter().map(|(_, ended)| ended.map(Timestamp::to_sqlx)).collect::<Vec<Option<Stamp>>>())
    .execute(connection)
    .await
    .named("writing what an alert speaks of")?;
    Ok(())
}

/// An alert, as it is listed and told.
#[derive(FromRow)]
pub(crate) struct Listed {
    pub(crate) id: i64,
    about: Value,
    pub(crate) sentence: String,
    pub(crate) flows: i32,
    pub(crate) sweep_id: i64,
    pub(crate) opened_at: Stamp,
    pub(crate) seen_at: Stamp,
    pub(crate) resolved_at: Option<Stamp>,
    pub(crate) resolved_sweep: Option<i64>,
    pub(crate) held: bool,
}

impl Listed {
    pub(crate) fn about(&self) -> Result<About> {
        About::deserialize(&self.about).map_err(|error| Error::decode(OPERATION, error))
    }
}

/// One alert.
pub(crate) async fn find(connection: &mut PgConnection, id: i64) -> Result<Option<Listed>> {
    sqlx::query_as(
        "SELECT id, about, sentence, flows, sweep_id, opened_at, seen_at, resolved_at, resolved_sweep, held
         FROM alert WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await
    .named("reading an alert")
}

/// The newest alerts, newest first; those that are over only if `all`.
pub(crate) async fn list(connection: &mut PgConnection, all: bool, limit: i64) -> Result<Vec<Listed>> {
    sqlx::query_as(
        "SELECT id, about, sentence, flows, sweep_id, opened_at, seen_at, resolved_at, resolved_sweep, held
         FROM alert WHERE $1 OR resolved_at IS NULL OR held ORDER BY id DESC LIMIT $2",
    )
    .bind(all)
    .bind(limit)
    .fetch_all(connection)
    .await
    .named("listing the alerts")
}

/// Forgets alerts that have been over for `seconds`, with their notices.
pub(crate) async fn forget(connection: &mut PgConnection, seconds: f64) -> Result<()> {
    sqlx::query(
        "DELETE FROM alert WHERE id IN (
             SELECT id FROM alert WHERE resolved_at IS NOT NULL AND NOT held
               AND greatest(resolved_at, changed_at) < now() - make_interval(secs => $1)
             ORDER BY id LIMIT 1000)",
    )
    .bind(seconds)
    .execute(&mut *connection)
    .await
    .named("forgetting old alerts")?;
    sqlx::query("DELETE FROM alert_sweep WHERE considered_at < now() - make_interval(secs => $1)")
        .bind(seconds)
        .execute(connection)
        .await
        .named("forgetting sweeps that were considered")?;
    Ok(())
}
