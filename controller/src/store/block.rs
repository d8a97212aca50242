//! Blocks of job numbers: made ready, begun, and dropped with the observations in them.

use sqlx::{Connection as _, PgConnection};

use super::{Named, Result};

/// Numbers in a block, as the migration has them.
const NUMBERS: i32 = 65_536;
/// Blocks that are ready ahead of the one in use.
const AHEAD: i32 = 3;
/// "blok" in ASCII: one controller at a time.
const KEY: i64 = 0x626c_6f6b;

/// Makes blocks ready, and begins a new one on a new day (UTC). Of several controllers one does it.
pub(crate) async fn prepare(connection: &mut PgConnection) -> Result<()> {
    let mut transaction = connection.begin().await.named("beginning a transaction")?;
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(KEY)
        .fetch_one(&mut *transaction)
        .await
        .named("locking the blocks")?;
    if !alone {
        return Ok(());
    }
    let (last, ready, is_old): (i32, i32, bool) = sqlx::query_as(
        "SELECT last_value::integer, (SELECT coalesce(max(number), -1) FROM block),
                EXISTS (SELECT 1 FROM block WHERE number = last_value / $1 AND ended_at IS NULL
                          AND began_at < date_trunc('day', now(), 'UTC'))
         FROM job_number",
    )
    .bind(NUMBERS)
    .fetch_one(&mut *transaction)
    .await
    .named("reading the blocks")?;
    let mut current = last / NUMBERS;
    if is_old && current < ready {
        current = current.saturating_add(1);
        // No number below is given out from now on; the jobs that have got one before are of the day before.
        // Nor is one given out twice, should others have come to the next block meanwhile.
        sqlx::query("SELECT setval('job_number', greatest($1, last_value + 1), false) FROM job_number")
            .bind(current.saturating_mul(NUMBERS))
            .execute(&mut *transaction)
            .await
            .named("beginning a block of job numbers")?;
    }
    sqlx::query(
        "UPDATE block SET began_at = coalesce(began_at, now()),
                          ended_at = CASE WHEN number < $1 THEN coalesce(ended_at, now()) END
         WHERE number <= $1 AND (began_at IS NULL OR (ended_at IS NULL AND number < $1))",
    )
    .bind(current)
    .execute(&mut *transaction)
    .await
    .named("beginning a block")?;
    let needed = current.saturating_add(AHEAD).min(i32::MAX / NUMBERS);
    for number in ready.saturating_add(1)..=needed {
        sqlx::query("SELECT open_block($1)")
            .bind(number)
            .execute(&mut *transaction)
            .await
            .named("making a block ready")?;
    }
    transaction.commit().await.named("committing a transaction")
}

/// Blocks that ended more than `keep` seconds ago and whose jobs have all ended, oldest first.
pub(crate) async fn expired(connection: &mut PgConnection, keep: f64) -> Result<Vec<i32>> {
    sqlx::query_scalar(
        "SELECT number FROM block b WHERE ended_at < now() - make_interval(secs => $1)
           AND NOT EXISTS (SELECT 1 FROM job WHERE number BETWEEN b.number * $2 AND b.number * $2 + $2 - 1
                             AND state <> 'finished')
         ORDER BY number LIMIT 8",
    )
    .bind(keep)
    .bind(NUMBERS)
    .fetch_all(connection)
    .await
    .named("looking for old observations")
}

/// Drops a block with all that its jobs have observed. What the sweeps came to is kept in numbers, what the flows looked
/// like in their spans.
///
/// # Errors
/// Also where a query that runs long reads the partitions: then nothing is done, and a later round tries again.
pub(crate) async fn drop(connection: &mut PgConnection, block: i32) -> Result<()> {
    let mut transaction = connection.begin().await.named("beginning a transaction")?;
    let (from, to) =
        (block.saturating_mul(NUMBERS), block.saturating_mul(NUMBERS).saturating_add(NUMBERS - 1));
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await.named("limiting a wait")?;
    let deleted = sqlx::query("DELETE FROM block WHERE number = $1")
        .bind(block)
        .execute(&mut *transaction)
        .await
        .named("removing a block")?;
    if deleted.rows_affected() == 0 {
        // Another controller has done it.
        return Ok(());
    }
    sqlx::query(
        "UPDATE sweep SET expired_at = now(), planned = sums.planned, checks_planned = sums.checks,
                          observed = sums.observed, missed = sums.missed
         FROM (SELECT sweep_id, coalesce(sum(planned) FILTER (WHERE kind <> 'discovery'), 0) AS planned,
                      coalesce(sum(planned) FILTER (WHERE kind = 'vantage'), 0) AS checks,
                      coalesce(sum(observed) FILTER (WHERE kind <> 'discovery'), 0) AS observed,
                      coalesce(sum(missed) FILTER (WHERE kind <> 'discovery'), 0) AS missed
               FROM job WHERE sweep_id IN (SELECT sweep_id FROM job WHERE number BETWEEN $1 AND $2) GROUP BY sweep_id) sums
         WHERE sweep.id = sums.sweep_id AND sweep.expired_at IS NULL",
    )
    .bind(from)
    .bind(to)
    .execute(&mut *transaction)
    .await
    .named("noting what old sweeps came to")?;
    for statement in [
        "DELETE FROM discovery USING job WHERE job.id = job_id AND number BETWEEN $1 AND $2",
        "DELETE FROM check_result USING job WHERE job.id = job_id AND number BETWEEN $1 AND $2",
        "DELETE FROM job WHERE number BETWEEN $1 AND $2",
    ] {
        sqlx::query(statement)
            .bind(from)
            .bind(to)
            .execute(&mut *transaction)
            .await
            .named("removing old jobs")?;
    }
    let partitions =
        format!("DROP TABLE IF EXISTS observation_{block}, detail_{block}, passing_detail_{block}");
    sqlx::query(sqlx::AssertSqlSafe(partitions))
        .execute(&mut *transaction)
        .await
        .named("dropping the partitions of old observations")?;
    transaction.commit().await.named("committing a transaction")
}

/// Blocks that ended more than `keep` seconds ago and in which something is told that is for some days only.
pub(crate) async fn with_passing(connection: &mut PgConnection, keep: f64) -> Result<Vec<i32>> {
    let old: Vec<i32> = sqlx::query_scalar(
        "SELECT number FROM block WHERE ended_at < now() - make_interval(secs => $1) ORDER BY number",
    )
    .bind(keep)
    .fetch_all(&mut *connection)
    .await
    .named("looking for old facts")?;
    let mut full = Vec::new();
    for block in old {
        let is_full = format!("SELECT EXISTS (SELECT 1 FROM passing_detail_{block})");
        if sqlx::query_scalar(sqlx::AssertSqlSafe(is_full))
            .fetch_one(&mut *connection)
            .await
            .named("looking for old facts")?
        {
            full.push(block);
        }
    }
    Ok(full)
}

/// Removes what was told for some days only.
pub(crate) async fn forget_passing(connection: &mut PgConnection, block: i32) -> Result<()> {
    alone(connection, &format!("TRUNCATE passing_detail_{block}"), "removing old facts").await
}

/// Blocks that ended more than `quiet` seconds ago, and have still the index for observations that come in.
pub(crate) async fn to_settle(connection: &mut PgConnection, quiet: f64) -> Result<Vec<i32>> {
    sqlx::query_scalar(
        "SELECT number FROM block WHERE ended_at < now() - make_interval(secs => $1) AND settled_at IS NULL
         ORDER BY number LIMIT 8",
    )
    .bind(quiet)
    .fetch_all(connection)
    .await
    .named("looking for blocks to settle")
}

/// Gives the observations of a block a smaller index.
pub(crate) async fn settle(connection: &mut PgConnection, block: i32) -> Result<()> {
    alone(connection, &format!("SELECT settle_block({block})"), "settling old observations").await
}

/// Does something that waits for readers and writers, but not for long.
async fn alone(connection: &mut PgConnection, statement: &str, doing: &'static str) -> Result<()> {
    let mut transaction = connection.begin().await.named("beginning a transaction")?;
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await.named("limiting a wait")?;
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *transaction).await.named(doing)?;
    transaction.commit().await.named("committing a transaction")
}
