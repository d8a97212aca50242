//! How fast, and how long to wait: round-trip estimates and rate limits as pure values.

use std::time::Duration;

/// Smoothed round trip to one target, RFC 6298 section 2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl Rtt {
    /// Takes a measured round trip.
    pub fn measured(&mut self, sample: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = part(sample, 2);
            }
            Some(smoothed) => {
                self.variation =
                    part(self.variation.saturating_mul(3).saturating_add(smoothed.abs_diff(sample)), 4);
                self.smoothed = Some(part(smoothed.saturating_mul(7).saturating_add(sample), 8));
            }
        }
    }

    /// The smoothed round trip, or `None` while nothing was measured.
    #[must_use]
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Time within which an answer should have come, or `None` while nothing was measured.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed.saturating_add(self.variation.saturating_mul(4)))
    }
}

/// One part of `of` equal ones; `of` is not 0.
fn part(duration: Duration, of: u32) -> Duration {
    duration.checked_div(of).unwrap_or_default()
}

/// A rate limit with a burst: the generic cell rate algorithm, ITU-T I.371 annex A.
///
/// Times are durations since an arbitrary start that the caller keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limiter {
    interval: Duration,
    tolerance: Duration,
    next: Duration,
}

impl Limiter {
    /// At most `per_second` events in any second in the long run (at least 1), and `burst` (at least 1) at once.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = part(Duration::from_secs(1), per_second.max(1));
        Self { interval, tolerance: interval.saturating_mul(burst.saturating_sub(1)), next: Duration::ZERO }
    }

    /// Books one event and tells when it may happen, at or after `now`. Bookings are served in order.
    pub fn book(&mut self, now: Duration) -> Duration {
        let at = self.next.saturating_sub(self.tolerance).max(now);
        self.next = self.next.max(now).saturating_add(self.interval);
        at
    }

    /// Whether nothing booked reaches past `now`: forgetting the limiter then changes nothing.
    #[must_use]
    pub fn is_idle(&self, now: Duration) -> bool {
        self.next <= now
    }
}

/// How late an event may be after it was allowed, or how unevenly long its way, without a second having too many.
pub const SLACK: Duration = Duration::from_millis(20);

/// A rate that no second exceeds, whenever it begins: what follows an event waits by when that really was. There is no
/// burst, and quiet time gives nothing back. A second here is longer by [`SLACK`] than a second.
///
/// An event that may repeat itself, once a second or less often, holds one event per second until it ends; the rest goes on at
/// what is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    per_second: u32,
    from: Duration,
    last: Option<Duration>,
    /// Held by number, and until when at most.
    holds: Vec<(u64, Duration)>,
    numbers: u64,
}

impl Lane {
    /// A second, and [`SLACK`].
    pub const SECOND: Duration = Duration::from_secs(1).saturating_add(SLACK);

    /// A lane for `per_second` events (at least 1) that begins empty at `from`.
    #[must_use]
    pub fn new(per_second: u32, from: Duration) -> Self {
        Self { per_second: per_second.max(1), from, last: None, holds: Vec::new(), numbers: 0 }
    }

    /// Goes on with so many events (at least 1) where that is fewer.
    pub fn slow(&mut self, per_second: u32) {
        self.per_second = self.per_second.min(per_second.max(1));
    }

    /// When the next event may happen. May come earlier when a hold is released.
    pub fn next(&mut self, now: Duration) -> Duration {
        self.holds.retain(|(_, end)| *end > now);
        let held = u32::try_from(self.holds.len()).unwrap_or(u32::MAX);
        let free = self.per_second.saturating_sub(held);
        let soonest = self.holds.iter().map(|(_, end)| *end).min();
        match (free, soonest, self.last) {
            (0, Some(soonest), _) => soonest,
            // Rounded up: that many intervals are no less than the whole.
            (_, _, Some(last)) => {
                let interval = part(Self::SECOND, free.max(1)).saturating_add(Duration::from_nanos(1));
                last.saturating_add(interval).max(self.from)
            }
            (_, _, None) => self.from,
        }
    }

    /// Notes that an event happens.
    pub fn passed(&mut self, now: Duration) {
        self.last = Some(now);
    }

    /// Notes that the event that happens now may repeat itself for so long. Gives the number to release it by.
    pub fn hold(&mut self, now: Duration, life: Duration) -> u64 {
        self.numbers = self.numbers.wrapping_add(1);
        self.holds.push((self.numbers, now.saturating_add(life).saturating_add(Self::SECOND)));
        self.numbers
    }

    /// Notes that it does not repeat itself any more. What it did in the last second still counts.
    pub fn release(&mut self, number: u64, now: Duration) {
        if let Some((_, end)) = self.holds.iter_mut().find(|(held, _)| *held == number) {
            *end = now.saturating_add(Self::SECOND).min(*end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_means_no_estimate() {
        assert_eq!(Rtt::default().patience(), None);
    }

    #[test]
    fn patience_follows_the_measurements() {
        let mut rtt = Rtt::default();
        for _ in 0..50 {
            rtt.measured(Duration::from_millis(600));
        }
        let patience = rtt.patience().unwrap();
        assert!(
            patience >= Duration::from_millis(600) && patience < Duration::from_millis(620),
            "{patience:?}"
        );
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut limiter = Limiter::new(10, 5);
        let times: Vec<u128> = (0..15).map(|_| limiter.book(Duration::ZERO).as_millis()).collect();
        assert_eq!(times, [0, 0, 0, 0, 0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
    }

    proptest::proptest! {
        /// Whoever waits for a lane comes at any time, and what he sends arrives up to the slack later. Some of it is sent again
        /// after a second, and after three, and in another system after each second.
        #[test]
        fn no_second_has_more_events_than_a_lane_allows(
            rate in 1_u32..60,
            each in proptest::bool::ANY,
            events in proptest::collection::vec((0_u64..400, 0_u64..=20, proptest::option::weighted(0.3, 0_u64..3_500)), 1..200),
        ) {
            let (mut lane, mut now, mut arrivals) = (Lane::new(rate, Duration::ZERO), Duration::ZERO, Vec::new());
            let mut ends: Vec<(Duration, u64)> = Vec::new();
            for (pause, late, answered) in events {
                let mut wish = now + Duration::from_millis(pause);
                while { now = lane.next(wish).max(wish); now > wish } {
                    // What was answered meanwhile is released when it was.
                    wish = match ends.iter().position(|(end, _)| *end <= now) {
                        Some(place) => { let (end, number) = ends.remove(place); lane.release(number, end); wish }
                        None => now,
                    };
                }
                lane.passed(now);
                let sent = now + Duration::from_millis(late);
                arrivals.push(sent);
                if let Some(answered) = answered.map(Duration::from_millis) {
                    ends.push((now + answered, lane.hold(now, Duration::from_millis(3_500))));
                    let again = if each { [1, 2, 3] } else { [1, 3, 7] };
                    let again = again.map(Duration::from_secs).into_iter().filter(|again| *again < answered);
                    arrivals.extend(again.map(|again| sent + again));
                }
            }
            arrivals.sort();
            for (place, first) in arrivals.iter().enumerate() {
                let within = arrivals[place..].iter().take_while(|at| **at - *first < Duration::from_secs(1)).count();
                proptest::prop_assert!(within <= rate as usize, "{within} of {rate}");
            }
        }
    }

    #[test]
    fn what_repeats_itself_holds_one_a_second_and_a_second_more() {
        let (mut lane, second) = (Lane::new(2, Duration::ZERO), Lane::SECOND);
        lane.passed(Duration::ZERO);
        let number = lane.hold(Duration::ZERO, Duration::from_secs(3));
        let half = Duration::from_millis(600);
        assert!(lane.next(half) > second, "one a second is left");
        lane.release(number, half);
        assert!(lane.next(half) > second);
        let later = half + second;
        assert!(lane.next(later) < half, "two a second again");

        let mut all = Lane::new(1, Duration::ZERO);
        all.passed(Duration::ZERO);
        all.hold(Duration::ZERO, Duration::from_secs(3));
        assert_eq!(all.next(half), Duration::from_secs(3) + second);
    }

    #[test]
    fn quiet_time_gives_the_burst_back_but_never_more() {
        let mut limiter = Limiter::new(10, 3);
        for _ in 0..3 {
            limiter.book(Duration::ZERO);
        }
        let now = Duration::from_secs(60);
        let times: Vec<u128> = (0..5).map(|_| limiter.book(now).as_millis() - 60_000).collect();
        assert_eq!(times, [0, 0, 0, 100, 200]);
    }
}
