//! SMB: negotiate a dialect, and have NTLM's challenge say who is there. Nobody authenticates.

use sekisho_model::Fact;

use super::carrier::{Dialogue, Framing, Stop, Stream};
use super::report::{Report, same_name};
use super::{Exchange, Expected, Progress, noise};
use crate::wire::Error;
use crate::wire::ntlm::{self, Challenge};
use crate::wire::smb::{self, MORE_PROCESSING_REQUIRED, Negotiated, Reply};
use crate::wire::spnego;

/// Asks for another NEGOTIATE before anything else, MS-SMB2 2.2.4.
const WILDCARD: u16 = 0x02ff;
/// STATUS_PENDING: the answer comes later, MS-SMB2 3.3.4.2.
const PENDING: u32 = 0x0000_0103;

struct Smb {
    host: Option<String>,
    /// The facts of NEGOTIATE, once a challenge is asked for.
    known: Option<Report>,
    request: Vec<u8>,
}

/// Over TCP.
pub(super) fn over_stream(expected: &Expected, nonce: u64) -> Box<dyn Exchange> {
    let (guid, salt) = (noise(nonce), noise(nonce.rotate_left(17)));
    let framing = Framing { measure: smb::measure, header: 4 };
    let smb = Smb { host: expected.host.clone(), known: None, request: Vec::new() };
    Box::new(Stream::new(smb::negotiate_request(guid, Some(salt)), framing, smb))
}

impl Dialogue for Smb {
    const PROTOCOL: &'static str = "smb2";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        if let Some(known) = &self.known {
            return self.challenged(known.clone(), message);
        }
        if smb::is_smb1(message) {
            return Ok(Report::default().reply(message).wrong("smb1"));
        }
        Ok(match smb::decode(message)? {
            Reply::Refused(code) => Report::default().fact("status", status(code)).proven(),
            Reply::Negotiated(negotiated) => self.negotiated(&negotiated),
        })
    }

    fn answer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.request)
    }

    fn is_proven(&self) -> bool {
        self.known.is_some()
    }

    fn stopped(&mut self, stop: Stop) -> Option<Progress> {
        Some(self.known.clone()?.fact("ntlm", stop.word()).proven())
    }
}

impl Smb {
    /// A dialect proves the service. The rest is asked for where NTLM is offered.
    fn negotiated(&mut self, negotiated: &Negotiated) -> Progress {
        let report = facts(negotiated);
        if negotiated.status != 0 || negotiated.dialect == WILDCARD {
            return report.proven();
        }
        let offered = spnego::mechanisms(&negotiated.security).unwrap_or_default();
        if !offered.contains(&spnego::NTLMSSP) {
            return report.fact("ntlm", "not-offered").proven();
        }
        self.request = smb::session_request(&spnego::ntlm_token(&ntlm::negotiate()));
        self.known = Some(report);
        Progress::Waiting
    }

    fn challenged(&self, known: Report, message: &[u8]) -> Result<Progress, Error> {
        let reply = smb::decode_session(message)?;
        match reply.status {
            MORE_PROCESSING_REQUIRED => {
                let token = spnego::response(reply.token)?.unwrap_or_default();
                let challenge = ntlm::decode(token)?;
                Ok(self.identity(known.fact("ntlm", "challenge"), &challenge).proven())
            }
            PENDING => Ok(Progress::Waiting),
            code => Ok(known.fact("ntlm", "refused").fact("ntlm-status", status(code)).proven()),
        }
    }

    fn identity(&self, report: Report, challenge: &Challenge) -> Report {
        let mut report = report
            .text("ntlm-netbios-domain", &challenge.netbios_domain)
            .text("ntlm-netbios-host", &challenge.netbios_host)
            .text("ntlm-dns-domain", &challenge.dns_domain)
            .text("ntlm-dns-host", &challenge.dns_host)
            .text("ntlm-dns-forest", &challenge.dns_forest)
            .moment("ntlm-time", challenge.time);
        if let Some((major, minor, build)) = challenge.version {
            report = report.fact("ntlm-os-build", format!("{major}.{minor}.{build}"));
        }
        match &self.host {
            Some(host) if !challenge.dns_host.is_empty() && !same_name(host, &challenge.dns_host) => {
                report.text("another-host", &challenge.dns_host)
            }
            Some(_) | None => report,
        }
    }
}

fn status(status: u32) -> Fact {
    Fact::from(format!("0x{status:08x}"))
}

fn facts(negotiated: &Negotiated) -> Report {
    let report = Report::default()
        .fact("dialect", negotiated.dialect_text())
        .fact("signing", if negotiated.requires_signing() { "required" } else { "enabled" })
        .fact("server-guid", smb::guid_text(&negotiated.server_guid))
        .moment("server-time", negotiated.system_time)
        .moment("server-start-time", negotiated.start_time);
    if negotiated.status == 0 { report } else { report.fact("status", status(negotiated.status)) }
}
