//! What holds for any sequence of sweeps.

use proptest::prelude::*;

use super::*;

/// A sweep of flows, some of them twice.
fn sweep() -> impl Strategy<Value = Vec<Cell>> {
    let outcome = proptest::sample::select(&Outcome::ALL[..]);
    let cell = (0..3_usize, 0..2_usize, 0..3_usize, outcome, any::<bool>());
    let cell = cell.prop_map(|(vantage, target, service, outcome, by)| {
        let (vantage, target) = (["vlan10", "vlan20", "vlan30"][vantage], ["dc1", "dc2"][target]);
        let by = if by && outcome == Outcome::Rejected { " by=10.77.254.2" } else { "" };
        sample::cell(&format!("{vantage} {target} {} {outcome}{by}", ["smb", "ldap", "icmp"][service]))
    });
    proptest::collection::vec(cell, 1..20)
}

fn nights() -> impl Strategy<Value = Vec<(i64, Vec<Cell>)>> {
    proptest::collection::vec((1..9_i64, sweep()), 1..6)
}

fn told(nights: &[(i64, Vec<Cell>)], mut each: impl FnMut(&mut Book, Night)) {
    let (mut book, mut at, mut before) = (Book::default(), 0, Vec::new());
    for (hours, cells) in nights {
        at += hours;
        let night = Night { cells: cells.clone(), before, ..night(at, "", "") };
        before = cells.clone();
        each(&mut book, night);
    }
}

proptest! {
    #[test]
    fn the_same_sweep_considered_twice_gives_nothing_new(nights in nights()) {
        let mut failure = None;
        told(&nights, |book, night| {
            book.consider(&night);
            let alerts = book.alerts.clone();
            if !book.consider(&night).is_empty() || book.alerts != alerts {
                failure = Some((book.told.clone(), alerts, book.alerts.clone()));
            }
        });
        prop_assert_eq!(failure, None);
    }

    #[test]
    fn the_order_of_groups_and_changes_means_nothing(nights in nights()) {
        let mut differ = None;
        told(&nights, |book, night| {
            let known = book.alerts.clone();
            let plain = night.decide(&known);
            let shuffled = Night { shuffle: true, ..night };
            if shuffled.decide(&known) != plain {
                differ = Some(plain);
            }
            book.consider(&shuffled);
        });
        prop_assert_eq!(differ, None);
    }

    #[test]
    fn what_was_missed_or_failed_opens_nothing_and_ends_nothing(nights in nights()) {
        let mut wrong = Vec::new();
        told(&nights, |book, night| {
            let known = book.alerts.clone();
            let decision = night.decide(&known);
            // By name, so that nothing here hangs on what the code takes for tested.
            let tested: BTreeSet<Item> = night
                .cells
                .iter()
                .filter(|cell| !matches!(cell.outcome, Outcome::Missed | Outcome::Failed))
                .map(facts::item_of)
                .collect();
            let is_untested = |item: &&Item| item.flow.is_some() && !tested.contains(*item);
            wrong.extend(decision.open.iter().flat_map(|alert| &alert.items).filter(is_untested).cloned());
            let ended = decision.update.iter().flat_map(|update| update.items.keys());
            let is_there = |item: &&Item| night.cells.iter().any(|cell| facts::item_of(cell) == **item);
            wrong.extend(ended.filter(is_untested).filter(is_there).cloned());
            book.consider(&night);
        });
        prop_assert_eq!(wrong, []);
    }

    #[test]
    fn no_item_has_two_open_alerts_of_a_kind(nights in nights()) {
        let mut twice = None;
        told(&nights, |book, night| {
            book.consider(&night);
            let mut active = BTreeSet::new();
            for alert in &book.alerts {
                for (item, _) in alert.items.iter().filter(|(_, ended)| ended.is_none()) {
                    if !active.insert((alert.kind, item.clone())) {
                        twice = Some((alert.kind, item.clone()));
                    }
                }
            }
        });
        prop_assert_eq!(twice, None);
    }

    #[test]
    fn every_gap_and_exposure_is_in_an_alert(nights in nights()) {
        let mut missing = Vec::new();
        told(&nights, |book, night| {
            book.consider(&night);
            let decision = night.decide(&[]);
            let active: BTreeSet<&Item> = book.alerts.iter()
                .flat_map(|alert| &alert.items).filter(|(_, ended)| ended.is_none()).map(|(item, _)| item).collect();
            let is_state = |alert: &&Alert| matches!(alert.about.kind, AlertKind::Gap | AlertKind::Exposure);
            let wanted = decision.open.iter().filter(is_state).flat_map(|alert| &alert.items);
            missing.extend(wanted.filter(|item| !active.contains(item)).cloned());
        });
        prop_assert_eq!(missing, []);
    }
}
