//! Change password: ask for something impossible, and be refused.

use super::carrier::{Datagrams, Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, Expected, Progress, kerberos, noise};
use crate::wire::Error;
use crate::wire::kerberos::{framed, measure};
use crate::wire::kpasswd::{self, Reply};

struct Kpasswd;

/// Over UDP.
pub(super) fn over_datagrams(expected: &Expected, nonce: u64) -> Box<dyn Exchange> {
    Box::new(Datagrams::new(request(expected, nonce), Kpasswd))
}

/// Over TCP, with the same length before a message as Kerberos has.
pub(super) fn over_stream(expected: &Expected, nonce: u64) -> Box<dyn Exchange> {
    Box::new(Stream::new(framed(&request(expected, nonce)), Framing { measure, header: 4 }, Kpasswd))
}

fn request(expected: &Expected, nonce: u64) -> Vec<u8> {
    kpasswd::request(&kerberos::realm(expected), noise(nonce))
}

impl Dialogue for Kpasswd {
    const PROTOCOL: &'static str = "kpasswd";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let error = match kpasswd::decode(message)? {
            Reply::Accepted => return Ok(Report::default().fact("accepted", true).proven()),
            Reply::Error(error) => error,
        };
        // Its name is not told: servers write their own result where Kerberos has its error codes.
        let mut report = Report::default()
            .fact("error", error.code)
            .moment("server-time", Some(error.server_time))
            .text("realm", &error.realm);
        if let Some((code, text)) = error.data.as_deref().and_then(kpasswd::result) {
            report = report
                .fact("result-code", i64::from(code))
                .fact("result-name", kpasswd::result_name(code))
                .octets("result-text", Some(text));
        }
        Ok(report.proven())
    }
}
