//! What becomes of alerts that are known, and what they speak of.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    AlertKind, FORGOTTEN, Item, State, Tell, Tracked, Update,
    facts::{Facts, Standing},
};

/// What becomes of a known alert.
pub(super) fn updated(alert: &Tracked, facts: &Facts<'_>, at: Timestamp, hold: SignedDuration) -> Update {
    let is_held = |since: Timestamp| at.duration_since(since) <= hold;
    let mut items = BTreeMap::new();
    let (mut is_there, mut is_active) = (false, false);
    for (item, ended) in &alert.items {
        let standing = facts.standing(alert.kind, item);
        let after = match (standing, *ended) {
            (Standing::There, Some(since)) if !is_held(since) => Some(since),
            (Standing::There, _) => None,
            (Standing::Over, None) => Some(at),
            (Standing::Over | Standing::Unknown, ended) => ended,
        };
        is_there |= after.is_none() && standing == Standing::There;
        is_active |= after.is_none();
        if after != *ended {
            items.insert(item.clone(), after);
        }
    }
    let is_forgotten = is_active && !is_there && at.duration_since(alert.seen) > FORGOTTEN;
    let (state, tell) = match alert.state {
        State::Open if is_forgotten => (State::Over(at), Some(Tell::Forgotten)),
        State::Open if !is_active => (State::Over(at), Some(Tell::Resolved)),
        State::Held(since) | State::Over(since) if is_there && !is_held(since) => {
            (State::Open, Some(Tell::Again))
        }
        State::Held(since) if is_forgotten || !is_active => (State::Over(since), None),
        State::Over(since) if is_there => (State::Held(since), None),
        state @ (State::Open | State::Held(_) | State::Over(_)) => (state, None),
    };
    let seen = if is_there { alert.seen.max(at) } else { alert.seen };
    Update { id: alert.id, state, seen, items, tell }
}

/// What known alerts speak of, as it is after the sweep.
pub(super) struct Covered<'a> {
    active: BTreeSet<(AlertKind, &'a Item)>,
    mentioned: BTreeSet<&'a Item>,
}

impl<'a> Covered<'a> {
    pub(super) fn of(tracked: &'a [Tracked], updates: &[Update]) -> Self {
        let mut covered = Self { active: BTreeSet::new(), mentioned: BTreeSet::new() };
        for (alert, update) in tracked.iter().zip(updates) {
            for (item, before) in &alert.items {
                let is_active = update.items.get(item).unwrap_or(before).is_none();
                if is_active {
                    covered.active.insert((alert.kind, item));
                }
                if alert.kind.is_blocked() || alert.kind == AlertKind::Fix {
                    covered.mentioned.insert(item);
                }
            }
        }
        covered
    }

    /// Whether an alert of this kind need not be opened for the item.
    pub(super) fn has(&self, kind: AlertKind, item: &Item) -> bool {
        match kind {
            // The notice that an alert is over tells of the fix.
            AlertKind::Fix => self.mentioned.contains(item),
            // The flow is blocked, and somebody was told.
            AlertKind::Gap | AlertKind::Regression => [AlertKind::Gap, AlertKind::Regression]
                .iter()
                .any(|kind| self.active.contains(&(*kind, item))),
            AlertKind::Exposure | AlertKind::LostVantage => self.active.contains(&(kind, item)),
        }
    }
}
