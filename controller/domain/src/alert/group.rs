//! Alerts to open: one for each cause.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::Cell;

use super::{
    About, Alert, AlertKind, Item, MOST, Seen,
    facts::{Facts, item_of},
};
use crate::{
    attribution::{Group, attribute, group},
    compare::Kind,
    gaps::{Gap, GapKind},
};

/// What the sweep has and no known alert speaks of, by kind and cause, in an order of its own.
pub(super) fn alerts(
    seen: &Seen<'_>,
    facts: &Facts<'_>,
    is_covered: impl Fn(AlertKind, &Item) -> bool,
) -> Vec<Alert> {
    let new = |kind: AlertKind| {
        let is_covered = &is_covered;
        move |item: &&Item| !is_covered(kind, item)
    };
    let mut alerts = bounded(gaps(seen, facts, new(AlertKind::Gap)));
    alerts.extend(bounded(exposures(facts, new(AlertKind::Exposure))));
    let is_regression = |item: &&Item| !facts.is_gap(item, GapKind::Gap) && facts.cells.contains_key(*item);
    let regressions: BTreeSet<&Item> =
        facts.changed(Kind::Regression).filter(is_regression).filter(new(AlertKind::Regression)).collect();
    let is_chosen = |cell: &Cell| {
        let item = item_of(cell);
        // Where a flow is there twice one of them counts.
        regressions.contains(&item)
            && facts.cells.get(&item).is_some_and(|counts| std::ptr::eq(*counts, cell))
    };
    if !regressions.is_empty() {
        alerts.extend(bounded(regressed(seen.cells, is_chosen)));
    }
    let fixes = facts.changed(Kind::Fix).filter(|item| facts.cells.contains_key(*item));
    alerts.extend(bounded(fixed(fixes.filter(new(AlertKind::Fix)))));
    let lost = facts.lost.iter().filter(|item| facts.was_heard(item)).filter(new(AlertKind::LostVantage));
    let lost: Vec<Item> = lost.cloned().collect();
    if !lost.is_empty() {
        alerts.push(Alert { about: About::of(AlertKind::LostVantage), items: lost });
    }
    alerts.sort();
    alerts
}

/// New gaps, by the groups of the report.
fn gaps(seen: &Seen<'_>, facts: &Facts<'_>, is_new: impl Fn(&&Item) -> bool) -> Vec<Alert> {
    let mut by_group: BTreeMap<Option<usize>, Vec<(&Item, &Gap)>> = BTreeMap::new();
    for (item, gap) in &facts.gaps {
        if gap.kind == GapKind::Gap && is_new(&item) {
            by_group.entry(gap.group).or_default().push((item, gap));
        }
    }
    let regressed: BTreeSet<&Item> = facts.changed(Kind::Regression).collect();
    let alert = |(number, gaps): (Option<usize>, Vec<(&Item, &Gap)>)| {
        let group = number.and_then(|number| seen.gaps.groups.get(number));
        Alert {
            about: About {
                regressed: gaps.iter().filter(|(item, _)| regressed.contains(item)).count(),
                since: gaps.iter().filter_map(|(_, gap)| gap.since).min(),
                policies: names(gaps.iter().map(|(_, gap)| &gap.policy)),
                ..About::of(AlertKind::Gap).with(group)
            },
            items: gaps.into_iter().map(|(item, _)| item.clone()).collect(),
        }
    };
    by_group.into_iter().map(alert).collect()
}

/// New exposures, by policy: nothing blocks them, so there is no cause to group them by.
fn exposures(facts: &Facts<'_>, is_new: impl Fn(&&Item) -> bool) -> Vec<Alert> {
    let mut by_policy: BTreeMap<&str, Vec<(&Item, &Gap)>> = BTreeMap::new();
    for (item, gap) in &facts.gaps {
        if gap.kind == GapKind::Exposure && is_new(&item) {
            by_policy.entry(&gap.policy).or_default().push((item, gap));
        }
    }
    let alert = |gaps: Vec<(&Item, &Gap)>| Alert {
        about: About {
            policies: names(gaps.iter().map(|(_, gap)| &gap.policy)),
            since: gaps.iter().filter_map(|(_, gap)| gap.since).min(),
            ..About::of(AlertKind::Exposure)
        },
        items: gaps.into_iter().map(|(item, _)| item.clone()).collect(),
    };
    by_policy.into_values().map(alert).collect()
}

/// New regressions, by cause.
fn regressed(cells: &[Cell], is_chosen: impl Fn(&Cell) -> bool) -> Vec<Alert> {
    let places: Vec<usize> = cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| cell.outcome.is_blocked() && is_chosen(cell))
        .map(|(place, _)| place)
        .collect();
    let alert = |(group, places): (Group, Vec<usize>)| {
        let items = places.iter().filter_map(|place| cells.get(*place)).map(item_of);
        let items: Vec<Item> = items.collect::<BTreeSet<_>>().into_iter().collect();
        let about = About::of(AlertKind::Regression).with(Some(&group));
        Alert { about: About { regressed: items.len(), ..about }, items }
    };
    group(cells, &attribute(cells), &places).into_iter().map(alert).collect()
}

/// New fixes, by vantage.
fn fixed<'a>(items: impl Iterator<Item = &'a Item>) -> Vec<Alert> {
    let mut by_vantage: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    for item in items {
        by_vantage.entry(&item.vantage).or_default().push(item.clone());
    }
    by_vantage.into_values().map(|items| Alert { about: About::of(AlertKind::Fix), items }).collect()
}

/// At most [`MOST`] alerts of one kind.
pub(super) fn bounded(mut alerts: Vec<Alert>) -> Vec<Alert> {
    alerts.sort_by(|a, b| b.items.len().cmp(&a.items.len()).then_with(|| a.cmp(b)));
    if alerts.len() <= MOST {
        return alerts;
    }
    let rest = alerts.split_off(MOST.saturating_sub(1));
    let Some(kind) = rest.first().map(|alert| alert.about.kind) else { return alerts };
    let items: BTreeSet<Item> = rest.iter().flat_map(|alert| &alert.items).cloned().collect();
    let about = About {
        policies: names(rest.iter().flat_map(|alert| &alert.about.policies)),
        regressed: rest.iter().map(|alert| alert.about.regressed).sum(),
        since: rest.iter().filter_map(|alert| alert.about.since).min(),
        ..About::of(kind)
    };
    alerts.push(Alert { about, items: items.into_iter().collect() });
    alerts
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

impl About {
    pub(super) const fn of(kind: AlertKind) -> Self {
        Self {
            kind,
            cause: None,
            outcome: None,
            by: None,
            between: None,
            control: None,
            policies: Vec::new(),
            regressed: 0,
            since: None,
        }
    }

    fn with(self, group: Option<&Group>) -> Self {
        let Some(group) = group else { return self };
        Self {
            cause: Some(group.cause),
            outcome: Some(group.outcome),
            by: group.by,
            between: group.between,
            control: group.control.clone(),
            ..self
        }
    }
}
