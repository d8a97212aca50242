//! Kerberos: ask for a ticket for an account that does not exist, and be refused.

use super::carrier::{Datagrams, Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, Expected, Progress};
use crate::wire::Error;
use crate::wire::kerberos::{self, Reply};

/// The realm to ask for where none is expected. RFC 6761 reserves the name, so no KDC serves it.
const NO_REALM: &str = "SEKISHO.INVALID";
/// KDC_ERR_WRONG_REALM.
const WRONG_REALM: i64 = 68;

struct Kerberos {
    /// The KDC must serve the realm.
    must_serve: bool,
}

/// Over UDP.
pub(super) fn over_datagrams(expected: &Expected, nonce: u64) -> Box<dyn Exchange> {
    let (request, dialogue) = start(expected, nonce);
    Box::new(Datagrams::new(request, dialogue))
}

/// Over TCP.
pub(super) fn over_stream(expected: &Expected, nonce: u64) -> Box<dyn Exchange> {
    let (request, dialogue) = start(expected, nonce);
    let framing = Framing { measure: kerberos::measure, header: 4 };
    Box::new(Stream::new(kerberos::framed(&request), framing, dialogue))
}

/// The realm to ask for.
pub(super) fn realm(expected: &Expected) -> String {
    expected.domain.as_deref().map_or_else(|| NO_REALM.to_owned(), str::to_ascii_uppercase)
}

fn start(expected: &Expected, nonce: u64) -> (Vec<u8>, Kerberos) {
    let realm = realm(expected);
    // An account that cannot exist by chance: the name says to the readers of the KDC's log who asked.
    let principal = format!("sekisho-{nonce:016x}");
    let [a, b, c, d, ..] = nonce.to_le_bytes();
    let request = kerberos::as_request(&principal, &realm, u32::from_le_bytes([a, b, c, d]) & 0x7fff_ffff);
    (request, Kerberos { must_serve: expected.domain.is_some() })
}

impl Dialogue for Kerberos {
    const PROTOCOL: &'static str = "kerberos";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let error = match kerberos::decode(message)? {
            Reply::Ticket { realm } => return Ok(Report::default().text("realm", &realm).proven()),
            Reply::Error(error) => error,
        };
        let report = Report::default()
            .fact("error", error.code)
            .fact("error-name", kerberos::error_name(error.code))
            .moment("server-time", Some(error.server_time))
            .text("realm", &error.realm);
        Ok(if self.must_serve && error.code == WRONG_REALM {
            report.wrong("another-realm")
        } else {
            report.proven()
        })
    }
}
