//! What the checks of the vantage say.

use std::net::IpAddr;

use sekisho_model::{Check, CheckKind, CheckStatus, Fact};

use super::{
    CheckEvidence, Evidence, Finding, Level, Range, Severity,
    text::{self, Words, Writer},
};

/// What a check is worth by its status. One that is ok is worth `ready`.
struct Row {
    kind: CheckKind,
    warning: Range,
    problem: Range,
    unknown: Range,
    absent: Range,
}

const READY: Range = Range::exactly(Level::Ready);
const AT_RISK: Range = Range::exactly(Level::AtRisk);
const BLOCKED: Range = Range::exactly(Level::Blocked);
const MAY_RISK: Range = Range::up_to(Level::AtRisk);
const MAY_BLOCK: Range = Range::up_to(Level::Blocked);

const fn row(kind: CheckKind, warning: Range, problem: Range, unknown: Range, absent: Range) -> Row {
    Row { kind, warning, problem, unknown, absent }
}

/// Rows 3, 4: of each domain controller.
const OF_TARGETS: [Row; 2] = [
    row(CheckKind::Clock, AT_RISK, BLOCKED, MAY_BLOCK, MAY_BLOCK),
    row(CheckKind::PathMtu, AT_RISK, BLOCKED, MAY_BLOCK, MAY_BLOCK),
];
/// Rows 10 to 14: of the vantage and the domain.
const OF_DOMAIN: [Row; 5] = [
    row(CheckKind::Resolver, AT_RISK, BLOCKED, MAY_BLOCK, MAY_BLOCK),
    row(CheckKind::SrvRecords, AT_RISK, BLOCKED, MAY_BLOCK, MAY_BLOCK),
    row(CheckKind::ComputerAccount, AT_RISK, AT_RISK, MAY_RISK, READY),
    row(CheckKind::JoinRights, AT_RISK, BLOCKED, MAY_BLOCK, READY),
    row(CheckKind::Host, READY, AT_RISK, READY, READY),
];

/// A check, done or not, and what that is worth.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    kind: CheckKind,
    check: Option<&'a Check>,
    pub(super) range: Range,
}

impl Row {
    fn judge<'a>(&self, check: Option<&'a Check>) -> Judged<'a> {
        let range = match check.map(|check| check.status) {
            Some(CheckStatus::Ok) => READY,
            Some(CheckStatus::Warning) => self.warning,
            Some(CheckStatus::Problem) => self.problem,
            Some(CheckStatus::Unknown) => self.unknown,
            None => self.absent,
        };
        Judged { kind: self.kind, check, range }
    }

    /// Every check of the kind among these; where there is none, that.
    fn all<'a>(&self, checks: &[&'a Check], is_meant: impl Fn(&Check) -> bool) -> Vec<Judged<'a>> {
        let done = checks.iter().filter(|check| check.check == self.kind && is_meant(check));
        let done: Vec<Judged<'a>> = done.map(|check| self.judge(Some(check))).collect();
        if done.is_empty() { vec![self.judge(None)] } else { done }
    }
}

/// What the checks of the vantage and the domain are worth together, and what there is to say about them.
pub(super) fn judge(writer: &Writer<'_>, checks: &[&Check]) -> (Range, Vec<Finding>) {
    let judged: Vec<Judged<'_>> = OF_DOMAIN.iter().flat_map(|row| row.all(checks, |_| true)).collect();
    let range = judged.iter().map(|judged| judged.range).fold(READY, Range::and);
    let finding = |judged: &Judged<'_>| judged.finding(writer, Severity::of(judged.range), None);
    (range, judged.iter().filter_map(finding).collect())
}

/// The checks that concern a target.
pub(super) fn of_target<'a>(checks: &[&'a Check], target: &str, address: IpAddr) -> Vec<Judged<'a>> {
    let is_meant = |check: &Check| {
        check.target.as_deref() == Some(target) && check.address.is_none_or(|known| known == address)
    };
    OF_TARGETS.iter().flat_map(|row| row.all(checks, is_meant)).collect()
}

impl Judged<'_> {
    pub(super) fn finding(
        &self,
        writer: &Writer<'_>,
        severity: Severity,
        target: Option<&str>,
    ) -> Option<Finding> {
        let slug = self.slug()?;
        let fact = |name: &str| self.check.and_then(|check| check.facts.get(name)).map(Fact::to_string);
        let (reason, computer) = (fact("reason"), fact("computer").or_else(|| fact("account")));
        let words = Words {
            target: target.unwrap_or_default(),
            check: self.kind.word(),
            reason: reason.as_deref().unwrap_or_default(),
            computer: computer.as_deref().unwrap_or_default(),
            ..Words::default()
        };
        let mut finding = writer.finding(&slug, severity, &words);
        finding.evidence = Evidence { checks: vec![self.evidence()], ..Evidence::default() };
        Some(finding)
    }

    /// `None` where there is nothing to say.
    fn slug(&self) -> Option<String> {
        let Some(check) = self.check else {
            return match self.kind {
                CheckKind::JoinRights => Some("join-rights-not-checked".to_owned()),
                CheckKind::ComputerAccount | CheckKind::Host => None,
                CheckKind::Resolver | CheckKind::SrvRecords | CheckKind::Clock | CheckKind::PathMtu => {
                    Some("check-missing".to_owned())
                }
            };
        };
        let general = match check.status {
            CheckStatus::Ok => return None,
            CheckStatus::Unknown => "check-unknown",
            CheckStatus::Warning => "check-warning",
            CheckStatus::Problem => "check-problem",
        };
        let reason = check.facts.get("reason").map(Fact::to_string).unwrap_or_default();
        let own = format!("{}-{reason}", self.kind);
        let is_known = check.status != CheckStatus::Unknown && text::has(&own);
        Some(if is_known { own } else { general.to_owned() })
    }

    fn evidence(&self) -> CheckEvidence {
        CheckEvidence {
            check: self.kind,
            status: self.check.map(|check| check.status),
            facts: self.check.map(|check| check.facts.clone()).unwrap_or_default(),
            observed_at: self.check.and_then(|check| check.observed_at),
        }
    }
}
