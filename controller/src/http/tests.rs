//! What can be said of the API without a database: its paths, its document, its failures.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use sekisho_model::TraceParent;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceExt;
use uuid::Uuid;

use super::{ErrorBody, Web, api, router};
use crate::{
    data_dir::DataDir,
    identity::Identity,
    service::{Services, Settings},
    traces::{Kind, Sample, Traces},
};

/// Every path of the listener with its methods. A new one is added here on purpose.
const PATHS: [(&str, &str); 36] = [
    ("GET", "/api/v1/change-request"),
    ("GET", "/api/v1/baselines"),
    ("GET", "/api/v1/baselines/{name}"),
    ("POST", "/api/v1/baselines"),
    ("POST", "/api/v1/baselines/{name}/clear"),
    ("GET", "/api/v1/alerts"),
    ("GET", "/api/v1/alerts/notices/{key}"),
    ("GET", "/api/v1/diff"),
    ("GET", "/api/v1/diff/vantages"),
    ("GET", "/api/v1/fleet"),
    ("GET", "/api/v1/gaps"),
    ("GET", "/api/v1/history"),
    ("GET", "/api/v1/matrix"),
    ("GET", "/api/v1/policies/suggestion"),
    ("GET", "/api/v1/probes"),
    ("GET", "/api/v1/probes/{id}"),
    ("GET", "/api/v1/spans"),
    ("GET", "/api/v1/schedules"),
    ("GET", "/api/v1/schedules/{name}"),
    ("GET", "/api/v1/schedules/{name}/forecast"),
    ("GET", "/api/v1/readiness"),
    ("GET", "/api/v1/sweeps"),
    ("GET", "/api/v1/sweeps/{sweep}"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/readyz"),
    ("POST", "/api/v1/alerts/test"),
    ("POST", "/api/v1/enrolment-tokens"),
    ("POST", "/api/v1/inventory"),
    ("POST", "/api/v1/probes/{id}/revoke"),
    ("POST", "/api/v1/schedules/{name}/pause"),
    ("POST", "/api/v1/schedules/{name}/resume"),
    ("POST", "/api/v1/schedules/{name}/run"),
    ("POST", "/api/v1/sweeps"),
    ("POST", "/api/v1/sweeps/{sweep}/cancel"),
    ("GET", "/api/v1/openapi.json"),
];
/// What may be asked without a token.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/api/v1/openapi.json"];

fn web() -> axum::Router {
    let (services, der) = services();
    router(Web::new(services, &der))
}

fn services() -> (Services, Vec<u8>) {
    let place = tempfile::tempdir().unwrap();
    let data = DataDir::new(&place.path().join("data")).unwrap();
    data.prepare().unwrap();
    let authority = Identity::load_or_create(&data).unwrap().authority;
    let der = authority.certificate().to_vec();
    let nowhere = PgConnectOptions::new_without_pgpass().host("localhost").socket(place.path());
    let pool = PgPoolOptions::new().connect_lazy_with(nowhere);
    (Services::new(pool, Uuid::new_v4(), Arc::new(authority), Settings::default()), der)
}

async fn ask(request: Request<Body>) -> (StatusCode, axum::http::HeaderMap, Vec<u8>) {
    let response = web().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, to_bytes(body, 1 << 20).await.unwrap().to_vec())
}

fn request(method: &str, path: &str) -> Request<Body> {
    let path = path.replace("{id}", "1").replace("{sweep}", "1").replace("{name}", "default");
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn requests_that_begin_sweeps_are_traced_and_no_others() {
    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (services, der) = services();
    let (traces, mut spans) = Traces::channel(Sample::ALL, Default::default());
    services.set_traces(traces);
    let web = router(Web::new(services, &der));
    let ask = async |method: &str, path: &str, token: &str| {
        let mut request = request(method, path);
        request.headers_mut().insert("traceparent", CALLER.parse().unwrap());
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        web.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    // A token as long as one: whether it is one is not known without a database.
    let token = "t".repeat(43);
    for route in super::trace::TRACED {
        assert!(PATHS.contains(&("POST", route)), "{route}");
        assert_eq!(ask("POST", route, "short").await, 401);
        assert!(spans.try_recv().is_err(), "strangers fill no queue");
        assert_eq!(ask("POST", route, &token).await, 503);
        let span = spans.try_recv().unwrap();
        assert_eq!((span.name.as_str(), span.kind), (format!("POST {route}").as_str(), Kind::Server));
        let caller: TraceParent = CALLER.parse().unwrap();
        assert_eq!((span.context.trace, span.parent), (caller.trace, Some(caller.span)));
        assert!(
            span.failure.is_some() && span.attributes.contains(&("error.type", "503".into())),
            "{span:?}"
        );
    }
    for (method, path) in
        PATHS.into_iter().filter(|(method, path)| *method == "GET" || path.ends_with("cancel"))
    {
        ask(method, path, &token).await;
        assert!(spans.try_recv().is_err(), "{method} {path}");
    }
}

#[tokio::test]
async fn the_document_has_every_path_and_no_other() {
    let document = serde_json::to_value(api().into_openapi()).unwrap();
    let mut documented: Vec<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods =
                item.as_object().unwrap().keys().filter(|key| ["get", "post"].contains(&key.as_str()));
            methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
        })
        .collect();
    documented.sort();
    let mut expected: Vec<(String, String)> = PATHS
        .iter()
        .filter(|(_, path)| *path != "/api/v1/openapi.json")
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    expected.sort();
    assert_eq!(documented, expected);
}

#[test]
fn the_document_has_what_a_sweep_may_be_asked_for() {
    let document = serde_json::to_value(api().into_openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut fields: Vec<&String> =
        schemas["SweepRequest"]["properties"].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["captures", "computers", "domain", "profile", "vantages"]);
    assert_eq!(schemas["JobKind"]["enum"], serde_json::json!(["discovery", "check", "vantage"]));
}

#[tokio::test]
async fn nothing_is_told_without_a_token() {
    for (method, path) in PATHS {
        let (status, headers, body) = ask(request(method, path)).await;
        if OPEN.contains(&path) {
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
            continue;
        }
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer");
        let error: ErrorBody = serde_json::from_slice(&body).unwrap();
        assert_eq!(error.error.code, "unauthenticated");
        assert_eq!(headers["x-request-id"], error.error.request_id.to_string());
    }
}

#[tokio::test]
async fn what_does_not_exist_is_told_in_json() {
    for (method, path, status, code) in [
        ("GET", "/nowhere", StatusCode::NOT_FOUND, "not-found"),
        ("GET", "/api/v1/", StatusCode::NOT_FOUND, "not-found"),
        ("DELETE", "/api/v1/sweeps", StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
    ] {
        let (got, _, body) = ask(request(method, path)).await;
        assert_eq!(got, status, "{method} {path}");
        let error: ErrorBody = serde_json::from_slice(&body).unwrap();
        assert_eq!(error.error.code, code);
    }
}

#[tokio::test]
async fn a_controller_without_database_lives_but_is_not_ready() {
    let (status, _, body) = ask(request("GET", "/healthz")).await;
    assert_eq!(status, StatusCode::OK);
    let alive: crate::service::Health = serde_json::from_slice(&body).unwrap();
    let names: Vec<&str> = alive.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["process", "background-loop"]);
    let (status, _, body) = ask(request("GET", "/readyz")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let health: crate::service::Health = serde_json::from_slice(&body).unwrap();
    assert!(health.checks.iter().any(|check| check.name == "fleet-listener" && !check.ok));
}

#[tokio::test]
async fn a_client_that_says_nothing_loses_its_place_and_one_that_asks_is_answered() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let head = std::time::Duration::from_millis(200);
    let patience = super::serve::Patience { head, unread: head };
    let serving =
        tokio::spawn(super::serve::serve_with(listener, web(), async { ended.await.unwrap() }, patience));

    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut asking = TcpStream::connect(address).await.unwrap();
    asking.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"ok\":true"), "{answer}");
    let limit = std::time::Duration::from_secs(10);
    let closed = tokio::time::timeout(limit, silent.read_to_end(&mut Vec::new())).await;
    closed.expect("the silent connection is closed").ok();

    end.send(()).unwrap();
    tokio::time::timeout(limit, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_loses_its_place() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let second = std::time::Duration::from_secs(1);
    let patience = super::serve::Patience { head: second * 20, unread: second / 5 };
    tokio::spawn(super::serve::serve_with(listener, web(), std::future::pending(), patience));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut greedy = socket.connect(address).await.unwrap();
    // Far more answers than the system keeps for a reader.
    let wanted = 2_000;
    let questions = "GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(wanted);
    let (mut reader, mut writer) = greedy.split();
    // It asks on until it is told that nobody listens any more.
    let asking = async { while writer.write_all(questions.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(second * 10, asking).await.expect("the connection is closed");
    let mut answers = Vec::new();
    let read = tokio::time::timeout(second * 10, reader.read_to_end(&mut answers)).await;
    read.expect("the connection is closed").ok();
    let answered = answers.windows(15).filter(|window| *window == b"HTTP/1.1 200 OK").count();
    assert!((1..wanted).contains(&answered), "{answered} answers");
}
