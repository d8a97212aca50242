//! The same rows by a plain COPY into tables that are the same: what PostgreSQL itself can do here.

use std::time::Instant;

use futures_util::TryStreamExt as _;

use crate::fleet::Fleet;

/// Copies the newest full block of observations and what was told of them, three times, and compares.
pub(crate) async fn compare(fleet: &Fleet, rate: f64) {
    let pool = &fleet.pool;
    let (block, rows): (i32, i64) = sqlx::query_as(
        "SELECT (number / 65536)::integer AS block, sum(observed)::bigint AS rows FROM job WHERE kind = 'check' GROUP BY 1 ORDER BY 1 DESC LIMIT 1",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    let mut best = [0.0_f64; 2];
    for _ in 0..3 {
        let mut seconds = Vec::new();
        for table in ["observation", "detail", "passing_detail"] {
            let mut from = pool.acquire().await.unwrap();
            let out = format!("COPY {table}_{block} TO STDOUT (FORMAT binary)");
            let data: Vec<_> = from.copy_out_raw(&out).await.unwrap().try_collect().await.unwrap();
            drop(from);
            for sql in [
                format!("DROP TABLE IF EXISTS raw_{table}"),
                format!("CREATE TABLE raw_{table} (LIKE {table}_{block} INCLUDING ALL)"),
            ] {
                sqlx::query(sqlx::AssertSqlSafe(sql)).execute(pool).await.unwrap();
            }
            let mut to = pool.acquire().await.unwrap();
            let began = Instant::now();
            let mut copy =
                to.copy_in_raw(&format!("COPY raw_{table} FROM STDIN (FORMAT binary)")).await.unwrap();
            for chunk in &data {
                copy.send(chunk.as_ref()).await.unwrap();
            }
            copy.finish().await.unwrap();
            seconds.push(began.elapsed().as_secs_f64());
            sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE raw_{table}"))).execute(pool).await.unwrap();
        }
        let rows = rows as f64;
        best[0] = best[0].max(rows / seconds[0]);
        best[1] = best[1].max(rows / seconds.iter().sum::<f64>());
    }
    println!(
        "plain COPY of the same rows of observation: {:.0}/s; ingest reaches {:.0} %",
        best[0],
        100.0 * rate / best[0]
    );
    println!(
        "plain COPY of observations, facts and attempts: {:.0}/s; ingest reaches {:.0} %",
        best[1],
        100.0 * rate / best[1]
    );
}
