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

/// What a vantage looked like at a time.
const AT_TIME: &str = "
    SELECT DISTINCT ON (target_id, service_id) target_id, service_id, outcome, last_seen FROM span
    WHERE vantage_id = $1 AND first_seen <= $2::timestamptz
    ORDER BY target_id DESC, service_id DESC, first_seen DESC, first_sweep DESC";

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

#[tokio::test]
async fn reading_spans_scans_no_table() {
    use sekisho::store::{history, span};
    let nights = Nights::new(100, 10).await;
    for day in 0..6 {
        nights
            .night(day, |flow| if (flow as i64 + day) % 2 == 0 { Outcome::Open } else { Outcome::Mute })
            .await;
    }
    let others = "INSERT INTO span SELECT first_seen, first_sweep, last_seen, last_sweep, vantage_id + n, target_id, sweeps,
                                          outcome, service_id, by FROM span, generate_series(1, 9) AS n";
    sqlx::query(others).execute(&nights.controller.pool).await.unwrap();
    sqlx::raw_sql("ANALYZE").execute(&nights.controller.pool).await.unwrap();
    assert_eq!(nights.controller.count("SELECT count(*) FROM span").await, 60_000);
    let list = |item: &str| format!("array_fill({item}, ARRAY[250])");
    let times = |day: i64| list(&format!("timestamptz '{}'", at(day)));
    let many =
        [list("1"), list("7"), list("1::smallint"), times(2), list("3::bigint"), times(3), list("4::bigint")];
    let many = &*many.join(", ");
    let one = "1, 1, 1::smallint, 10";
    for (name, statement, parameters) in [
        ("history", history::OF_FLOW, one),
        ("around", span::AROUND, many),
        ("within", span::WITHIN, many),
        ("a vantage at a time", AT_TIME, &format!("1, '{}'", at(3))),
    ] {
        let plan = plan(&nights, statement, parameters).await;
        assert_eq!(scanned(&plan), Vec::<String>::new(), "{name}: {plan:#}");
    }
}
