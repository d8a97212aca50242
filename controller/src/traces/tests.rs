//! The exporter against a collector that behaves well, badly, or is not there.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use jiff::Timestamp;
use prost::Message as _;
use tokio::net::TcpListener;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A collector that answers as it is told to, request by request, and then takes everything.
#[derive(Clone, Default)]
struct Collector {
    answers: Arc<Mutex<Vec<(StatusCode, otlp::Answer)>>>,
    taken: Arc<Mutex<Vec<(HeaderMap, otlp::Export)>>>,
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    let answer = collector.answers.lock().unwrap().pop();
    let (status, answer) = answer.unwrap_or((StatusCode::OK, otlp::Answer::default()));
    if status == StatusCode::OK {
        collector.taken.lock().unwrap().push((headers, otlp::Export::decode(body).unwrap()));
    }
    (status, answer.encode_to_vec())
}

impl Collector {
    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    fn spans(&self) -> Vec<otlp::Span> {
        let taken = self.taken.lock().unwrap();
        let scopes =
            taken.iter().flat_map(|(_, export)| &export.resource_spans).flat_map(|of| &of.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

fn setup(address: SocketAddr) -> Setup {
    rustls::crypto::ring::default_provider().install_default().ok();
    let url = format!("http://{address}/v1/traces").parse().unwrap();
    let headers = HeaderMap::from_iter([("x-key".parse().unwrap(), "hunter2".parse().unwrap())]);
    Setup { endpoint: Endpoint { url, secret: None, authorities: None }, headers, sample: Sample::ALL }
}

fn start(address: SocketAddr, spans: &Spans) -> (Traces, Exporter) {
    Exporter::start(setup(address), vec![("service.name", "sekisho".into())], spans).unwrap()
}

fn span(traces: &Traces, name: &str) -> Span {
    let at: Timestamp = "2026-11-25T17:00:00Z".parse().unwrap();
    Span {
        context: traces.begin(None).unwrap(),
        parent: SpanId::new(7),
        name: name.to_owned(),
        kind: Kind::Consumer,
        start: at,
        end: at + Duration::from_millis(3),
        attributes: vec![("text", "a".into()), ("number", 5.into()), ("flag", true.into())],
        failure: Some("no-probe".to_owned()),
    }
}

fn count(spans: &Spans, result: &str) -> u64 {
    spans.get_or_create_owned(&[("result", result.to_owned())]).get()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, waited).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

#[tokio::test]
async fn a_collector_gets_spans_as_they_are_meant() {
    let (collector, spans) = (Collector::default(), Spans::default());
    let (traces, exporter) = start(collector.serve().await, &spans);
    let told = span(&traces, "commit results");
    traces.tell(told.clone());
    let unrecorded = TraceParent { sampled: false, ..told.context };
    traces.tell(Span { context: unrecorded, ..told.clone() });
    until("the span", || count(&spans, "exported") == 1).await;
    let (headers, export) = collector.taken.lock().unwrap()[0].clone();
    assert_eq!(
        (&headers["x-key"], &headers["content-type"]),
        (&"hunter2".parse().unwrap(), &"application/x-protobuf".parse().unwrap())
    );
    let resource = export.resource_spans[0].resource.clone().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
    let got = collector.spans().remove(0);
    assert_eq!(got.trace_id, told.context.trace.number().to_be_bytes());
    assert_eq!((got.span_id.len(), got.parent_span_id.as_slice()), (8, [0, 0, 0, 0, 0, 0, 0, 7].as_slice()));
    assert_eq!(got.end_time_unix_nano - got.start_time_unix_nano, 3_000_000);
    let values: Vec<_> = got.attributes.iter().map(|a| a.value.clone().unwrap().value.unwrap()).collect();
    assert_eq!(values, [otlp::Value::Text("a".into()), otlp::Value::Integer(5), otlp::Value::Flag(true)]);
    assert_eq!((got.kind, got.status.unwrap().message.as_str(), got.flags), (5, "no-probe", 1));
    // What waits when the controller stops is sent at once.
    for _ in 0..1_100 {
        traces.tell(span(&traces, "late"));
    }
    exporter.finish().await;
    assert_eq!(
        (collector.spans().len(), count(&spans, "exported"), count(&spans, "dropped")),
        (1_101, 1_101, 0)
    );
    let largest = collector
        .taken
        .lock()
        .unwrap()
        .iter()
        .map(|(_, e)| e.resource_spans[0].scope_spans[0].spans.len())
        .max();
    assert_eq!(largest, Some(512));
}

#[tokio::test]
async fn what_a_collector_does_not_take_is_tried_again_or_counted() {
    let (collector, spans) = (Collector::default(), Spans::default());
    let partial = otlp::PartialSuccess { rejected_spans: 1, error_message: "no".to_owned() };
    // From the last to the first.
    *collector.answers.lock().unwrap() = vec![
        (StatusCode::OK, otlp::Answer { partial_success: Some(partial) }),
        (StatusCode::BAD_REQUEST, otlp::Answer::default()),
        (StatusCode::OK, otlp::Answer::default()),
        (StatusCode::SERVICE_UNAVAILABLE, otlp::Answer::default()),
    ];
    let (traces, exporter) = start(collector.serve().await, &spans);
    // Refused for a moment, and taken the next time; refused for good; taken in part, which is none of one.
    for (name, exported, dropped) in [("busy", 1, 0), ("bad", 1, 1), ("partial", 1, 2)] {
        traces.tell(span(&traces, name));
        until(name, || (count(&spans, "exported"), count(&spans, "dropped")) == (exported, dropped)).await;
    }
    exporter.finish().await;
    let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["busy", "partial"], "this collector keeps what it says that it has not taken");
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_is_not_there() {
    let spans = Spans::default();
    // Takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (traces, exporter) = start(listener.local_addr().unwrap(), &spans);
    let began = std::time::Instant::now();
    let more = 2_000;
    for _ in 0..QUEUE + more {
        traces.tell(span(&traces, "nowhere"));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The exporter may have taken a batch meanwhile.
    let dropped = usize::try_from(count(&spans, "dropped")).unwrap();
    assert!((more - 1_024..=more).contains(&dropped), "{dropped}");
    let began = std::time::Instant::now();
    exporter.finish().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(count(&spans, "exported"), 0);
}

#[test]
fn every_controller_gives_a_job_the_same_span() {
    let (traces, _spans) = Traces::channel(Sample::ALL, Counter::default());
    let sweep = traces.begin(None).unwrap();
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(of_job(sweep, one), of_job(sweep, one));
    assert_ne!(of_job(sweep, one).span, of_job(sweep, other).span);
    assert_eq!((of_job(sweep, one).trace, of_job(sweep, one).sampled), (sweep.trace, true));
    let (none, _spans) = Traces::channel(Sample::try_from(0.0).unwrap(), Counter::default());
    assert_eq!(none.begin(None), None);
    assert_eq!(
        none.begin(Some(sweep)).map(|span| span.trace),
        Some(sweep.trace),
        "it is recorded by whoever began it"
    );
}
