//! Policy against reality: the gaps and exposures of a sweep, and the causes that they share.
//!
//! | policy expects | outcome | kind |
//! |---|---|---|
//! | allow | blocked | `gap`, with its cause |
//! | deny | `open` | `exposure` |
//! | allow or deny | `failed`, `missed` | neither: counted as untested |
//! | allow | `open` | as it should be |
//! | deny | blocked | as it should be |
//!
//! Which policy a flow has is said in [`crate::policy`], what its cause is in [`crate::attribution`].

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use jiff::Timestamp;
use sekisho_model::{Cell, Outcome, Service, Transport};
use serde::{Deserialize, Serialize};

use crate::{
    Inventory,
    attribution::{Between, Cause, Control, Group, Verdict, attribute_among, group},
    inventory::Expectation,
    policy::{Domains, Policies, Use},
};

/// How policy and reality differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapKind {
    /// Policy says allow, and the flow is blocked.
    Gap,
    /// Policy says deny, and the flow is open.
    Exposure,
}

impl GapKind {
    /// The word used in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Exposure => "exposure",
        }
    }
}

/// One flow that is not as policy wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// How it differs.
    pub kind: GapKind,
    /// Name of the policy that decides.
    pub policy: String,
    /// Name of the vantage.
    pub vantage: String,
    /// Host name of the target, or its address where it has no name.
    pub target: String,
    /// Address of the target.
    pub address: IpAddr,
    /// The service.
    pub service: Service,
    /// The service's transport.
    pub transport: Transport,
    /// The service's port, where it has one.
    pub port: Option<u16>,
    /// What policy expects.
    pub expected: Expectation,
    /// What it came to.
    pub outcome: Outcome,
    /// Where the fault lies; of an exposure, which nothing blocks, always unknown.
    pub cause: Cause,
    /// Who refuses, where that is known.
    pub by: Option<IpAddr>,
    /// Where the flow ends, where it was traced.
    pub between: Option<Between>,
    /// Since when it has this outcome and refuser; `None` until somebody who knows its history says it.
    pub since: Option<Timestamp>,
    /// The open flow that proves the cause; `None` only where the cause is unknown.
    pub control: Option<Control>,
    /// Position in `groups` of the flows with which it shares the cause, from 0; of an exposure `None`.
    pub group: Option<usize>,
}

/// Policy against the flows of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps {
    /// Gaps by group, then exposures; in each by flow.
    pub gaps: Vec<Gap>,
    /// The causes of the gaps, the one of most flows first.
    pub groups: Vec<Group>,
    /// What each policy had to say, in the order of the inventory.
    pub policies: Vec<Use>,
    /// Flows that a policy speaks of and that could not be tested, or were missed.
    pub untested: usize,
    /// Flows that no policy speaks of.
    pub unspoken: usize,
}

/// Holds the policies of an inventory against the flows of a sweep.
#[must_use]
pub fn gaps(cells: &[Cell], inventory: &Inventory, domains: &Domains) -> Gaps {
    gaps_among(cells, &[], inventory, domains)
}

/// Holds the policies of an inventory against some flows of a sweep. `others` are flows of other vantages: they are not
/// judged, but can prove causes. Of each outcome of a service of a target two are enough.
#[must_use]
pub fn gaps_among(cells: &[Cell], others: &[Cell], inventory: &Inventory, domains: &Domains) -> Gaps {
    let (policies, uses) = Policies::new(inventory, domains).judge(cells);
    let verdicts = attribute_among(cells, others);
    let mut report = Gaps { policies: uses, ..Gaps::default() };
    let mut blocked = Vec::new();
    let mut exposed = Vec::new();
    for (place, (cell, policy)) in cells.iter().zip(&policies).enumerate() {
        let Some(policy) = policy else {
            report.unspoken = report.unspoken.saturating_add(1);
            continue;
        };
        match (policy.expect, cell.outcome) {
            (_, Outcome::Failed | Outcome::Missed) => report.untested = report.untested.saturating_add(1),
            (Expectation::Allow, outcome) if outcome.is_blocked() => blocked.push(place),
            (Expectation::Deny, Outcome::Open) => exposed.push(place),
            (Expectation::Allow | Expectation::Deny, _) => {}
        }
    }
    let row = |place: usize, kind, number| {
        let (cell, policy) = (cells.get(place)?, policies.get(place).copied().flatten()?);
        let verdict = verdicts.get(place).and_then(Option::as_ref);
        Some(described(kind, policy.name.as_str(), policy.expect, cell, verdict, number))
    };
    for (number, (group, places)) in group(cells, &verdicts, &blocked).into_iter().enumerate() {
        report.groups.push(group);
        report.gaps.extend(places.into_iter().filter_map(|place| row(place, GapKind::Gap, Some(number))));
    }
    report.gaps.extend(exposed.into_iter().filter_map(|place| row(place, GapKind::Exposure, None)));
    report
}

fn described(
    kind: GapKind,
    policy: &str,
    expected: Expectation,
    cell: &Cell,
    verdict: Option<&Verdict>,
    group: Option<usize>,
) -> Gap {
    Gap {
        kind,
        policy: policy.to_owned(),
        vantage: cell.vantage.clone(),
        target: cell.target.clone(),
        address: cell.address,
        service: cell.service,
        transport: cell.transport,
        port: cell.port,
        expected,
        outcome: cell.outcome,
        cause: verdict.map_or(Cause::Unknown, |verdict| verdict.cause),
        by: cell.by,
        between: verdict.and_then(|verdict| verdict.between),
        since: None,
        control: verdict.and_then(|verdict| verdict.control.clone()),
        group,
    }
}
