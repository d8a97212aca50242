//! The probes' side: enrolment and sessions.
//!
//! Client certificates come from `tonic::Request::peer_certs`, which needs nothing but that the accept loop hands over
//! `tokio_rustls::server::TlsStream<TcpStream>`. Enrolment is the only call that works without one.

mod convert;
mod enrolment;
mod fleet;
mod peer;
mod session;
mod status;

use sekisho_proto::{
    limits::MESSAGE_BYTES,
    v1::{enrolment_server::EnrolmentServer, fleet_server::FleetServer},
};
use tokio::sync::watch;
use tonic::transport::{Server, server::Router};

use crate::service::Services;

pub use peer::{PeerError, probe_of};

/// Calls that one connection may have open: a session, and a renewal beside it.
const STREAMS_PER_CONNECTION: u32 = 8;

/// The gRPC services, ready for `serve_with_incoming_shutdown`. Sessions end when `shutdown` turns true.
#[must_use]
pub fn router(services: Services, shutdown: watch::Receiver<bool>) -> Router {
    let enrolment = EnrolmentServer::new(enrolment::Enrolment::new(services.clone()))
        .max_decoding_message_size(enrolment::REQUEST_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let fleet = FleetServer::new(fleet::Fleet::new(services, shutdown))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    Server::builder().max_concurrent_streams(STREAMS_PER_CONNECTION).add_service(enrolment).add_service(fleet)
}
