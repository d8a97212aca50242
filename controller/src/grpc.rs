//! The probes' side: enrolment and sessions.
//!
//! Client certificates come from `tonic::Request::peer_certs`, which needs nothing but that the accept loop hands over
//! `tokio_rustls::server::TlsStream<TcpStream>`. Enrolment is the only call that works without one.

use tokio::sync::watch;
use tonic::transport::{Server, server::Router};

use crate::service::Services;

/// The gRPC services, ready for `serve_with_incoming_shutdown`. Sessions end when `shutdown` turns true.
#[must_use]
pub fn router(_services: Services, _shutdown: watch::Receiver<bool>) -> Router {
    unimplemented_router(Server::builder())
}

fn unimplemented_router(mut server: Server) -> Router {
    server.add_routes(tonic::service::Routes::default())
}
