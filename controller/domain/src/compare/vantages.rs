//! Two vantages in one sweep: the same target and service, and who sees what.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use sekisho_model::{Cell, Outcome, Service};
use serde::{Deserialize, Serialize};

use super::{State, flows};

/// How two vantages see one service of one target. The first row that fits decides.
///
/// | first | second | kind |
/// |---|---|---|
/// | `failed`, `missed` or not planned | anything | `untested` |
/// | anything | `failed`, `missed` or not planned | `untested` |
/// | open | blocked | `first-only` |
/// | blocked | open | `second-only` |
/// | blocked | blocked, another outcome | `otherwise` |
/// | the same outcome | | the same: no kind |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContrastKind {
    /// Open from the first, blocked from the second.
    FirstOnly,
    /// Blocked from the first, open from the second.
    SecondOnly,
    /// Blocked from both, in different ways.
    Otherwise,
    /// At least one of them did not test it.
    Untested,
}

impl ContrastKind {
    /// The word used in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FirstOnly => "first-only",
            Self::SecondOnly => "second-only",
            Self::Otherwise => "otherwise",
            Self::Untested => "untested",
        }
    }
}

impl std::fmt::Display for ContrastKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// One service of one target that two vantages do not see alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contrast {
    /// Host name of the target, or its address where it has no name.
    pub target: String,
    /// Address of the target.
    pub address: IpAddr,
    /// The service.
    pub service: Service,
    /// Outcome at the first vantage; `None` where it was not planned there.
    pub from: Option<Outcome>,
    /// Outcome at the second vantage; `None` where it was not planned there.
    pub to: Option<Outcome>,
    /// What that means.
    pub kind: ContrastKind,
    /// Who refuses the first, where that is known.
    pub from_by: Option<IpAddr>,
    /// Who refuses the second, where that is known.
    pub to_by: Option<IpAddr>,
}

/// What two vantages do not see alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contrasts {
    /// By kind, then by target and service.
    pub changes: Vec<Contrast>,
    /// Services of targets that both see alike.
    pub unchanged: usize,
}

/// Compares two vantages of a sweep.
#[must_use]
pub fn contrast(cells: &[Cell], first: &str, second: &str) -> Contrasts {
    type Seen<'a> = BTreeMap<(&'a str, IpAddr, Service), &'a Cell>;
    let mut sides: [Seen<'_>; 2] = Default::default();
    for ((vantage, target, address, service), cell) in flows(cells) {
        for (side, name) in sides.iter_mut().zip([first, second]) {
            if vantage == name {
                side.insert((target, address, service), cell);
            }
        }
    }
    let [from, to] = &sides;
    let keys: BTreeSet<_> = from.keys().chain(to.keys()).copied().collect();
    let mut contrasts = Contrasts::default();
    for key in keys {
        let (a, b) = (from.get(&key).copied(), to.get(&key).copied());
        let state = |cell: Option<&Cell>| cell.map_or(State::Untested, |cell| State::of(cell.outcome));
        let Some(kind) = kind(state(a), state(b)) else {
            contrasts.unchanged = contrasts.unchanged.saturating_add(1);
            continue;
        };
        let (target, address, service) = key;
        contrasts.changes.push(Contrast {
            target: target.to_owned(),
            address,
            service,
            from: a.map(|cell| cell.outcome),
            to: b.map(|cell| cell.outcome),
            kind,
            from_by: a.and_then(|cell| cell.by),
            to_by: b.and_then(|cell| cell.by),
        });
    }
    contrasts.changes.sort_by_key(|change| change.kind);
    contrasts
}

fn kind(first: State, second: State) -> Option<ContrastKind> {
    match (first, second) {
        (State::Known(first), State::Known(second)) if first == second => None,
        (State::Known(Outcome::Open), State::Known(_)) => Some(ContrastKind::FirstOnly),
        (State::Known(_), State::Known(Outcome::Open)) => Some(ContrastKind::SecondOnly),
        (State::Known(_), State::Known(_)) => Some(ContrastKind::Otherwise),
        (State::Untested | State::Absent, _) | (_, State::Untested | State::Absent) => {
            Some(ContrastKind::Untested)
        }
    }
}
