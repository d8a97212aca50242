//! The history of a flow, and how the database finds it.

use sekisho::service::{Error, FlowName, HistorySpan};
use sekisho_model::Outcome;
use serde_json::{Value, json};

use crate::nights::{Nights, at};

fn flow(vantage: &str, target: &str, service: &str) -> FlowName {
    FlowName { vantage: vantage.to_owned(), target: target.to_owned(), service: service.to_owned() }
}

async fn history(nights: &Nights, target: &str, service: &str) -> Result<Vec<HistorySpan>, Error> {
    nights.controller.services.history(&flow("vlan10", target, service), 1_000).await
}

/// Five nights; the second flow is closed in the last two, the third could not be tested in the middle.
async fn five_nights() -> Nights {
    let nights = Nights::new(2, 2).await;
    for day in 0..5 {
        nights
            .night(day, |flow| match (flow, day) {
                (1, 3..) => Outcome::Closed,
                (2, 2) => Outcome::Failed,
                _ => Outcome::Open,
            })
            .await;
    }
    nights
}

#[tokio::test]
async fn spans_are_shown_newest_first() {
    let nights = five_nights().await;
    let spans = history(&nights, "dc1.corp.example", "tcp/2").await.unwrap();
    let span = |outcome: &str, days: (i64, i64), sweeps: i64| json!({"outcome": outcome, "by": null, "first_seen": at(days.0), "last_seen": at(days.1), "sweeps": sweeps});
    let expected = json!([span("closed", (3, 4), 2), span("open", (0, 2), 3)]);
    assert_eq!(serde_json::to_value(&spans).unwrap(), expected);
    let newest = nights.controller.services.history(&flow("vlan10", "10.78.0.1", "tcp/2"), 1).await.unwrap();
    assert_eq!(newest, spans[..1]);
    // A night that could not be tested ends nothing and counts nowhere.
    let spans = history(&nights, "DC2.corp.example.", "tcp/1").await.unwrap();
    assert_eq!(serde_json::to_value(&spans).unwrap(), json!([span("open", (0, 4), 4)]));
}

#[tokio::test]
async fn what_is_not_known_is_named() {
    let nights = Nights::new(2, 1).await;
    let nameless = "UPDATE target SET host = '' WHERE id = 2";
    sqlx::query(nameless).execute(&nights.controller.pool).await.unwrap();
    let services = &nights.controller.services;
    for (vantage, target, service, said) in [
        ("vlan99", "dc1.corp.example", "tcp/1", "no vantage \"vlan99\"; the inventory has vlan10"),
        (
            "vlan10",
            "dc9.corp.example",
            "tcp/1",
            "no target \"dc9.corp.example\"; the inventory has 10.78.0.2, dc1.corp.example",
        ),
        ("vlan10", "", "tcp/1", "no target \"\""),
        ("vlan10", "dc1.corp.example", "smtp", "smtp"),
    ] {
        let error = services.history(&flow(vantage, target, service), 1).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    for service in ["tcp/1", "smb"] {
        assert_eq!(history(&nights, "dc1.corp.example", service).await.unwrap(), [], "never tested");
    }
}

#[tokio::test]
async fn of_targets_with_the_same_name_the_one_in_use_is_meant() {
    let nights = Nights::new(2, 1).await;
    nights.night(0, |flow| if flow == 0 { Outcome::Open } else { Outcome::Closed }).await;
    let rename = "UPDATE target SET host = 'dc.corp.example'";
    sqlx::query(rename).execute(&nights.controller.pool).await.unwrap();
    let error = history(&nights, "dc.corp.example", "tcp/1").await.unwrap_err().to_string();
    assert!(error.contains("dc.corp.example at 10.78.0.1, or dc.corp.example at 10.78.0.2"), "{error}");
    let remove = "UPDATE target SET removed_at = now() WHERE id = 1";
    sqlx::query(remove).execute(&nights.controller.pool).await.unwrap();
    assert_eq!(history(&nights, "dc.corp.example", "tcp/1").await.unwrap()[0].outcome, Outcome::Closed);
    assert_eq!(history(&nights, "10.78.0.1", "tcp/1").await.unwrap()[0].outcome, Outcome::Open);
}

/// Tables that a plan reads from end to end.
fn scanned(plan: &Value) -> Vec<String> {
    let own = (plan["Node Type"] == "Seq Scan").then(|| plan["Relation Name"].to_string());
    let children = plan["Plans"].as_array().into_iter().flatten();
    own.into_iter().chain(children.flat_map(scanned)).collect()
}

async fn plan(nights: &Nights, statement: &str, parameters: &str) -> Value {
    // With the types of the parameters alone, as the controller has it planned after some uses, and with their values.
    let mut connection = nights.controller.pool.acquire().await.unwrap();
    let plan_with = async |mode: &str, connection: &mut sqlx::PgConnection| -> Value {
        let prepare =
            format!("SET plan_cache_mode = {mode}; DEALLOCATE ALL; PREPARE question AS {statement}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE question ({parameters})");
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_one(&mut *connection).await.unwrap();
        let text: String = sqlx::Row::get_unchecked(&rows, 0);
        serde_json::from_str(&text).unwrap()
    };
    let generic = plan_with("force_generic_plan", &mut connection).await;
    let custom = plan_with("force_custom_plan", &mut connection).await;
    json!({"Plans": [generic[0]["Plan"], custom[0]["Plan"]]})
}

/// Tables that grow with the nights, and their partitions.
const GROWING: [&str; 6] = ["observation", "detail", "passing_detail", "span", "job", "check_result"];

#[tokio::test]
async fn no_question_scans_a_table_that_grows() {
    use sekisho::store::{check_result, job, observation, span, work};
    let nights = Nights::new(100, 10).await;
    for day in 0..6 {
        nights
            .night(day, |flow| if (flow as i64 + day) % 2 == 0 { Outcome::Open } else { Outcome::Mute })
            .await;
    }
    // As a fleet and its year have it: many other vantages, and nights.
    sqlx::raw_sql(OTHERS).execute(&nights.controller.pool).await.unwrap();
    let spans = nights.controller.count("SELECT count(*) FROM span").await;
    let observations = nights.controller.count("SELECT count(*) FROM observation").await;
    assert_eq!((spans, observations), (20_000, 126_000));
    let list = |item: &str| format!("array_fill({item}, ARRAY[100])");
    let literal = async |of: &str| -> String {
        let literal = format!("SELECT quote_literal(({of})::text)");
        sqlx::query_scalar(sqlx::AssertSqlSafe(literal)).fetch_one(&nights.controller.pool).await.unwrap()
    };
    let jobs = literal("SELECT array_agg(number) FROM job WHERE sweep_id = 3").await;
    let targets = literal("SELECT array_agg(n) FROM generate_series(1, 100) AS n").await;
    let pairs = &*format!("{}, {targets}", list("1"));
    let id = &*literal("SELECT id FROM job WHERE number = 5").await;
    for (name, statement, parameters) in [
        ("flows of a sweep", job::IMAGES, "3, NULL"),
        ("flows of a vantage in a sweep", job::IMAGES, "3, '{1}'"),
        ("checks of a sweep", check_result::OF_SWEEP, "3, NULL"),
        ("observations of a sweep", observation::OF_JOBS, &format!("{jobs}, true")),
        ("blocked flows of a sweep", observation::OF_JOBS, &format!("{jobs}, false")),
        ("some observations", observation::OF_TASKS, &format!("{}, {}", list("5"), list("7::smallint"))),
        ("facts", observation::DETAILS_OF_JOBS, &format!("{jobs}, {jobs}")),
        ("newest spans", span::NEWEST, pairs),
        ("earlier spans", span::ENDED, pairs),
        ("newest spans of vantages", span::NEWEST_OF_VANTAGES, "'{1,2}'"),
        ("earlier spans of vantages", span::ENDED_OF_VANTAGES, "'{1,2}', '2026-01-02'"),
        ("observations in spans", span::WITHIN, &format!("1, {}, {}", list("7"), list("3::smallint"))),
        ("tasks of a job", work::CHECK_TASKS, id),
    ] {
        let plan = plan(&nights, statement, parameters).await;
        let scanned = scanned(&plan);
        let grows = |table: &&String| {
            GROWING
                .contains(&table.trim_matches('"').trim_end_matches(|c: char| c.is_ascii_digit() || c == '_'))
        };
        let grown = scanned.iter().filter(grows);
        assert_eq!(grown.collect::<Vec<_>>(), Vec::<&String>::new(), "{name}: {plan:#}");
    }
}

const OTHERS: &str = "
    INSERT INTO vantage (name) SELECT 'other' || n FROM generate_series(1, 199) AS n;
    INSERT INTO span SELECT vantage_id + n, target_id, services, outcomes, bys, first_seens, first_sweeps, last_seens,
                            last_sweeps, sweeps, ended FROM span, generate_series(1, 199) AS n;
    INSERT INTO sweep (state, profile, services, domain_ids, vantage_ids, actor, deadline, planned_at, finished_at)
    SELECT 'complete', profile, services, domain_ids, vantage_ids, actor, deadline, now(), now()
    FROM sweep, generate_series(1, 20);
    INSERT INTO job (id, sweep_id, vantage_id, kind, state, task_targets, task_services, planned, observed, assigned_at,
                     finished_at, probe_id, outcomes)
    SELECT gen_random_uuid(), sweep_id + 6 * n, vantage_id + n, kind, state, task_targets, task_services, planned, observed,
           assigned_at, finished_at, probe_id, outcomes FROM job, generate_series(1, 20) AS n;
    UPDATE job SET number = number + 65536 * (sweep_id % 4)::integer WHERE sweep_id > 6;
    INSERT INTO observation (job, task, observed_at, attempts, outcome, confirmed)
    SELECT j.number, task, now(), 1, 'o', false FROM job j, generate_series(0, 249) AS task WHERE j.sweep_id > 6;
    INSERT INTO detail (job, task, body)
    SELECT j.number, task, json_build_object('1', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 40) AS n)) FROM job j, generate_series(1, 40) AS task
    ORDER BY 1, 2;
    INSERT INTO passing_detail SELECT * FROM detail ORDER BY job, task;
    INSERT INTO check_result (job_id, task, sweep_id, vantage_id, domain_id, kind, status, observed_at, probe_id)
    SELECT id, task, sweep_id, vantage_id, 1, 'clock', 'ok', now(), probe_id FROM job, generate_series(1, 20) AS task;
    ANALYZE;
";

#[tokio::test]
async fn what_was_known_at_a_time_is_shown_and_nothing_else() {
    let nights = five_nights().await;
    let hours = jiff::SignedDuration::from_hours;
    let shown = async |at: jiff::Timestamp, fresh: i64| -> Vec<(String, Option<jiff::Timestamp>)> {
        let services = &nights.controller.services;
        let matrix = services.matrix_at(at, hours(fresh), &Default::default()).await.unwrap();
        assert_eq!((matrix.at, matrix.sweep.is_none()), (Some(at), true));
        matrix.cells.iter().map(|cell| (cell.outcome.to_string(), cell.observed_at)).collect()
    };
    let all = |outcome: &str, at: Option<jiff::Timestamp>| (outcome.to_owned(), at);
    assert_eq!(shown(at(0) - hours(1), 36).await, [], "nobody had tested anything");
    let open = all("open", Some(at(0)));
    assert_eq!(shown(at(1), 36).await, [open.clone(), open.clone(), open.clone(), open.clone()]);
    // Between the last night on which the second flow was open and the first on which it was closed.
    let before = shown(at(2) + hours(12), 36).await;
    assert_eq!(before, [open.clone(), all("open", Some(at(2))), open.clone(), open.clone()]);
    let after = shown(at(4) + hours(36), 36).await;
    assert_eq!(after[..2], [all("open", Some(at(4))), all("closed", Some(at(4)))]);
    let stale = shown(at(4) + hours(37), 36).await;
    assert!(stale.iter().all(|cell| *cell == all("missed", None)), "{stale:?}");
    assert_eq!(shown(at(4) + hours(37), 48).await[1], all("closed", Some(at(4))));
    let place = sekisho::service::Place { site: Some("osaka".to_owned()), vantage: None };
    let error = nights.controller.services.matrix_at(at(1), hours(1), &place).await.unwrap_err();
    assert!(error.to_string().contains("no site \"osaka\""), "{error}");
}

#[tokio::test]
async fn times_are_compared_by_what_was_known_then() {
    let nights = five_nights().await;
    let fresh = sekisho::service::FRESH;
    let diff =
        async |from, to| nights.controller.services.diff_times(from, to, fresh).await.unwrap().difference;
    let changed = diff(at(1), at(4)).await;
    let kinds: Vec<(String, String)> =
        changed.changes.iter().map(|it| (it.service.name(), it.kind.to_string())).collect();
    assert_eq!(kinds, [("tcp/2".to_owned(), "regression".to_owned())]);
    assert_eq!(changed.unchanged, 3);
    // Before the first night there was nothing, and long after the last one nothing is known.
    let kinds = |changes: &[sekisho_domain::compare::Change]| {
        changes.iter().map(|it| it.kind.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&diff(at(-1), at(0)).await.changes), ["new"; 4]);
    assert_eq!(kinds(&diff(at(4), at(9)).await.changes), ["untested"; 4]);
}
