//! SNTP: ask for the time.

use super::carrier::{Datagrams, Dialogue};
use super::report::Report;
use super::{Exchange, Progress};
use crate::wire::Error;
use crate::wire::ntp::{self, Reply};

struct Ntp {
    nonce: u64,
}

/// Over UDP. A client whose time is 0 has none, so the nonce is not 0.
pub(super) fn over_datagrams(nonce: u64) -> Box<dyn Exchange> {
    let nonce = nonce.max(1);
    Box::new(Datagrams::new(ntp::request(nonce), Ntp { nonce }))
}

impl Dialogue for Ntp {
    const PROTOCOL: &'static str = "ntp";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        // What answers another request is late or forged, and the right one may still come.
        Ok(ntp::decode(message, self.nonce)?.map_or(Progress::Waiting, |reply| facts(&reply).proven()))
    }
}

fn facts(reply: &Reply) -> Report {
    let report = Report::default().fact("stratum", i64::from(reply.stratum));
    if reply.stratum == 0 {
        // The server speaks and refuses to tell the time: what stands in the times then means nothing.
        return report.text("kiss-of-death", &reply.reference_text());
    }
    report
        .fact("leap", reply.leap_word())
        .text("reference-id", &reply.reference_text())
        .moment("receive-time", reply.receive)
        .moment("transmit-time", reply.transmit)
        .moment("server-time", reply.transmit)
}
