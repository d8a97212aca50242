//! When this probe spoke to its controller: what the time of a job counts from.
//!
//! A controller says how long a job may take from the last heartbeat that it had heard when it read the time. That was sent
//! before, so a job ends here no later than the controller reckons, however long the message was on its way, and without
//! either side knowing the other's clock.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

/// Heartbeats remembered: many more than are on the way at a time.
const KEPT: usize = 64;

/// When the last heartbeats of a session were sent; its Hello is number 0.
#[derive(Debug)]
pub(super) struct Beats(VecDeque<(u64, Instant, SystemTime)>);

impl Beats {
    /// A session whose Hello is sent now.
    pub(super) fn hello() -> Self {
        let mut beats = Self(VecDeque::with_capacity(KEPT));
        beats.sent(0);
        beats
    }

    /// Notes that a heartbeat is sent now.
    pub(super) fn sent(&mut self, sequence: u64) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back((sequence, Instant::now(), SystemTime::now()));
    }

    /// How long ago a heartbeat was sent; of one that is not known, the longest that it can be. `None`: now. The clock of the
    /// system counts as well where it says more: it goes on while this host sleeps.
    pub(super) fn since(&self, sequence: Option<u64>) -> Duration {
        let Some(sequence) = sequence else { return Duration::ZERO };
        let known = self.0.iter().find(|(beat, ..)| *beat == sequence).or_else(|| self.0.front());
        let Some((_, monotonic, system)) = known else { return Duration::ZERO };
        monotonic.elapsed().max(system.elapsed().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_from_the_heartbeat_that_is_named() {
        let (now, system, second) = (Instant::now(), SystemTime::now(), Duration::from_secs(1));
        let beat = |sequence, ago| (sequence, now - second * ago, system - second * ago);
        let mut beats = Beats([beat(0, 30), beat(1, 20), beat(2, 10)].into());
        let since = |beats: &Beats, sequence| beats.since(sequence).as_secs();
        assert_eq!(since(&beats, Some(1)), 20);
        assert_eq!(since(&beats, Some(9)), 30, "the oldest that it can be");
        assert_eq!(since(&beats, None), 0);
        beats.0.push_back((3, now, system - second * 60));
        assert_eq!(since(&beats, Some(3)), 60, "this host has slept");
    }

    #[test]
    fn no_more_beats_are_kept_than_are_needed() {
        let mut beats = Beats::hello();
        (1..1_000).for_each(|sequence| beats.sent(sequence));
        assert_eq!(beats.0.len(), KEPT);
        assert_eq!(beats.0.back().unwrap().0, 999);
    }
}
