//! SMB: negotiate a dialect, and stop there.

use super::carrier::{Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, Progress};
use crate::wire::Error;
use crate::wire::smb::{self, Reply};

struct Smb;

/// Over TCP.
pub(super) fn over_stream(nonce: u64) -> Box<dyn Exchange> {
    // The GUID and the salt need to be unlike those of other connections, no more.
    let spread = |factor: u64| nonce.wrapping_mul(factor).rotate_left(29).to_be_bytes();
    let mut guid = [0; 16];
    let mut salt = [0; 32];
    let factors = [1, 0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
    for (place, factor) in guid.chunks_mut(8).zip(factors) {
        place.copy_from_slice(&spread(factor));
    }
    for (place, factor) in salt.chunks_mut(8).zip(factors) {
        place.copy_from_slice(&spread(factor.rotate_left(17)));
    }
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
