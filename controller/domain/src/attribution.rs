//! Why a flow is blocked, from all flows of a sweep.
//!
//! No cause is named without a **positive control**: an open flow of the same sweep that shows what does work, and so where
//! the fault cannot lie. There are four, here for a flow from vantage V to service S of target T:
//!
//! | control | the open flow | what it shows |
//! |---|---|---|
//! | A, `same-service` | from another vantage to S of T | the service works |
//! | B, `other-service` | from V to another service of T | V, T and the way between them work |
//! | C, `other-target` | from V to another target | the vantage works |
//! | D, `other-vantage` | from another vantage to any service of T | the target works |
//!
//! The first row that fits and whose control is there decides; without one the cause is `unknown`. "Agreed" is: another
//! vantage has the same outcome for S of T, and none has it open.
//!
//! | row | outcome | besides | control | cause |
//! |---|---|---|---|---|
//! | 1 | `filtered` | its trace ends where an open flow to T goes on: `next-hop` without `filter-at` | A or B | path-filter |
//! | 2 | `filtered` | its trace ends at T, and no router is between: `filter-at` without `last-hop` | B | host-filter |
//! | 3 | `filtered` | not located; B is there too | A | path-filter |
//! | 4 | `filtered` | not located; V gets nothing back from anybody, for 4 services or more | A or D | vantage-down |
//! | 5 | `rejected` | T itself says so: `by` is its address | A or B | host-filter |
//! | 6 | `rejected` | | A or B | path-filter |
//! | 7 | `unreachable` | V's own host says so; V gets nothing back from anybody, for 4 services or more | A or D | vantage-down |
//! | 8 | `unreachable` | a device says so, of this service alone | B | path-filter |
//! | 9 | `unreachable` | | A or D | routing |
//! | 10 | `unreachable` | a device says "host unreachable", and T answers no vantage | C | host-down |
//! | 11 | `unreachable` | a device says so | C | routing |
//! | 12 | `closed` | proven to be T's own refusal | A | host-filter |
//! | 13 | `closed` | proven to be T's own refusal, A is not there | B or D | service-down |
//! | 14 | `closed` | its RST is T's or the last hop's, agreed | B or D | service-down |
//! | 15 | `mute` | `syn-proxy` | A or B | middlebox |
//! | 16 | `mute` | `data` is dropped after the handshake | A or B | middlebox |
//! | 17 | `mute` | agreed, or `no-certificate` and A is not there | B or D | service-down |
//! | 18 | `wrong` | | A | middlebox |
//!
//! What stays `unknown` on purpose: a flow that ends at the last router or at the target (`filter-at` with `last-hop`), which
//! cannot be told apart; a silent vantage whose router still answers, which may be an access list or a missing way back; a
//! service that accepts from one vantage and answers only another.

mod evidence;
mod group;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use sekisho_model::{Cell, Outcome, Service};
use serde::{Deserialize, Serialize};

use evidence::{Evidence, Place, Sweep};

pub use group::{Group, group};

/// Where the fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// An access list or firewall on the way.
    PathFilter,
    /// A firewall of the target's own.
    HostFilter,
    /// The target works and the service on it does not.
    ServiceDown,
    /// The target is not there.
    HostDown,
    /// The vantage reaches nothing.
    VantageDown,
    /// There is no way to the target.
    Routing,
    /// Something on the way answers in the target's name, or takes packets out of a connection.
    Middlebox,
    /// No positive control proves any of these.
    Unknown,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::PathFilter,
        Self::HostFilter,
        Self::ServiceDown,
        Self::HostDown,
        Self::VantageDown,
        Self::Routing,
        Self::Middlebox,
        Self::Unknown,
    ];

    /// The word used in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PathFilter => "path-filter",
            Self::HostFilter => "host-filter",
            Self::ServiceDown => "service-down",
            Self::HostDown => "host-down",
            Self::VantageDown => "vantage-down",
            Self::Routing => "routing",
            Self::Middlebox => "middlebox",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// How an open flow stands to the blocked one that it is the control of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlKind {
    /// The same service of the same target, from another vantage.
    SameService,
    /// Another service of the same target, from the same vantage.
    OtherService,
    /// Another target, from the same vantage.
    OtherTarget,
    /// Any service of the same target, from another vantage.
    OtherVantage,
}

/// An open flow of the same sweep that proves a cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Control {
    /// What it has in common with the blocked flow.
    pub kind: ControlKind,
    /// Name of its vantage.
    pub vantage: String,
    /// Its target.
    pub target: String,
    /// Address of its target.
    pub address: IpAddr,
    /// Its service.
    pub service: Service,
}

/// The devices on either side of the place where a flow ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Between {
    /// The last device that answered the flow.
    pub last_hop: Option<IpAddr>,
    /// The next one, which answers an open flow: a router, or the target.
    pub next_hop: Option<IpAddr>,
    /// No device is between the two, so that it is the one or the other.
    #[serde(default)]
    pub is_end: bool,
}

/// Where that is: `between 10.77.20.1 and 10.77.254.2`.
impl std::fmt::Display for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.last_hop, self.next_hop) {
            (Some(last), _) if self.is_end => write!(f, "at {last} or at the target"),
            (Some(last), Some(next)) => write!(f, "between {last} and {next}"),
            (Some(last), None) => write!(f, "behind {last}"),
            (None, Some(next)) if self.is_end => write!(f, "at {next}"),
            (None, Some(next)) => write!(f, "before {next}"),
            (None, None) => f.write_str("somewhere on the way"),
        }
    }
}

/// Why one flow is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The cause.
    pub cause: Cause,
    /// What proves it; `None` only where the cause is unknown.
    pub control: Option<Control>,
    /// Where the flow ends, where it was traced.
    pub between: Option<Between>,
}

/// A row of the table. Its controls are tried in their order.
struct Row {
    outcome: Outcome,
    fits: fn(&Evidence<'_>) -> bool,
    controls: &'static [ControlKind],
    cause: Cause,
}

const fn row(
    outcome: Outcome,
    fits: fn(&Evidence<'_>) -> bool,
    controls: &'static [ControlKind],
    cause: Cause,
) -> Row {
    Row { outcome, fits, controls, cause }
}

const A: &[ControlKind] = &[ControlKind::SameService];
const B: &[ControlKind] = &[ControlKind::OtherService];
const C: &[ControlKind] = &[ControlKind::OtherTarget];
const A_OR_B: &[ControlKind] = &[ControlKind::SameService, ControlKind::OtherService];
const A_OR_D: &[ControlKind] = &[ControlKind::SameService, ControlKind::OtherVantage];
const B_OR_D: &[ControlKind] = &[ControlKind::OtherService, ControlKind::OtherVantage];

/// The table of the module's documentation, row by row.
const TABLE: [Row; 18] = [
    row(Outcome::Filtered, |e| e.place == Place::OnTheWay, A_OR_B, Cause::PathFilter),
    row(Outcome::Filtered, |e| e.place == Place::Target, B, Cause::HostFilter),
    row(
        Outcome::Filtered,
        |e| e.place == Place::Unlocated && e.has(ControlKind::OtherService),
        A,
        Cause::PathFilter,
    ),
    row(Outcome::Filtered, |e| e.place == Place::Unlocated && e.is_cut_off, A_OR_D, Cause::VantageDown),
    row(Outcome::Rejected, |e| e.is_from_target, A_OR_B, Cause::HostFilter),
    row(Outcome::Rejected, |_| true, A_OR_B, Cause::PathFilter),
    row(Outcome::Unreachable, |e| !e.is_from_device && e.is_cut_off, A_OR_D, Cause::VantageDown),
    row(Outcome::Unreachable, |e| e.is_from_device, B, Cause::PathFilter),
    row(Outcome::Unreachable, |_| true, A_OR_D, Cause::Routing),
    row(
        Outcome::Unreachable,
        |e| e.is_from_device && e.is_host_unreachable && !e.target_answers,
        C,
        Cause::HostDown,
    ),
    row(Outcome::Unreachable, |e| e.is_from_device, C, Cause::Routing),
    row(Outcome::Closed, |e| e.is_own_refusal, A, Cause::HostFilter),
    row(
        Outcome::Closed,
        |e| e.is_own_refusal && !e.has(ControlKind::SameService),
        B_OR_D,
        Cause::ServiceDown,
    ),
    row(Outcome::Closed, |e| e.is_near_refusal && e.is_agreed, B_OR_D, Cause::ServiceDown),
    row(Outcome::Mute, |e| e.is_proxied, A_OR_B, Cause::Middlebox),
    row(Outcome::Mute, |e| e.is_data_dropped, A_OR_B, Cause::Middlebox),
    row(
        Outcome::Mute,
        |e| e.is_agreed || (e.is_without_certificate && !e.has(ControlKind::SameService)),
        B_OR_D,
        Cause::ServiceDown,
    ),
    row(Outcome::Wrong, |_| true, A, Cause::Middlebox),
];

/// Why each flow of a sweep is blocked, in the order of the cells; `None` for a flow that is not.
#[must_use]
pub fn attribute(cells: &[Cell]) -> Vec<Option<Verdict>> {
    attribute_among(cells, &[])
}

/// As [`attribute`]; `others` are flows of the same sweep that can prove causes and are not asked about.
#[must_use]
pub fn attribute_among(cells: &[Cell], others: &[Cell]) -> Vec<Option<Verdict>> {
    let sweep = Sweep::of(cells.iter().chain(others));
    cells.iter().map(|cell| cell.outcome.is_blocked().then(|| verdict(&sweep.evidence(cell)))).collect()
}

fn verdict(evidence: &Evidence<'_>) -> Verdict {
    let decided = TABLE.iter().find_map(|row| {
        let fits = row.outcome == evidence.outcome && (row.fits)(evidence);
        let control = fits.then(|| row.controls.iter().find_map(|kind| evidence.control(*kind)))??;
        Some((row.cause, control))
    });
    let (cause, control) = decided.map_or((Cause::Unknown, None), |(cause, control)| (cause, Some(control)));
    Verdict { cause, control, between: evidence.between }
}
