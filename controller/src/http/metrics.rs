//! Numbers for Prometheus.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Web, auth::Operator};

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Numbers of this controller, of its fleet and its sweeps, in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = OK, body = String, content_type = "text/plain", description = "The numbers."))
)]
pub(super) async fn show(_: Operator, state: State<Web>) -> Response {
    tell(state).await
}

/// The same for whoever asks on the listener that is for nothing else.
pub(super) async fn tell(State(web): State<Web>) -> Response {
    match web.services.metrics().await {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
