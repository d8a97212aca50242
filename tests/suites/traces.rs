//! One trace from an operator's request to the results of every job, in a real collector; and none of it in anybody's way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use sekisho_model::{SweepState, SweepSummary};
use sekisho_tests::{Collected, Rotel, World, wait_for};
use serde_json::Value;

const VLANS: [&str; 3] = ["vlan10", "vlan20", "vlan30"];
const SOON: Duration = Duration::from_secs(90);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OPERATOR: &str = "b7ad6b7169203331";

/// Starts a sweep of everything as a program of the operator's would that is traced itself.
fn start(world: &World) -> i64 {
    let (address, token) = world.controller.web();
    let token = fs::read_to_string(token).unwrap();
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!(
        "POST /api/v1/sweeps HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ntraceparent: 00-{TRACE}-{OPERATOR}-01\r\n\
         content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}",
        token.trim()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201 "), "{answer}");
    serde_json::from_str::<Value>(body).unwrap()["id"].as_i64().unwrap()
}

fn ended(world: &World, sweep: i64) -> SweepSummary {
    wait_for("the end of the sweep", SOON, || {
        let shown = world.controller.cli(&["sweep", "show", &sweep.to_string(), "--format", "json"])?;
        let summary: SweepSummary = serde_json::from_slice(&shown.stdout)?;
        Ok((summary.state != SweepState::Running).then_some(summary))
    })
    .unwrap()
}

/// The spans of one trace, once there are so many of these names.
fn spans(collector: &Rotel, trace: &str, expected: &[(&str, usize)]) -> Vec<Collected> {
    wait_for(&format!("{expected:?}"), SOON, || {
        let mut spans = collector.spans()?;
        spans.retain(|span| span.trace == trace);
        for (name, count) in expected {
            let found = named(&spans, name).count();
            anyhow::ensure!(found >= *count, "{found} {name}");
        }
        Ok(Some(spans))
    })
    .unwrap()
}

fn named<'a>(spans: &'a [Collected], name: &str) -> impl Iterator<Item = &'a Collected> {
    spans.iter().filter(move |span| span.name == name)
}

fn only<'a>(spans: &'a [Collected], name: &str) -> &'a Collected {
    let found: Vec<&Collected> = named(spans, name).collect();
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0]
}

/// Lines of the controller's log that begin so.
fn lines(world: &World, said: &str) -> Vec<Value> {
    let log = world.controller.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a log of JSON"));
    lines.filter(|line| line["message"].as_str().is_some_and(|message| message.starts_with(said))).collect()
}

#[test]
fn a_sweep_is_one_trace_and_needs_no_collector() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Rotel::new(folder.path()).unwrap();
    collector.start().unwrap();
    let config = format!("[traces]\nendpoint = \"http://127.0.0.1:{}\"\n", collector.port);
    let mut world = World::with("traces", &config, &["--log-format", "json"]).unwrap();
    // So that there is a job of each kind.
    let searched = sekisho_lab::inventory().replacen("[[domain]]\n", "[[domain]]\ndiscover = true\n", 1);
    world.apply(&searched).unwrap();
    for vlan in VLANS {
        world.probe(vlan, &["10.77.1.0/24"]).unwrap();
    }
    world.online(3).unwrap();

    one_trace(&world, &collector);

    collector.kill().unwrap();
    let blind = world.sweep(&["--profile", "ports", "--vantage", "vlan10"]).unwrap();
    assert_eq!((blind.state, blind.missed), (SweepState::Complete, 0));
    let told = wait_for("a warning", SOON, || {
        Ok(Some(lines(&world, "the collector does not take traces")).filter(|told| !told.is_empty()))
    });
    assert_eq!(told.unwrap().len(), 1, "one warning a minute at most");
    // It is back before the spans are given up.
    collector.start().unwrap();
    let later = wait_for("the spans of the sweep without a collector", SOON, || {
        let spans = collector.spans()?;
        let of_sweep = |span: &&Collected| span.number("sekisho.sweep.id") == Some(blind.id);
        Ok(named(&spans, "sweep").find(of_sweep).cloned())
    })
    .unwrap();
    assert!(
        later.trace != TRACE && !later.parent.is_empty(),
        "the request of the command begins it: {later:?}"
    );

    // What is told last is sent before the controller ends.
    world.controller.ok(&["sweep", "run"]).unwrap();
    world.controller.ok(&["sweep", "cancel", "latest"]).unwrap();
    world.controller.stop().unwrap();
    let last = collector.spans().unwrap();
    let states: Vec<&str> = named(&last, "sweep").map(|span| span.attribute("sekisho.sweep.state")).collect();
    assert_eq!(states, ["complete", "complete", "cancelled"]);
}

/// A sweep of everything by a request that is traced.
fn one_trace(world: &World, collector: &Rotel) {
    let id = start(world);
    let summary = ended(world, id);
    assert_eq!(summary.missed, 0, "{summary:?}");
    let expected =
        [("POST /api/v1/sweeps", 1), ("sweep", 1), ("job", 9), ("job on probe", 9), ("commit results", 9)];
    let spans = spans(collector, TRACE, &expected);

    let request = only(&spans, "POST /api/v1/sweeps");
    assert_eq!((request.parent.as_str(), request.kind.as_str()), (OPERATOR, "SPAN_KIND_SERVER"));
    assert_eq!(request.attribute("http.response.status_code"), "201");
    assert_eq!(request.resource["service.name"], "sekisho");
    let sweep = only(&spans, "sweep");
    assert_eq!((&sweep.parent, sweep.number("sekisho.sweep.id")), (&request.id, Some(id)));
    assert_eq!(sweep.number("sekisho.observed"), Some(summary.observed));

    let jobs: Vec<&Collected> = named(&spans, "job").collect();
    let kinds: BTreeSet<(&str, &str)> = jobs
        .iter()
        .map(|job| (job.attribute("sekisho.vantage"), job.attribute("sekisho.job.kind")))
        .collect();
    let every = ["check", "discovery", "vantage"];
    let every: BTreeSet<(&str, &str)> =
        VLANS.iter().flat_map(|vlan| every.map(|kind| (*vlan, kind))).collect();
    assert_eq!((jobs.len(), &kinds), (9, &every), "one job for each vantage and kind");
    for job in &jobs {
        assert_eq!(job.parent, sweep.id);
        assert!(sweep.start <= job.start && job.start <= job.end, "{job:?}");
        let given: Vec<_> = named(&spans, "job on probe").filter(|span| span.parent == job.id).collect();
        assert_eq!(given.len(), 1, "{job:?}");
        assert_eq!(given[0].attribute("sekisho.probe.id"), job.attribute("sekisho.probe.id"));
    }
    let mut observed = 0;
    for batch in named(&spans, "commit results") {
        let job = jobs.iter().find(|job| job.id == batch.parent).expect("a batch of one of the jobs");
        assert_eq!(batch.attribute("sekisho.job.id"), job.attribute("sekisho.job.id"));
        assert!(batch.start < batch.end && batch.kind == "SPAN_KIND_CONSUMER", "{batch:?}");
        if job.attribute("sekisho.job.kind") != "discovery" {
            observed += batch.number("sekisho.observations").unwrap();
        }
    }
    assert_eq!((observed, summary.planned), (summary.observed, summary.observed));

    // The logs name the trace as well.
    let began = lines(world, "a sweep began");
    assert_eq!(began[0]["span"]["trace_id"], TRACE);
    for probe in &world.probes {
        let log = probe.log();
        for line in ["job begins", "job ends"] {
            let lines = log.lines().filter(|said| said.contains(line));
            let traced = lines.filter(|said| said.contains(&format!("job{{trace_id={TRACE}}}"))).count();
            assert_eq!(traced, 3, "{line} at {}: {log}", probe.vantage);
        }
    }
}
