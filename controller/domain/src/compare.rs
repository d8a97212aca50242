//! What differs between two sweeps, or between two vantages of one sweep.
//!
//! Every flow of either side is in the answer exactly once: as a [`Change`], or counted as unchanged. A flow is a vantage, a
//! target with its address, and a service; where a sweep has it twice (one host in two domains) the result that was
//! observed last counts, and an untested one only where there is no other.

mod scope;
#[cfg(test)]
mod tests;
mod vantages;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use sekisho_model::{Cell, Outcome, Service};
use serde::{Deserialize, Serialize};

pub use scope::Scope;
pub use vantages::{Contrast, ContrastKind, Contrasts, contrast};

use crate::inventory::Expectation;

/// How a flow changed from one sweep to another.
///
/// *Blocked* is any of `closed`, `filtered`, `rejected`, `unreachable`, `mute` and `wrong`. *Untested* is `failed`, `missed`, and a
/// flow that is absent from a sweep which would not have had it anyway ([`Scope`]). *Absent* is one that the sweep would
/// have had. The first row that fits decides.
///
/// | before | after | policy | kind |
/// |---|---|---|---|
/// | untested | anything | any | `untested` |
/// | anything | untested | any | `untested` |
/// | absent | open or blocked | any | `new` |
/// | open or blocked | absent | any | `gone` |
/// | open | blocked | deny | `closure` |
/// | open | blocked | allow, or none | `regression` |
/// | blocked | open | deny | `exposure` |
/// | blocked | open | allow, or none | `fix` |
/// | blocked | blocked, another outcome | any | `shift` |
/// | the same outcome | | any | unchanged: no kind |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It was open and is blocked, and no policy wants that.
    Regression,
    /// It was blocked and is open, and a policy wants it blocked.
    Exposure,
    /// It was blocked and is open.
    Fix,
    /// It was open and is blocked, as a policy wants it.
    Closure,
    /// It was blocked and is blocked in another way: the cause may be another one.
    Shift,
    /// The first sweep had no such flow.
    New,
    /// The second sweep has no such flow.
    Gone,
    /// At least one of the sweeps did not test it: nothing can be said.
    Untested,
}

impl Kind {
    /// Every kind, gravest first.
    pub const ALL: [Self; 8] = [
        Self::Regression,
        Self::Exposure,
        Self::Fix,
        Self::Closure,
        Self::Shift,
        Self::New,
        Self::Gone,
        Self::Untested,
    ];

    /// The word used in JSON and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Exposure => "exposure",
            Self::Fix => "fix",
            Self::Closure => "closure",
            Self::Shift => "shift",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Untested => "untested",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// One flow that is not the same in both sweeps, or of which that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Name of the vantage.
    pub vantage: String,
    /// Host name of the target, or its address where it has no name.
    pub target: String,
    /// Address of the target.
    pub address: IpAddr,
    /// The service.
    pub service: Service,
    /// Outcome in the first sweep; `None` where it has no such flow.
    pub from: Option<Outcome>,
    /// Outcome in the second sweep; `None` where it has no such flow.
    pub to: Option<Outcome>,
    /// What that means.
    pub kind: Kind,
    /// What policy expects of the flow, where one speaks of it.
    pub expected: Option<Expectation>,
    /// Who refuses in the second sweep, where that is known.
    pub by: Option<IpAddr>,
    /// The probe saw the change twice before it reported it.
    pub confirmed: bool,
}

/// What differs between two sweeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// By kind, gravest first, then by flow.
    pub changes: Vec<Change>,
    /// Flows with the same outcome in both.
    pub unchanged: usize,
}

/// One of two sweeps.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its flows.
    pub cells: &'a [Cell],
    /// Which flows it would have had.
    pub scope: &'a Scope,
}

/// What a sweep knows of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It was tested.
    Known(Outcome),
    /// It was not tested.
    Untested,
    /// There is no such flow.
    Absent,
}

impl State {
    fn of(outcome: Outcome) -> Self {
        if outcome == Outcome::Open || outcome.is_blocked() { Self::Known(outcome) } else { Self::Untested }
    }
}

pub(crate) type Key<'a> = (&'a str, &'a str, IpAddr, Service);

/// Compares two sweeps. `expected` is what policy says of the flow of a cell.
#[must_use]
pub fn compare(from: Side<'_>, to: Side<'_>, expected: impl Fn(&Cell) -> Option<Expectation>) -> Difference {
    let (before, after) = (flows(from.cells), flows(to.cells));
    let keys: BTreeSet<Key<'_>> = before.keys().chain(after.keys()).copied().collect();
    let mut difference = Difference::default();
    for key in keys {
        let (old, new) = (before.get(&key).copied(), after.get(&key).copied());
        let Some(cell) = new.or(old) else { continue };
        let (before, after) = (from.scope.state(old, cell), to.scope.state(new, cell));
        // Most flows are unchanged, whatever policy says: it is asked of the others only.
        let changed = classify(before, after, None).is_some();
        let expected = changed.then(|| expected(cell)).flatten();
        let Some(kind) = classify(before, after, expected) else {
            difference.unchanged = difference.unchanged.saturating_add(1);
            continue;
        };
        difference.changes.push(Change {
            vantage: cell.vantage.clone(),
            target: cell.target.clone(),
            address: cell.address,
            service: cell.service,
            from: old.map(|cell| cell.outcome),
            to: new.map(|cell| cell.outcome),
            kind,
            expected,
            by: new.and_then(|cell| cell.by),
            confirmed: new.is_some_and(|cell| cell.confirmed),
        });
    }
    difference.changes.sort_by_key(|change| change.kind);
    difference
}

/// The table of [`Kind`]; `None` is unchanged.
pub(crate) fn classify(before: State, after: State, expected: Option<Expectation>) -> Option<Kind> {
    let denied = expected == Some(Expectation::Deny);
    Some(match (before, after) {
        (State::Untested, _) | (_, State::Untested) => Kind::Untested,
        (State::Absent, State::Absent) => return None,
        (State::Absent, State::Known(_)) => Kind::New,
        (State::Known(_), State::Absent) => Kind::Gone,
        (State::Known(before), State::Known(after)) if before == after => return None,
        (State::Known(Outcome::Open), State::Known(_)) if denied => Kind::Closure,
        (State::Known(Outcome::Open), State::Known(_)) => Kind::Regression,
        (State::Known(_), State::Known(Outcome::Open)) if denied => Kind::Exposure,
        (State::Known(_), State::Known(Outcome::Open)) => Kind::Fix,
        (State::Known(_), State::Known(_)) => Kind::Shift,
    })
}

/// Every flow once.
pub(crate) fn flows(cells: &[Cell]) -> BTreeMap<Key<'_>, &Cell> {
    let mut flows: BTreeMap<Key<'_>, &Cell> = BTreeMap::new();
    for cell in cells {
        let key = (cell.vantage.as_str(), cell.target.as_str(), cell.address, cell.service);
        let rank = |cell: &Cell| (State::of(cell.outcome) != State::Untested, cell.observed_at, cell.outcome);
        let kept = flows.entry(key).or_insert(cell);
        if rank(cell) > rank(kept) {
            *kept = cell;
        }
    }
    flows
}
