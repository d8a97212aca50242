//! A sweep that was accepted as the intended state: what is kept of it.
//!
//! A baseline says what should come of each flow. So it keeps each flow once, and with it the outcome and who refused,
//! nothing of the evidence. What a sweep does not know is no intention:
//!
//! | outcome | the baseline says |
//! |---|---|
//! | `open` | open |
//! | `closed`, `filtered`, `rejected`, `unreachable`, `mute` | blocked in this way |
//! | `wrong` | not known: somebody else answered, and nobody intends that |
//! | `failed`, `missed` | not known |

use std::collections::BTreeMap;

use sekisho_model::{Cell, Outcome};
use serde::{Deserialize, Serialize};

use crate::compare;

/// How many flows a baseline knows, and does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Flows that are to be open.
    pub open: usize,
    /// Flows that are to be blocked.
    pub blocked: usize,
    /// Flows of which it knows nothing.
    pub not_known: usize,
}

impl Counts {
    /// Counts the flows of a baseline.
    #[must_use]
    pub fn of<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Self {
        let mut counts = Self::default();
        for cell in cells {
            let count = match intended(cell.outcome) {
                Some(Outcome::Open) => &mut counts.open,
                Some(_) => &mut counts.blocked,
                None => &mut counts.not_known,
            };
            *count = count.saturating_add(1);
        }
        counts
    }
}

/// What a baseline says of a flow that had this outcome; `None` where that is nothing.
#[must_use]
pub const fn intended(outcome: Outcome) -> Option<Outcome> {
    match outcome {
        Outcome::Open
        | Outcome::Closed
        | Outcome::Filtered
        | Outcome::Rejected
        | Outcome::Unreachable
        | Outcome::Mute => Some(outcome),
        Outcome::Wrong | Outcome::Failed | Outcome::Missed => None,
    }
}

/// What is kept of the flows of a sweep: each once, by vantage and then by target and service. Outcomes are as they were.
#[must_use]
pub fn keep(cells: &[Cell]) -> BTreeMap<String, Vec<Cell>> {
    let mut kept: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    for cell in compare::flows(cells).into_values() {
        kept.entry(cell.vantage.clone()).or_default().push(bare(cell));
    }
    kept
}

/// The flows of a baseline as a comparison takes them: what it does not know has the outcome `failed` or `missed`.
#[must_use]
pub fn as_side(mut cells: Vec<Cell>) -> Vec<Cell> {
    for cell in &mut cells {
        if intended(cell.outcome).is_none() && cell.outcome != Outcome::Missed {
            cell.outcome = Outcome::Failed;
        }
    }
    cells
}

/// A flow with its outcome and who refused, and no more.
fn bare(cell: &Cell) -> Cell {
    let bare =
        Cell::bare(&cell.vantage, cell.subnet, (&cell.target, cell.address), cell.service, cell.outcome);
    Cell { by: cell.by, ..bare }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        compare::{Kind, Scope, Side, compare},
        sample::{cell, cells},
    };

    #[test]
    fn each_row_of_the_table() {
        for (outcome, kept) in [
            ("open", Some("open")),
            ("closed", Some("closed")),
            ("filtered", Some("filtered")),
            ("rejected", Some("rejected")),
            ("unreachable", Some("unreachable")),
            ("mute", Some("mute")),
            ("wrong", None),
            ("failed", None),
            ("missed", None),
        ] {
            let intended = intended(outcome.parse().unwrap());
            assert_eq!(intended.map(Outcome::word), kept, "{outcome}");
        }
    }

    #[test]
    fn each_flow_is_kept_once_and_without_evidence() {
        let sweep = cells(
            "vlan20 dc1 smb filtered by=10.0.0.1 last-hop=10.0.0.1 at=2026-11-20T02:00:00Z
             vlan20 dc1 smb open at=2026-11-20T02:00:09Z
             vlan20 dc1 ldap wrong
             vlan10 dc1 smb missed",
        );
        let kept = keep(&sweep);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["vlan10", "vlan20"]);
        let told: Vec<_> = kept["vlan20"].iter().map(|cell| (cell.service.name(), cell.outcome)).collect();
        assert_eq!(told, [("ldap".to_owned(), Outcome::Wrong), ("smb".to_owned(), Outcome::Open)]);
        assert!(kept.values().flatten().all(|cell| cell.facts.is_empty() && cell.observed_at.is_none()));
        let counts = Counts::of(kept.values().flatten());
        assert_eq!(counts, Counts { open: 1, blocked: 0, not_known: 2 });
    }

    #[test]
    fn a_comparison_says_nothing_of_what_a_baseline_does_not_know() {
        let scope = Scope { is_whole: true, services: BTreeSet::new(), ..Scope::default() };
        for (was, is, kind) in [
            ("wrong", "open", Some(Kind::Untested)),
            ("wrong", "wrong", Some(Kind::Untested)),
            ("failed", "open", Some(Kind::Untested)),
            ("missed", "filtered", Some(Kind::Untested)),
            ("open", "filtered", Some(Kind::Regression)),
            ("filtered", "open", Some(Kind::Fix)),
            ("filtered", "filtered", None),
        ] {
            let before = keep(&[cell(&format!("vlan20 dc1 smb {was}"))]).into_values().flatten().collect();
            let (before, after) = (as_side(before), [cell(&format!("vlan20 dc1 smb {is}"))]);
            let from = Side { cells: &before, scope: &scope };
            let found = compare(from, Side { cells: &after, scope: &scope }, |_| None);
            assert_eq!(found.changes.first().map(|change| change.kind), kind, "{was} {is}");
        }
    }
}
