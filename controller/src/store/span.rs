//! Spans of flows: one row for each vantage and target.

use std::collections::{BTreeMap, BTreeSet};

use jiff_sqlx::{Timestamp, ToSqlx};
use sekisho_domain::span::{Moment, Reading, Span};
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};

use super::{
    Error, Named, Result,
    letter::{self, char_of},
};

/// The flow of a span: keys of vantage, target and service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Flow {
    pub(crate) pair: Pair,
    pub(crate) service: i16,
}

/// Keys of a vantage and a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pair {
    pub(crate) vantage: i32,
    pub(crate) target: i32,
}

/// The newest spans from a vantage to a target, by service.
pub(crate) type Sheet = BTreeMap<i16, Span>;

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

/// What [`newest`] asks. Public for the test of its plan.
pub const NEWEST: &str = "
    SELECT s.vantage_id, s.target_id, services, outcomes, bys, first_seens, first_sweeps, last_seens, last_sweeps, sweeps
    FROM unnest($1::integer[], $2::integer[]) AS p (vantage_id, target_id)
    JOIN span s ON s.vantage_id = p.vantage_id AND s.target_id = p.target_id";

/// What [`newest_of_vantages`] asks. Public for the test of its plan.
pub const NEWEST_OF_VANTAGES: &str = "
    SELECT vantage_id, target_id, services, outcomes, bys, first_seens, first_sweeps, last_seens, last_sweeps, sweeps
    FROM span WHERE vantage_id = ANY($1)";

/// The newest spans of these pairs.
pub(crate) async fn newest(connection: &mut PgConnection, pairs: &[Pair]) -> Result<BTreeMap<Pair, Sheet>> {
    let rows = sqlx::query(NEWEST)
        .bind(pairs.iter().map(|pair| pair.vantage).collect::<Vec<_>>())
        .bind(pairs.iter().map(|pair| pair.target).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .named("reading spans")?;
    rows.iter().map(sheet).collect()
}

/// The newest spans from these vantages.
pub(crate) async fn newest_of_vantages(
    connection: &mut PgConnection,
    vantages: &[i32],
) -> Result<BTreeMap<Pair, Sheet>> {
    let rows = sqlx::query(NEWEST_OF_VANTAGES).bind(vantages).fetch_all(connection).await;
    rows.named("reading the spans of vantages")?.iter().map(sheet).collect()
}

fn sheet(row: &PgRow) -> Result<(Pair, Sheet)> {
    let lists = Lists::from_row(row).named("reading the newest spans")?;
    let Lists { services, outcomes, bys, .. } = &lists;
    let moments = |seens: &[Timestamp], sweeps: &[i64]| -> Vec<Moment> {
        seens.iter().zip(sweeps).map(|(at, sweep)| Moment { at: at.to_jiff(), sweep: *sweep }).collect()
    };
    let firsts = moments(&lists.first_seens, &lists.first_sweeps);
    let lasts = moments(&lists.last_seens, &lists.last_sweeps);
    let ends = firsts.into_iter().zip(lasts);
    let readings = services.iter().zip(outcomes.iter().zip(bys));
    let sheet =
        readings.zip(ends.zip(&lists.sweeps)).map(|((service, (outcome, by)), ((first, last), sweeps))| {
            Ok((*service, Span { reading: reading(*outcome, *by)?, first, last, sweeps: *sweeps }))
        });
    Ok((Pair { vantage: lists.vantage_id, target: lists.target_id }, sheet.collect::<Result<_>>()?))
}

#[derive(FromRow)]
struct Lists {
    vantage_id: i32,
    target_id: i32,
    services: Vec<i16>,
    outcomes: Vec<i8>,
    bys: Vec<Option<std::net::IpAddr>>,
    first_seens: Vec<Timestamp>,
    first_sweeps: Vec<i64>,
    last_seens: Vec<Timestamp>,
    last_sweeps: Vec<i64>,
    sweeps: Vec<i32>,
}

fn reading(outcome: i8, by: Option<std::net::IpAddr>) -> Result<Reading> {
    let untested = || Error::decode("reading a span", std::io::Error::other("it says that nobody tested"));
    Reading::new(letter::outcome(outcome.cast_unsigned())?, by).ok_or_else(untested)
}

/// What [`ended`] asks. Public for the test of its plan.
pub const ENDED: &str = "
    SELECT s.vantage_id, s.target_id, r.service_id, r.outcome, r.by, r.first_seen, r.first_sweep, r.last_seen,
           r.last_sweep, r.sweeps
    FROM unnest($1::integer[], $2::integer[]) AS p (vantage_id, target_id)
    JOIN span s ON s.vantage_id = p.vantage_id AND s.target_id = p.target_id
    CROSS JOIN LATERAL unnest(s.ended) r";

/// What [`ended_of_vantages`] asks. Public for the test of its plan.
pub const ENDED_OF_VANTAGES: &str = "
    SELECT s.vantage_id, s.target_id, r.service_id, r.outcome, r.by, r.first_seen, r.first_sweep, r.last_seen,
           r.last_sweep, r.sweeps
    FROM span s CROSS JOIN LATERAL unnest(s.ended) r WHERE s.vantage_id = ANY($1) AND r.first_seen <= $2";

/// The earlier spans of these pairs, in no order.
pub(crate) async fn ended(connection: &mut PgConnection, pairs: &[Pair]) -> Result<Vec<(Flow, Span)>> {
    let rows = sqlx::query(ENDED)
        .bind(pairs.iter().map(|pair| pair.vantage).collect::<Vec<_>>())
        .bind(pairs.iter().map(|pair| pair.target).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .named("reading earlier spans")?;
    rows.iter().map(run).collect()
}

/// The earlier spans from these vantages that had begun by then, in no order.
pub(crate) async fn ended_of_vantages(
    connection: &mut PgConnection,
    vantages: &[i32],
    by: jiff::Timestamp,
) -> Result<Vec<(Flow, Span)>> {
    let rows = sqlx::query(ENDED_OF_VANTAGES).bind(vantages).bind(by.to_sqlx()).fetch_all(connection).await;
    rows.named("reading the earlier spans of vantages")?.iter().map(run).collect()
}

fn run(row: &PgRow) -> Result<(Flow, Span)> {
    let get = || -> sqlx::Result<_> {
        let pair = Pair { vantage: row.try_get(0)?, target: row.try_get(1)? };
        let flow = Flow { pair, service: row.try_get(2)? };
        let moment = |at: Timestamp, sweep: i64| Moment { at: at.to_jiff(), sweep };
        let first = moment(row.try_get(5)?, row.try_get(6)?);
        let last = moment(row.try_get(7)?, row.try_get(8)?);
        Ok((flow, row.try_get::<i8, _>(3)?, row.try_get(4)?, first, last, row.try_get::<i32, _>(9)?))
    };
    let (flow, outcome, by, first, last, sweeps) = get().named("reading an earlier span")?;
    Ok((flow, Span { reading: reading(outcome, by)?, first, last, sweeps }))
}

/// What [`within`] asks. Public for the test of its plan. `OFFSET 0` keeps the tasks apart, each looked up in the index:
/// joined with all at once, the observations of all nights may be read from end to end.
pub const WITHIN: &str = "
    SELECT flow.target_id, flow.service_id, o.observed_at, j.sweep_id
    FROM job j
    CROSS JOIN LATERAL unnest(j.task_targets, j.task_services) WITH ORDINALITY AS flow (target_id, service_id, number)
    CROSS JOIN LATERAL (
        SELECT observed_at FROM observation WHERE job = j.number AND observation.task = flow.number - 1 AND outcome <> 'x' OFFSET 0) o
    WHERE j.vantage_id = $1 AND j.kind = 'check'
      AND (flow.target_id, flow.service_id) IN (SELECT * FROM unnest($2::integer[], $3::smallint[]))";

/// The moments of the observations of flows that are still kept.
pub(crate) async fn within(
    connection: &mut PgConnection,
    flows: &BTreeSet<Flow>,
) -> Result<BTreeMap<Flow, Vec<Moment>>> {
    let mut moments: BTreeMap<Flow, Vec<Moment>> = BTreeMap::new();
    let vantages: BTreeSet<i32> = flows.iter().map(|flow| flow.pair.vantage).collect();
    for vantage in vantages {
        let of_vantage = || flows.iter().filter(|flow| flow.pair.vantage == vantage);
        let rows: Vec<(i32, i16, Timestamp, i64)> = sqlx::query_as(WITHIN)
            .bind(vantage)
            .bind(of_vantage().map(|flow| flow.pair.target).collect::<Vec<_>>())
            .bind(of_vantage().map(|flow| flow.service).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await
            .named("reading the observations of spans")?;
        for (target, service, at, sweep) in rows {
            let flow = Flow { pair: Pair { vantage, target }, service };
            moments.entry(flow).or_default().push(Moment { at: at.to_jiff(), sweep });
        }
    }
    Ok(moments)
}

/// Writes the newest spans of pairs down, in place of those that were the newest ones.
pub(crate) async fn put(connection: &mut PgConnection, sheets: &BTreeMap<Pair, Sheet>) -> Result<()> {
    let spans = || sheets.values().flat_map(BTreeMap::iter);
    let mut from = Vec::with_capacity(sheets.len());
    let mut to = Vec::with_capacity(sheets.len());
    let mut end = 0_i32;
    for sheet in sheets.values() {
        from.push(end.saturating_add(1));
        end = end.saturating_add(i32::try_from(sheet.len()).unwrap_or(i32::MAX));
        to.push(end);
    }
    sqlx::query(
        "INSERT INTO span (vantage_id, target_id, services, outcomes, bys, first_seens, first_sweeps, last_seens,
                           last_sweeps, sweeps)
         SELECT vantage_id, target_id, ($5::smallint[])[f:t], ($6::\"char\"[])[f:t], ($7::inet[])[f:t],
                ($8::timestamptz[])[f:t], ($9::bigint[])[f:t], ($10::timestamptz[])[f:t], ($11::bigint[])[f:t],
                ($12::integer[])[f:t]
         FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::integer[]) AS p (vantage_id, target_id, f, t)
         ON CONFLICT (vantage_id, target_id) DO UPDATE SET
             services = EXCLUDED.services, outcomes = EXCLUDED.outcomes, bys = EXCLUDED.bys,
             first_seens = EXCLUDED.first_seens, first_sweeps = EXCLUDED.first_sweeps,
             last_seens = EXCLUDED.last_seens, last_sweeps = EXCLUDED.last_sweeps, sweeps = EXCLUDED.sweeps",
    )
    .bind(sheets.keys().map(|pair| pair.vantage).collect::<Vec<_>>())
    .bind(sheets.keys().map(|pair| pair.target).collect::<Vec<_>>())
    .bind(from)
    .bind(to)
    .bind(spans().map(|(service, _)| *service).collect::<Vec<_>>())
    .bind(spans().map(|(_, span)| letter_of(span)).collect::<Vec<_>>())
    .bind(spans().map(|(_, span)| span.reading.by()).collect::<Vec<_>>())
    .bind(spans().map(|(_, span)| span.first.at.to_sqlx()).collect::<Vec<Timestamp>>())
    .bind(spans().map(|(_, span)| span.first.sweep).collect::<Vec<_>>())
    .bind(spans().map(|(_, span)| span.last.at.to_sqlx()).collect::<Vec<Timestamp>>())
    .bind(spans().map(|(_, span)| span.last.sweep).collect::<Vec<_>>())
    .bind(spans().map(|(_, span)| span.sweeps).collect::<Vec<_>>())
    .execute(connection)
    .await
    .named("writing spans")?;
    Ok(())
}

/// Forgets the earlier spans of these pairs, so that [`end`] can write others.
pub(crate) async fn clear_ended(connection: &mut PgConnection, pairs: &BTreeSet<Pair>) -> Result<()> {
    sqlx::query(
        "UPDATE span s SET ended = '{}' FROM unnest($1::integer[], $2::integer[]) AS p (vantage_id, target_id)
         WHERE s.vantage_id = p.vantage_id AND s.target_id = p.target_id",
    )
    .bind(pairs.iter().map(|pair| pair.vantage).collect::<Vec<_>>())
    .bind(pairs.iter().map(|pair| pair.target).collect::<Vec<_>>())
    .execute(connection)
    .await
    .named("removing earlier spans")?;
    Ok(())
}

/// Adds spans to the earlier ones of pairs that have newest ones.
pub(crate) async fn end(connection: &mut PgConnection, spans: &[(Flow, Span)]) -> Result<()> {
    let list = spans;
    sqlx::query(
        "UPDATE span s SET ended = s.ended || n.runs FROM (
             SELECT vantage_id, target_id,
                    array_agg((service_id, outcome, by, first_seen, first_sweep, last_seen, last_sweep, sweeps)::span_run) AS runs
             FROM unnest($1::integer[], $2::integer[], $3::smallint[], $4::\"char\"[], $5::inet[], $6::timestamptz[],
                         $7::bigint[], $8::timestamptz[], $9::bigint[], $10::integer[])
                  AS r (vantage_id, target_id, service_id, outcome, by, first_seen, first_sweep, last_seen, last_sweep,
                        sweeps)
             GROUP BY vantage_id, target_id) n
         WHERE s.vantage_id = n.vantage_id AND s.target_id = n.target_id",
    )
    .bind(list.iter().map(|(flow, _)| flow.pair.vantage).collect::<Vec<_>>())
    .bind(list.iter().map(|(flow, _)| flow.pair.target).collect::<Vec<_>>())
    .bind(list.iter().map(|(flow, _)| flow.service).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| letter_of(span)).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.reading.by()).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.first.at.to_sqlx()).collect::<Vec<Timestamp>>())
    .bind(list.iter().map(|(_, span)| span.first.sweep).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.last.at.to_sqlx()).collect::<Vec<Timestamp>>())
    .bind(list.iter().map(|(_, span)| span.last.sweep).collect::<Vec<_>>())
    .bind(list.iter().map(|(_, span)| span.sweeps).collect::<Vec<_>>())
    .execute(connection)
    .await
    .named("ending spans")?;
    Ok(())
}

fn letter_of(span: &Span) -> i8 {
    char_of(letter::letter(span.reading.outcome()).unwrap_or(letter::NONE))
}
