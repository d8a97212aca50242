//! Whether a computer can join a domain from a vantage: the gate of a roll-out.
//!
//! Each thing that matters says how well a join goes at best and at worst, on a scale of `ready`, `at-risk` and `blocked`
//! ([`Range`]). What was tested says one level; what was not says two. The worst thing counts, at best and at worst each, and
//! **the verdict is the level in which both agree; where they do not, it is `unknown`.** So nothing that is found out later
//! contradicts a verdict, and what was not tested never makes anything ready.
//!
//! What one domain controller is worth; the worst row counts:
//!
//! | row | of a domain controller | ok | warning | problem, blocked | unknown, or not in the sweep |
//! |---|---|---|---|---|---|
//! | 1 | a service that a join requires | ready | | blocked | ready to blocked |
//! | 2 | a service that is recommended | ready | | at-risk | ready to at-risk |
//! | 3 | `clock` | ready | at-risk | blocked | ready to blocked |
//! | 4 | `path-mtu` | ready | at-risk | blocked | ready to blocked |
//!
//! What all of them are worth together: a join takes any that answers its netlogon ping and is writable. One whose answer
//! says that it is read-only counts for nothing; one that did not answer may be either, and counts.
//!
//! | row | domain controllers | worth |
//! |---|---|---|
//! | 5 | every one is ready | ready |
//! | 6 | every one is blocked | blocked |
//! | 7 | others | at-risk |
//! | 8 | none is known | ready to blocked |
//! | 9 | every one is read-only | blocked |
//!
//! What else there is to a vantage and a domain:
//!
//! | row | check | ok | warning | problem | unknown | not in the sweep |
//! |---|---|---|---|---|---|---|
//! | 10 | `resolver` | ready | at-risk | blocked | ready to blocked | ready to blocked |
//! | 11 | `srv-records` | ready | at-risk | blocked | ready to blocked | ready to blocked |
//! | 12 | `computer-account` | ready | at-risk | at-risk | ready to at-risk | ready |
//! | 13 | `join-rights` | ready | at-risk | blocked | ready to blocked | ready, with a note |
//! | 14 | `host` | ready | ready, with a note | at-risk | ready, with a note | ready |
//!
//! A computer account concerns one computer of many, so it blocks no vantage. A controller has no credentials, so nobody
//! asks for rights to join in a sweep. The host is the probe's machine and not one that joins.
//!
//! Severities of findings follow: `blocker` where a thing alone makes the verdict `blocked`, `info` where it is worth
//! `ready`, else `warning`.

mod checks;
mod errors;
mod flows;
mod level;
#[cfg(test)]
mod tests;
mod text;

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use sekisho_model::{Cell, Check, CheckKind, CheckStatus, Facts, Outcome, Service};
use serde::{Deserialize, Serialize};

use crate::{
    attribution::{Between, Cause, Control, attribute},
    policy::Domains,
};

pub use level::{Level, Range, Verdict};
pub use text::{Language, UnknownLanguage};

/// What a sweep found.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its flows.
    pub cells: &'a [Cell],
    /// Its checks of vantages.
    pub checks: &'a [Check],
    /// Domains of the targets.
    pub domains: &'a Domains,
    /// Whether the sweep still runs: then there may be flows and checks that it has yet to come to.
    pub is_running: bool,
}

/// A vantage and a domain.
pub type Place = (String, String);

/// Whether a computer can join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Name of the vantage.
    pub vantage: String,
    /// The domain.
    pub domain: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What Windows answers to a join, in the order in which a join comes upon it.
    pub errors: Vec<WindowsError>,
    /// What the verdict stands on, gravest first.
    pub findings: Vec<Finding>,
    /// When the newest of the results was observed; `None` where there is none.
    pub checked_at: Option<Timestamp>,
}

/// An error that Windows shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowsError {
    /// Number.
    pub code: i64,
    /// Name.
    pub name: String,
    /// How sure that is.
    pub certainty: Certainty,
}

/// How sure it is that Windows answers so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// Microsoft documents the error for this fault.
    Documented,
    /// It is what is usually seen, or documented for a fault that looks the same to a client.
    Likely,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It alone keeps computers from joining.
    Blocker,
    /// It may.
    Warning,
    /// It is good to know.
    Info,
}

impl Severity {
    /// The word used in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blocker => "blocker",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    fn of(range: Range) -> Self {
        match (range.best, range.worst) {
            (Level::Blocked, _) => Self::Blocker,
            (_, Level::Ready) => Self::Info,
            (Level::Ready | Level::AtRisk, Level::AtRisk | Level::Blocked) => Self::Warning,
        }
    }
}

/// A diagnosed cause, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name, for programs.
    pub slug: String,
    /// How much it matters.
    pub severity: Severity,
    /// The target that it concerns, where it concerns one.
    pub target: Option<String>,
    /// The service that it concerns, where it concerns one.
    pub service: Option<Service>,
    /// What is the matter.
    pub title: String,
    /// What to do.
    pub action: String,
    /// What it stands on.
    pub evidence: Evidence,
}

/// The results that a finding stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Flows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowEvidence>,
    /// Checks of the vantage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckEvidence>,
}

/// A flow as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEvidence {
    /// Address of the target.
    pub address: IpAddr,
    /// The service.
    pub service: Service,
    /// What came of it; `None` where the sweep has no such flow.
    pub outcome: Option<Outcome>,
    /// Who refused, where that is known.
    pub by: Option<IpAddr>,
    /// Where the fault lies, of a flow that is blocked.
    pub cause: Option<Cause>,
    /// Where the flow ends, where it was traced.
    pub between: Option<Between>,
    /// The open flow that proves the cause.
    pub control: Option<Control>,
    /// What the exchange told.
    pub facts: Facts,
    /// When it was observed.
    pub observed_at: Option<Timestamp>,
}

/// A check as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckEvidence {
    /// The check.
    pub check: CheckKind,
    /// How it ended; `None` where the sweep has no such check.
    pub status: Option<CheckStatus>,
    /// What it found.
    pub facts: Facts,
    /// When it was observed.
    pub observed_at: Option<Timestamp>,
}

/// The readiness of each place, in the order of the places.
#[must_use]
pub fn readiness(seen: &Seen<'_>, places: &[Place], language: Language) -> Vec<Readiness> {
    let verdicts = attribute(seen.cells);
    let flows = flows::of_vantages(seen.cells, &verdicts);
    let mut checks: BTreeMap<(&str, &str), Vec<&Check>> = BTreeMap::new();
    for check in seen.checks {
        checks.entry((check.vantage.as_str(), check.domain.as_str())).or_default().push(check);
    }
    let of_place = |place: &Place| {
        let (vantage, domain) = (place.0.as_str(), place.1.as_str());
        let checks = checks.get(&(vantage, domain)).map(Vec::as_slice).unwrap_or_default();
        let of_vantage = flows.get(vantage).map(Vec::as_slice).unwrap_or_default();
        let is_of_domain = |flow: &&flows::Flow<'_>| {
            let target = (flow.cell.target.clone(), flow.cell.address);
            seen.domains.get(&target).is_some_and(|domains| domains.contains(domain))
        };
        let flows: Vec<flows::Flow<'_>> = of_vantage.iter().filter(is_of_domain).copied().collect();
        one(&text::Writer { vantage, domain, language }, &flows, checks, seen.is_running)
    };
    places.iter().map(of_place).collect()
}

fn one(
    writer: &text::Writer<'_>,
    flows: &[flows::Flow<'_>],
    checks: &[&Check],
    is_running: bool,
) -> Readiness {
    let (vantage, domain) = (writer.vantage.to_owned(), writer.domain.to_owned());
    let observed = flows.iter().filter_map(|flow| flow.cell.observed_at);
    let checked_at = observed.chain(checks.iter().filter_map(|check| check.observed_at)).max();
    if flows.is_empty() && checks.is_empty() {
        let findings = vec![writer.finding("not-in-sweep", Severity::Warning, &text::Words::default())];
        return Readiness {
            vantage,
            domain,
            verdict: Verdict::Unknown,
            errors: Vec::new(),
            findings,
            checked_at,
        };
    }
    let controllers = flows::controllers(flows, checks);
    let of_flows = flows::together(&controllers, is_running);
    let (of_checks, mut findings) = checks::judge(writer, checks);
    findings.extend(flows::findings(writer, &controllers, of_flows));
    if is_running {
        findings.push(writer.finding("sweep-running", Severity::Warning, &text::Words::default()));
    }
    findings.sort_by_key(|finding| finding.severity);
    let errors = errors::expected(&controllers, checks);
    Readiness { vantage, domain, verdict: of_flows.and(of_checks).verdict(), errors, findings, checked_at }
}
