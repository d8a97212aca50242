//! LDAP: read the rootDSE without a bind.

use sekisho_model::Facts;

use super::carrier::{Dialogue, Framing, Stop, Stream};
use super::report::{Report, same_name};
use super::{Exchange, Expected, Progress};
use crate::wire::Error;
use crate::wire::ldap::{self, Entry, Operation, Outcome, WINDOWS_ROOT_DSE};
use crate::wire::time::Moment;

mod starttls;

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

const FRAMING: Framing = Framing { measure: ldap::measure, header: 0 };

/// Whether the end of the search is waited for, because the connection is needed after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

/// A read of the rootDSE.
struct RootDse {
    /// The domain that the server must serve; `None` where none is known or every one of the forest is right.
    domain: Option<String>,
    whole: Whole,
    /// The facts of the entry, while the end of the search is waited for.
    known: Option<Facts>,
}

/// Over TCP, with StartTLS after it.
pub(super) fn over_stream(expected: &Expected) -> Box<dyn Exchange> {
    starttls::over_stream(expected)
}

/// The rootDSE alone: on a global catalog, and inside TLS. A global catalog serves the whole forest, so there the domain
/// is told but not judged.
pub(super) fn alone(expected: &Expected, global_catalog: bool) -> Box<dyn Exchange> {
    Box::new(root_dse(expected, global_catalog, Whole::No))
}

fn root_dse(expected: &Expected, global_catalog: bool, whole: Whole) -> Stream<RootDse> {
    let attributes: Vec<&str> = WINDOWS_ROOT_DSE.into_iter().chain(MORE).collect();
    let domain = expected.domain.clone().filter(|_| !global_catalog);
    let request = ldap::root_dse_request(1, &attributes);
    Stream::new(request, FRAMING, RootDse { domain, whole, known: None })
}

impl Dialogue for RootDse {
    const PROTOCOL: &'static str = "ldap";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let message = ldap::decode(message)?;
        Ok(match message.operation {
            // A notice of disconnection answers no request.
            Operation::Extended(outcome) => self.over(&outcome),
            _ if message.id != ID => Report::default().wrong("another-message"),
            Operation::Entry(entry) => match (self.judge(&entry), self.whole) {
                (Progress::Proven(facts), Whole::Yes) => {
                    self.known = Some(facts);
                    Progress::Waiting
                }
                (progress, _) => progress,
            },
            Operation::Done(outcome) => self.over(&outcome),
            Operation::Other(tag) => {
                Report::default().fact("operation", format!("0x{tag:02x}")).wrong("another-operation")
            }
        })
    }

    fn is_proven(&self) -> bool {
        self.known.is_some()
    }

    fn stopped(&mut self, _stop: Stop) -> Option<Progress> {
        self.known.clone().map(Progress::Proven)
    }
}

impl RootDse {
    /// The end of the search. Without an entry the server speaks LDAP and does not tell.
    fn over(&self, outcome: &Outcome<'_>) -> Progress {
        self.known.clone().map_or_else(|| refused(outcome), Progress::Proven)
    }

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
