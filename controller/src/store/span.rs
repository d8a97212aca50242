//! Spans of flows.

use std::collections::{BTreeMap, BTreeSet};

use jiff_sqlx::{Timestamp, ToSqlx};
use sekisho_domain::span::{Moment, Reading, Span};
use sqlx::{FromRow, PgConnection};

use super::{Error, Named, Result};

/// The flow of a span: keys of vantage, target and service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub(crate) struct Flow {
    #[sqlx(rename = "vantage_id")]
    pub(crate) vantage: i32,
    #[sqlx(rename = "target_id")]
    pub(crate) target: i32,
    #[sqlx(rename = "service_id")]
    pub(crate) service: i16,
}

/// Spans of flows, as they are read and written in one go.
pub(crate) type Spans = BTreeMap<Flow, Vec<Span>>;

/// The stretch of a flow from its earliest to its latest new observation.
pub(crate) struct Stretch {
    pub(crate) flow: Flow,
    pub(crate) from: Moment,
    pub(crate) to: Moment,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    flow: Flow,
    outcome: String,
    by: Option<std::net::IpAddr>,
    first_seen: Timestamp,
    first_sweep: i64,
    last_seen: Timestamp,
    last_sweep: i64,
    sweeps: i32,
}

impl Row {
    fn span(&self) -> Result<Span> {
        let decode = |error| Error::decode("reading the outcome of a span", error);
        let outcome = self.outcome.parse().map_err(decode)?;
        let reading = Reading::new(outcome, self.by);
        let untested =
            || Error::decode("reading a span", std::io::Error::other("it says that nobody tested"));
        Ok(Span {
            reading: reading.ok_or_else(untested)?,
            first: Moment { at: self.first_seen.to_jiff(), sweep: self.first_sweep },
            last: Moment { at: self.last_seen.to_jiff(), sweep: self.last_sweep },
            sweeps: self.sweeps,
        })
    }
}

/// Lets one transaction at a time change the spans of these vantages, until it ends. What others have written of them is
/// seen by the statements that follow.
///
/// A batch of results is of one vantage, whose flows no other vantage has: one lock stands for all of them.
pub(crate) async fn lock(connection: &mut PgConnection, vantages: &BTreeSet<i32>) -> Result<()> {
    /// "span" in ASCII.
    const KEY: i32 = 0x7370_616e;
    for vantage in vantages {
        sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
            .bind(KEY)
            .bind(vantage)
            .execute(&mut *connection)
            .await
            .named("locking the spans of a vantage")?;
    }
    Ok(())
}

/// What [`around`] asks. Public for the test of its plan.
pub const AROUND: &str = "
    SELECT s.* FROM unnest($1::integer[], $2::integer[], $3::smallint[], $4::timestamptz[], $5::bigint[],
                           $6::timestamptz[], $7::bigint[])
        AS n (vantage_id, target_id, service_id, from_seen, from_sweep, to_seen, to_sweep)
    CROSS JOIN LATERAL (
        (SELECT vantage_id, target_id, service_id, outcome::text AS outcome, by, first_seen, first_sweep, last_seen,
                last_sweep, sweeps
         FROM span WHERE vantage_id = n.vantage_id AND target_id = n.target_id AND service_id = n.service_id
           AND (first_seen, first_sweep) <= (n.from_seen, n.from_sweep)
         ORDER BY first_seen DESC, first_sweep DESC LIMIT 1)
        UNION ALL
        (SELECT vantage_id, target_id, service_id, outcome::text, by, first_seen, first_sweep, last_seen,
                last_sweep, sweeps
         FROM span WHERE vantage_id = n.vantage_id AND target_id = n.target_id AND service_id = n.service_id
           AND (first_seen, first_sweep) > (n.from_seen, n.from_sweep)
           AND (first_seen, first_sweep) <= (n.to_seen, n.to_sweep))
        UNION ALL
        (SELECT vantage_id, target_id, service_id, outcome::text, by, first_seen, first_sweep, last_seen,
                last_sweep, sweeps
         FROM span WHERE vantage_id = n.vantage_id AND target_id = n.target_id AND service_id = n.service_id
           AND (first_seen, first_sweep) > (n.to_seen, n.to_sweep)
         ORDER BY first_seen, first_sweep LIMIT 1)) s";

/// The spans that each stretch overlaps, and the nearest before and after it.
pub(crate) async fn around(connection: &mut PgConnection, stretches: &[Stretch]) -> Result<Spans> {
    let list = stretches;
    let rows: Vec<Row> = sqlx::query_as(AROUND)
        .bind(list.iter().map(|s| s.flow.vantage).collect::<Vec<_>>())
        .bind(list.iter().map(|s| s.flow.target).collect::<Vec<_>>())
        .bind(list.iter().map(|s| s.flow.service).collect::<Vec<_>>())
        .bind(list.iter().map(|s| s.from.at.to_sqlx()).collect::<Vec<Timestamp>>())
        .bind(list.iter().map(|s| s.from.sweep).collect::<Vec<_>>())
        .bind(list.iter().map(|s| s.to.at.to_sqlx()).collect::<Vec<Timestamp>>())
        .bind(list.iter().map(|s| s.to.sweep).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .named("reading the spans around new observations")?;
    let mut spans = Spans::new();
    for row in &rows {
        spans.entry(row.flow).or_default().push(row.span()?);
    }
    Ok(spans)
}

/// What [`within`] asks. Public for the test of its plan. `OFFSET 0` keeps the flows apart, each looked up in the index:
/// joined with all at once, the table of observations may be read from end to end.
pub const WITHIN: &str = "
    SELECT o.vantage_id, o.target_id, o.service_id, o.observed_at, o.sweep_id
    FROM unnest($1::integer[], $2::integer[], $3::smallint[], $4::timestamptz[], $5::bigint[],
                $6::timestamptz[], $7::bigint[])
        AS n (vantage_id, target_id, service_id, from_seen, from_sweep, to_seen, to_sweep)
    CROSS JOIN LATERAL (
        SELECT vantage_id, target_id, service_id, observed_at, sweep_id FROM observation
        WHERE vantage_id = n.vantage_id AND target_id = n.target_id AND service_id = n.service_id
          AND (observed_at, sweep_id) > (n.from_seen, n.from_sweep)
          AND (observed_at, sweep_id) < (n.to_seen, n.to_sweep) AND outcome <> 'failed'
        OFFSET 0) o";

/// The moments of the observations inside spans, without their first and last ones.
pub(crate) async fn within(
    connection: &mut PgConnection,
    spans: &[(Flow, Span)],
) -> Result<BTreeMap<Flow, Vec<Moment>>> {
    let list = spans;
    let rows: Vec<(i32, i32, i16, Timestamp, i64)> = sqlx::query_as(WITHIN)
        .bind(list.iter().map(|(flow, _)| flow.vantage).collect::<Vec<_>>())
        .bind(list.iter().map(|(flow, _)| flow.target).collect::<Vec<_>>())
        .bind(list.iter().map(|(flow, _)| flow.service).collect::<Vec<_>>())
        .bind(list.iter().map(|(_, span)| span.first.at.to_sqlx()).collect::<Vec<Timestamp>>())
        .bind(list.iter().map(|(_, span)| span.first.sweep).collect::<Vec<_>>())
        .bind(list.iter().map(|(_, span)| span.last.at.to_sqlx()).collect::<Vec<Timestamp>>())
        .bind(list.iter().map(|(_, span)| span.last.sweep).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .named("reading the observations of spans")?;
    let mut moments: BTreeMap<Flow, Vec<Moment>> = BTreeMap::new();
    for (vantage, target, service, at, sweep) in rows {
        let flow = Flow { vantage, target, service };
        moments.entry(flow).or_default().push(Moment { at: at.to_jiff(), sweep });
    }
    Ok(moments)
}

/// Writes spans down. One that begins where another does takes its place.
pub(crate) async fn put(connection: &mut PgConnection, spans: &[(Flow, Span)]) -> Result<()> {
    let list = spans;
    sqlx::query(
        "INSERT INTO span (vantage_id, target_id, service_id, outcome, by, first_seen, first_sweep, last_seen,
                           last_sweep, sweeps)
         SELECT vantage_id, target_id, service_id, outcome::outcome, by, first_seen, first_sweep, last_seen,
                last_sweep, sweeps
         FROM unnest($1::integer[], $2::integer[], $3::smallint[], $4::text[], $5::inet[], $6::timestamptz[],
                     $7::bigint[], $8::timestamptz[], $9::bigint[], $10::integer[])
              AS s (vantage_id, target_id, service_id, outcome, by, first_seen, first_sweep, last_seen, last_sweep,
                    sweeps)
         ON CONFLICT (vantage_id, target_id, service_id, first_seen, first_sweep) DO UPDATE SET
             last_seen = EXCLUDED.last_seen, last_sweep = EXCLUDED.last_sweep, sweeps = EXCLUDED.sweeps",
    )
    .bind(list.iter().map(|(flow, _)| flow.vantage).collect::<Vec<_>>())
    .bind(list.iter().map(|(flow, _)| flow.target).collect::<Vec<_>>())
    .bind(list.iter().map(|(flow, _)| flow.service).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.reading.outcome().word()).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.reading.by()).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.first.at.to_sqlx()).collect::<Vec<Timestamp>>())
    .bind(list.iter().map(|(_, span)| span.first.sweep).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.last.at.to_sqlx()).collect::<Vec<Timestamp>>())
    .bind(list.iter().map(|(_, span)| span.last.sweep).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.sweeps).collect::<Vec<_>>())
    .execute(connection)
    .await
    .named("writing spans")?;
    Ok(())
}

/// Removes the spans that began at these moments.
pub(crate) async fn remove(connection: &mut PgConnection, spans: &[(Flow, Moment)]) -> Result<()> {
    let list = spans;
    sqlx::query(
        "DELETE FROM span s
         USING unnest($1::integer[], $2::integer[], $3::smallint[], $4::timestamptz[], $5::bigint[])
             AS gone (vantage_id, target_id, service_id, first_seen, first_sweep)
         WHERE s.vantage_id = gone.vantage_id AND s.target_id = gone.target_id AND s.service_id = gone.service_id
           AND s.first_seen = gone.first_seen AND s.first_sweep = gone.first_sweep",
    )
    .bind(list.iter().map(|(flow, _)| flow.vantage).collect::<Vec<_>>())
    .bind(list.iter().map(|(flow, _)| flow.target).collect::<Vec<_>>())
    .bind(list.iter().map(|(flow, _)| flow.service).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, first)| first.at.to_sqlx()).collect::<Vec<Timestamp>>())
    .bind(list.iter().map(|(_, first)| first.sweep).collect::<Vec<_>>())
    .execute(connection)
    .await
    .named("removing spans")?;
    Ok(())
}
