use sekisho_model::{Outcome, SweepState};
use sqlx::migrate::Migrator;
use uuid::Uuid;

use crate::{
    cluster,
    fleet::{Controller, settings},
};

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

/// A database that only these migrations have run on.
async fn migrated_by(pool: &sqlx::PgPool, names: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::copy(format!("../migrations/{name}"), directory.path().join(name)).unwrap();
    }
    Migrator::new(directory.path()).await.unwrap().run(pool).await.unwrap();
}

/// A partial sweep of one flow that was observed, one that was missed, and a discovery.
const ROWS: &str = "
    INSERT INTO domain (name, discover) VALUES ('corp.example', true);
    INSERT INTO vantage (name) VALUES ('vlan10');
    INSERT INTO target (domain_id, host, address, origin) VALUES (1, 'dc1.corp.example', '10.77.1.10', 'inventory');
    INSERT INTO service (name) VALUES ('smb'), ('ldap');
    INSERT INTO probe (id, vantage_id, host, version) VALUES ('00000000-0000-0000-0000-000000000001', 1, 'srv', '0.1.0');
    INSERT INTO sweep (state, profile, services, domain_ids, vantage_ids, actor, deadline, planned_at, finished_at)
        VALUES ('partial', 'ports', '{smb,ldap}', '{1}', '{1}', 'test', now(), now(), now());
    INSERT INTO job (id, sweep_id, vantage_id, kind, state, domain_ids, planned, observed, assigned_at, finished_at)
        VALUES ('00000000-0000-0000-0000-000000000002', 1, 1, 'discovery', 'finished', '{1}', 1, 1, now(), now());
    INSERT INTO job (id, sweep_id, vantage_id, kind, state, reason, task_targets, task_services, planned, observed, missed,
                     assigned_at, finished_at, probe_id)
        VALUES ('00000000-0000-0000-0000-000000000003', 1, 1, 'check', 'finished', 'probe-lost', '{1,1}', '{1,2}', 2, 1, 1,
                now(), now(), '00000000-0000-0000-0000-000000000001');
";

/// The observation, as the first versions kept it.
const SEEN: &str = "
    INSERT INTO observation (job_id, task, sweep_id, vantage_id, target_id, service_id, outcome, attempts, confirmed,
                             facts, evidence, observed_at, probe_id)
        VALUES ('00000000-0000-0000-0000-000000000003', 0, 1, 1, 1, 1, 'open', 1, false, '{\"port\": 445}', '[]', now(),
                '00000000-0000-0000-0000-000000000001');
";

#[tokio::test]
async fn a_database_of_the_first_version_is_taken_over_with_its_rows() {
    let pool = cluster::shared().empty_database().await;
    // As version 0.1.0 left it.
    migrated_by(&pool, &["0001_create_fleet.sql", "0002_create_sweeps.sql"]).await;
    sqlx::raw_sql(ROWS).execute(&pool).await.unwrap();
    sqlx::raw_sql(SEEN).execute(&pool).await.unwrap();
    sekisho::store::migrate(&pool).await.unwrap();

    let controller = Controller::on(pool, settings()).await;
    let matrix = controller.matrix(1).await;
    let sweep = matrix.sweep.unwrap();
    assert_eq!((sweep.state, sweep.planned, sweep.checks), (SweepState::Partial, 2, 0));
    assert_eq!((sweep.observed, sweep.missed), (1, 1));
    let outcomes: Vec<Outcome> = matrix.cells.iter().map(|cell| cell.outcome).collect();
    assert_eq!((outcomes, matrix.checks.len()), (vec![Outcome::Missed, Outcome::Open], 0));
    assert_eq!(matrix.cells[1].facts["port"], sekisho_model::Fact::Integer(445));
    // What an older probe kept on its disk meanwhile still counts, and a new sweep runs on the old rows.
    let probe = Uuid::from_u128(1);
    let late = crate::fleet::observed(Uuid::from_u128(3), 1, Outcome::Open);
    assert_eq!(controller.services.ingest(probe, vec![late]).await.unwrap().new, 1);
    assert_eq!(controller.sweep(1).await.summary.state, SweepState::Complete);
    let mut probe = crate::fleet::Probe::connect(&controller, probe).await;
    let id = controller.start(Default::default()).await.summary.id;
    probe.do_everything().await;
    let sweep = controller.sweep(id).await.summary;
    assert_eq!((sweep.state, sweep.planned, sweep.checks), (SweepState::Complete, 24, 5));
}

/// Nights of three flows before there were spans: night, service, outcome, device.
const NIGHTS: &str = "
    INSERT INTO service (name) VALUES ('gc');
    INSERT INTO job (id, sweep_id, vantage_id, kind, state, task_targets, task_services, planned, observed, assigned_at,
                     finished_at, probe_id)
    SELECT ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, 1, 1, 'check', 'finished', '{1}', '{2}', 1, 1,
           now(), now(), '00000000-0000-0000-0000-000000000001' FROM generate_series(1, 8) AS n;
    INSERT INTO observation (job_id, task, sweep_id, vantage_id, target_id, service_id, outcome, by, attempts, confirmed,
                             observed_at, probe_id)
    SELECT ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, 0, sweep, 1, 1, service, outcome::outcome,
           by::inet, 1, false, timestamptz '2026-01-01Z' + day * interval '1 day', '00000000-0000-0000-0000-000000000001'
    FROM (VALUES (1, 11, 1, 2, 'open', NULL), (2, 12, 3, 2, 'open', NULL), (3, 13, 2, 2, 'failed', NULL),
                 (4, 14, 4, 2, 'rejected', '10.77.20.1'), (5, 16, 5, 2, 'rejected', '10.77.20.2'),
                 (6, 15, 5, 2, 'rejected', '10.77.20.1'), (7, 17, 6, 2, 'open', NULL), (8, 18, 1, 3, 'failed', NULL))
         AS nights (n, sweep, day, service, outcome, by);
";

#[tokio::test]
async fn what_was_observed_before_there_were_spans_has_its_spans() {
    let pool = cluster::shared().empty_database().await;
    migrated_by(&pool, &["0001_create_fleet.sql", "0002_create_sweeps.sql", "0003_add_checks.sql"]).await;
    sqlx::raw_sql(ROWS).execute(&pool).await.unwrap();
    sqlx::raw_sql(SEEN).execute(&pool).await.unwrap();
    sqlx::raw_sql(NIGHTS).execute(&pool).await.unwrap();
    sekisho::store::migrate(&pool).await.unwrap();

    let spans: Vec<(String, i64, i64, i32)> = sqlx::query_as(
        "SELECT concat_ws(' ', outcome, host(by)), first_sweep, last_sweep, sweeps FROM report.span WHERE service = 'ldap'
         ORDER BY first_seen, first_sweep",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let expected = [
        ("open", 11, 12, 2),
        ("rejected 10.77.20.1", 14, 15, 2),
        ("rejected 10.77.20.2", 16, 16, 1),
        ("open", 17, 17, 1),
    ];
    assert_eq!(
        spans,
        expected.map(|(reading, first, last, sweeps)| (reading.to_owned(), first, last, sweeps))
    );
    let others: i64 = sqlx::query_scalar("SELECT count(*) FROM report.span WHERE service <> 'ldap'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(others, 1, "a flow that was never tested has none");
}

#[tokio::test]
async fn the_database_refuses_jobs_that_do_not_add_up() {
    let pool = cluster::shared().database().await;
    sqlx::raw_sql(ROWS).execute(&pool).await.unwrap();
    let job = |columns: &str, values: &str| {
        let columns = format!("id, sweep_id, vantage_id, kind, planned, {columns}");
        format!("INSERT INTO job ({columns}) VALUES (gen_random_uuid(), 1, 1, {values})")
    };
    let arrays = "domain_ids, task_targets, task_checks, task_computers";
    let good = job(arrays, "'vantage', 2, '{1,1}', '{1,NULL}', '{clock,host}', '{NULL,NULL}'");
    sqlx::query(sqlx::AssertSqlSafe(good)).execute(&pool).await.unwrap();
    for values in [
        "'vantage', 1, '{1,1}', '{1,NULL}', '{clock,host}', '{NULL,NULL}'",
        "'vantage', 2, '{1,1}', '{1,NULL}', '{clock}', '{NULL,NULL}'",
        "'vantage', 2, '{1,1}', '{1,NULL}', '{clock,host}', '{NULL}'",
        "'vantage', 2, '{1}', '{1,NULL}', '{clock,host}', '{NULL,NULL}'",
        "'check', 2, '{}', '{1,1}', '{clock,host}', '{NULL,NULL}'",
        "'other', 2, '{1,1}', '{1,NULL}', '{clock,host}', '{NULL,NULL}'",
    ] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(job(arrays, values))).execute(&pool).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("job_")), "{values}");
    }
}
