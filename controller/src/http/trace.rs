//! The traces of requests that begin sweeps: where the operator's own trace goes on, or one begins.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use jiff::Timestamp;
use sekisho_model::TraceParent;

use super::Web;
use crate::traces::{Kind, Span, Value};

/// W3C Trace Context.
const TRACEPARENT: &str = "traceparent";
/// What begins a sweep. Other requests are not traced: they end before anybody could wonder, and there is no end of them.
pub(super) const TRACED: [&str; 2] = ["/api/v1/sweeps", "/api/v1/schedules/{name}/run"];

/// Puts the span of a request that is traced where [`super::auth::Operator`] finds it, and tells of it when it is answered.
pub(super) async fn follow(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = route.filter(|route| request.method() == Method::POST && TRACED.contains(route));
    let Some((traces, route)) = web.services.traces().zip(route.map(str::to_owned)) else {
        return next.run(request).await;
    };
    let header = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    // One that is not understood is as good as none.
    let within: Option<TraceParent> = header.and_then(|text| text.parse().ok());
    let Some(context) = traces.begin(within) else { return next.run(request).await };
    tracing::Span::current().record("trace_id", tracing::field::display(context.trace));
    request.extensions_mut().insert(context);
    let start = Timestamp::now();
    let began = std::time::Instant::now();
    let response = next.run(request).await;
    // Strangers fill no queue.
    if response.status() != StatusCode::UNAUTHORIZED {
        let parent = within.map(|within| within.span);
        let end = start.saturating_add(began.elapsed()).unwrap_or(start);
        let span = Span { parent, end, ..answered(context, &route, response.status(), start) };
        traces.tell(span);
    }
    response
}

fn answered(context: TraceParent, route: &str, status: StatusCode, start: Timestamp) -> Span {
    let mut attributes = vec![
        ("http.request.method", Value::from("POST")),
        ("http.route", route.into()),
        ("http.response.status_code", i64::from(status.as_u16()).into()),
    ];
    if status.is_server_error() {
        attributes.push(("error.type", status.as_u16().to_string().into()));
    }
    Span {
        context,
        parent: None,
        name: format!("POST {route}"),
        kind: Kind::Server,
        start,
        end: start,
        attributes,
        failure: status.is_server_error().then(String::new),
    }
}
