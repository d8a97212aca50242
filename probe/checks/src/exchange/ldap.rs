//! LDAP: read the rootDSE without a bind.

use super::carrier::{Dialogue, Framing, Stream};
use super::report::{Report, same_name};
use super::{Exchange, Expected, Progress};
use crate::wire::Error;
use crate::wire::ldap::{self, Entry, Operation, Outcome, WINDOWS_ROOT_DSE};
use crate::wire::time::Moment;

/// LDAP message id of the one request.
const ID: i64 = 1;
/// Asked for besides what Windows asks for.
const MORE: [&str; 6] = [
    "currentTime",
    "isSynchronized",
    "isGlobalCatalogReady",
    "domainFunctionality",
    "forestFunctionality",
    "domainControllerFunctionality",
];
/// LDAP_CAP_ACTIVE_DIRECTORY_PARTIAL_SECRETS_OID (MS-ADTS 3.1.1.3.4.3.7): a read-only domain controller.
const READ_ONLY: &[u8] = b"1.2.840.113556.1.4.1920";

/// A read of the rootDSE.
pub(super) struct RootDse {
    /// The domain that the server must serve; `None` where none is known or every one of the forest is right.
    domain: Option<String>,
}

/// Over TCP. A global catalog serves the whole forest, so there the domain is told but not judged.
pub(super) fn over_stream(expected: &Expected, global_catalog: bool) -> Box<dyn Exchange> {
    Box::new(root_dse(expected, global_catalog))
}

/// The same, for use inside TLS.
pub(super) fn root_dse(expected: &Expected, global_catalog: bool) -> Stream<RootDse> {
    let attributes: Vec<&str> = WINDOWS_ROOT_DSE.into_iter().chain(MORE).collect();
    let domain = expected.domain.clone().filter(|_| !global_catalog);
    let framing = Framing { measure: ldap::measure, header: 0 };
    Stream::new(ldap::root_dse_request(1, &attributes), framing, RootDse { domain })
}

impl Dialogue for RootDse {
    const PROTOCOL: &'static str = "ldap";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let message = ldap::decode(message)?;
        Ok(match message.operation {
            // A notice of disconnection answers no request.
            Operation::Extended(outcome) => refused(&outcome),
            _ if message.id != ID => Report::default().wrong("another-message"),
            Operation::Entry(entry) => self.judge(&entry),
            Operation::Done(outcome) => refused(&outcome),
            Operation::Other(tag) => {
                Report::default().fact("operation", format!("0x{tag:02x}")).wrong("another-operation")
            }
        })
    }
}

impl RootDse {
    fn judge(&self, entry: &Entry<'_>) -> Progress {
        let report = facts(entry);
        let Some(expected) = &self.domain else { return report.proven() };
        let Some(context) = entry.value("defaultNamingContext") else { return report.proven() };
        let context = String::from_utf8_lossy(context);
        match ldap::domain_of(&context) {
            Some(domain) if same_name(&domain, expected) => report.proven(),
            Some(_) => report.wrong("another-domain"),
            None => report.text("domain", &context).wrong("another-domain"),
        }
    }
}

/// The server speaks LDAP and does not tell: with an error, or with no entry.
fn refused(outcome: &Outcome<'_>) -> Progress {
    Report::default()
        .fact("result-code", outcome.code)
        .octets("result-message", Some(outcome.message))
        .proven()
}

fn facts(entry: &Entry<'_>) -> Report {
    let mut report = Report::default();
    for (fact, attribute) in [
        ("dns-host-name", "dnsHostName"),
        ("default-naming-context", "defaultNamingContext"),
        ("root-domain-naming-context", "rootDomainNamingContext"),
        ("ldap-service-name", "ldapServiceName"),
        ("server-name", "serverName"),
    ] {
        report = report.octets(fact, entry.value(attribute));
    }
    for (fact, attribute) in [
        ("domain-functionality", "domainFunctionality"),
        ("forest-functionality", "forestFunctionality"),
        ("domain-controller-functionality", "domainControllerFunctionality"),
    ] {
        let number =
            entry.value(attribute).and_then(|value| std::str::from_utf8(value).ok()?.parse::<i64>().ok());
        if let Some(number) = number {
            report = report.fact(fact, number);
        }
    }
    for (fact, attribute) in
        [("is-synchronized", "isSynchronized"), ("is-global-catalog-ready", "isGlobalCatalogReady")]
    {
        match entry.value(attribute) {
            Some(b"TRUE") => report = report.fact(fact, true),
            Some(b"FALSE") => report = report.fact(fact, false),
            Some(_) | None => {}
        }
    }
    if let Some(time) = entry.value("currentTime").and_then(Moment::from_generalized) {
        report = report.fact("server-time", time.rfc3339_seconds());
    }
    if let Some(domain) = entry
        .value("defaultNamingContext")
        .and_then(|context| ldap::domain_of(&String::from_utf8_lossy(context)))
    {
        report = report.text("domain", &domain);
    }
    if entry.values("supportedCapabilities").next().is_some() {
        report = report.fact("read-only", entry.values("supportedCapabilities").any(|oid| oid == READ_ONLY));
    }
    report
}
