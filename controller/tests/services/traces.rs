//! One trace from a request to its results, whichever controllers have a part in it.

use std::time::Duration;

use sekisho::{
    service::{Actor, SweepRequest},
    traces::{Sample, Span, Traces, Value},
};
use sekisho_model::{Outcome, SweepState, TraceParent};
use tokio::sync::mpsc::Receiver;

use crate::{
    fleet::{Controller, LISTED, Probe, SEARCHED, observed, operator, ports, results, settings, wait_for},
    schedules::{cron_ago, schedule},
};

const REQUEST: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Lets a controller tell of spans.
fn traced(controller: &Controller, part: f64) -> Receiver<Span> {
    let (traces, spans) = Traces::channel(Sample::try_from(part).unwrap(), Default::default());
    controller.services.set_traces(traces);
    spans
}

fn told(spans: &mut Receiver<Span>) -> Vec<Span> {
    std::iter::from_fn(|| spans.try_recv().ok()).collect()
}

fn of<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn value<'a>(span: &'a Span, name: &str) -> &'a Value {
    let found = span.attributes.iter().find(|(key, _)| *key == name);
    &found.unwrap_or_else(|| panic!("{span:?} has no {name}")).1
}

fn number(span: &Span, name: &str) -> i64 {
    match value(span, name) {
        Value::Integer(number) => *number,
        other @ (Value::Text(_) | Value::Flag(_)) => panic!("{other:?}"),
    }
}

fn within(trace: &str) -> Actor {
    Actor { trace: Some(trace.parse().unwrap()), ..operator() }
}

#[tokio::test]
async fn a_trace_goes_on_at_another_controller() {
    let one = Controller::new(settings()).await;
    let other = Controller::on(one.pool.clone(), settings()).await;
    let (mut first, mut second) = (traced(&one, 1.0), traced(&other, 1.0));
    one.apply(SEARCHED).await;
    let (mut ten, mut twenty) = (one.probe("vlan10").await, other.probe("vlan20").await);
    let sweep = one.services.start_sweep(&within(REQUEST), SweepRequest::default()).await.unwrap().summary.id;
    let mut orders = Vec::new();
    // Discovery first, then what it found.
    for _ in 0..2 {
        for probe in [&mut ten, &mut twenty] {
            for order in probe.work().await.orders {
                for part in results(&order).chunks(7) {
                    probe.hand_in(part.to_vec()).await;
                }
                probe.services.job_finished(&probe.session, order.id).await.unwrap();
                orders.push(order);
            }
        }
    }
    let ended = one.sweep(sweep).await.summary;
    assert!(ended.finished_at.is_some(), "{ended:?}");
    let (first, second) = (told(&mut first), told(&mut second));
    assert!(!first.is_empty() && !second.is_empty());
    let spans = [first, second].concat();

    let request: TraceParent = REQUEST.parse().unwrap();
    assert!(spans.iter().all(|span| span.context.trace == request.trace && span.end >= span.start));
    let [root] = of(&spans, "sweep")[..] else { panic!("{spans:?}") };
    assert_eq!((root.parent, &root.failure), (Some(request.span), &None));
    assert_eq!(number(root, "sekisho.sweep.id"), sweep);
    assert_eq!(
        (number(root, "sekisho.observed"), number(root, "sekisho.planned")),
        (ended.observed, ended.planned)
    );
    // A discovery, the flows and the checks of each vantage.
    let jobs = of(&spans, "job");
    assert_eq!((jobs.len(), orders.len()), (6, 6));
    let mut counted = 0;
    for job in jobs {
        assert_eq!(job.parent, Some(root.context.span));
        let order =
            orders.iter().find(|order| value(job, "sekisho.job.id") == &order.id.to_string().into()).unwrap();
        assert_eq!(order.trace, Some(job.context), "the probe was told the span of its job");
        let below = |name| of(&spans, name).into_iter().filter(|span| span.parent == Some(job.context.span));
        assert_eq!(below("job on probe").count(), 1);
        assert_eq!(below("commit results").count(), order.tasks.len().div_ceil(7));
        let observed: i64 = below("commit results").map(|batch| number(batch, "sekisho.observations")).sum();
        assert_eq!(observed, number(job, "sekisho.observed"));
        if value(job, "sekisho.job.kind") != &"discovery".into() {
            counted += observed;
        }
    }
    assert_eq!((counted, counted), (ended.observed, ended.planned));
    let numbers: std::collections::HashSet<_> = spans.iter().map(|span| span.context.span).collect();
    assert_eq!(numbers.len(), spans.len(), "each span has a number of its own");
}

#[tokio::test]
async fn what_a_probe_did_not_do_is_a_failure_in_the_trace() {
    let controller = Controller::new(settings()).await;
    let mut spans = traced(&controller, 1.0);
    controller.apply(LISTED).await;
    let _background = controller.background();
    let sweep = controller.run().await.summary.id;
    wait_for("the end", async || controller.sweep(sweep).await.summary.finished_at).await;
    let told = wait_for("the spans", async || Some(told(&mut spans)).filter(|spans| !spans.is_empty())).await;
    let [root] = of(&told, "sweep")[..] else { panic!("{told:?}") };
    assert_eq!((root.parent, root.failure.as_deref()), (None, Some("48 of 48 are missed")));
    let jobs = of(&told, "job");
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        assert_eq!(
            (job.failure.as_deref(), value(job, "error.type")),
            (Some("no-probe"), &"no-probe".into())
        );
    }
    // What comes in late is told, and the sweep is not told again, though it becomes complete.
    let jobs = controller.sweep(sweep).await.jobs;
    for vantage in ["vlan10", "vlan20"] {
        let probe = controller.probe(vantage).await;
        let job = jobs.iter().find(|job| job.vantage == vantage).unwrap().id;
        probe.hand_in((0..24).map(|task| observed(job, task, Outcome::Open)).collect()).await;
    }
    assert_eq!(controller.sweep(sweep).await.summary.state, SweepState::Complete);
    let late = self::told(&mut spans);
    let late: Vec<_> =
        late.iter().map(|span| (span.name.as_str(), number(span, "sekisho.observations"))).collect();
    assert_eq!(late, [("commit results", 24); 2]);
}

#[tokio::test]
async fn a_scheduled_run_begins_a_trace_and_one_with_nothing_to_test_ends_it() {
    let controller = Controller::new(settings()).await;
    let mut spans = traced(&controller, 1.0);
    let cron = cron_ago(&controller, 10).await;
    controller.apply(&format!("{SEARCHED}{}", schedule("nightly", &cron, ""))).await;
    let _background = controller.background();
    controller.not_looked_for(12).await;
    // There is no probe: no target is found, and the profile has no checks.
    let told = wait_for("the spans", async || Some(told(&mut spans)).filter(|spans| !spans.is_empty())).await;
    let [root] = of(&told, "sweep")[..] else { panic!("{told:?}") };
    assert_eq!((root.parent, value(root, "sekisho.schedule")), (None, &"nightly".into()));
    let failure = root.failure.as_deref().unwrap();
    assert!(failure.contains("no targets") && number(root, "sekisho.planned") == 0, "{root:?}");
    let jobs = of(&told, "job");
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job.parent == Some(root.context.span)), "{told:?}");
}

#[tokio::test]
async fn sweeps_that_nobody_records_cost_nothing() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let sweep = |controller: &Controller, actor: Actor| {
        let services = controller.services.clone();
        async move { services.start_sweep(&actor, ports()).await.unwrap().summary.id }
    };
    let untraced = sweep(&controller, within(REQUEST)).await;
    let mut spans = traced(&controller, 0.0);
    let unsampled = sweep(&controller, operator()).await;
    // Whoever asks decides, and says so.
    let not = format!("{}00", &REQUEST[..53]);
    let refused = sweep(&controller, within(&not)).await;
    let kept: Vec<(i64, Option<String>)> = sqlx::query_as("SELECT id, traceparent FROM sweep ORDER BY id")
        .fetch_all(&controller.pool)
        .await
        .unwrap();
    let [(a, None), (b, None), (c, Some(handed_on))] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!([*a, *b, *c], [untraced, unsampled, refused]);
    let handed_on: TraceParent = handed_on.parse().unwrap();
    assert_eq!((handed_on.trace.to_string().as_str(), handed_on.sampled), (&REQUEST[3..35], false));
    for vantage in ["vlan10", "vlan20"] {
        let mut probe = controller.probe(vantage).await;
        do_everything(&mut probe).await;
    }
    for id in [untraced, unsampled, refused] {
        assert_eq!(controller.sweep(id).await.summary.missed, 0);
    }
    assert_eq!(told(&mut spans), []);
}

async fn do_everything(probe: &mut Probe) {
    tokio::time::timeout(Duration::from_secs(20), probe.do_everything()).await.unwrap();
}
