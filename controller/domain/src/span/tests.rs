use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::*;

fn reading(number: u8) -> Reading {
    let (outcome, by) = match number {
        0 => (Outcome::Open, None),
        1 => (Outcome::Filtered, None),
        2 => (Outcome::Rejected, Some([10, 77, 20, 1].into())),
        _ => (Outcome::Rejected, Some([10, 77, 20, 2].into())),
    };
    Reading::new(outcome, by).unwrap()
}

fn observed(second: i64, sweep: i64, number: u8) -> Observed {
    let at = Timestamp::from_second(second).unwrap();
    Observed { moment: Moment { at, sweep }, reading: reading(number) }
}

/// The spans of a flow, as one reads them off a list.
fn read_off(observations: &[Observed]) -> Vec<Span> {
    let mut sorted = observations.to_vec();
    sorted.sort_by_key(|observed| observed.moment);
    let runs = sorted.chunk_by(|a, b| a.reading == b.reading);
    let span = |run: &[Observed]| Span {
        reading: run[0].reading,
        first: run[0].moment,
        last: run[run.len() - 1].moment,
        sweeps: run.len().try_into().unwrap(),
    };
    runs.map(span).collect()
}

/// A flow as the store keeps it.
#[derive(Default)]
struct Kept {
    observations: Vec<Observed>,
    /// Oldest first.
    spans: Vec<Span>,
}

impl Kept {
    /// Weaves what the controller weaves: the newest span alone, unless something is from before it.
    fn hand_in(&mut self, batch: &[Observed]) {
        let mut known: BTreeSet<Moment> = self.observations.iter().map(|o| o.moment).collect();
        // What is there already is no news, as the key of an observation has it.
        let new: Vec<Observed> = batch.iter().filter(|o| known.insert(o.moment)).copied().collect();
        self.observations.extend(&new);
        let newest = self.spans.len().saturating_sub(1);
        let is_late = |newest: &Span| new.iter().any(|observed| observed.moment < newest.first);
        let from = if self.spans.last().is_some_and(is_late) { 0 } else { newest };
        let before = self.spans.split_off(from);
        let within: Vec<Moment> = torn(&before, &new)
            .iter()
            .flat_map(|span| self.observations.iter().map(|o| o.moment).filter(|moment| span.holds(*moment)))
            .collect();
        self.spans.extend(weave(&before, &within, &new));
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.clone()
    }
}

/// Every order of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let put = |order: &Vec<usize>, place| {
        let mut longer = order.clone();
        longer.insert(place, count - 1);
        longer
    };
    orders(count - 1).iter().flat_map(|order| (0..count).map(|place| put(order, place))).collect()
}

#[test]
fn every_order_of_arrival_gives_the_same_spans() {
    for nights in ["000000", "000111", "001100", "010101", "011122", "001000"] {
        let nights: Vec<Observed> =
            (0..).zip(nights.bytes()).map(|(night, digit)| observed(night, night, digit - b'0')).collect();
        for order in orders(nights.len()) {
            let mut flow = Kept::default();
            for (place, night) in order.iter().enumerate() {
                flow.hand_in(&[nights[*night]]);
                let seen: Vec<Observed> = order[..=place].iter().map(|night| nights[*night]).collect();
                assert_eq!(flow.spans(), read_off(&seen), "{order:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn batches_with_repetitions_and_equal_times_give_the_same_spans(
        nights in vec((0..12_i64, 0..4_u8), 1..40),
        arrivals in vec((any::<prop::sample::Index>(), 1..6_usize), 1..60),
    ) {
        let nights: Vec<Observed> =
            (0..).zip(&nights).map(|(sweep, (second, number))| observed(*second, sweep, *number)).collect();
        let mut flow = Kept::default();
        let mut seen = BTreeMap::new();
        for (index, count) in arrivals {
            let start = index.index(nights.len());
            let batch: Vec<Observed> = nights.iter().cycle().skip(start).step_by(3).take(count).copied().collect();
            flow.hand_in(&batch);
            seen.extend(batch.iter().map(|observed| (observed.moment, *observed)));
            let seen: Vec<Observed> = seen.values().copied().collect();
            prop_assert_eq!(flow.spans(), read_off(&seen));
        }
    }

    #[test]
    fn a_span_whose_oldest_observations_are_not_kept_loses_no_sweep(
        sweeps in 3..40_i64, forgotten in 0..40_i64, late in 0..39_i64,
    ) {
        let nights: Vec<Observed> = (0..sweeps).map(|night| observed(2 * night, night, 0)).collect();
        let span = read_off(&nights);
        let night = late % (sweeps - 1);
        let late = observed(2 * night + 1, 1_000, 1);
        let kept: Vec<Moment> = nights.iter().map(|o| o.moment).filter(|m| m.sweep >= forgotten).collect();
        let woven = weave(&span, &kept, &[late]);
        let [older, between, newer] = woven.as_slice() else {
            return Err(TestCaseError::fail(format!("{woven:?}")));
        };
        prop_assert_eq!(i64::from(older.sweeps + newer.sweeps), sweeps);
        prop_assert_eq!((older.first, newer.last), (span[0].first, span[0].last));
        prop_assert_eq!(between, &Span::of(&late));
        prop_assert!(older.last < late.moment && late.moment < newer.first);
        if forgotten <= night + 1 {
            // Everything after the late one is kept: then the numbers are exact.
            prop_assert_eq!(i64::from(newer.sweeps), sweeps - 1 - night);
        }
    }
}

#[test]
fn an_unchanged_night_makes_the_span_longer_and_a_change_begins_one() {
    let span = read_off(&[observed(1, 1, 0), observed(2, 2, 0)]);
    let same = weave(&span, &[], &[observed(3, 3, 0)]);
    assert_eq!((same.len(), same[0].first, same[0].sweeps, same[0].last.sweep), (1, span[0].first, 3, 3));
    assert_eq!(weave(&span, &[], &[observed(3, 3, 1)])[..1], span);
    assert_eq!(weave(&span, &[], &[observed(0, 3, 0)])[0].first.sweep, 3);
}

#[test]
fn a_time_is_in_the_span_before_it_for_as_long_as_that_is_fresh() {
    let spans = read_off(&[observed(10, 1, 0), observed(20, 2, 0), observed(50, 3, 1)]);
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let then = |second| super::then(spans.iter().rev(), at(second), SignedDuration::from_secs(15));
    assert_eq!(then(9), None);
    for (second, expected) in [
        (10, Then::Known(spans[0])),
        (15, Then::Known(spans[0])),
        (35, Then::Known(spans[0])),
        (36, Then::Stale(spans[0])),
        (49, Then::Stale(spans[0])),
        (50, Then::Known(spans[1])),
        (66, Then::Stale(spans[1])),
    ] {
        assert_eq!(then(second), Some(expected), "{second}");
    }
}

#[test]
fn another_device_that_refuses_is_another_span() {
    assert_eq!(read_off(&[observed(1, 1, 2), observed(2, 2, 3)]).len(), 2);
    let spans = weave(&[], &[], &[observed(1, 1, 2), observed(2, 2, 3), observed(3, 3, 3)]);
    assert_eq!(spans.iter().map(|span| span.sweeps).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn of_two_observations_at_the_same_moment_the_first_stays() {
    let spans = read_off(&[observed(1, 1, 0)]);
    assert_eq!(weave(&spans, &[], &[observed(1, 1, 1)]), spans);
}

#[test]
fn what_nobody_could_test_is_no_reading() {
    for outcome in Outcome::ALL {
        let untested = matches!(outcome, Outcome::Failed | Outcome::Missed);
        assert_eq!(Reading::new(outcome, None).is_none(), untested, "{outcome}");
    }
}
