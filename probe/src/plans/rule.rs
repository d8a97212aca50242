//! When a probe goes on by itself. One table, no clock.

use std::time::Duration;

use jiff::Timestamp;

/// The times of a planned job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// Without a controller it is begun this long after the start.
    pub(crate) alone: Duration,
    /// And this much later: the others of the vantage come first.
    pub(crate) turn: Duration,
    /// With a controller that does not begin the run it is begun this long after the start.
    pub(crate) silent: Duration,
}

/// Whether a controller is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// There has been no session for so long.
    Away(Duration),
    /// There has been a session for so long.
    Here { since: Duration, begun: bool },
}

/// What to do with a planned job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Wait,
    Begin,
    /// Its time is over.
    Over,
}

impl Times {
    /// What to do at `now`, by the controller's clock.
    pub(crate) fn step(self, now: Timestamp, presence: Presence) -> Step {
        let past = |after: Duration| self.start.saturating_add(after).is_ok_and(|at| now >= at);
        let begins = match presence {
            Presence::Away(since) => since >= self.alone && past(self.alone.saturating_add(self.turn)),
            // What a controller has begun is the controller's.
            Presence::Here { begun: true, .. } => false,
            Presence::Here { since, begun: false } => since >= self.silent && past(self.silent),
        };
        match now {
            now if now >= self.end => Step::Over,
            _ if begins => Step::Begin,
            _ => Step::Wait,
        }
    }

    /// How long a job that is begun `now` may take.
    pub(crate) fn left(self, now: Timestamp) -> Duration {
        Duration::try_from(self.end.duration_since(now)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_ends_with_its_time() {
        let (start, seconds) = ("2026-11-26T02:00:00Z".parse::<Timestamp>().unwrap(), Duration::from_secs);
        let (alone, silent) = (seconds(20), seconds(80));
        let times = Times { start, end: start + seconds(60), alone, turn: Duration::ZERO, silent };
        assert_eq!(times.left(start + Duration::from_millis(59_500)), Duration::from_millis(500));
        assert_eq!(times.left(start + seconds(61)), Duration::ZERO);
    }

    #[test]
    fn the_controller_comes_first_and_the_probe_waits_no_longer_than_it_must() {
        let seconds = Duration::from_secs;
        let start: Timestamp = "2026-11-26T02:00:00Z".parse().unwrap();
        let times = |turn| Times {
            start,
            end: start + seconds(3_600),
            alone: seconds(20),
            turn: seconds(turn),
            silent: seconds(80),
        };
        let here = |since, begun| Presence::Here { since: seconds(since), begun };
        let away = |since| Presence::Away(seconds(since));
        // Seconds after the start, turn, presence.
        let table = [
            (-1, 0, away(9_999), Step::Wait),
            (19, 0, away(9_999), Step::Wait),
            (20, 0, away(9_999), Step::Begin),
            // It has only just been lost, or the probe has only just started.
            (20, 0, away(19), Step::Wait),
            (3_599, 0, away(20), Step::Begin),
            (3_600, 0, away(9_999), Step::Over),
            // The second of the vantage.
            (20, 1_800, away(9_999), Step::Wait),
            (1_820, 1_800, away(9_999), Step::Begin),
            // With a controller: it begins, or does not.
            (20, 0, here(9_999, false), Step::Wait),
            (80, 0, here(9_999, false), Step::Begin),
            (80, 0, here(79, false), Step::Wait),
            (3_599, 0, here(9_999, true), Step::Wait),
            (3_600, 0, here(9_999, true), Step::Over),
        ];
        for (at, turn, presence, expected) in table {
            let now = start + jiff::SignedDuration::from_secs(at);
            assert_eq!(times(turn).step(now, presence), expected, "{at} {turn} {presence:?}");
        }
    }
}
