//! Whether something on the way accepts connections in the target's name: a SYN proxy.
//!
//! It accepts them on every port. A port that surely nobody listens on therefore unmasks it.

use sekisho_checks::flow::Signal;
use sekisho_model::{Service, Transport};

use super::flow::{self, Endpoint, Single, Subject};

/// TCP port multiplexer (RFC 1078), which no domain controller serves: RFC 7805 made it historic.
const SURELY_CLOSED: u16 = 1;
/// Attempts until no answer counts as none.
const TRIES: usize = 3;

/// Whether a handshake with the target completes where nobody listens. `None`: the local scope does not let it be asked.
pub(super) async fn accepts_anything(subject: &Subject) -> Option<bool> {
    let permitted = subject.gate.permit(subject.target.address, Transport::Tcp, Some(SURELY_CLOSED));
    let service = Service::tcp(SURELY_CLOSED).filter(|_| permitted.is_ok())?;
    let single = Single::bare(Endpoint::of(service));
    for _ in 0..TRIES {
        match flow::once(subject, single, subject.within()).await.signal {
            Some(Signal::Proven(_)) => return Some(true),
            None => {}
            Some(_) => return Some(false),
        }
    }
    Some(false)
}
