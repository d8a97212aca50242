//! Observations of flows, and what was told of them.

use std::net::IpAddr;

use jiff_sqlx::{Timestamp, ToSqlx};
use sqlx::PgConnection;

use super::{Named, Result, letter::char_of};

/// One observation of a flow.
pub(crate) struct Observation {
    /// Number of the job.
    pub(crate) job: i32,
    pub(crate) task: i16,
    /// Letter of the outcome.
    pub(crate) outcome: u8,
    pub(crate) by: Option<IpAddr>,
    pub(crate) rtt_us: Option<i32>,
    pub(crate) attempts: i16,
    pub(crate) confirmed: bool,
    pub(crate) observed_at: jiff::Timestamp,
}

/// Writes observations down that are not there yet.
pub(crate) async fn insert(connection: &mut PgConnection, observations: &[Observation]) -> Result<()> {
    let list = observations;
    sqlx::query(
        "INSERT INTO observation (job, task, outcome, by, rtt_us, attempts, confirmed, observed_at)
         SELECT * FROM unnest($1::integer[], $2::smallint[], $3::\"char\"[], $4::inet[], $5::integer[],
                              $6::smallint[], $7::boolean[], $8::timestamptz[])",
    )
    .bind(list.iter().map(|o| o.job).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.task).collect::<Vec<_>>())
    .bind(list.iter().map(|o| char_of(o.outcome)).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.by).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.rtt_us).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.attempts).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.confirmed).collect::<Vec<_>>())
    .bind(list.iter().map(|o| o.observed_at.to_sqlx()).collect::<Vec<Timestamp>>())
    .execute(connection)
    .await
    .named("writing observations")?;
    Ok(())
}

/// What was told of several observations of a job.
pub(crate) struct Detail {
    /// Number of the job.
    pub(crate) job: i32,
    /// The lowest task in it.
    pub(crate) task: i16,
    /// By task, as JSON.
    pub(crate) body: String,
}

/// Writes down what was told: what is kept as long as the observations, and what is for some days.
pub(crate) async fn insert_details(
    connection: &mut PgConnection,
    kept: &[Detail],
    passing: &[Detail],
) -> Result<()> {
    let jobs = |list: &[Detail]| list.iter().map(|detail| detail.job).collect::<Vec<_>>();
    let tasks = |list: &[Detail]| list.iter().map(|detail| detail.task).collect::<Vec<_>>();
    fn bodies(list: &[Detail]) -> Vec<&str> {
        list.iter().map(|detail| detail.body.as_str()).collect()
    }
    sqlx::query(
        "WITH kept AS (
             INSERT INTO detail (job, task, body)
             SELECT job, task, body::json FROM unnest($1::integer[], $2::smallint[], $3::text[]) AS d (job, task, body))
         INSERT INTO passing_detail (job, task, body)
         SELECT job, task, body::json FROM unnest($4::integer[], $5::smallint[], $6::text[]) AS d (job, task, body)",
    )
    .bind(jobs(kept))
    .bind(tasks(kept))
    .bind(bodies(kept))
    .bind(jobs(passing))
    .bind(tasks(passing))
    .bind(bodies(passing))
    .execute(connection)
    .await
    .named("writing the facts of observations")?;
    Ok(())
}

/// What [`of_jobs`] asks. Public for the test of its plan.
pub const OF_JOBS: &str = "
    SELECT job, task, by, rtt_us, attempts, confirmed, observed_at FROM observation
    WHERE job = ANY($1) AND ($2 OR outcome <> 'o')";

/// An observation as it is read; its outcome stands in the job.
#[derive(sqlx::FromRow)]
pub(crate) struct Seen {
    pub(crate) job: i32,
    pub(crate) task: i16,
    pub(crate) by: Option<IpAddr>,
    pub(crate) rtt_us: Option<i32>,
    pub(crate) attempts: i16,
    pub(crate) confirmed: bool,
    pub(crate) observed_at: Timestamp,
}

/// The observations of jobs; without `open`, only those of flows that are not open.
pub(crate) async fn of_jobs(connection: &mut PgConnection, jobs: &[i32], open: bool) -> Result<Vec<Seen>> {
    sqlx::query_as(OF_JOBS).bind(jobs).bind(open).fetch_all(connection).await.named("reading observations")
}

/// What [`of_tasks`] asks. Public for the test of its plan. `OFFSET 0` keeps the tasks apart, each looked up in the partition of
/// its job: joined with all at once, the observations of all nights may be read from end to end.
pub const OF_TASKS: &str = "
    SELECT o.job, o.task, o.by, o.rtt_us, o.attempts, o.confirmed, o.observed_at
    FROM unnest($1::integer[], $2::smallint[]) AS n (number, place)
    CROSS JOIN LATERAL (
        SELECT job, task, by, rtt_us, attempts, confirmed, observed_at
        FROM observation WHERE job = n.number AND task = n.place OFFSET 0) o";

/// The observations of some tasks, by job and task.
pub(crate) async fn of_tasks(connection: &mut PgConnection, tasks: &[(i32, i16)]) -> Result<Vec<Seen>> {
    sqlx::query_as(OF_TASKS)
        .bind(tasks.iter().map(|(job, _)| *job).collect::<Vec<_>>())
        .bind(tasks.iter().map(|(_, task)| *task).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .named("reading some observations")
}

/// What [`details_of_jobs`] asks. Public for the test of its plan.
pub const DETAILS_OF_JOBS: &str = "
    SELECT job, body::text FROM detail WHERE job = ANY($1)
    UNION ALL SELECT job, body::text FROM passing_detail WHERE job = ANY($2)";

/// What was told of the observations of jobs, each by task; without `all`, only facts of those that are blocked or have
/// changed.
pub(crate) async fn details_of_jobs(
    connection: &mut PgConnection,
    jobs: &[i32],
    all: bool,
) -> Result<Vec<(i32, String)>> {
    let passing = if all { jobs } else { &[] };
    sqlx::query_as(DETAILS_OF_JOBS)
        .bind(jobs)
        .bind(passing)
        .fetch_all(connection)
        .await
        .named("reading facts")
}
