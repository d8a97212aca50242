//! How requests fail: one JSON shape for every failure, with the id that finds it in the log.

use std::error::Error as StdError;

use axum::{
    Json,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Web;
use crate::service::Error;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest text of a rejection that is passed on, bytes.
const REJECTION: usize = 4_096;

/// The body of every failed request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// A word for programs: `invalid`, `not-found`, `conflict`, `forbidden`, `unauthenticated`, `unavailable`,
    /// `internal` and, for what never reached a service, the name of the HTTP status.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Finds the request in the controller's log.
    pub request_id: Uuid,
}

/// A failure on its way to [`finish`], which knows the request.
#[derive(Debug)]
pub(super) struct ApiError(Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// What [`finish`] makes the body of.
#[derive(Clone)]
struct Problem {
    code: &'static str,
    message: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let message = self.0.to_string();
        let (status, code, message) = match &self.0 {
            Error::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid", message),
            Error::NotFound(_) => (StatusCode::NOT_FOUND, "not-found", message),
            Error::Conflict(_) => (StatusCode::CONFLICT, "conflict", message),
            Error::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden", message),
            Error::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", message),
            Error::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the database is not available; try again in a moment".to_owned(),
            ),
            Error::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "internal error; the controller's log has it under the request id".to_owned(),
            ),
        };
        let mut response = status.into_response();
        response.extensions_mut().insert(Problem { code, message });
        match self.0 {
            Error::Unavailable(cause) | Error::Internal(cause) => {
                response.extensions_mut().insert(Cause(cause.into()));
            }
            Error::Invalid(_)
            | Error::NotFound(_)
            | Error::Conflict(_)
            | Error::Forbidden(_)
            | Error::Unauthenticated => {}
        }
        response
    }
}

/// What is for the log only.
#[derive(Clone)]
struct Cause(std::sync::Arc<dyn StdError + Send + Sync>);

pub(super) async fn no_such_path(request: Request) -> Response {
    let message = format!("there is no {}; see /api/v1/openapi.json for what there is", request.uri().path());
    problem(StatusCode::NOT_FOUND, "not-found", message)
}

pub(super) async fn method_not_allowed(request: Request) -> Response {
    let message = format!("{} does not take {}", request.uri().path(), request.method());
    problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", message)
}

fn problem(status: StatusCode, code: &'static str, message: String) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(Problem { code, message });
    response
}

/// Gives every request an id, every failure its body, and logs what is the controller's fault, once.
pub(super) async fn finish(State(web): State<Web>, request: Request, next: Next) -> Response {
    let id = Uuid::new_v4();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = std::time::Instant::now();
    // What a service logs meanwhile can be told from what others do.
    let span = tracing::info_span!("request", request_id = %id, trace_id = tracing::field::Empty);
    let mut response = next.run(request).instrument(span).await;
    let status = response.status();
    if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
        let error: &(dyn StdError + 'static) = cause.as_ref();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(request_id = %id, %method, path, error, "a request failed");
        } else {
            tracing::warn!(request_id = %id, %method, path, error, "a request failed: no database");
        }
    }
    web.services.counters().answered(method.as_str(), &route, status.as_u16(), began.elapsed());
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(request_id = %id, %method, path, status = status.as_u16(), took_ms, "answered");
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = body(response, problem.code, problem.message, id);
    } else if (status.is_client_error() || status.is_server_error()) && !is_json(&response) {
        response = rejected(response, id).await;
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

/// A request that was refused before it reached a handler, in the words of what refused it.
async fn rejected(response: Response, id: Uuid) -> Response {
    let (parts, content) = response.into_parts();
    let said = axum::body::to_bytes(content, REJECTION).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let (code, fixed) = match parts.status {
        StatusCode::PAYLOAD_TOO_LARGE => ("payload-too-large", "the body is too large: at most 4 MiB"),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("unavailable", "the request took too long; try again in a moment")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("unsupported-media-type", "send the body with content-type: application/json")
        }
        _ => ("invalid", ""),
    };
    let message = if fixed.is_empty() { said } else { fixed.to_owned() };
    body(Response::from_parts(parts, axum::body::Body::empty()), code, message, id)
}

fn body(response: Response, code: &str, message: String, request_id: Uuid) -> Response {
    let error = ErrorDetail { code: code.to_owned(), message, request_id };
    (response.status(), Json(ErrorBody { error })).into_response()
}
