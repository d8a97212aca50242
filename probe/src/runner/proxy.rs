//! Whether something on the way accepts connections in the target's name: a SYN proxy.
//!
//! It accepts them on every port, so a port that surely nobody listens on unmasks it. And it accepts them before the packet
//! has reached the target: a connection that completes with a time to live that does not suffice for the way was not made
//! by the target.

use std::{net::IpAddr, sync::Arc};

use sekisho_checks::flow::Signal;
use sekisho_model::{Service, Transport};

use super::{
    flow::{self, Endpoint, Single, Subject},
    trace::Path,
};

/// TCP port multiplexer (RFC 1078), which no domain controller serves: RFC 7805 made it historic.
const SURELY_CLOSED: u16 = 1;
/// Attempts until no answer counts as none.
const TRIES: usize = 4;

/// What is known of a target's handshakes as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// The surely closed port does not accept, or could not be asked.
    None,
    /// It accepts: on the way, before the last hop.
    OnTheWay,
    /// It accepts, at the last hop, at the target, or where the way is not known.
    Anywhere,
}

/// Whose handshake a flow saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    /// That of a device before the last hop, and its address where it is known.
    Proxy(Option<IpAddr>),
    /// Something accepts for everybody, and it cannot be told from the target.
    Suspect,
    /// The target's, or the last hop's.
    Genuine,
}

fn surely_closed(subject: &Subject) -> Option<Endpoint> {
    let permitted = subject.gate.permit(subject.target.address, Transport::Tcp, Some(SURELY_CLOSED));
    Service::tcp(SURELY_CLOSED).filter(|_| permitted.is_ok()).map(Endpoint::of)
}

/// Whether a handshake with the target completes where nobody listens. False also where the local scope forbids to ask.
pub(super) async fn accepts_anything(subject: &Subject) -> bool {
    match surely_closed(subject) {
        Some(endpoint) => completes(subject, Single::bare(endpoint)).await,
        None => false,
    }
}

/// Where what accepts anything stands.
pub(super) async fn suspicion(subject: &Subject, accepts: bool, path: Option<&Path>) -> Suspicion {
    match (accepts, path, surely_closed(subject)) {
        (true, Some(path), Some(endpoint)) if is_near(subject, endpoint, path).await => Suspicion::OnTheWay,
        (true, _, _) => Suspicion::Anywhere,
        (false, _, _) => Suspicion::None,
    }
}

/// Whose handshake answers here.
pub(super) async fn handshake(
    subject: &Arc<Subject>,
    endpoint: Endpoint,
    suspicion: Suspicion,
    path: Option<&Path>,
) -> Handshake {
    if let Some(path) = path
        && is_near(subject, endpoint, path).await
    {
        return Handshake::Proxy(device(subject, endpoint, path).await);
    }
    match (suspicion, path) {
        (Suspicion::Anywhere, _) | (Suspicion::OnTheWay, None) => Handshake::Suspect,
        (Suspicion::None | Suspicion::OnTheWay, _) => Handshake::Genuine,
    }
}

/// Whether a connection completes that dies at the last router before the target.
async fn is_near(subject: &Subject, endpoint: Endpoint, path: &Path) -> bool {
    let last = path.distance().saturating_sub(1);
    last > 0 && completes(subject, Single { ttl: Some(last), ..Single::bare(endpoint) }).await
}

/// The router behind which the nearest handshake is made.
async fn device(subject: &Subject, endpoint: Endpoint, path: &Path) -> Option<IpAddr> {
    for ttl in 1..path.distance() {
        if completes(subject, Single { ttl: Some(ttl), ..Single::bare(endpoint) }).await {
            return path.router(usize::from(ttl).saturating_sub(1));
        }
    }
    None
}

async fn completes(subject: &Subject, single: Single) -> bool {
    for _ in 0..TRIES {
        match flow::once(subject, single, subject.within()).await.signal {
            Some(Signal::Proven(_)) => return true,
            None => {}
            Some(_) => return false,
        }
    }
    false
}
