//! Active Directory Web Services: the preamble of .NET Message Framing, and its answer.

use super::carrier::{Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, Expected, Progress};
use crate::wire::Error;
use crate::wire::nmf::{self, Reply};

struct Adws;

/// Over TCP. The address is the one that Windows' own tools connect to (MS-ADDM 2.1).
pub(super) fn over_stream(expected: &Expected) -> Box<dyn Exchange> {
    let host = expected.host.as_deref().unwrap_or("localhost");
    let via = format!("net.tcp://{host}:9389/ActiveDirectoryWebServices/Windows/Resource");
    Box::new(Stream::new(nmf::preamble(&via), Framing { measure: nmf::measure, header: 0 }, Adws))
}

impl Dialogue for Adws {
    const PROTOCOL: &'static str = "adws";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let report = Report::default();
        Ok(match nmf::decode(message)? {
            Reply::Upgrade => report.fact("framing", "upgrade"),
            Reply::Acknowledged => report.fact("framing", "acknowledged"),
            Reply::Fault(name) => report.fact("framing", "fault").text("fault", &name),
        }
        .proven())
    }
}
