//! The operators' API: HTTP and JSON, described by an OpenAPI document.
//!
//! Handlers parse, ask one service and answer. They know nothing of the database.

mod alert;
mod auth;
mod baseline;
mod change_request;
mod diff;
mod document;
mod enrolment_token;
mod error;
mod gaps;
mod health;
mod history;
mod inventory;
mod matrix;
mod metrics;
mod probe;
mod readiness;
mod schedule;
mod serve;
mod suggest;
mod sweep;
mod trace;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::DefaultBodyLimit, http::StatusCode, middleware, routing::get};
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::service::Services;

pub use alert::ChannelTest;
pub use enrolment_token::{EnrolmentTokenRequest, PrintedToken};
pub use error::{ErrorBody, ErrorDetail};
pub use inventory::ApplyOptions;
pub use serve::serve;

/// Largest body of a request, bytes: an inventory of some ten thousand entries.
const BODY: usize = 4 << 20;
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
pub struct Web {
    services: Services,
    /// CA certificate of this controller, DER.
    authority: Arc<[u8]>,
    fleet: Arc<AtomicBool>,
}

impl Web {
    /// Answers with `services`; tokens name the authority of this controller first.
    #[must_use]
    pub fn new(services: Services, authority: &[u8]) -> Self {
        Self { services, authority: authority.into(), fleet: Arc::default() }
    }

    /// Says whether the probes' listener serves.
    pub fn set_fleet_listener(&self, serves: bool) {
        self.fleet.store(serves, Ordering::Relaxed);
    }
}

/// Every path of the web listener.
pub fn router(web: Web) -> Router {
    let (router, document) = api().split_for_parts();
    router
        .route("/api/v1/openapi.json", get(|| async { Json(document) }))
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(error::no_such_path)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST))
        .layer(middleware::from_fn_with_state(web.clone(), trace::follow))
        .layer(middleware::from_fn_with_state(web.clone(), error::finish))
        .with_state(web)
}

/// The paths of the listener for numbers, which needs no token.
pub fn metrics_router(web: Web) -> Router {
    Router::new()
        .route("/metrics", get(metrics::tell))
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(error::no_such_path)
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST))
        .layer(middleware::from_fn_with_state(web.clone(), error::finish))
        .with_state(web)
}

fn api() -> OpenApiRouter<Web> {
    OpenApiRouter::with_openapi(document::Document::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::show))
        .routes(routes!(inventory::apply))
        .routes(routes!(enrolment_token::create))
        .routes(routes!(probe::list))
        .routes(routes!(probe::fleet))
        .routes(routes!(probe::show))
        .routes(routes!(probe::revoke))
        .routes(routes!(sweep::list, sweep::start))
        .routes(routes!(sweep::show))
        .routes(routes!(sweep::cancel))
        .routes(routes!(schedule::list))
        .routes(routes!(schedule::show))
        .routes(routes!(schedule::forecast))
        .routes(routes!(schedule::run))
        .routes(routes!(schedule::pause))
        .routes(routes!(schedule::resume))
        .routes(routes!(matrix::show))
        .routes(routes!(diff::sweeps))
        .routes(routes!(diff::vantages))
        .routes(routes!(gaps::show))
        .routes(routes!(change_request::show))
        .routes(routes!(history::show))
        .routes(routes!(history::spans))
        .routes(routes!(readiness::show))
        .routes(routes!(suggest::show))
        .routes(routes!(baseline::list, baseline::set))
        .routes(routes!(baseline::show))
        .routes(routes!(baseline::clear))
        .routes(routes!(alert::list))
        .routes(routes!(alert::test))
        .routes(routes!(alert::notice))
}
