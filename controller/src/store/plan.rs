//! Plans of coming nights: made, compared, given to probes, and turned into jobs.

use jiff_sqlx::{Timestamp, ToSqlx};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{
    Named, Result,
    tasks::{self, CheckTask, KnownTarget, VantageTask},
};

/// What a plan is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewPlan {
    pub(crate) due: jiff::Timestamp,
    pub(crate) start: jiff::Timestamp,
    pub(crate) deadline: jiff::Timestamp,
    pub(crate) profile: String,
    pub(crate) services: Vec<String>,
    pub(crate) checks: Vec<String>,
    pub(crate) domains: Vec<i32>,
    pub(crate) vantages: Vec<i32>,
    pub(crate) parts: Vec<Part>,
}

/// A job that every vantage of a plan has.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Part {
    pub(crate) part: i16,
    pub(crate) kind: String,
    pub(crate) task_targets: Vec<Option<i32>>,
    pub(crate) task_services: Vec<i16>,
    pub(crate) task_checks: Vec<String>,
    pub(crate) domain_ids: Vec<i32>,
    pub(crate) task_computers: Vec<Option<String>>,
    pub(crate) known_targets: Vec<i32>,
}

/// A plan, without its parts.
#[derive(FromRow)]
pub(crate) struct Plan {
    pub(crate) number: i64,
    pub(crate) due_at: Timestamp,
    pub(crate) start_at: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) profile: String,
    pub(crate) services: Vec<String>,
    pub(crate) checks: Vec<String>,
    pub(crate) domain_ids: Vec<i32>,
    pub(crate) vantage_ids: Vec<i32>,
    pub(crate) given_at: Option<Timestamp>,
    /// Why probes are not given it.
    pub(crate) withheld: Option<String>,
    /// Whether its time has come.
    pub(crate) is_due: bool,
}

/// The plans of a schedule whose runs nobody has begun, by time.
pub(crate) async fn coming(connection: &mut PgConnection, schedule: &str) -> Result<Vec<Plan>> {
    sqlx::query_as("SELECT *, start_at <= now() AS is_due FROM plan WHERE schedule = $1 AND sweep_id IS NULL ORDER BY due_at")
        .bind(schedule)
        .fetch_all(connection)
        .await
        .named("reading the plans of a schedule")
}

/// Those of `dues` whose plans have been begun.
pub(crate) async fn begun(
    connection: &mut PgConnection,
    schedule: &str,
    dues: &[jiff::Timestamp],
) -> Result<Vec<jiff::Timestamp>> {
    let dues: Vec<Timestamp> = dues.iter().map(|due| due.to_sqlx()).collect();
    let begun: Vec<Timestamp> = sqlx::query_scalar(
        "SELECT due_at FROM plan WHERE schedule = $1 AND due_at = ANY($2) AND sweep_id IS NOT NULL",
    )
    .bind(schedule)
    .bind(dues)
    .fetch_all(connection)
    .await
    .named("looking for plans that were begun")?;
    Ok(begun.into_iter().map(Timestamp::to_jiff).collect())
}

/// The plan of a run that nobody has begun.
pub(crate) async fn of_run(
    connection: &mut PgConnection,
    schedule: &str,
    due: jiff::Timestamp,
) -> Result<Option<Plan>> {
    sqlx::query_as("SELECT *, start_at <= now() AS is_due FROM plan WHERE schedule = $1 AND due_at = $2 AND sweep_id IS NULL")
        .bind(schedule)
        .bind(due.to_sqlx())
        .fetch_optional(connection)
        .await
        .named("looking for the plan of a run")
}

/// The plan by which a sweep was begun.
pub(crate) async fn of_sweep(connection: &mut PgConnection, sweep: i64) -> Result<Option<Plan>> {
    sqlx::query_as("SELECT *, start_at <= now() AS is_due FROM plan WHERE sweep_id = $1")
        .bind(sweep)
        .fetch_optional(connection)
        .await
        .named("looking for the plan of a sweep")
}

/// The parts of a plan.
pub(crate) async fn parts(connection: &mut PgConnection, plan: i64) -> Result<Vec<Part>> {
    sqlx::query_as("SELECT * FROM plan_part WHERE plan = $1 ORDER BY part")
        .bind(plan)
        .fetch_all(connection)
        .await
        .named("reading a plan")
}

/// Writes a plan down.
pub(crate) async fn create(connection: &mut PgConnection, schedule: &str, plan: &NewPlan) -> Result<i64> {
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO plan (schedule, due_at, start_at, deadline, profile, services, checks, domain_ids, vantage_ids)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING number",
    )
    .bind(schedule)
    .bind(plan.due.to_sqlx())
    .bind(plan.start.to_sqlx())
    .bind(plan.deadline.to_sqlx())
    .bind(&plan.profile)
    .bind(&plan.services)
    .bind(&plan.checks)
    .bind(&plan.domains)
    .bind(&plan.vantages)
    .fetch_one(&mut *connection)
    .await
    .named("writing a plan")?;
    for part in &plan.parts {
        sqlx::query(
            "INSERT INTO plan_part (plan, part, kind, task_targets, task_services, task_checks, domain_ids,
                                    task_computers, known_targets)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(number)
        .bind(part.part)
        .bind(&part.kind)
        .bind(&part.task_targets)
        .bind(&part.task_services)
        .bind(&part.task_checks)
        .bind(&part.domain_ids)
        .bind(&part.task_computers)
        .bind(&part.known_targets)
        .execute(&mut *connection)
        .await
        .named("writing a part of a plan")?;
    }
    Ok(number)
}

/// Sets the vantages of a plan.
pub(crate) async fn set_vantages(connection: &mut PgConnection, plan: i64, vantages: &[i32]) -> Result<()> {
    sqlx::query("UPDATE plan SET vantage_ids = $2 WHERE number = $1")
        .bind(plan)
        .bind(vantages)
        .execute(connection)
        .await
        .named("changing the vantages of a plan")?;
    Ok(())
}

/// Notes why probes are not given a plan, or that they are.
pub(crate) async fn withhold(connection: &mut PgConnection, plan: i64, why: Option<&str>) -> Result<()> {
    sqlx::query("UPDATE plan SET withheld = $2 WHERE number = $1")
        .bind(plan)
        .bind(why)
        .execute(connection)
        .await
        .named("noting whether probes are given a plan")?;
    Ok(())
}

/// Notes the sweep that is begun by a plan.
pub(crate) async fn begin(connection: &mut PgConnection, plan: i64, sweep: i64) -> Result<()> {
    sqlx::query("UPDATE plan SET sweep_id = $2 WHERE number = $1")
        .bind(plan)
        .bind(sweep)
        .execute(connection)
        .await
        .named("beginning a plan")?;
    Ok(())
}

/// Deletes a plan.
pub(crate) async fn delete(connection: &mut PgConnection, plan: i64) -> Result<()> {
    sqlx::query("DELETE FROM plan WHERE number = $1")
        .bind(plan)
        .execute(connection)
        .await
        .named("deleting a plan")?;
    Ok(())
}

/// Deletes plans of schedules that are gone, of runs that were looked at and not begun, and of runs that are over and whose jobs
/// stand. Says whether there were any that probes may hold.
pub(crate) async fn clear(connection: &mut PgConnection) -> Result<bool> {
    let held: Vec<bool> = sqlx::query_scalar(
        "DELETE FROM plan p WHERE
             (p.sweep_id IS NULL AND NOT EXISTS (SELECT 1 FROM schedule c WHERE c.name = p.schedule
                                                   AND p.start_at > c.considered_until))
             OR (p.deadline < now() AND EXISTS (SELECT 1 FROM sweep s WHERE s.id = p.sweep_id
                                                  AND (s.planned_at IS NOT NULL OR s.state <> 'running')))
         RETURNING p.deadline > now()",
    )
    .fetch_all(connection)
    .await
    .named("deleting plans that are over")?;
    Ok(held.contains(&true))
}

/// A job of a plan at a vantage.
#[derive(FromRow)]
pub(crate) struct Ahead {
    pub(crate) number: i64,
    pub(crate) part: i16,
    pub(crate) kind: String,
    pub(crate) schedule: String,
    pub(crate) due_at: Timestamp,
    pub(crate) start_at: Timestamp,
    pub(crate) deadline: Timestamp,
    /// Whether a controller has begun the run.
    pub(crate) is_begun: bool,
    /// Whether its time has come: probes may have begun it.
    pub(crate) is_due: bool,
    /// What is reserved for it; `None`: probes are not given it.
    pub(crate) run: Option<i64>,
    /// The run of which that has its seats.
    pub(crate) head: Option<i64>,
}

/// The planned jobs of a vantage whose time is not over, the next ones first.
pub(crate) async fn ahead(connection: &mut PgConnection, vantage: i32, most: i64) -> Result<Vec<Ahead>> {
    sqlx::query_as(
        "SELECT p.number, n.part, n.kind, p.schedule, p.due_at, p.start_at, p.deadline, p.sweep_id IS NOT NULL AS is_begun,
                p.start_at <= now() AS is_due, r.id AS run, coalesce(r.head, r.id) AS head
         FROM plan p JOIN plan_part n ON n.plan = p.number
         LEFT JOIN plan_run r ON r.schedule = p.schedule AND r.due_at = p.due_at AND p.withheld IS NULL
         WHERE $1 = ANY(p.vantage_ids) AND p.deadline > now() ORDER BY p.start_at, p.number, n.part LIMIT $2",
    )
    .bind(vantage)
    .bind(most)
    .fetch_all(connection)
    .await
    .named("reading the plans of a vantage")
}

/// Those of `jobs` that are not this probe's any more: ended, or given to another one.
pub(crate) async fn settled(connection: &mut PgConnection, jobs: &[Uuid], probe: Uuid) -> Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT id FROM job WHERE id = ANY($1) AND (state = 'finished' OR (state = 'assigned' AND probe_id <> $2))",
    )
    .bind(jobs)
    .bind(probe)
    .fetch_all(connection)
    .await
    .named("looking for planned jobs that have ended")
}

/// The probes of a vantage, in the order in which they stand in for each other.
pub(crate) async fn succession(connection: &mut PgConnection, vantage: i32) -> Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT id FROM probe WHERE vantage_id = $1 AND revoked_at IS NULL AND seen_at > now() - interval '1 day'
         ORDER BY enrolled_at, id",
    )
    .bind(vantage)
    .fetch_all(connection)
    .await
    .named("reading the probes of a vantage")
}

/// Notes that probes are given these plans.
pub(crate) async fn give(connection: &mut PgConnection, plans: &[i64]) -> Result<()> {
    sqlx::query("UPDATE plan SET given_at = now() WHERE number = ANY($1) AND given_at IS NULL")
        .bind(plans)
        .execute(connection)
        .await
        .named("noting that plans are given out")?;
    Ok(())
}

/// Those of `plans` whose runs nobody has begun, or whose jobs do not stand yet.
pub(crate) async fn pending(connection: &mut PgConnection, plans: &[i64]) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT p.number FROM plan p LEFT JOIN sweep s ON s.id = p.sweep_id
         WHERE p.number = ANY($1) AND (p.sweep_id IS NULL OR s.planned_at IS NULL)",
    )
    .bind(plans)
    .fetch_all(connection)
    .await
    .named("looking for runs that are to be begun")
}

/// The flows of a part, with the last outcome of each at a vantage.
pub(crate) async fn check_tasks(
    connection: &mut PgConnection,
    ahead: &Ahead,
    vantage: i32,
) -> Result<Vec<CheckTask>> {
    sqlx::query_as(tasks::check_tasks!("plan_part", "$3", "o.plan = $1 AND o.part = $2"))
        .bind(ahead.number)
        .bind(ahead.part)
        .bind(vantage)
        .fetch_all(connection)
        .await
        .named("reading the flows of a plan")
}

/// The checks of a part.
pub(crate) async fn vantage_tasks(connection: &mut PgConnection, ahead: &Ahead) -> Result<Vec<VantageTask>> {
    sqlx::query_as(tasks::vantage_tasks!("plan_part", "o.plan = $1 AND o.part = $2"))
        .bind(ahead.number)
        .bind(ahead.part)
        .fetch_all(connection)
        .await
        .named("reading the checks of a plan")
}

/// The domain controllers that the checks of a part may have to talk to.
pub(crate) async fn known_targets(connection: &mut PgConnection, ahead: &Ahead) -> Result<Vec<KnownTarget>> {
    sqlx::query_as(tasks::known_targets!("plan_part", "o.plan = $1 AND o.part = $2"))
        .bind(ahead.number)
        .bind(ahead.part)
        .fetch_all(connection)
        .await
        .named("reading the targets of a plan")
}

/// A job of a plan that is to be queued.
pub(crate) struct Adopted {
    pub(crate) id: Uuid,
    pub(crate) vantage: i32,
    pub(crate) part: i16,
}

/// Queues jobs of a plan under the numbers that probes know.
pub(crate) async fn queue(
    connection: &mut PgConnection,
    plan: i64,
    sweep: i64,
    jobs: &[Adopted],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO job (id, sweep_id, vantage_id, kind, task_targets, task_services, task_checks, domain_ids,
                          task_computers, known_targets, planned)
         SELECT j.id, $2, j.vantage, n.kind, n.task_targets, n.task_services, n.task_checks, n.domain_ids,
                n.task_computers,
                CASE n.kind WHEN 'check' THEN ARRAY(SELECT DISTINCT t FROM unnest(n.task_targets) AS t ORDER BY t)
                            ELSE n.known_targets END,
                cardinality(n.task_targets)
         FROM unnest($3::uuid[], $4::integer[], $5::smallint[]) AS j (id, vantage, part)
         JOIN plan_part n ON n.plan = $1 AND n.part = j.part ORDER BY j.id",
    )
    .bind(plan)
    .bind(sweep)
    .bind(jobs.iter().map(|job| job.id).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.vantage).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.part).collect::<Vec<_>>())
    .execute(connection)
    .await
    .named("queueing the jobs of a plan")?;
    Ok(())
}

/// Gives a probe those of `jobs` that it has and that are queued, or assigned to a probe that is away.
pub(crate) async fn take_over(
    connection: &mut PgConnection,
    jobs: &[Uuid],
    probe: Uuid,
    vantage: i32,
) -> Result<u64> {
    let taken = sqlx::query(
        "WITH mine AS (
             SELECT j.id FROM job j LEFT JOIN probe p ON p.id = j.probe_id
             WHERE j.id = ANY($1) AND j.vantage_id = $3
               AND (j.state = 'queued' OR (j.state = 'assigned' AND j.probe_id <> $2 AND p.session_id IS NULL))
             ORDER BY j.id FOR NO KEY UPDATE OF j)
         UPDATE job SET state = 'assigned', probe_id = $2, assigned_at = now(), reported_at = NULL
         FROM mine WHERE job.id = mine.id",
    )
    .bind(jobs)
    .bind(probe)
    .bind(vantage)
    .execute(connection)
    .await
    .named("taking over planned jobs")?;
    Ok(taken.rows_affected())
}
