use proptest::prelude::*;

use super::*;
use crate::budget::{Wish, share};

const HOURS: Duration = Duration::from_secs(7_200);

fn night(probes: u32) -> Night {
    Night { window: HOURS, wait: Duration::from_secs(20), probes, runs: 1 }
}

fn target(budget: u32) -> Need {
    Need {
        of: "10.77.1.10".to_owned(),
        budget,
        lent: 0,
        planned: 0,
        useful: 50,
        flows: 20,
        others: 10,
        own: None,
    }
}

fn link(budget: u32, own: u32) -> Need {
    Need { of: "the link of vlan20".to_owned(), own: Some(own), ..target(budget) }
}

#[test]
fn probes_that_fit_at_the_same_time_have_the_whole_window() {
    // Budget, probes; seats, slots, and the rate of each.
    let table = [
        (200, 3, (7, 1, 14)),
        (200, 0, (4, 1, 25)),
        (200, 1, (5, 1, 20)),
        (200, 80, (100, 1, 1)),
        // Not all the room that is wanted, and all that there must be.
        (10, 3, (5, 1, 1)),
        (10, 4, (3, 2, 1)),
        (200, 200, (84, 3, 1)),
        (2, 1, (1, 3, 1)),
    ];
    for (budget, probes, expected) in table {
        let (seats, rates) = Seats::lay_out(night(probes), &[target(budget)]).unwrap();
        assert_eq!((seats.seats, seats.slots, rates[0].each), expected, "{budget} {probes}");
        assert!(rates[0].reserved() <= plannable(budget));
    }
    let (seats, _) = Seats::lay_out(night(3), &[target(200)]).unwrap();
    assert_eq!((seats.span(0), seats.slot_of(6), seats.slot_of(7)), ((Duration::ZERO, HOURS), Some(0), None));
}

#[test]
fn no_more_is_reserved_than_is_of_use() {
    let (_, rates) = Seats::lay_out(night(3), &[Need { useful: 5, ..target(200) }]).unwrap();
    assert_eq!(rates[0].reserved(), 35);
}

#[test]
fn what_others_have_is_left_to_them() {
    let rate = |need| Seats::lay_out(night(1), &[need]).map(|(_, rates)| rates[0].reserved());
    assert_eq!(rate(Need { lent: 60, planned: 60, ..target(200) }), Ok(40));
    assert_eq!(rate(Need { lent: 190, planned: 0, ..target(200) }), Ok(10));
    let shared = Seats::lay_out(Night { runs: 2, ..night(1) }, &[target(200)]).unwrap().1;
    assert_eq!(shared[0].reserved(), 50, "half is for the other run");
    for (lent, planned) in [(100, 100), (200, 0)] {
        let why = rate(Need { lent, planned, ..target(200) }).unwrap_err();
        assert!(matches!(why, Misfit::Taken { .. }), "{why}");
    }
}

#[test]
fn what_is_reserved_is_held_against_a_smaller_budget() {
    let rate = Rate { each: 4, users: 5 };
    assert_eq!(target(40).allows(rate), Ok(()));
    let why = target(39).allows(rate).unwrap_err();
    assert_eq!(why, Misfit::Shrunk { of: "10.77.1.10".to_owned(), budget: 39 });
}

#[test]
fn a_link_is_shared_by_the_probes_of_its_vantage_alone() {
    let (seats, rates) = Seats::lay_out(night(30), &[target(200), link(20, 2)]).unwrap();
    assert_eq!((seats.seats, seats.slots), (38, 1));
    assert_eq!(rates, [Rate { each: 2, users: 38 }, Rate { each: 3, users: 3 }]);
    let why = Seats::lay_out(night(30), &[link(4, 30)]).unwrap_err();
    assert!(matches!(why, Misfit::Crowd { probes: 38, .. }), "{why}");
}

#[test]
fn what_does_not_fit_says_why() {
    let why = |night, need| Seats::lay_out(night, &[need]).unwrap_err().to_string();
    assert!(why(night(1), target(1)).contains("half of 1, the budget of 10.77.1.10, is none"));
    assert!(Seats::lay_out(night(1_000), &[target(200)]).is_ok(), "13 turns");
    let long = why(night(2_000), target(200));
    let said = "2500 probes take 25 turns of 110 s each at the rates that half of the budgets leaves them, 310 s apart";
    assert!(long.contains(said) && long.contains("10190 s in all, and the window has 7200 s"), "{long}");
    // A job that takes longer than the window although everybody may begin at once.
    let short = Night { window: Duration::from_secs(60), ..night(1) };
    let why = Seats::lay_out(short, &[target(10)]).unwrap_err();
    assert!(matches!(why, Misfit::Long { slots: 1, .. }), "{why}");
}

#[test]
fn a_run_that_follows_too_soon_has_what_the_one_before_has() {
    let (seats, rates) = Seats::lay_out(night(3), &[target(200)]).unwrap();
    let again = |need| seats.again(&need, Some(rates[0]));
    assert_eq!(again(target(200)), Ok(rates[0]));
    assert_eq!(again(Need { lent: 102, planned: 2, ..target(200) }), Ok(rates[0]), "98 are left");
    let taken = again(Need { lent: 103, planned: 0, ..target(200) });
    assert!(matches!(taken, Err(Misfit::Taken { .. })), "{taken:?}");
    assert!(seats.again(&target(100), None).unwrap().reserved() <= 50, "another target");
    let (turns, rates) = Seats::lay_out(night(200), &[target(200)]).unwrap();
    assert_eq!(turns.again(&target(200), Some(rates[0])), Err(Misfit::Soon));
}

#[test]
fn it_says_in_a_line_what_a_night_uses() {
    let words = |probes, taken| {
        let (seats, rates) =
            Seats::lay_out(night(probes), &[target(200), Need { useful: 9, ..target(200) }]).unwrap();
        seats.words(taken, rates.iter().map(|rate| rate.each))
    };
    assert_eq!(
        words(3, 2),
        "probes run it by themselves, all in the whole window: 2 of 7 seats are taken, each with 9 to 14 new attempts per second to a target"
    );
    assert_eq!(
        words(200, 252),
        "probes run it by themselves, 84 at a time, in 3 turns of 2193 s, 310 s apart since clocks drift: 252 of 252 seats are taken, \
         each with 1 new attempts per second to a target; no further probe is given it"
    );
}

#[test]
fn clocks_may_drift_for_three_days_and_the_window() {
    assert_eq!(doubt(HOURS), Duration::from_secs(154));
    assert_eq!(gap(HOURS), Duration::from_secs(310));
    assert!(gap(HOURS) >= doubt(HOURS) * 2 + LINGER);
}

/// A version of the plan of a run: what it asks of each of five budgets, if anything.
type Version = [Option<(u32, u32)>; 5];

fn version() -> impl Strategy<Value = Version> {
    proptest::array::uniform5(proptest::option::weighted(0.7, (1_u32..80, 1_u32..60)))
}

/// A run as it stands in the database.
struct Run {
    from: i64,
    window: Duration,
    seats: Option<Seats>,
    /// By budget.
    rates: [Option<Rate>; 5],
}

impl Run {
    /// Seconds in which its reservation counts.
    fn counts(&self) -> (i64, i64) {
        let guard = i64::try_from(guard(self.window).as_secs()).unwrap();
        (self.from - guard, self.from + i64::try_from(self.window.as_secs()).unwrap() + guard + 1)
    }

    fn reserved(&self, budget: usize) -> u32 {
        self.rates[budget].map_or(0, Rate::reserved)
    }
}

/// What all others have of a budget while `run` counts.
fn planned(runs: &[Run], run: usize, budget: usize) -> u32 {
    let (from, until) = runs[run].counts();
    let others = runs.iter().enumerate().filter(|(other, _)| *other != run);
    let overlap = others.filter(|(_, other)| other.counts().0 < until && other.counts().1 > from);
    overlap.map(|(_, other)| other.reserved(budget)).sum()
}

/// Brings a run up to date for a version of its plan, as the controller does. Says whether it is given.
fn bring(
    runs: &mut [Run],
    place: usize,
    version: &Version,
    budgets: [u32; 5],
    probes: u32,
    others: u32,
) -> bool {
    let need = |runs: &[Run], budget: usize| {
        version[budget].map(|(useful, flows)| {
            let planned = planned(runs, place, budget);
            Need { planned, lent: planned, useful, flows, ..target(budgets[budget]) }
        })
    };
    let missing: Vec<(usize, Need)> = (0..5)
        .filter(|budget| runs[place].rates[*budget].is_none())
        .filter_map(|budget| Some((budget, need(runs, budget)?)))
        .collect();
    let rates = match runs[place].seats {
        Some(seats) => missing.iter().map(|(_, need)| seats.further(need)).collect::<Result<Vec<_>, _>>(),
        None => {
            let needs: Vec<Need> = missing.iter().map(|(_, need)| need.clone()).collect();
            let night = Night { window: runs[place].window, wait: Duration::ZERO, probes, runs: others + 1 };
            Seats::lay_out(night, &needs).map(|(seats, rates)| {
                runs[place].seats = Some(seats);
                rates
            })
        }
    };
    let Ok(rates) = rates else { return false };
    for ((budget, _), rate) in missing.iter().zip(rates) {
        runs[place].rates[*budget] = Some(rate);
    }
    true
}

/// A probe at work: a run, and from when until when something of it may arrive, by the database's clock, in milliseconds.
struct AtWork {
    run: usize,
    from: i64,
    until: i64,
    version: Version,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Runs at any time, plans of which any versions are about, probes that come at any time and whose clocks are as wrong as
    /// they may be; and a controller that lends what is left.
    #[test]
    fn what_probes_do_adds_up_to_no_more_than_is_reserved(
        budgets in proptest::array::uniform5(1_u32..300),
        nights in proptest::collection::vec((0_i64..20_000, 600_u64..20_000, 0_u32..120, 0_u32..3,
            proptest::collection::vec((version(), 0_u32..60), 1..4)), 1..4),
        errors in proptest::collection::vec(-1.0_f64..=1.0, 64),
        wishes in proptest::collection::vec((0_i64..40_000, 1_i64..9_000, 0_usize..5, 1_u32..60), 0..12),
    ) {
        let mut runs: Vec<Run> = nights
            .iter()
            .map(|(from, window, ..)| Run { from: *from, window: Duration::from_secs(*window), seats: None, rates: [None; 5] })
            .collect();
        let mut at_work: Vec<AtWork> = Vec::new();
        for (place, (_, _, probes, others, versions)) in nights.iter().enumerate() {
            let mut next = 0;
            for (version, come) in versions {
                if !bring(&mut runs, place, version, budgets, *probes, *others) {
                    continue;
                }
                let (run, seats) = (&runs[place], runs[place].seats.unwrap());
                // Those that have a seat may still hold an earlier version, and those that come have this one.
                for seat in next..next + come {
                    let Some(slot) = seats.slot_of(seat) else { continue };
                    let (begins, ends) = seats.span(slot);
                    prop_assert!(ends <= run.window);
                    let doubt = doubt(run.window).as_millis() as f64;
                    let mut wrong = errors[at_work.len() % errors.len()] * doubt;
                    // The worst of all: one ends late, and the next begins early.
                    if seat % 3 == 0 { wrong = if slot % 2 == 0 { doubt } else { -doubt } }
                    let at = |after: Duration| run.from * 1_000 + after.as_millis() as i64 + wrong as i64;
                    at_work.push(AtWork { run: place, from: at(begins), until: at(ends), version: *version });
                }
                next += come;
            }
        }
        // What a controller lends, with all of each reservation that counts meanwhile.
        let mut lent: Vec<(i64, i64, usize, u32)> = Vec::new();
        for (from, seconds, budget, most) in wishes {
            let until = from + seconds;
            let mut others: u32 =
                runs.iter().filter(|run| run.counts().0 < until && run.counts().1 > from).map(|run| run.reserved(budget)).sum();
            others += lent.iter().filter(|(f, u, b, _)| *b == budget && *f < until && *u > from).map(|(.., rate)| rate).sum::<u32>();
            if let Some(rate) = share(budgets[budget], others, Wish { least: 1, most, waiting: 1 }) {
                lent.push((from, until, budget, rate));
            }
        }
        // Whenever somebody begins the sum may be a new one; a second later what he sent may be on its way still.
        let moments: Vec<i64> = at_work.iter().map(|probe| probe.from).chain(lent.iter().map(|(from, ..)| from * 1_000)).collect();
        for (moment, budget) in moments.iter().flat_map(|moment| (0..5).map(move |budget| (*moment, budget))) {
            let linger = LINGER.as_millis() as i64;
            let mut all = 0;
            for (place, run) in runs.iter().enumerate() {
                let under_way = at_work.iter().filter(|probe| {
                    probe.run == place && probe.version[budget].is_some()
                        && probe.from <= moment && probe.until + linger > moment
                });
                let sum: u32 = under_way.map(|_| run.rates[budget].unwrap().each).sum();
                prop_assert!(sum <= run.reserved(budget), "{sum} of {}", run.reserved(budget));
                if sum > 0 {
                    let (from, until) = run.counts();
                    prop_assert!(moment >= from * 1_000 && moment < until * 1_000, "outside of what is reserved");
                }
                all += sum;
            }
            prop_assert!(all <= plannable(budgets[budget]), "{all} of {}", budgets[budget]);
            let others = lent.iter().filter(|(from, until, of, _)| {
                *of == budget && from * 1_000 <= moment && until * 1_000 > moment
            });
            let others: u32 = others.map(|(.., rate)| rate).sum();
            prop_assert!(all + others <= budgets[budget], "{all} and {others} of {}", budgets[budget]);
        }
    }
}
