//! What the flows to the domain controllers of a domain say, and the checks of each of these.

use std::{collections::BTreeMap, net::IpAddr};

use sekisho_model::{Cell, Check, Fact, Need, Service};

use super::{
    Finding, FlowEvidence, Level, Range, Severity,
    checks::{self, Judged},
    text::{Words, Writer},
};
use crate::{
    attribution::{Cause, Verdict},
    compare,
};

/// A flow, and why it is blocked where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow<'a> {
    pub(super) cell: &'a Cell,
    verdict: Option<&'a Verdict>,
}

/// A domain controller as a vantage sees it.
#[derive(Debug)]
pub(super) struct Controller<'a> {
    target: &'a str,
    address: IpAddr,
    /// Its services that are required or recommended, in the order of tables; `None` where the sweep has no such flow.
    pub(super) services: Vec<(Service, Option<Flow<'a>>)>,
    checks: Vec<Judged<'a>>,
    range: Range,
    /// The answer to its netlogon ping says that it is a read-only one; no answer says nothing.
    pub(super) is_read_only: bool,
}

/// The service of the netlogon ping, by which Windows finds a domain controller.
pub(super) const LOCATOR: &str = "cldap";

/// The flows of each vantage, each flow once. `verdicts` are those of the cells.
pub(super) fn of_vantages<'a>(
    cells: &'a [Cell],
    verdicts: &'a [Option<Verdict>],
) -> BTreeMap<&'a str, Vec<Flow<'a>>> {
    let once = compare::flows(cells);
    let mut flows: BTreeMap<&str, Vec<Flow<'_>>> = BTreeMap::new();
    for (cell, verdict) in cells.iter().zip(verdicts) {
        let key = (cell.vantage.as_str(), cell.target.as_str(), cell.address, cell.service);
        if once.get(&key).is_some_and(|kept| std::ptr::eq(*kept, cell)) {
            flows.entry(cell.vantage.as_str()).or_default().push(Flow { cell, verdict: verdict.as_ref() });
        }
    }
    flows
}

/// The domain controllers that these flows go to.
pub(super) fn controllers<'a>(flows: &[Flow<'a>], checks: &[&'a Check]) -> Vec<Controller<'a>> {
    let mut targets: BTreeMap<(&str, IpAddr), BTreeMap<Service, Flow<'a>>> = BTreeMap::new();
    for flow in flows {
        let target = (flow.cell.target.as_str(), flow.cell.address);
        targets.entry(target).or_default().insert(flow.cell.service, *flow);
    }
    let controller = |((target, address), flows): ((&'a str, IpAddr), BTreeMap<Service, Flow<'a>>)| {
        let wanted = Service::catalogue().filter(|service| service.need() != Need::Optional);
        let services: Vec<_> = wanted.map(|service| (service, flows.get(&service).copied())).collect();
        let checks = checks::of_target(checks, target, address);
        let of_services = services.iter().map(|(service, flow)| range(*service, *flow));
        let range = of_services
            .chain(checks.iter().map(|judged| judged.range))
            .fold(Range::exactly(Level::Ready), Range::and);
        let is_read_only = services.iter().any(|(service, flow)| {
            service.name() == LOCATOR && flow.is_some_and(|flow| flow.says_read_only())
        });
        Controller { target, address, services, checks, range, is_read_only }
    };
    targets.into_iter().map(controller).collect()
}

/// Rows 1 and 2.
fn range(service: Service, flow: Option<Flow<'_>>) -> Range {
    let worst = if service.need() == Need::Required { Level::Blocked } else { Level::AtRisk };
    match flow {
        Some(flow) if flow.cell.outcome.is_blocked() => Range::exactly(worst),
        Some(flow) if flow.is_open() => Range::exactly(Level::Ready),
        Some(_) | None => Range::up_to(worst),
    }
}

/// Rows 5 to 9. While a sweep runs there may be domain controllers that it has yet to come to.
pub(super) fn together(controllers: &[Controller<'_>], is_running: bool) -> Range {
    let unknown = Range::up_to(Level::Blocked);
    let yet_to_come = (is_running || controllers.is_empty()).then_some(unknown);
    let writable = controllers.iter().filter(|controller| !controller.is_read_only);
    let ranges: Vec<Range> = writable.map(|controller| controller.range).chain(yet_to_come).collect();
    if ranges.is_empty() {
        return Range::exactly(Level::Blocked);
    }
    let worth = |of: fn(&Range) -> Level| {
        let all = |level: Level| ranges.iter().all(|range| of(range) == level);
        [Level::Ready, Level::Blocked].into_iter().find(|level| all(*level)).unwrap_or(Level::AtRisk)
    };
    Range { best: worth(|range| range.best), worst: worth(|range| range.worst) }
}

/// What there is to say about the domain controllers, which are worth `together`.
pub(super) fn findings(writer: &Writer<'_>, controllers: &[Controller<'_>], together: Range) -> Vec<Finding> {
    if controllers.is_empty() {
        return vec![writer.finding("no-target", Severity::Warning, &Words::default())];
    }
    let is_blocked = together.best == Level::Blocked;
    let read_only = if controllers.iter().any(|controller| !controller.is_read_only) {
        Severity::Info
    } else {
        Severity::of(together)
    };
    let of_one = |controller: &Controller<'_>| {
        if controller.is_read_only {
            vec![controller.read_only(writer, read_only)]
        } else {
            controller.findings(writer, is_blocked)
        }
    };
    controllers.iter().flat_map(of_one).collect()
}

impl Controller<'_> {
    fn findings(&self, writer: &Writer<'_>, is_blocked: bool) -> Vec<Finding> {
        // One that is blocked is a blocker only where all of them are.
        let severity = |range: Range| {
            let severity = Severity::of(range);
            if severity == Severity::Blocker && !is_blocked { Severity::Warning } else { severity }
        };
        let mut findings = Vec::new();
        for (service, flow) in &self.services {
            if let Some(flow) = flow.filter(|flow| flow.cell.outcome.is_blocked()) {
                findings.push(self.blocked(writer, flow, severity(range(*service, Some(flow)))));
            }
        }
        // Whatever else there is to know of one that is of no use, it stays so.
        let is_useless = self.range.best == Level::Blocked;
        let untested = |(_, flow): &&(Service, Option<Flow<'_>>)| flow.is_none_or(|flow| flow.is_untested());
        let untested: Vec<_> = self.services.iter().filter(untested).collect();
        if !untested.is_empty() && !is_useless {
            findings.push(self.untested(writer, &untested));
        }
        for judged in &self.checks {
            if judged.range.best != judged.range.worst && is_useless {
                continue;
            }
            findings.extend(judged.finding(writer, severity(judged.range), Some(self.target)));
        }
        findings
    }

    /// Whatever else there is to know of one: no join takes it.
    fn read_only(&self, writer: &Writer<'_>, severity: Severity) -> Finding {
        let words = Words { target: self.target, address: Some(self.address), ..Words::default() };
        let mut finding = writer.finding("read-only", severity, &words);
        let pings = self.services.iter().filter(|(service, _)| service.name() == LOCATOR);
        finding.evidence.flows = pings.map(|(service, flow)| self.evidence(*service, *flow)).collect();
        finding
    }

    fn blocked(&self, writer: &Writer<'_>, flow: Flow<'_>, severity: Severity) -> Finding {
        let cause = flow.verdict.map(|verdict| verdict.cause);
        let words = Words {
            target: self.target,
            address: Some(self.address),
            cell: Some(flow.cell),
            between: flow.verdict.and_then(|verdict| verdict.between),
            ..Words::default()
        };
        let slug = cause.filter(|cause| *cause != Cause::Unknown).map_or("cause-unknown", Cause::word);
        let mut finding = writer.finding(slug, severity, &words);
        finding.service = Some(flow.cell.service);
        finding.evidence.flows.push(self.evidence(flow.cell.service, Some(flow)));
        finding
    }

    fn untested(&self, writer: &Writer<'_>, services: &[&(Service, Option<Flow<'_>>)]) -> Finding {
        let names: Vec<String> = services.iter().map(|(service, _)| service.name()).collect();
        let words = Words { target: self.target, services: &names, ..Words::default() };
        let mut finding = writer.finding("not-tested", Severity::Warning, &words);
        finding.service = if let [(service, _)] = services { Some(*service) } else { None };
        finding.evidence.flows =
            services.iter().map(|(service, flow)| self.evidence(*service, *flow)).collect();
        finding
    }

    fn evidence(&self, service: Service, flow: Option<Flow<'_>>) -> FlowEvidence {
        let cell = flow.map(|flow| flow.cell);
        let verdict = flow.and_then(|flow| flow.verdict);
        FlowEvidence {
            address: self.address,
            service,
            outcome: cell.map(|cell| cell.outcome),
            by: cell.and_then(|cell| cell.by),
            cause: verdict.map(|verdict| verdict.cause),
            between: verdict.and_then(|verdict| verdict.between),
            control: verdict.and_then(|verdict| verdict.control.clone()),
            facts: cell.map(|cell| cell.facts.clone()).unwrap_or_default(),
            observed_at: cell.and_then(|cell| cell.observed_at),
        }
    }
}

impl Flow<'_> {
    fn is_open(&self) -> bool {
        self.cell.outcome == sekisho_model::Outcome::Open
    }

    /// The flag `WRITABLE` of a netlogon answer (MS-ADTS 6.3.1.2), which a join asks the locator for.
    fn says_read_only(&self) -> bool {
        self.is_open() && self.cell.facts.get("writable") == Some(&Fact::Flag(false))
    }

    fn is_untested(&self) -> bool {
        !self.is_open() && !self.cell.outcome.is_blocked()
    }
}
