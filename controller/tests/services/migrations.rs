use crate::cluster;

#[tokio::test]
async fn migrations_run_twice_and_at_the_same_time() {
    let pool = cluster::shared().empty_database().await;
    let runs = (0..4).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { sekisho::store::migrate(&pool).await })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.unwrap().unwrap();
    }
    sekisho::store::migrate(&pool).await.unwrap();
    let applied: i64 =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&pool).await.unwrap();
    assert_eq!(applied, std::fs::read_dir("../migrations").unwrap().filter(is_migration).count() as i64);
}

fn is_migration(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "sql")
}
