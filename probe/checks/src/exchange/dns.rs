//! DNS: do the services of the domain have names here? Without a domain: does it speak DNS?

use super::carrier::{Datagrams, Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, Expected, Progress};
use crate::wire::Error;
use crate::wire::dns::{self, Kind, Question};

struct Dns {
    id: u16,
    question: Question,
    /// The answer must be that the name exists.
    must_serve: bool,
    /// A response to another query is late or forged, and the right one may still come. On a stream it cannot be.
    datagrams: bool,
}

/// Over UDP.
pub(super) fn over_datagrams(expected: &Expected, nonce: u64) -> Option<Box<dyn Exchange>> {
    let (query, dialogue) = start(expected, nonce, true)?;
    Some(Box::new(Datagrams::new(query, dialogue)))
}

/// Over TCP.
pub(super) fn over_stream(expected: &Expected, nonce: u64) -> Option<Box<dyn Exchange>> {
    let (query, dialogue) = start(expected, nonce, false)?;
    let framing = Framing { measure: dns::measure, header: 2 };
    Some(Box::new(Stream::new(dns::framed(&query), framing, dialogue)))
}

fn start(expected: &Expected, nonce: u64, datagrams: bool) -> Option<(Vec<u8>, Dns)> {
    let [high, low, ..] = nonce.to_be_bytes();
    let id = u16::from_be_bytes([high, low]);
    let asked = expected.domain.as_deref().and_then(|domain| {
        // The name that a client asks for first when it joins a domain (MS-ADTS 6.3.6.1).
        Question::new(&format!("_ldap._tcp.dc._msdcs.{domain}"), Kind::Srv).ok()
    });
    let must_serve = asked.is_some();
    let question = match asked {
        Some(question) => question,
        None => Question::new("", Kind::Soa).ok()?,
    };
    // A resolver must ask others for the domain. For the root it must not: where the internet is out of reach, that
    // would end in a time-out, and every answer is good enough.
    let query = dns::query(id, &question, must_serve).ok()?;
    Some((query, Dns { id, question, must_serve, datagrams }))
}

impl Dialogue for Dns {
    const PROTOCOL: &'static str = "dns";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let Some(response) = dns::decode(message, self.id, &self.question)? else {
            let foreign = Report::default().wrong("another-question");
            return Ok(if self.datagrams { Progress::Waiting } else { foreign });
        };
        let report = Report::default()
            .fact("rcode", dns::rcode_name(response.rcode))
            .fact("authoritative", response.authoritative)
            .fact("truncated", response.truncated)
            .fact("answers", i64::try_from(response.answers.len()).unwrap_or(i64::MAX));
        Ok(if self.must_serve && response.rcode != 0 {
            report.wrong("domain-not-served")
        } else {
            report.proven()
        })
    }
}
