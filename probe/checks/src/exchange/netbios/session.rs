//! A session: ask for one with the file server.

use std::net::Ipv4Addr;

use super::own_name;
use crate::exchange::carrier::{Dialogue, Framing, Stream};
use crate::exchange::report::Report;
use crate::exchange::{Exchange, Progress};
use crate::wire::Error;
use crate::wire::netbios::session::{self, Reply};

struct Session;

/// Over TCP.
pub(in crate::exchange) fn over_stream(nonce: u64) -> Box<dyn Exchange> {
    let framing = Framing { measure: session::measure, header: 0 };
    Box::new(Stream::new(session::request(&own_name(nonce)), framing, Session))
}

impl Dialogue for Session {
    const PROTOCOL: &'static str = "netbios";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let report = Report::default();
        Ok(match session::decode(message)? {
            Reply::Positive => report.fact("session", "accepted"),
            Reply::Negative(code) => report
                .fact("session", "refused")
                .fact("error", i64::from(code))
                .fact("error-name", session::error_name(code)),
            Reply::Retarget(address, port) => report
                .fact("session", "retargeted")
                .fact("retarget", format!("{}:{port}", Ipv4Addr::from(address))),
        }
        .proven())
    }
}
