//! CLDAP: the netlogon ping with which a client finds a domain controller.

use super::carrier::{Datagrams, Dialogue};
use super::report::{Report, same_name};
use super::{Exchange, Expected, Progress};
use crate::wire::Error;
use crate::wire::cldap::{self, Answer, Extended, NT_VERSION, Nt4, Ping, flag};
use crate::wire::smb::guid_text;

struct Cldap {
    id: u32,
    domain: Option<String>,
}

/// Over UDP.
pub(super) fn over_datagrams(expected: &Expected, nonce: u64) -> Box<dyn Exchange> {
    let [a, b, c, d, e, f, g, h] = nonce.to_be_bytes();
    // LDAP message ids are 1 to 2^31 - 1.
    let id = (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff).max(1);
    let host = format!("SKS{:08X}", u32::from_be_bytes([e, f, g, h]));
    let domain = expected.domain.as_deref();
    let request = cldap::request(&Ping { id, domain, host: &host, account: None, nt_version: NT_VERSION });
    Box::new(Datagrams::new(request, Cldap { id, domain: expected.domain.clone() }))
}

impl Dialogue for Cldap {
    const PROTOCOL: &'static str = "cldap";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let reply = cldap::decode(message)?;
        if reply.id != i64::from(self.id) {
            // Late or forged: the right one may still come.
            return Ok(Progress::Waiting);
        }
        Ok(match reply.answer {
            Some(answer) => judge(&answer, self.domain.as_deref()),
            None if reply.code == 0 && self.domain.is_some() => Report::default().wrong("another-domain"),
            None => Report::default().fact("result-code", reply.code).proven(),
        })
    }
}

/// Facts of an answer, and whether it is of the expected domain. One that names no DNS domain is not judged by it.
pub(super) fn judge(answer: &Answer, expected: Option<&str>) -> Progress {
    let (report, domain) = match answer {
        Answer::Extended(answer) => (extended(answer), answer.domain.as_str()),
        Answer::Nt4(answer) => {
            (nt4(answer), answer.dns.as_ref().map(|dns| dns.domain.as_str()).unwrap_or_default())
        }
    };
    match expected {
        Some(expected) if !domain.is_empty() && !same_name(expected, domain) => {
            report.wrong("another-domain")
        }
        Some(_) | None => report.proven(),
    }
}

fn extended(answer: &Extended) -> Report {
    flags(Report::default(), answer.flags)
        .fact("opcode", i64::from(answer.opcode))
        .fact("domain-guid", guid_text(&answer.domain_guid))
        .text("forest", &answer.forest)
        .text("domain", &answer.domain)
        .text("dc-host", &answer.host)
        .text("netbios-domain", &answer.netbios_domain)
        .text("netbios-host", &answer.netbios_host)
        .text("dc-site", &answer.dc_site)
        .text("client-site", &answer.client_site)
}

/// A domain controller that passes itself off as one of NT 4.0, or that was asked in the old way.
fn nt4(answer: &Nt4) -> Report {
    let report = Report::default()
        .fact("nt4-emulation", true)
        .fact("opcode", i64::from(answer.opcode))
        .text("netbios-domain", &answer.netbios_domain)
        .text("netbios-host", answer.logon_server.trim_start_matches('\\'));
    match &answer.dns {
        None => report,
        Some(dns) => flags(report, dns.flags)
            .text("forest", &dns.forest)
            .text("domain", &dns.domain)
            .text("dc-host", &dns.host),
    }
}

fn flags(mut report: Report, flags: u32) -> Report {
    for (name, bit) in [
        ("pdc", flag::PDC),
        ("gc", flag::GC),
        ("ldap", flag::LDAP),
        ("ds", flag::DS),
        ("kdc", flag::KDC),
        ("timeserv", flag::TIMESERV),
        ("closest", flag::CLOSEST),
        ("writable", flag::WRITABLE),
    ] {
        report = report.fact(name, flags & bit != 0);
    }
    report.fact("flags", format!("0x{flags:08x}"))
}
