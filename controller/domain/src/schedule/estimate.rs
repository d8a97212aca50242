//! How long a sweep takes, from the rates of its probes.
//!
//! This is arithmetic, not a promise: a probe's own scope file may set other rates, and networks differ. It tells whether a
//! sweep can fit into a window at all, and what to change where it does not.

use sekisho_model::rates::Rates;
use serde::{Deserialize, Serialize};

/// Attempts that a silent flow costs: two series, each confirmed, and the trace.
const SILENT_ATTEMPTS: u64 = 17;
/// Seconds until a silence is believed, whatever the rates.
const SILENT_SECONDS: u64 = 8;

/// What one vantage has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Targets.
    pub targets: usize,
    /// Flows and checks.
    pub tasks: usize,
    /// Probes that share it.
    pub probes: usize,
    /// Jobs that it is cut into: a job is not shared.
    pub jobs: usize,
}

/// Budgets that a vantage shares with others, attempts per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// The smallest of a target.
    pub target: u32,
    /// Vantages with a probe: all of them test each target.
    pub vantages: usize,
    /// Of the vantage's link, where it has one.
    pub link: Option<u32>,
}

/// What keeps a sweep from being faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The answers of the network, no rate.
    RoundTrips,
    /// Attempts per second to one target.
    PerTarget,
    /// Attempts per second of one probe.
    PerProbe,
    /// Attempts of one probe at the same time.
    Concurrency,
    /// The budget of a target, which all vantages share.
    TargetBudget,
    /// The budget of the vantage's link.
    LinkBudget,
}

impl Bound {
    /// The word of the JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RoundTrips => "round-trips",
            Self::PerTarget => "per-target",
            Self::PerProbe => "per-probe",
            Self::Concurrency => "concurrency",
            Self::TargetBudget => "target-budget",
            Self::LinkBudget => "link-budget",
        }
    }
}

/// Seconds that a vantage takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Where every flow answers its first attempt.
    pub fastest_seconds: u64,
    /// Where every flow is silent.
    pub slowest_seconds: u64,
    /// What the slowest case waits for.
    pub bound: Bound,
}

/// How long a vantage takes.
#[must_use]
pub fn estimate(load: Load, rates: Rates, budgets: Budgets) -> Estimate {
    let tasks = u64::try_from(load.tasks).unwrap_or(u64::MAX);
    let targets = u64::try_from(load.targets.max(1)).unwrap_or(u64::MAX);
    let probes = u64::try_from(load.probes.min(load.jobs).max(1)).unwrap_or(u64::MAX);
    let to_one = divided(tasks, targets);
    let of_one = divided(tasks, probes);
    let vantages = u64::try_from(budgets.vantages.max(1)).unwrap_or(u64::MAX);
    let link = budgets.link.map_or(u64::MAX, u64::from);
    let waits = |attempts: u64, seconds: u64| {
        let burst = u64::from(rates.burst);
        [
            (seconds, Bound::RoundTrips),
            (
                divided(to_one.saturating_mul(attempts).saturating_sub(burst), rates.per_target.into()),
                Bound::PerTarget,
            ),
            (divided(of_one.saturating_mul(attempts), rates.total.into()), Bound::PerProbe),
            (divided(of_one.saturating_mul(seconds), rates.concurrency.into()), Bound::Concurrency),
            (
                divided(to_one.saturating_mul(attempts).saturating_mul(vantages), budgets.target.into()),
                Bound::TargetBudget,
            ),
            (divided(tasks.saturating_mul(attempts), link), Bound::LinkBudget),
        ]
    };
    let longest =
        |attempts, seconds| waits(attempts, seconds).into_iter().rev().max_by_key(|(seconds, _)| *seconds);
    let (fastest_seconds, _) = longest(1, 1).unwrap_or((1, Bound::RoundTrips));
    let (slowest_seconds, bound) =
        longest(SILENT_ATTEMPTS, SILENT_SECONDS).unwrap_or((SILENT_SECONDS, Bound::RoundTrips));
    Estimate { fastest_seconds, slowest_seconds, bound }
}

fn divided(what: u64, by: u64) -> u64 {
    what.div_ceil(by.max(1))
}
