//! SMB: negotiate a dialect, and stop there.

use super::carrier::{Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, Progress, noise};
use crate::wire::Error;
use crate::wire::smb::{self, Reply};

struct Smb;

/// Over TCP.
pub(super) fn over_stream(nonce: u64) -> Box<dyn Exchange> {
    let (guid, salt) = (noise(nonce), noise(nonce.rotate_left(17)));
    let framing = Framing { measure: smb::measure, header: 4 };
    Box::new(Stream::new(smb::negotiate_request(guid, Some(salt)), framing, Smb))
}

impl Dialogue for Smb {
    const PROTOCOL: &'static str = "smb2";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        if smb::is_smb1(message) {
            return Ok(Report::default().reply(message).wrong("smb1"));
        }
        let status = |status: u32| format!("0x{status:08x}");
        let report = match smb::decode(message)? {
            Reply::Refused(code) => Report::default().fact("status", status(code)),
            Reply::Negotiated(negotiated) => {
                let report = Report::default()
                    .fact("dialect", negotiated.dialect_text())
                    .fact("signing", if negotiated.requires_signing() { "required" } else { "enabled" })
                    .fact("server-guid", smb::guid_text(&negotiated.server_guid))
                    .moment("server-time", negotiated.system_time)
                    .moment("server-start-time", negotiated.start_time);
                if negotiated.status == 0 { report } else { report.fact("status", status(negotiated.status)) }
            }
        };
        Ok(report.proven())
    }
}
