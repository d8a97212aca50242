use std::collections::VecDeque;

use proptest::prelude::*;
use sekisho_checks::pace::{Lane, SLACK};

use super::*;

/// How late an attempt may arrive, milliseconds.
const LATEST: u32 = SLACK.as_millis() as u32;
const MS: Duration = Duration::from_millis(1);

/// A job that has its share.
struct Running {
    lane: Lane,
    rate: u32,
    /// Attempts that are still to be made.
    left: u32,
    /// When its probe stops, whatever it is told.
    until: Duration,
    /// When its probe vanishes without a word.
    lost: Option<Duration>,
    /// When the share does not count any more.
    counts_until: Duration,
    /// How late every other attempt arrives.
    late: Duration,
}

/// One job to come: attempts, when its probe is lost, and how late every other attempt arrives, in milliseconds.
#[derive(Debug, Clone)]
struct Plan {
    attempts: u32,
    most: u32,
    lost_after: Option<u32>,
    late: u32,
}

/// A fleet under one budget: the shares by [`share`], the attempts by the probe's own [`Lane`].
struct Fleet {
    budget: u32,
    now: Duration,
    waiting: VecDeque<Plan>,
    shares: Vec<Running>,
    arrivals: Vec<Duration>,
}

impl Fleet {
    fn new(budget: u32, waiting: impl IntoIterator<Item = Plan>) -> Self {
        let waiting = waiting.into_iter().collect();
        Self { budget, now: Duration::ZERO, waiting, shares: Vec::new(), arrivals: Vec::new() }
    }

    /// Gives out what can be given out, and lets the probes work for a millisecond.
    fn step(&mut self, lifetime: Duration) {
        let now = self.now;
        self.shares.retain(|share| share.counts_until > now);
        while let Some(plan) = self.waiting.front() {
            let lent = self.shares.iter().map(|share| share.rate).sum();
            let waiting = u32::try_from(self.waiting.len()).unwrap();
            let Some(rate) = share(self.budget, lent, Wish { least: 1, most: plan.most, waiting }) else {
                break;
            };
            let until = now + lifetime;
            self.shares.push(Running {
                lane: Lane::new(rate, now),
                rate,
                left: plan.attempts,
                until,
                lost: plan.lost_after.map(|after| now + MS * after),
                counts_until: until + GUARD,
                late: MS * plan.late,
            });
            self.waiting.pop_front();
        }
        self.work();
        self.now += MS;
    }

    fn work(&mut self) {
        let now = self.now;
        for share in &mut self.shares {
            let alive = now < share.until && share.lost.is_none_or(|lost| now < lost);
            while alive && share.left > 0 && share.lane.next(now) <= now {
                share.lane.passed(now);
                share.left -= 1;
                self.arrivals.push(now + share.late * (share.left % 2));
                if share.left == 0 {
                    share.counts_until = now + LINGER;
                }
            }
        }
    }

    /// The most arrivals of any second, whenever it begins.
    fn most(&mut self) -> usize {
        self.arrivals.sort();
        let mut most = 0;
        let mut last = 0;
        for (first, at) in self.arrivals.iter().enumerate() {
            while self.arrivals.get(last).is_some_and(|later| *later < *at + Duration::from_secs(1)) {
                last += 1;
            }
            most = most.max(last - first);
        }
        most
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    (1_u32..60, 1_u32..50, proptest::option::weighted(0.2, 0_u32..4_000), 0..=LATEST)
        .prop_map(|(attempts, most, lost_after, late)| Plan { attempts, most, lost_after, late })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Jobs of any size that come at any time, end, are cut short, and are lost with their probes.
    #[test]
    fn no_second_has_more_than_the_budget(
        budget in 1_u32..120,
        bursts in proptest::collection::vec((proptest::collection::vec(plan(), 0..40), 0_u32..3_000), 1..8),
        lifetime in 500_u32..6_000,
    ) {
        let mut fleet = Fleet::new(budget, []);
        for (jobs, pause) in bursts {
            fleet.waiting.extend(jobs);
            for _ in 0..pause {
                fleet.step(MS * lifetime);
            }
        }
        let most = fleet.most();
        prop_assert!(most <= budget as usize, "{most} of {budget}");
    }

    /// As long as more jobs wait than there is budget for, nine tenths of it are used.
    #[test]
    fn most_of_a_budget_is_used(budget in 1_u32..120, attempts in 25_u32..60) {
        let plan = Plan { attempts, most: 50, lost_after: None, late: 0 };
        let jobs = usize::try_from(budget * 4).unwrap();
        let mut fleet = Fleet::new(budget, vec![plan; jobs]);
        while !fleet.waiting.is_empty() {
            fleet.step(Duration::from_secs(900));
        }
        let end = fleet.now;
        let made = fleet.arrivals.iter().filter(|at| **at < end).count();
        let used = made as f64 / (f64::from(budget) * end.as_secs_f64());
        prop_assert!(used >= 0.9, "{used}");
        prop_assert!(fleet.most() <= budget as usize);
    }
}

#[test]
fn all_that_wait_get_equal_parts_of_what_is_left() {
    let wish = |waiting, most| Wish { least: 1, most, waiting };
    assert_eq!(share(200, 0, wish(1, 50)), Some(50), "no more than it uses");
    assert_eq!(share(200, 0, wish(8, 50)), Some(25));
    assert_eq!(share(200, 150, wish(8, 50)), Some(6));
    assert_eq!(share(200, 0, wish(1_000, 50)), Some(1), "at least one a second");
    assert_eq!(share(200, 199, wish(1_000, 50)), Some(1));
    assert_eq!(share(200, 200, wish(1, 50)), None);
    assert_eq!(share(100, 200, wish(1, 50)), None, "the budget was made smaller");
}

#[test]
fn who_cannot_go_slower_gets_all_or_nothing() {
    let all = Wish { least: 150, most: 150, waiting: 10 };
    assert_eq!(share(200, 50, all), Some(150));
    assert_eq!(share(200, 51, all), None);
}

#[test]
fn a_share_counts_until_the_next_second_has_nothing_of_it() {
    assert!(LINGER >= Duration::from_secs(1) + SLACK);
    assert!(GUARD > LINGER);
}
