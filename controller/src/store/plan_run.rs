//! Coming runs of schedules as far as budgets are reserved for them, and the probes that have seats in them.

use std::net::IpAddr;

use jiff_sqlx::{Timestamp, ToSqlx};
use sekisho_domain::budget;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Named, Result};

/// A run, and how it is cut.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct PlanRun {
    pub(crate) id: i64,
    /// The run that has the seats, rates and reservations; mostly itself.
    pub(crate) head: i64,
    pub(crate) start_at: Timestamp,
    pub(crate) end_at: Timestamp,
    pub(crate) seats: i32,
    pub(crate) slots: i32,
    pub(crate) slot_seconds: i32,
    pub(crate) gap_seconds: i32,
    /// Seats that probes have.
    pub(crate) taken: i64,
}

/// A run that is to be written down.
pub(crate) struct NewPlanRun {
    /// `None`: itself.
    pub(crate) head: Option<i64>,
    pub(crate) due: jiff::Timestamp,
    pub(crate) start: jiff::Timestamp,
    pub(crate) end: jiff::Timestamp,
    pub(crate) until: jiff::Timestamp,
    pub(crate) seats: u32,
    pub(crate) slots: u32,
    pub(crate) slot_seconds: u32,
    pub(crate) gap_seconds: u32,
}

/// A budget that the jobs of a plan need a part of.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct PlanNeed {
    /// The address; `None`: the link of a vantage.
    pub(crate) address: Option<IpAddr>,
    pub(crate) vantage_id: Option<i32>,
    /// What it is called.
    pub(crate) name: String,
    pub(crate) budget: i32,
    /// Flows, and jobs of checks, that have to do with it.
    pub(crate) flows: i64,
    pub(crate) checks: i64,
    /// Probes of the vantage.
    pub(crate) probes: Option<i64>,
    /// What others have of it in the time of the run.
    pub(crate) lent: i64,
    /// What of that is reserved for other runs.
    pub(crate) planned: i64,
}

/// What a seat may use of a budget.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct PlanRate {
    pub(crate) address: Option<IpAddr>,
    pub(crate) vantage_id: Option<i32>,
    pub(crate) each: i32,
    pub(crate) users: i32,
}

macro_rules! run {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, coalesce(r.head, r.id) AS head, r.start_at, r.end_at, r.seats, r.slots, r.slot_seconds, r.gap_seconds,
                    (SELECT count(*) FROM plan_seat s WHERE s.run = coalesce(r.head, r.id)) AS taken
             FROM plan_run r ",
            $rest
        )
    };
}

/// A run.
pub(crate) async fn find(
    connection: &mut PgConnection,
    schedule: &str,
    due: jiff::Timestamp,
) -> Result<Option<PlanRun>> {
    sqlx::query_as(run!("WHERE r.schedule = $1 AND r.due_at = $2"))
        .bind(schedule)
        .bind(due.to_sqlx())
        .fetch_optional(connection)
        .await
        .named("reading what is reserved for a run")
}

/// The newest other run of a schedule whose reservations meet a time.
pub(crate) async fn before(
    connection: &mut PgConnection,
    schedule: &str,
    due: jiff::Timestamp,
    (from, until): (jiff::Timestamp, jiff::Timestamp),
) -> Result<Option<PlanRun>> {
    sqlx::query_as(run!(
        "WHERE r.schedule = $1 AND r.due_at <> $2 AND r.until_at > $3 AND r.start_at < $4 ORDER BY r.start_at DESC LIMIT 1"
    ))
    .bind(schedule)
    .bind(due.to_sqlx())
    .bind(from.to_sqlx())
    .bind(until.to_sqlx())
    .fetch_optional(connection)
    .await
    .named("looking for the run before a run")
}

/// Lets a run, whose reservations are lent to later ones as well, stay until then.
pub(crate) async fn prolong(connection: &mut PgConnection, run: i64, until: jiff::Timestamp) -> Result<()> {
    sqlx::query("UPDATE plan_run SET until_at = greatest(until_at, $2) WHERE id = $1")
        .bind(run)
        .bind(until.to_sqlx())
        .execute(connection)
        .await
        .named("prolonging a run")?;
    Ok(())
}

/// Runs by number.
pub(crate) async fn of_ids(connection: &mut PgConnection, ids: &[i64]) -> Result<Vec<PlanRun>> {
    sqlx::query_as(run!("WHERE r.id = ANY($1)"))
        .bind(ids)
        .fetch_all(connection)
        .await
        .named("reading what is reserved for runs")
}

/// The schedules whose reservations lie in a time.
pub(crate) async fn schedules_between(
    connection: &mut PgConnection,
    from: jiff::Timestamp,
    until: jiff::Timestamp,
) -> Result<Vec<String>> {
    sqlx::query_scalar("SELECT DISTINCT schedule FROM plan_run WHERE start_at < $2 AND until_at > $1")
        .bind(from.to_sqlx())
        .bind(until.to_sqlx())
        .fetch_all(connection)
        .await
        .named("looking for runs of that time")
}

/// The probes of vantages that are there by all that is known.
pub(crate) async fn probes(connection: &mut PgConnection, vantages: &[i32]) -> Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM probe WHERE vantage_id = ANY($1) AND revoked_at IS NULL
           AND coalesce(seen_at, enrolled_at) > now() - interval '7 days'",
    )
    .bind(vantages)
    .fetch_one(connection)
    .await
    .named("counting the probes of vantages")
}

/// What a plan needs of budgets, and what others than `job` have of them from `from` until `until`: of each address that is a
/// target's and that its jobs may talk to, and of the links of its vantages that have one.
pub(crate) async fn needs(
    connection: &mut PgConnection,
    plan: i64,
    job: Uuid,
    (from, until): (jiff::Timestamp, jiff::Timestamp),
) -> Result<Vec<PlanNeed>> {
    sqlx::query_as(
        "WITH talk AS (
             SELECT t.address, count(*) AS flows, 0::bigint AS checks
             FROM plan_part n, unnest(n.task_targets) AS task JOIN target t ON t.id = task
             WHERE n.plan = $1 AND n.kind = 'check' GROUP BY t.address
             UNION ALL
             SELECT address, 0, count(DISTINCT part) FROM (
                 SELECT n.part, t.address FROM plan_part n JOIN target t ON t.id = ANY(n.known_targets) WHERE n.plan = $1
                 UNION ALL
                 SELECT n.part, server FROM plan_part n JOIN domain d ON d.id = ANY(n.domain_ids), unnest(d.dns_servers) AS server
                 WHERE n.plan = $1) asked
             GROUP BY address
         ), of_address AS (
             SELECT address, sum(flows)::bigint AS flows, sum(checks)::bigint AS checks FROM talk GROUP BY address
         ), need AS (
             SELECT o.address, NULL::integer AS vantage_id, host(o.address) AS name, coalesce(
                        min(coalesce(t.budget, d.budget, $5)) FILTER (WHERE t.removed_at IS NULL),
                        min(coalesce(t.budget, d.budget, $5))) AS budget,
                    o.flows, o.checks, NULL::bigint AS probes
             FROM of_address o JOIN target t ON t.address = o.address JOIN domain d ON d.id = t.domain_id
             GROUP BY o.address, o.flows, o.checks
             UNION ALL
             SELECT NULL, v.id, 'the link of ' || v.name, v.budget,
                    (SELECT coalesce(sum(cardinality(n.task_targets)), 0) FROM plan_part n WHERE n.plan = $1 AND n.kind = 'check'),
                    (SELECT count(*) FROM plan_part n WHERE n.plan = $1 AND n.kind = 'vantage'),
                    greatest((SELECT count(*) FROM probe o WHERE o.vantage_id = v.id AND o.revoked_at IS NULL
                                AND coalesce(o.seen_at, o.enrolled_at) > now() - interval '7 days'),
                             (SELECT count(*) FROM plan_seat s JOIN plan_run r ON coalesce(r.head, r.id) = s.run
                              WHERE r.schedule = p.schedule AND r.due_at = p.due_at AND s.vantage_id = v.id))
             FROM plan p JOIN vantage v ON v.id = ANY(p.vantage_ids) WHERE p.number = $1 AND v.budget IS NOT NULL)
         SELECT n.*, coalesce(s.lent, 0)::bigint AS lent, coalesce(s.planned, 0)::bigint AS planned FROM need n
         LEFT JOIN budget b ON b.address = n.address OR b.vantage_id = n.vantage_id
         LEFT JOIN LATERAL (
             SELECT sum(rate) AS lent, sum(rate) FILTER (WHERE probe_id = $6) AS planned FROM share
             WHERE budget_id = b.id AND job_id <> $2 AND from_at < $4 AND until_at > greatest($3, now())
         ) s ON true
         ORDER BY n.vantage_id, n.address",
    )
    .bind(plan)
    .bind(job)
    .bind(from.to_sqlx())
    .bind(until.to_sqlx())
    .bind(i32::try_from(budget::DEFAULT).unwrap_or(i32::MAX))
    .bind(Uuid::nil())
    .fetch_all(connection)
    .await
    .named("reading what a plan needs of budgets")
}

/// What a seat of a run may use.
pub(crate) async fn rates(connection: &mut PgConnection, run: i64) -> Result<Vec<PlanRate>> {
    sqlx::query_as(
        "SELECT b.address, b.vantage_id, r.each, r.users FROM plan_rate r JOIN budget b ON b.id = r.budget_id
         WHERE r.run = $1 ORDER BY b.vantage_id, b.address",
    )
    .bind(run)
    .fetch_all(connection)
    .await
    .named("reading the rates of a run")
}

/// Locks a run until the transaction ends. Says how many seats of it are taken; `None`: it is gone.
pub(crate) async fn lock(connection: &mut PgConnection, run: i64) -> Result<Option<i64>> {
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM plan_run WHERE id = $1 FOR UPDATE")
        .bind(run)
        .fetch_optional(&mut *connection)
        .await
        .named("locking a run")?;
    if found.is_none() {
        return Ok(None);
    }
    // By a statement of its own, which sees what was written until the lock was had.
    let taken = sqlx::query_scalar("SELECT count(*) FROM plan_seat WHERE run = $1")
        .bind(run)
        .fetch_one(connection)
        .await
        .named("counting the seats of a run")?;
    Ok(Some(taken))
}

/// Writes a run down.
pub(crate) async fn create(connection: &mut PgConnection, schedule: &str, run: &NewPlanRun) -> Result<i64> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    sqlx::query_scalar(
        "INSERT INTO plan_run (schedule, due_at, start_at, end_at, until_at, seats, slots, slot_seconds, gap_seconds, head)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
    )
    .bind(schedule)
    .bind(run.due.to_sqlx())
    .bind(run.start.to_sqlx())
    .bind(run.end.to_sqlx())
    .bind(run.until.to_sqlx())
    .bind(number(run.seats))
    .bind(number(run.slots))
    .bind(number(run.slot_seconds))
    .bind(number(run.gap_seconds))
    .bind(run.head)
    .fetch_one(connection)
    .await
    .named("writing a run")
}

/// Reserves parts of locked budgets for a run, by number: what each probe may use, and how many may. What the run has
/// already is reserved for this time as well.
pub(crate) async fn reserve(
    connection: &mut PgConnection,
    (run, job): (i64, Uuid),
    rates: &[(i32, u32, u32)],
    (from, until): (jiff::Timestamp, jiff::Timestamp),
) -> Result<()> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let budgets: Vec<i32> = rates.iter().map(|(budget, ..)| *budget).collect();
    let each: Vec<i32> = rates.iter().map(|(_, each, _)| number(*each)).collect();
    let users: Vec<i32> = rates.iter().map(|(.., users)| number(*users)).collect();
    sqlx::query(
        "INSERT INTO plan_rate (run, budget_id, each, users)
         SELECT $1, budget_id, each, users FROM unnest($2::integer[], $3::integer[], $4::integer[]) AS r (budget_id, each, users)
         ON CONFLICT DO NOTHING",
    )
    .bind(run)
    .bind(&budgets)
    .bind(&each)
    .bind(&users)
    .execute(&mut *connection)
    .await
    .named("writing the rates of a run")?;
    sqlx::query(
        "INSERT INTO share (budget_id, job_id, probe_id, rate, from_at, until_at)
         SELECT budget_id, $1, $2, each * users, $6, $7
         FROM unnest($3::integer[], $4::integer[], $5::integer[]) AS r (budget_id, each, users)
         ON CONFLICT (budget_id, job_id, probe_id) DO UPDATE SET from_at = least(share.from_at, excluded.from_at),
             until_at = greatest(share.until_at, excluded.until_at)",
    )
    .bind(job)
    .bind(Uuid::nil())
    .bind(&budgets)
    .bind(&each)
    .bind(&users)
    .bind(from.to_sqlx())
    .bind(until.to_sqlx())
    .execute(connection)
    .await
    .named("reserving parts of budgets")?;
    Ok(())
}

/// Forgets a locked run in which nobody has a seat, and those that have theirs of it; and gives back what was reserved for it.
pub(crate) async fn delete(connection: &mut PgConnection, (run, job): (i64, Uuid)) -> Result<()> {
    sqlx::query("DELETE FROM share WHERE job_id = $1 AND probe_id = $2")
        .bind(job)
        .bind(Uuid::nil())
        .execute(&mut *connection)
        .await
        .named("giving back what was reserved")?;
    sqlx::query("DELETE FROM plan_run WHERE id = $1")
        .bind(run)
        .execute(connection)
        .await
        .named("forgetting a run")?;
    Ok(())
}

/// The runs whose plans are gone and in which nobody has a seat.
pub(crate) async fn idle(connection: &mut PgConnection) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT r.id FROM plan_run r
         WHERE r.head IS NULL
           AND NOT EXISTS (SELECT 1 FROM plan_run o JOIN plan p ON p.schedule = o.schedule AND p.due_at = o.due_at
                           WHERE r.id IN (o.id, o.head))
           AND NOT EXISTS (SELECT 1 FROM plan_seat s WHERE s.run = r.id) ORDER BY r.id",
    )
    .fetch_all(connection)
    .await
    .named("looking for runs without a plan")
}

/// Forgets runs whose time is over.
pub(crate) async fn forget(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("DELETE FROM plan_run WHERE until_at < now()")
        .execute(connection)
        .await
        .named("forgetting runs that are over")?;
    Ok(())
}

/// A seat.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct Seat {
    pub(crate) run: i64,
    pub(crate) seat: i32,
}

/// The seats that a probe has in runs.
pub(crate) async fn seats_of(connection: &mut PgConnection, probe: Uuid, runs: &[i64]) -> Result<Vec<Seat>> {
    sqlx::query_as("SELECT run, seat FROM plan_seat WHERE probe_id = $1 AND run = ANY($2)")
        .bind(probe)
        .bind(runs)
        .fetch_all(connection)
        .await
        .named("reading the seats of a probe")
}

/// Gives a probe the next seat of a locked run, as long as there are any, and any of its vantage's link.
pub(crate) async fn take_seat(
    connection: &mut PgConnection,
    run: i64,
    probe: Uuid,
    vantage: i32,
) -> Result<Option<i32>> {
    sqlx::query_scalar(
        "INSERT INTO plan_seat (run, probe_id, vantage_id, seat)
         SELECT r.id, $2, $3, (SELECT count(*) FROM plan_seat s WHERE s.run = r.id)
         FROM plan_run r WHERE r.id = $1
           AND (SELECT count(*) FROM plan_seat s WHERE s.run = r.id) < r.seats::bigint * r.slots
           AND NOT EXISTS (
               SELECT 1 FROM plan_rate e JOIN budget b ON b.id = e.budget_id
               WHERE e.run = r.id AND b.vantage_id = $3
                 AND e.users <= (SELECT count(*) FROM plan_seat s WHERE s.run = r.id AND s.vantage_id = $3))
         ON CONFLICT (run, probe_id) DO UPDATE SET seat = plan_seat.seat
         RETURNING seat",
    )
    .bind(run)
    .bind(probe)
    .bind(vantage)
    .fetch_optional(connection)
    .await
    .named("giving a probe a seat")
}

/// The probes of a vantage whose seats lie in a slot.
pub(crate) async fn in_slot(
    connection: &mut PgConnection,
    run: i64,
    vantage: i32,
    slot: u32,
) -> Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT s.probe_id FROM plan_seat s JOIN plan_run r ON r.id = s.run
         WHERE s.run = $1 AND s.vantage_id = $2 AND s.seat / r.seats = $3",
    )
    .bind(run)
    .bind(vantage)
    .bind(i32::try_from(slot).unwrap_or(i32::MAX))
    .fetch_all(connection)
    .await
    .named("reading the seats of a slot")
}

/// Those of `addresses` that are targets'.
pub(crate) async fn of_targets(connection: &mut PgConnection, addresses: &[IpAddr]) -> Result<Vec<IpAddr>> {
    sqlx::query_scalar("SELECT DISTINCT address FROM target WHERE address = ANY($1)")
        .bind(addresses)
        .fetch_all(connection)
        .await
        .named("looking for targets among addresses")
}
