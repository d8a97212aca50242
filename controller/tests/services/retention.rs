//! What happens to results when they are old, and what people may query.

use sekisho::service::{FlowName, HandedIn, SweepRef};
use sekisho_model::{Fact, Outcome};

use crate::{
    fleet::{Controller, observed, settings},
    nights::{Nights, at},
};

/// Lets days pass for the blocks of job numbers.
async fn age(nights: &Nights, days: i32) {
    let age = "UPDATE block SET began_at = began_at - make_interval(days => $1), ended_at = ended_at - make_interval(days => $1)";
    sqlx::query(age).bind(days).execute(&nights.controller.pool).await.unwrap();
}

async fn partitions(nights: &Nights) -> Vec<String> {
    let partitions = "SELECT relname::text FROM pg_class WHERE relname ~ '^(observation|detail|passing_detail)_[0-9]+$' ORDER BY relname";
    sqlx::query_scalar(partitions).fetch_all(&nights.controller.pool).await.unwrap()
}

fn flow(service: &str) -> FlowName {
    FlowName {
        vantage: "vlan10".to_owned(),
        target: "dc1.corp.example".to_owned(),
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn old_observations_go_with_their_partition_and_the_spans_stay() {
    let nights = Nights::new(1, 3).await;
    let services = &nights.controller.services;
    nights.night(0, |flow| if flow == 1 { Outcome::Closed } else { Outcome::Open }).await;
    let unfinished = nights.sweep().await.remove(0).0;
    nights.controller.change("UPDATE sweep SET state = 'complete', finished_at = now() WHERE id = 1").await;
    let before = services.sweep(SweepRef::Id(1)).await.unwrap().summary;

    // The next day other controllers begin the next block with it, once.
    age(&nights, 2).await;
    let others = (0..3).map(|_| {
        let pool = nights.controller.pool.clone();
        tokio::spawn(async move {
            Controller::on(pool, settings()).await.services.prepare_blocks().await.unwrap()
        })
    });
    for other in others.collect::<Vec<_>>() {
        other.await.unwrap();
    }
    nights.night(1, |_| Outcome::Open).await;
    let blocks = "SELECT count(*) FROM (SELECT DISTINCT job / 65536 FROM observation) b";
    assert_eq!(nights.controller.count(blocks).await, 2);
    assert_eq!(partitions(&nights).await.len(), 3 * 5, "three blocks are ready");

    // A job that has not ended keeps its block, however old it is.
    age(&nights, 31).await;
    services.retire().await.unwrap();
    assert_eq!(partitions(&nights).await.len(), 3 * 5);
    nights.controller.change("UPDATE job SET state = 'finished', missed = planned, finished_at = now() WHERE state <> 'finished'").await;
    services.retire().await.unwrap();
    assert_eq!(partitions(&nights).await.len(), 3 * 4);

    // The sweep is there with its numbers; what it was made of is not, and that is said.
    assert_eq!(services.sweep(SweepRef::Id(1)).await.unwrap().summary, before);
    for error in [
        services.matrix(SweepRef::Id(1)).await.unwrap_err(),
        services.gaps(SweepRef::Id(1)).await.unwrap_err(),
        services.diff(SweepRef::Id(1), SweepRef::Id(3)).await.unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("keep_observations") && error.contains("matrix --at 20"), "{error}");
    }
    let late = services.ingest(nights.probe, vec![observed(unfinished, 0, Outcome::Open)]).await.unwrap();
    assert_eq!((late.new, late.dropped.len()), (0, 1));
    // How flows looked is known all the same.
    let spans = services.history(&flow("tcp/2"), 10).await.unwrap();
    let outcomes: Vec<(Outcome, i64)> = spans.iter().map(|span| (span.outcome, span.sweeps)).collect();
    assert_eq!(outcomes, [(Outcome::Open, 1), (Outcome::Closed, 1)]);
    let then = services.matrix_at(at(0), sekisho::service::FRESH, &Default::default()).await.unwrap();
    assert_eq!(then.cells[1].outcome, Outcome::Closed);
    assert_eq!(services.matrix(SweepRef::Id(3)).await.unwrap().cells.len(), 3);
}

#[tokio::test]
async fn what_is_the_same_every_night_goes_before_what_tells_something() {
    let nights = Nights::new(1, 2).await;
    let services = &nights.controller.services;
    for day in 0..2 {
        let (job, _) = nights.sweep().await.remove(0);
        let told = |task, outcome| HandedIn {
            facts: [("told".to_owned(), Fact::Integer(day))].into(),
            evidence: vec![sekisho_model::Attempt {
                at_us: 1,
                took_us: 2,
                source_port: Some(40_000),
                signal: "reply".to_owned(),
                icmp: None,
                offender: None,
                ttl: None,
                sent_bytes: 0,
                received_bytes: 0,
            }],
            observed_at: Some(at(day)),
            ..observed(job, task, outcome)
        };
        let results = vec![told(0, Outcome::Open), told(1, Outcome::Filtered)];
        services.ingest(nights.probe, results).await.unwrap();
    }
    age(&nights, 1).await;
    services.prepare_blocks().await.unwrap();
    let facts = async |sweep: i64| -> Vec<usize> {
        let matrix = services.matrix(SweepRef::Id(sweep)).await.unwrap();
        matrix.cells.iter().map(|cell| cell.facts.len()).collect()
    };
    age(&nights, 4).await;
    services.retire().await.unwrap();
    assert_eq!((facts(1).await, facts(2).await), (vec![1, 1], vec![1, 1]));
    age(&nights, 2).await;
    services.retire().await.unwrap();
    // The first night began the spans: its facts and attempts say how.
    assert_eq!((facts(1).await, facts(2).await), (vec![1, 1], vec![0, 1]));
    let attempts = "SELECT count(*) FROM report.fact WHERE sweep = 2 AND attempts IS NOT NULL";
    assert_eq!(nights.controller.count(attempts).await, 0, "the second told nothing new");
}

#[tokio::test]
async fn reports_say_what_the_api_says() {
    let nights = Nights::new(2, 2).await;
    for day in 0..3 {
        let outcome = |flow: usize| if flow == 1 && day == 2 { Outcome::Filtered } else { Outcome::Open };
        nights.night(day, outcome).await;
    }
    let (job, _) = nights.sweep().await.remove(0);
    let result =
        HandedIn { facts: [("a".to_owned(), Fact::Flag(true))].into(), ..observed(job, 0, Outcome::Mute) };
    nights.controller.services.ingest(nights.probe, vec![result]).await.unwrap();
    nights.controller.change("UPDATE job SET state = 'finished', missed = 3, reason = 'expired', finished_at = now() WHERE state <> 'finished'").await;
    let pool = &nights.controller.pool;
    let rows = async |query: &'static str| -> Vec<String> {
        sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
    };

    let matrix = nights.controller.matrix(4).await;
    let cells = matrix
        .cells
        .iter()
        .map(|cell| format!("{} {} {} {}", cell.vantage, cell.target, cell.service, cell.outcome));
    let observations = rows(
        "SELECT format('%s %s %s %s', vantage, target, service, outcome) FROM report.observation
                             WHERE sweep = 4 ORDER BY vantage, target, service",
    )
    .await;
    assert_eq!(observations, cells.collect::<Vec<_>>());
    let outcomes =
        "SELECT format('%s %s %s', sweep, outcome, flows) FROM report.outcome ORDER BY sweep, outcome";
    assert_eq!(
        rows(outcomes).await,
        ["1 open 4", "2 open 4", "3 open 3", "3 filtered 1", "4 mute 1", "4 missed 3"]
    );
    let facts = "SELECT format('%s %s %s', sweep, service, facts ->> 'a') FROM report.fact WHERE facts ->> 'a' IS NOT NULL";
    assert_eq!(rows(facts).await, ["4 tcp/1 true"]);
    let spans = "SELECT format('%s %s %s %s', target, outcome, sweeps, newest) FROM report.span WHERE service = 'tcp/2'
                 ORDER BY target, first_seen";
    let expected =
        ["dc1.corp.example open 2 f", "dc1.corp.example filtered 1 t", "dc2.corp.example open 3 t"];
    assert_eq!(rows(spans).await, expected);
    let sweeps = rows(
        "SELECT format('%s %s %s %s', sweep, planned, observed, missed) FROM report.sweep ORDER BY sweep",
    )
    .await;
    let listed = nights.controller.services.sweeps(10).await.unwrap();
    let listed = listed
        .iter()
        .rev()
        .map(|sweep| format!("{} {} {} {}", sweep.id, sweep.planned, sweep.observed, sweep.missed));
    assert_eq!(sweeps, listed.collect::<Vec<_>>());
    assert_eq!(rows("SELECT \"check\" FROM report.check_result").await, Vec::<String>::new());
}

#[tokio::test]
async fn every_report_has_its_words_in_the_catalogue() {
    let nights = Nights::new(1, 1).await;
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'report'::regnamespace AND obj_description(oid) IS NULL",
    )
    .fetch_all(&nights.controller.pool)
    .await
    .unwrap();
    assert_eq!(silent, Vec::<String>::new());
    let views = "SELECT count(*) FROM pg_class WHERE relnamespace = 'report'::regnamespace AND relkind = 'v'";
    assert_eq!(nights.controller.count(views).await, 6);
}

#[tokio::test]
async fn a_settled_day_still_takes_late_results_and_each_of_them_once() {
    let nights = Nights::new(1, 2).await;
    let services = &nights.controller.services;
    let (job, _) = nights.sweep().await.remove(0);
    let early = observed(job, 0, Outcome::Open);
    services.ingest(nights.probe, vec![early.clone()]).await.unwrap();
    nights.controller.change("UPDATE job SET state = 'finished', missed = 1, finished_at = now()").await;
    let unique = "SELECT count(*) FROM pg_constraint WHERE conname = 'observation_once_0'";
    assert_eq!(nights.controller.count(unique).await, 1);
    age(&nights, 1).await;
    services.prepare_blocks().await.unwrap();
    age(&nights, 2).await;
    services.retire().await.unwrap();
    assert_eq!(nights.controller.count(unique).await, 0);
    let late = observed(job, 1, Outcome::Closed);
    for (new, repeated) in [(1, 1), (0, 2)] {
        let ingested = services.ingest(nights.probe, vec![early.clone(), late.clone()]).await.unwrap();
        assert_eq!((ingested.new, ingested.repeated), (new, repeated));
    }
    assert_eq!(nights.controller.count("SELECT count(*) FROM observation").await, 2);
    let outcomes: Vec<Outcome> =
        nights.controller.matrix(1).await.cells.iter().map(|cell| cell.outcome).collect();
    assert_eq!(outcomes, [Outcome::Open, Outcome::Closed]);
}
