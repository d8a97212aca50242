//! What a sweep says of items.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Cell, Check, Outcome};

use super::{AlertKind, Item, ItemFlow, Seen};
use crate::{
    compare::{Change, Kind},
    gaps::{Gap, GapKind},
};

/// What a sweep says of an item of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    There,
    Over,
    /// Nothing.
    Unknown,
}

/// A sweep, ready to be asked. Has nothing of what later sweeps have tested.
pub(super) struct Facts<'a> {
    seen: Seen<'a>,
    /// Flows that were tested.
    pub(super) cells: BTreeMap<Item, &'a Cell>,
    pub(super) gaps: BTreeMap<Item, &'a Gap>,
    pub(super) changes: BTreeMap<Item, &'a Change>,
    /// Vantages with tasks none of which was done.
    pub(super) lost: BTreeSet<Item>,
    heard: BTreeSet<Item>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(seen: &Seen<'a>) -> Self {
        let is_said = |item: &Item| !seen.later.contains(item);
        let mut cells: BTreeMap<Item, &'a Cell> = BTreeMap::new();
        for cell in seen.cells.iter().filter(|cell| is_tested(cell.outcome)) {
            let item = item_of(cell);
            // What was observed last counts, as in a comparison.
            let rank = |cell: &Cell| (cell.observed_at, cell.outcome, cell.by);
            if is_said(&item) && cells.get(&item).is_none_or(|kept| rank(kept) < rank(cell)) {
                cells.insert(item, cell);
            }
        }
        let gaps = seen.gaps.gaps.iter().map(|gap| (item_of_gap(gap), gap));
        let is_last = |gap: &Gap, cell: &Cell| (gap.outcome, gap.by) == (cell.outcome, cell.by);
        let gaps = gaps.filter(|(item, gap)| cells.get(item).is_some_and(|cell| is_last(gap, cell)));
        let changes = seen.changes.iter().map(|change| (item_of_change(change), change));
        let planned: BTreeSet<&String> = seen
            .cells
            .iter()
            .map(|cell| &cell.vantage)
            .chain(seen.checks.iter().map(|check| &check.vantage))
            .collect();
        let heard = heard(seen.cells, seen.checks);
        let lost = planned
            .into_iter()
            .filter(|vantage| !heard.contains(*vantage))
            .map(|vantage| item_of_vantage(vantage));
        Self {
            seen: *seen,
            gaps: gaps.collect(),
            changes: changes.filter(|(item, _)| is_said(item)).collect(),
            lost: lost.filter(is_said).collect(),
            heard: heard.iter().map(|vantage| item_of_vantage(vantage)).filter(is_said).collect(),
            cells,
        }
    }

    pub(super) fn standing(&self, kind: AlertKind, item: &Item) -> Standing {
        if !self.seen.vantages.contains(&item.vantage) || self.is_gone(item) {
            return Standing::Over;
        }
        let is_there = match kind {
            AlertKind::Gap => self.is_gap(item, GapKind::Gap),
            AlertKind::Exposure => self.is_gap(item, GapKind::Exposure),
            AlertKind::Regression => self
                .cells
                .get(item)
                .is_some_and(|cell| cell.outcome.is_blocked() && !(self.seen.denied)(cell)),
            AlertKind::LostVantage => self.lost.contains(item),
            AlertKind::Fix => false,
        };
        let is_said = self.cells.contains_key(item) || self.heard.contains(item);
        match (is_there, is_said) {
            (true, _) => Standing::There,
            (false, true) => Standing::Over,
            (false, false) => Standing::Unknown,
        }
    }

    /// Whether the flow is a gap or an exposure of the sweep.
    pub(super) fn is_gap(&self, item: &Item, kind: GapKind) -> bool {
        self.gaps.get(item).is_some_and(|gap| gap.kind == kind)
    }

    /// Flows that changed in this way.
    pub(super) fn changed(&self, kind: Kind) -> impl Iterator<Item = &Item> {
        self.changes.iter().filter(move |(_, change)| change.kind == kind).map(|(item, _)| item)
    }

    /// Whether the vantage was heard in the previous sweep.
    pub(super) fn was_heard(&self, item: &Item) -> bool {
        self.seen.before.contains(&item.vantage)
    }

    fn is_gone(&self, item: &Item) -> bool {
        self.changes.get(item).is_some_and(|change| change.kind == Kind::Gone)
    }
}

fn is_tested(outcome: Outcome) -> bool {
    outcome == Outcome::Open || outcome.is_blocked()
}

/// Vantages of a sweep of whose tasks at least one was done.
#[must_use]
pub fn heard(cells: &[Cell], checks: &[Check]) -> BTreeSet<String> {
    let flows = cells.iter().filter(|cell| cell.outcome != Outcome::Missed).map(|cell| &cell.vantage);
    let checks = checks.iter().filter(|check| check.observed_at.is_some()).map(|check| &check.vantage);
    flows.chain(checks).cloned().collect()
}

/// What a sweep has tested: its flows that are open or blocked, and all of its vantages.
#[must_use]
pub fn tested(cells: &[Cell], checks: &[Check]) -> BTreeSet<Item> {
    let vantages = cells.iter().map(|cell| &cell.vantage).chain(checks.iter().map(|check| &check.vantage));
    let flows = cells.iter().filter(|cell| is_tested(cell.outcome)).map(item_of);
    flows.chain(vantages.map(|vantage| item_of_vantage(vantage))).collect()
}

fn item_of_vantage(vantage: &str) -> Item {
    Item { vantage: vantage.to_owned(), flow: None }
}

pub(super) fn item_of(cell: &Cell) -> Item {
    let flow = ItemFlow { target: cell.target.clone(), address: cell.address, service: cell.service };
    Item { vantage: cell.vantage.clone(), flow: Some(flow) }
}

fn item_of_gap(gap: &Gap) -> Item {
    let flow = ItemFlow { target: gap.target.clone(), address: gap.address, service: gap.service };
    Item { vantage: gap.vantage.clone(), flow: Some(flow) }
}

fn item_of_change(change: &Change) -> Item {
    let flow = ItemFlow { target: change.target.clone(), address: change.address, service: change.service };
    Item { vantage: change.vantage.clone(), flow: Some(flow) }
}
